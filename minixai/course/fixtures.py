"""Recorded passes, and what each stage gives on them: what a student's stage is compared with.

Every number comes from one real pass of a small network, so a stage's inputs belong together, and all sizes differ, so
that swapped axes cannot pass. A fixture is plain arrays: it can be handed out without the code that made it
(record.py), and holds the inputs, what is expected, and what known mistakes give instead.
"""
import json
from pathlib import Path

import numpy as np
import torch

FOLDER = Path(__file__).parent / "fixtures"
PUBLIC = (1, 2)             # the seeds of the two passes that students see: one image, then a batch of two


def load(path):
    """(about, {name: array}) of a fixture file; nothing in it is run."""
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    return json.loads(str(arrays.pop("about"))), arrays


def public(exercise):
    """The fixtures that everybody has, simplest first."""
    return [load(FOLDER / f"{exercise.number}_{seed}.npz") for seed in PUBLIC]


def arguments(about, arrays, name):
    """The arguments of one function: {parameter: tensor or plain value}, each a copy that may be written to.

    A function that gives a picture, 8 bits, is one of numpy and gets arrays.
    """
    of_numpy = arrays[f"expected/{name}"].dtype == np.uint8
    return {parameter: _argument(arrays[f"input/{name}.{parameter}"], of_numpy)
            for parameter in about["tasks"][name]["inputs"]}


def _argument(array, of_numpy):
    if array.ndim == 0 or array.dtype.kind == "i" and array.ndim == 1:     # a layer, a share; a grid, a size
        return tuple(array.tolist()) if array.ndim else array.item()
    return array.copy() if of_numpy else torch.from_numpy(array.copy())
