"""Weights and images that the recorder and the tests both make, so that they need not be stored.

The recorder fills a library's network with them, a test fills ours with the same ones, in another process and years
later. So each tensor depends on its name and shape alone, by numpy's RandomState, whose numbers never change.
"""
import hashlib
import math
import zlib
from pathlib import Path

import numpy as np
import torch

from minixai.networks.registry import load_into

FOLDER = Path(__file__).parent
CAT = FOLDER.parents[1] / "minixai" / "photos" / "cat.png"
LITE0_GAIN = 0.8            # at 1, EfficientNet-Lite0's signal grows until ReLU6 cuts most of it off
LEARNED_TOKENS = ("cls_token", "reg_token", "pos_embed", "position_embeddings", "prefix", "positions")


def seeded_state(shapes, gain=1.0):
    """{name: shape} -> {name: tensor}: a state dict on which no layer is idle and no mistake hides.

    Norms get statistics, scales and shifts of their own, positions differ, and attention is far from uniform.
    """
    return {name: torch.from_numpy(_seeded(name, shape, gain)) for name, shape in shapes.items()}


def _seeded(name, shape, gain):
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    uniform = np.random.RandomState(zlib.crc32(name.encode())).random_sample(shape).astype(np.float32)
    if name.endswith("running_mean") or name.endswith("bias"):
        return 0.4 * uniform - 0.2
    if name.endswith(LEARNED_TOKENS):
        return 2 * uniform - 1
    if len(shape) == 1:                             # a norm's variance or weight, or a LayerScale
        return 0.5 + uniform
    # He et al. 2015: this spread keeps the size of the signal from layer to layer.
    return gain * math.sqrt(6 / math.prod(shape[1:])) * (2 * uniform - 1)


def seeded_image(*shape):
    """(B,3,H,W) numbers between -2 and 2, smooth enough that neighbouring pixels are alike, as in a photo."""
    B, K, H, W = shape
    coarse = np.random.RandomState(B * H * W).random_sample((B, K, H // 8 + 1, W // 8 + 1))
    rows, columns = np.arange(H) // 8, np.arange(W) // 8
    fine = np.random.RandomState(H * W).random_sample(shape)
    image = 3 * coarse[:, :, rows][:, :, :, columns] + fine - 2
    return torch.from_numpy(image.astype(np.float32))


def pick(values, count=200):
    """`count` numbers from scattered places of a tensor (all of it, if it has fewer): what is kept of a large one."""
    flat = values.detach().cpu().numpy().reshape(-1)
    if flat.size <= count:
        return flat
    return flat[np.random.RandomState(count).randint(0, flat.size, count)]


def norm_eps(model):
    """The epsilons of a network's norms: too small to show in the numbers, and often copied wrongly."""
    return sorted({module.eps for module in model.modules() if hasattr(module, "eps")})


def sha256(image):
    return hashlib.sha256(np.ascontiguousarray(image.numpy()).tobytes()).hexdigest()


def shape_table(state):
    """A state dict -> an array of 'name 64,3,7,7' texts, which is how a record says what to fill."""
    return np.array([f"{name} {','.join(map(str, value.shape))}" for name, value in state.items()])


def recorded(name):
    """The arrays of tests/reference/NAME.npz."""
    with np.load(FOLDER / f"{name}.npz", allow_pickle=False) as file:
        return dict(file)


def recorded_image(record, case=""):
    """The image that a record was made with, made again and checked."""
    image = seeded_image(*record[f"image{case}"])
    assert sha256(image) == str(record[f"image_sha256{case}"]), "the image is not the recorded one"
    return image


def filled(model, record, convert, gain=1.0):
    """Our network with the weights that a library's had in the record, brought here by `convert`, in eval mode."""
    load_into(model, convert(seeded_state(_shapes_of(record["shapes"]), gain)))
    return model.eval()


def _shapes_of(table):
    pairs = (str(line).partition(" ") for line in table)
    return {name: tuple(int(size) for size in sizes.split(",") if size) for name, _, sizes in pairs}
