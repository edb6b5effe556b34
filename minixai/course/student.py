"""Read a student's file, or run it in this process, which is for the student's own machine only."""
from collections.abc import Callable
from pathlib import Path

from minixai.course import runner
from minixai.files import opened, shown

LARGEST_FILE = 2**20        # bytes


def source_of(path: str | Path) -> bytes:
    """The bytes of a file. OSError if it is no regular file, ValueError if it is too large; both in one line."""
    try:
        with opened(path) as file:
            source = file.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        raise FileNotFoundError(f"no file {shown(path)}; `minixai start` writes one") from None
    if len(source) > LARGEST_FILE:
        raise ValueError(f"{shown(path)}: more than {LARGEST_FILE} bytes, which is too large for an exercise")
    return source


def functions_in(path: str | Path) -> dict[str, Callable]:
    """Run a student's file in this process: {name: function}. ValueError or OSError, in one line, if that fails."""
    names = {"__name__": "exercise", "__file__": str(path)}
    source = source_of(path)
    try:
        exec(compile(source, str(path), "exec", dont_inherit=True), names)
    except (SyntaxError, UnicodeError) as problem:
        raise ValueError(f"{shown(path)} cannot be read as Python: {runner.syntax(problem)}") from None
    except (Exception, SystemExit) as problem:
        said = runner.raised(problem, str(path))
        raise ValueError(f"{shown(path)} stops when it is loaded (line {said['line']}): "
                         f"{said['type']}: {said['text']}") from None
    return {name: value for name, value in names.items() if callable(value)}
