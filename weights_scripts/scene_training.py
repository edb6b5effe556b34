"""The training loop of the networks that look at drawn scenes: what train_scenes_cnn.py and train_scenes_vit.py share.

Each step is a function of the weights, the seed and the step's number alone. So a run that was killed goes on from its
last checkpoint and ends with the very numbers that it would have ended with (on the same machine, with the same number
of threads).
"""
import io
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from minixai.networks.registry import build
from weights_scripts.scene_data import FREE, recombine

SAVE_EVERY = 60             # seconds between checkpoints
FAR = 10 ** 7               # more steps than any run has: no two seeds share a batch (torch reads 32 bits of a seed)
LOOKS = 20                  # how often in a run the accuracy is looked at


@dataclass(frozen=True)
class Recipe:
    """All that is decided before training starts. A pass is one picture, forward and backward."""
    network: str                            # a name that minixai.build knows
    passes: int
    batch: int
    lr: float
    prepare: Callable                       # model, bank -> None: how its weights start
    optimizers: Callable                    # model, lr -> list of optimizers
    logits: Callable                        # model, Batch -> logits (B,C)
    freedom: Callable = lambda share: FREE          # share of the run that is done -> Freedom
    bias: float = 0.0                       # P(home background) = bias + (1 - bias) / 4
    warm_up: float = 0.06                   # share of the run in which the learning rate rises
    decay: float = 0.3                      # share of the run, at its end, in which it falls to zero
    smoothing: float = 0.0                  # of the labels
    memory: int = 1000                      # how many steps back the average of the weights reaches


class Training:
    """A network on its way: model, optimizers, the running average of the weights, and how many steps were made."""

    def __init__(self, recipe, bank, seed=0, device="cpu"):
        torch.manual_seed(seed)
        self.recipe, self.bank, self.seed, self.device = recipe, bank, seed, device
        self.model = build(recipe.network).train()
        recipe.prepare(self.model, bank)
        self.model.to(device)
        self.optimizers = recipe.optimizers(self.model, recipe.lr)
        self.average = {name: value.clone() for name, value in self.model.state_dict().items()}
        self.steps, self.seconds, self.loss = 0, 0.0, math.log(len(self.model.labels))

    @property
    def share(self):
        """How much of the run is done, 0 to 1."""
        return self.passes / self.recipe.passes

    @property
    def passes(self):
        return self.steps * self.recipe.batch

    def step(self):
        """One batch forward and backward, and its update."""
        began = time.process_time()
        loss = self.loss_on(self.batch())
        self.model.zero_grad()
        loss.backward()
        self._update()
        self.steps += 1
        self.seconds += time.process_time() - began
        self.loss += 0.02 * (loss.item() - self.loss)       # a running mean, for the progress line

    def batch(self):
        """The Batch of the next step."""
        # The random numbers depend on nothing that happened before, so none have to be saved and restored.
        random = torch.Generator().manual_seed(self.seed * FAR + self.steps)
        freedom = self.recipe.freedom(self.share)
        batch = recombine(self.bank, self.recipe.batch, random, self.recipe.bias, freedom)
        return type(batch)(*(part.to(self.device) for part in batch))

    def loss_on(self, batch):
        """Mean cross-entropy of the model as it is now."""
        logits = self.recipe.logits(self.model, batch)
        return F.cross_entropy(logits, batch.label, label_smoothing=self.recipe.smoothing)

    def _update(self):
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.recipe.lr * height(self.share, self.recipe)
            optimizer.step()
        # A young average forgets fast, or the random start would linger in it.
        weight = max(1 / self.recipe.memory, 1 / (1 + self.steps / 10))
        for name, value in self.model.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, weight)

    def averaged(self):
        """The network with the averaged weights, in eval mode: the one that is tested and shipped."""
        model = build(self.recipe.network).to(self.device)
        model.load_state_dict(self.average)
        return model

    def state(self):
        """All that a checkpoint needs."""
        return {"model": self.model.state_dict(), "average": self.average, "steps": self.steps, "loss": self.loss,
                "optimizers": [optimizer.state_dict() for optimizer in self.optimizers], "seconds": self.seconds}

    def load(self, state):
        self.model.load_state_dict(state["model"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"]):
            optimizer.load_state_dict(saved)
        self.average, self.steps = state["average"], state["steps"]
        self.loss, self.seconds = state["loss"], state["seconds"]


def height(share, recipe):
    """The learning rate at a share of the run, as a part of its highest: up, level, and down to zero."""
    return min(1.0, (share + 1e-3) / recipe.warm_up, (1 - share) / recipe.decay)


def train(training, checkpoint, look, out=sys.stderr):
    """Go on, from the checkpoint if there is one, until the recipe's passes are made; say now and then how it stands.

    look: model -> accuracy on scenes that are held out.
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
    """A line on stderr at every twentieth of the run."""

    def __init__(self, training, look, out):
        self.training, self.look, self.out = training, look, out
        self.began, self.first, self.shown = time.monotonic(), training.share, int(training.share * LOOKS)

    def show(self):
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
    draft.replace(path)         # in one step: a run killed while it saves still has its last checkpoint


def in_half(state):
    """Floats in half precision. The counts of batches that norms keep are integers and stay."""
    return {name: value.cpu().half() if value.is_floating_point() else value.cpu() for name, value in state.items()}


def write(state, path):
    """Through memory: torch.save to a path would write the file's name into the file, and so into its hash."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    path.write_bytes(buffer.getvalue())
