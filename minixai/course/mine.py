"""A recipe with a student's own stages in it: `minixai explain --mine FILE`."""
from dataclasses import fields, replace

import numpy as np

from minixai.course.student import functions_in


def with_mine(recipe, paths):
    """(recipe, names): every stage that the files have a function for, by its name, runs the student's.

    paths: one file or several; of two functions of one name the later counts. An overlay of the student's draws the
    pictures. ValueError if a file cannot be run, or if they have a function for no stage of this recipe.
    """
    functions = {}
    for path in paths if isinstance(paths, (list, tuple)) else [paths]:
        functions |= functions_in(path)
    stages = {field.name: getattr(recipe, field.name).__name__ for field in fields(recipe)
              if hasattr(getattr(recipe, field.name), "__name__")}
    mine = {number: functions[name] for number, name in stages.items() if name in functions}
    if not mine:
        raise ValueError(f"no function is called as a stage of this method: {', '.join(stages.values())}")
    names = [function.__name__ for function in mine.values()]
    return replace(recipe, **mine), names + _draw_with(functions.get("overlay"))


def _draw_with(overlay):
    """Let a student's overlay, if there is one, draw every picture from here on."""
    if overlay is None:
        return []
    from minixai import figures  # late: matplotlib takes long to import
    figures.overlay = lambda rgb, heatmap, **how: overlay(np.asarray(rgb), np.asarray(heatmap), **how)
    return ["overlay"]
