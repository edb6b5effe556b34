"""A lesson's script, cut into cells. `# %%` begins code, `# %% [markdown]` text, `# %% tags=["seen"]` what was seen.

The format is jupytext's "percent", which VS Code, PyCharm, Spyder and Jupyter open as it is.
"""
import ast
import hashlib
import json
import re
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
FACTS = ("Article", "Minutes", "Exercise")


class Cell(NamedTuple):
    kind: str       # markdown, code or seen
    text: str       # of a markdown cell without the leading #
    line: int       # of the script, where the text begins, from 1


def scripts(wanted=()):
    """The lessons' files in order; wanted: beginnings of their names, such as 02, or none for all."""
    found = sorted(HERE.glob("[0-9][0-9]_*.py"))
    for name in wanted:
        if not any(path.stem.startswith(name) for path in found):
            raise ValueError(f"no lesson {name!r}; there are {', '.join(path.stem for path in found)}")
    return [path for path in found if not wanted or path.stem.startswith(tuple(wanted))]


def cells(source):
    """The text of a script -> [Cell]."""
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


def facts(source):
    """The bullets of the first cell: {"title": "02 Grad-CAM by hand, …", "Article": …, "Minutes": …, "Exercise": …}."""
    first = cells(source)[0].text
    found = {"title": first.partition("\n")[0].removeprefix("# ")}
    for name in FACTS:
        match = re.search(rf"^- {name}: (.+(?:\n  .+)*)", first, re.MULTILINE)
        if match is None:
            raise ValueError(f"the first cell needs a line '- {name}: …'")
        found[name] = " ".join(match.group(1).split())
    return found


def sha256(path):
    return hashlib.sha256(path.read_text(encoding="utf-8").encode()).hexdigest()


def code_lines(cell):
    """How many lines of a cell are code: neither empty, nor a comment, an import, or a call of `show` or `quote`."""
    lines, counted = cell.text.splitlines(), set()
    for statement in ast.parse(cell.text).body:
        called = getattr(getattr(statement, "value", None), "func", None)
        shows = isinstance(statement, ast.Expr) and getattr(called, "id", None) in ("show", "quote")
        if not shows and not isinstance(statement, ast.Import | ast.ImportFrom):
            counted |= set(range(statement.lineno - 1, statement.end_lineno))
    return sum(bool(lines[at].strip()) and not lines[at].strip().startswith("#") for at in counted)


def notebook(source):
    """The script as a notebook (nbformat 4), for who has no jupytext: a str."""
    made = []
    for cell in cells(source):
        common = {"metadata": {}, "source": cell.text.splitlines(keepends=True)}
        made.append({"cell_type": "markdown", **common} if cell.kind == "markdown" else
                    {"cell_type": "code", "execution_count": None, "outputs": [], **common})
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    return json.dumps({"cells": made, "metadata": kernel, "nbformat": 4, "nbformat_minor": 4}, indent=1)
