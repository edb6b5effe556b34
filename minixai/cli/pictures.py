"""The files that a command saves: their names, the whole of each or nothing, and the pictures of several heads."""
import os
from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from minixai.explain import Explanation
from minixai.figures import side_by_side
from minixai.files import one_line


def save(path: Path, write: Callable, *values, **options) -> Path:
    """Call write(file, *values, **options) with an open file. Only a whole file ever has the name `path`.

    Makes the folder if needed. OSError, in one line with the file's name, if it cannot be written.
    """
    unfinished = path.with_suffix(f".{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(unfinished, "wb") as file:
                write(file, *values, **options)
            os.replace(unfinished, path)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise one_line(path, error) from None
    return path


def fitting(stem: str) -> str:
    """As much of a file's name as leaves room, in the 255 bytes of a name, for what is written behind it."""
    while len(os.fsencode(stem)) > 150:
        stem = stem[:-1]
    return stem


def every_head(result: Explanation, index: int = 0) -> Figure:
    """One image of a ViT's Explanation: the same method for each head of the block, side by side."""
    heads = [head.heatmap[index] for head in result.heads()]
    names = [f"head {number}" for number in range(len(heads))]
    return side_by_side(result.rgb()[index], heads, names, f"{result.method} at block {result.layer}, every head")
