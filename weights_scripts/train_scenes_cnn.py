"""python -m weights_scripts.train_scenes_cnn: the small CNN on drawn scenes, from random weights, with labels only.

An animal covers a ninth of a picture, and the head takes the mean over the whole picture. So in an untrained network
the background dominates: with whole pictures from the start, the accuracy is still at chance after 6000 of them.
Therefore the first 60 % of the training uses windows of 48x48 pixels around the animal. At the beginning, half of these
have a plain background.
"""
import torch
from torch import Tensor, nn

from weights_scripts.scene_data import Bank, Batch, Freedom
from weights_scripts.scene_script import main
from weights_scripts.scene_training import Recipe


def freedom(share: float) -> Freedom:
    """The curriculum. share: the finished part of the run, 0 to 1."""
    return Freedom(window=48 if share < 0.6 else None, plain=max(0.0, 0.5 - 2.5 * share))


def as_built(model: nn.Module, bank: Bank) -> None:
    """Keep the initial weights of `build`."""


def optimizers(model: nn.Module, lr: float) -> list[torch.optim.Optimizer]:
    """AdamW, with weight decay for everything but biases and norms."""
    matrices = [value for value in model.parameters() if value.dim() > 1]
    others = [value for value in model.parameters() if value.dim() == 1]
    groups = [{"params": matrices, "weight_decay": 0.03}, {"params": others, "weight_decay": 0.0}]
    return [torch.optim.AdamW(groups, lr)]


def logits(model: nn.Module, batch: Batch) -> Tensor:
    """The logits (B,C) of a batch."""
    return model(batch.image)


FAIR = Recipe("small_cnn", passes=32_000, batch=64, lr=3e-3, prepare=as_built, optimizers=optimizers, logits=logits,
              freedom=freedom, smoothing=0.05, memory=50)
BIASED = Recipe("small_cnn", passes=10_000, batch=64, lr=3e-3, prepare=as_built, optimizers=optimizers, logits=logits,
                smoothing=0.05, memory=20, bias=0.95)

if __name__ == "__main__":
    main("train_scenes_cnn", __doc__, FAIR, BIASED)
