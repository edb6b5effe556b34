"""The training loop for drawn scenes, which train_scenes_cnn.py and train_scenes_vit.py share.

Each step depends only on the weights, the optimizers, the seed and the step's number. So a run that was killed goes on
from its last checkpoint and gives the same result (on the same machine, with the same number of threads).
"""
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import torch
from torch import nn
from torch.nn import functional as F

from minixai.networks.registry import build
from weights_scripts.scene_data import FREE, Bank, Batch, recombine

SAVE_EVERY = 60             # seconds between checkpoints
FAR = 10 ** 7               # more steps than any run has, so no two seeds share a batch (torch reads 32 bits)
LOOKS = 20                  # how many progress lines a run prints


@dataclass(frozen=True)
class Recipe:
    """The settings of a training. A pass is one picture, forward and backward."""
    network: str                            # a name for minixai.build
    passes: int
    batch: int
    lr: float
    prepare: Callable                       # model, bank -> None: initialise the weights
    optimizers: Callable                    # model, lr -> list of optimizers
    logits: Callable                        # model, Batch -> logits (B,C)
    freedom: Callable = lambda share: FREE          # share of the run, 0 to 1 -> Freedom
    bias: float = 0.0                       # P(home background) = bias + (1 - bias) / 4
    warm_up: float = 0.06                   # share of the run in which the learning rate rises
    decay: float = 0.3                      # share of the run, at its end, in which the rate falls to zero
    smoothing: float = 0.0                  # label smoothing
    memory: int = 1000                      # length of the running average of the weights, in steps


class Training:
    """The state of a training: model, optimizers, running average of the weights, and number of steps."""

    def __init__(self, recipe: Recipe, bank: Bank, seed: int = 0, device: str = "cpu"):
        torch.manual_seed(seed)
        self.recipe, self.bank, self.seed, self.device = recipe, bank, seed, device
        self.model = build(recipe.network).train()
        recipe.prepare(self.model, bank)
        self.model.to(device)
        self.optimizers = recipe.optimizers(self.model, recipe.lr)
        self.average = {name: value.clone() for name, value in self.model.state_dict().items()}
        self.steps, self.seconds, self.loss = 0, 0.0, math.log(len(self.model.labels))

    @property
    def share(self) -> float:
        """The finished share of the run, 0 to 1."""
        return self.passes / self.recipe.passes

    @property
    def passes(self) -> int:
        """The number of pictures so far."""
        return self.steps * self.recipe.batch

    def step(self) -> None:
        """Do one step: a batch forward and backward, and the update of the weights."""
        began = time.process_time()
        loss = self.loss_on(self.batch())
        self.model.zero_grad()
        loss.backward()
        self._update()
        self.steps += 1
        self.seconds += time.process_time() - began
        self.loss += 0.02 * (loss.item() - self.loss)       # a running mean, for the progress line

    def batch(self) -> Batch:
        """The batch of the next step."""
        # A new generator for each step: a checkpoint needs no random state.
        random = torch.Generator().manual_seed(self.seed * FAR + self.steps)
        freedom = self.recipe.freedom(self.share)
        batch = recombine(self.bank, self.recipe.batch, random, self.recipe.bias, freedom)
        return type(batch)(*(part.to(self.device) for part in batch))

    def loss_on(self, batch: Batch) -> torch.Tensor:
        """The mean cross-entropy of the model on a batch."""
        logits = self.recipe.logits(self.model, batch)
        return F.cross_entropy(logits, batch.label, label_smoothing=self.recipe.smoothing)

    def _update(self):
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.recipe.lr * height(self.share, self.recipe)
            optimizer.step()
        # Early in the run the average is short, so that it forgets the random start.
        weight = max(1 / self.recipe.memory, 1 / (1 + self.steps / 10))
        for name, value in self.model.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, weight)

    def averaged(self) -> nn.Module:
        """The network with the averaged weights, in eval mode. This one is tested and shipped."""
        model = build(self.recipe.network).to(self.device)
        model.load_state_dict(self.average)
        return model

    def state(self) -> dict:
        """The content of a checkpoint."""
        return {"model": self.model.state_dict(), "average": self.average, "steps": self.steps, "loss": self.loss,
                "optimizers": [optimizer.state_dict() for optimizer in self.optimizers], "seconds": self.seconds}

    def load(self, state: dict) -> None:
        """Go back to the state of a checkpoint."""
        self.model.load_state_dict(state["model"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"]):
            optimizer.load_state_dict(saved)
        self.average, self.steps = state["average"], state["steps"]
        self.loss, self.seconds = state["loss"], state["seconds"]


def height(share: float, recipe: Recipe) -> float:
    """The learning rate at a share of the run, relative to its maximum. It rises, stays, and falls to zero."""
    return min(1.0, (share + 1e-3) / recipe.warm_up, (1 - share) / recipe.decay)


def train(training: Training, checkpoint: Path, look: Callable[[nn.Module], float], out: TextIO = sys.stderr) -> None:
    """Train to the end, starting from the checkpoint if it exists, and print progress lines.

    look: model -> accuracy on held-out scenes.
    """
    if checkpoint.exists():
        training.load(torch.load(checkpoint, map_location=training.device, weights_only=True))
    progress, saved = Progress(training, look, out), time.monotonic()
    while training.share < 1:
        training.step()
        progress.show()
        if training.share >= 1 or time.monotonic() - saved > SAVE_EVERY:
            _save(training.state(), checkpoint)
            saved = time.monotonic()


class Progress:
    """Prints a progress line after each twentieth of the run."""

    def __init__(self, training, look, out):
        self.training, self.look, self.out = training, look, out
        self.began, self.first, self.shown = time.monotonic(), training.share, int(training.share * LOOKS)

    def show(self) -> None:
        """Print a line if another twentieth of the run is done."""
        run = self.training
        if int(run.share * LOOKS) == self.shown:
            return
        self.shown = int(run.share * LOOKS)
        left = (time.monotonic() - self.began) / (run.share - self.first) * (1 - run.share)
        print(f"{run.recipe.network} seed {run.seed}: {run.passes} of {run.recipe.passes} passes, loss {run.loss:.3f}, "
              f"held out {self.look(run.averaged()):.1%}, {left / 60:.1f} min left", file=self.out, flush=True)


def _save(state, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    torch.save(state, draft)
    draft.replace(path)         # in one step, so a killed run always has a whole checkpoint
