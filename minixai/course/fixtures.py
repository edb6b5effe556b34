"""Recorded passes of a small network, with the expected value of each stage. `check` compares with these values.

All numbers of a fixture come from one pass, so a stage's inputs belong together. All sizes differ, so swapped axes
cannot go unnoticed. A fixture is a file of plain arrays: the inputs, the expected values, and the values that known
mistakes give. Students get these files without the code that made them (record.py).
"""
import json
from pathlib import Path

import numpy as np

from minixai.course.exercises import Exercise

FOLDER = Path(__file__).parent / "fixtures"
PUBLIC = (1, 2)             # the seeds of the two passes that students have: one image, then a batch


Fixture = tuple[dict, dict[str, np.ndarray]]        # (about, arrays)


def load(path: Path) -> Fixture:
    """(about, {name: array}) of a fixture file. No code in the file is run.

    about["tasks"][function] has "inputs" (parameter names), "remarks" (a sentence for each image of a batch) and
    "mistakes" ([name, what to reread]). The arrays are called "input/function.parameter", "expected/function" and
    "mistake/function/number".
    """
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    return json.loads(str(arrays.pop("about"))), arrays


def public(exercise: Exercise) -> list[Fixture]:
    """The two fixtures of an exercise that students have: one image, then a batch."""
    return [load(FOLDER / f"{exercise.number}_{seed}.npz") for seed in PUBLIC]
