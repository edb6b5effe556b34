"""A recipe that runs a student's own stages, for `minixai explain --mine FILE`."""
from dataclasses import fields, replace
from pathlib import Path

import numpy as np

from minixai.attention import Attn
from minixai.course.student import functions_in
from minixai.gradcam import Cam


def with_mine(recipe: Cam | Attn, paths: str | Path | list) -> tuple[Cam | Attn, list[str]]:
    """(the recipe with the student's stages, the names of these stages).

    A stage is replaced if a file defines a function of the stage's name. paths: one file or several; of two functions
    with one name the later one counts. If the files define `overlay`, it draws all pictures from then on.
    ValueError if a file cannot be run, or if no function in the files has the name of a stage.
    """
    functions = {}
    for path in paths if isinstance(paths, (list, tuple)) else [paths]:
        functions |= functions_in(path)
    stages = {field.name: getattr(recipe, field.name).__name__ for field in fields(recipe)
              if hasattr(getattr(recipe, field.name), "__name__")}
    mine = {stage: functions[name] for stage, name in stages.items() if name in functions}
    if not mine:
        raise ValueError(f"no function has the name of a stage of this method: {', '.join(stages.values())}")
    names = [function.__name__ for function in mine.values()]
    return replace(recipe, **mine), names + _draw_with(functions.get("overlay"))


def _draw_with(overlay):
    """Draw all pictures with the student's overlay from now on, if there is one."""
    if overlay is None:
        return []
    from minixai import figures  # late: matplotlib takes long to import
    figures.overlay = lambda rgb, heatmap, **how: overlay(np.asarray(rgb), np.asarray(heatmap), **how)
    return ["overlay"]
