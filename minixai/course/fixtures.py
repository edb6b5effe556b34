"""Recorded passes, and what each stage gives on them: what a student's stage is compared with.

Every number comes from one real pass of a small network, so a stage's inputs belong together, and all sizes differ, so
that swapped axes cannot pass. A fixture is plain arrays: it can be handed out without the code that made it
(record.py), and holds the inputs, what is expected, and what known mistakes give instead.
"""
import json
from pathlib import Path

import numpy as np

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
