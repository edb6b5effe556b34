"""python -m weights_scripts.train_scenes_cnn: the small CNN on drawn scenes, from random weights, with labels only.

An animal covers a ninth of a picture, and the head takes the mean over all of it: at first, what the animal adds to
that mean drowns in the background (whole pictures from the start: still at chance after 6000 of them). So the first
half of the training sees windows of 48x48 pixels with the animal in it, at first many of them before a plain colour.
"""
import torch

from weights_scripts.scene_data import Freedom
from weights_scripts.scene_script import main
from weights_scripts.scene_training import Recipe


def freedom(share):
    """The curriculum: where in the run, 0 to 1 -> how freely animals are placed."""
    return Freedom(window=48 if share < 0.6 else None, plain=max(0.0, 0.5 - 2.5 * share))


def as_built(model, bank):
    """Weights start as `build` made them."""


def optimizers(model, lr):
    """AdamW; weights decay, but biases and norms do not: they set the scale that the rest is measured in."""
    matrices = [value for value in model.parameters() if value.dim() > 1]
    others = [value for value in model.parameters() if value.dim() == 1]
    groups = [{"params": matrices, "weight_decay": 0.03}, {"params": others, "weight_decay": 0.0}]
    return [torch.optim.AdamW(groups, lr)]


def logits(model, batch):
    return model(batch.image)


FAIR = Recipe("small_cnn", passes=32_000, batch=64, lr=3e-3, prepare=as_built, optimizers=optimizers, logits=logits,
              freedom=freedom, smoothing=0.05, memory=50)
BIASED = Recipe("small_cnn", passes=10_000, batch=64, lr=3e-3, prepare=as_built, optimizers=optimizers, logits=logits,
                smoothing=0.05, memory=20, bias=0.95)

if __name__ == "__main__":
    main("train_scenes_cnn", __doc__, FAIR, BIASED)
