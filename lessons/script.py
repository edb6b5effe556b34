"""Cut a lesson's script into cells.

`# %%` begins a cell of code, `# %% [markdown]` a cell of text, `# %% tags=["seen"]` a cell of observations. This is the
"percent" format of jupytext, which VS Code, PyCharm, Spyder and Jupyter can open.
"""
import ast
import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
FACTS = ("Article", "Minutes", "Exercise")


class Cell(NamedTuple):
    """One cell of a script."""
    kind: str       # markdown, code or seen
    text: str       # in a markdown cell without the leading #
    line: int       # number of its first line in the script, from 1


def scripts(wanted: Sequence[str] = ()) -> list[Path]:
    """The lessons' files in order. wanted: beginnings of their names, such as 02; empty for all.

    ValueError if there is no lesson of a name.
    """
    found = sorted(HERE.glob("[0-9][0-9]_*.py"))
    for name in wanted:
        if not any(path.stem.startswith(name) for path in found):
            raise ValueError(f"no lesson {name!r}; there are {', '.join(path.stem for path in found)}")
    return [path for path in found if not wanted or path.stem.startswith(tuple(wanted))]


def cells(source: str) -> list[Cell]:
    """The cells of a script's text. ValueError if a cell has an unknown mark."""
    starts = [*re.finditer(r"^# %%(.*)\n", source, re.MULTILINE)]
    ends = [start.start() for start in starts[1:]] + [len(source)]
    return [_cell(start.group(1).strip(), source[start.end():end], source[:start.end()].count("\n") + 1)
            for start, end in zip(starts, ends)]


def _cell(mark, text, line):
    if mark == "[markdown]":
        lines = text.strip("\n").splitlines()
        return Cell("markdown", "\n".join(re.sub("^# ?", "", one) for one in lines), line)
    if mark not in ("", 'tags=["seen"]'):
        raise ValueError(f"line {line - 1}: a cell is marked [markdown], tags=[\"seen\"] or nothing, got {mark!r}")
    return Cell("seen" if mark else "code", text.strip("\n"), line)


def facts(source: str) -> dict[str, str]:
    """The title and the bullets of the first cell: {"title": "02 Grad-CAM by hand, …", "Article": …, "Minutes": …,
    "Exercise": …}. ValueError if one is missing."""
    first = cells(source)[0].text
    found = {"title": first.partition("\n")[0].removeprefix("# ")}
    for name in FACTS:
        match = re.search(rf"^- {name}: (.+(?:\n  .+)*)", first, re.MULTILINE)
        if match is None:
            raise ValueError(f"the first cell needs a line '- {name}: …'")
        found[name] = " ".join(match.group(1).split())
    return found


def sha256(path: Path) -> str:
    """The sha256 of a text file, in hexadecimal digits. It does not depend on the kind of line ends."""
    return hashlib.sha256(path.read_text(encoding="utf-8").encode()).hexdigest()


def code_lines(cell: Cell) -> int:
    """The number of code lines in a cell. Empty lines, comments, imports, `show` and `quote` do not count."""
    lines, counted = cell.text.splitlines(), set()
    for statement in ast.parse(cell.text).body:
        called = getattr(getattr(statement, "value", None), "func", None)
        shows = isinstance(statement, ast.Expr) and getattr(called, "id", None) in ("show", "quote")
        if not shows and not isinstance(statement, ast.Import | ast.ImportFrom):
            counted |= set(range(statement.lineno - 1, statement.end_lineno))
    return sum(bool(lines[at].strip()) and not lines[at].strip().startswith("#") for at in counted)


def notebook(source: str) -> str:
    """A script's text as a notebook (nbformat 4), for readers without jupytext."""
    made = []
    for cell in cells(source):
        common = {"metadata": {}, "source": cell.text.splitlines(keepends=True)}
        made.append({"cell_type": "markdown", **common} if cell.kind == "markdown" else
                    {"cell_type": "code", "execution_count": None, "outputs": [], **common})
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    return json.dumps({"cells": made, "metadata": kernel, "nbformat": 4, "nbformat_minor": 4}, indent=1)
