"""A student's file: its bytes, and for their own use on their own machine the functions in it."""
import stat
from pathlib import Path

from minixai.course import runner

LARGEST_FILE = 2**20        # bytes


def source_of(path):
    """The bytes of a file. OSError or ValueError in one line if it is no file, or too large; a pipe is not opened."""
    path = Path(path)
    try:
        seen = path.stat()
    except FileNotFoundError:
        raise FileNotFoundError(f"no file {path}; `minixai start` writes one") from None
    if not stat.S_ISREG(seen.st_mode):
        raise ValueError(f"{path} is a folder, not a file" if path.is_dir() else f"{path} is no regular file")
    if seen.st_size > LARGEST_FILE:
        raise ValueError(f"{path}: a file of {seen.st_size} bytes, {LARGEST_FILE} at most")
    return path.read_bytes()


def functions_in(path):
    """Run a student's file in this process: {name: function}. ValueError or OSError in one line if that fails."""
    names = {"__name__": "exercise", "__file__": str(path)}
    source = source_of(path)
    try:
        exec(compile(source, str(path), "exec", dont_inherit=True), names)
    except (SyntaxError, UnicodeError) as problem:
        raise ValueError(f"{path} cannot be read as Python: {runner.syntax(problem)}") from None
    except (Exception, SystemExit) as problem:
        said = runner.raised(problem, str(path))
        raise ValueError(f"{path} stops when it is loaded (line {said['line']}): "
                         f"{said['type']}: {said['text']}") from None
    return {name: value for name, value in names.items() if callable(value)}
