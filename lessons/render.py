"""Run the lessons and write their pages:    python -m lessons.render [02 03 …] [--check]

    lessons/NN_name.py  ─►  lessons/pages/NN_name.md and its pictures, NN_name_*.png or .jpg
    all the pages       ─►  the map and the ledger in lessons/README.md, and lessons/pages/index.html

--check writes nothing. It runs the lessons and compares their output with the pages. Text has to be the same. A number
may differ by a thousandth of itself or by one in its last digit, because processors and releases of torch round
differently. Numbers that are rounding errors, such as 3e-07 and 8e-07, count as equal. Whole numbers have to be equal.
Pictures may differ a little.

The lessons run with one thread and fixed seeds, so on one machine the same script gives the same bytes.
"""
import argparse
import io
import re
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from minixai.networks.registry import weights_path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))       # lessons say `from tools import show`, as they do when run as scripts
import page  # noqa: E402
import script  # noqa: E402
import tools  # noqa: E402

PAGES = HERE / "pages"
SLOW = 30                           # seconds of processor time that a lesson may take
FETCHED = re.compile(r'weights_path\("(\w+)"\)')       # in lessons that use a network only if it has been fetched


class Said(io.TextIOBase):
    """A stdout that adds what a cell prints to its list of events."""

    def __init__(self, events):
        self.events = events

    def write(self, text: str) -> int:
        """Add text to the last event, or as a new event after a picture or the like."""
        if self.events and self.events[-1][0] == "print":
            self.events[-1] = ("print", self.events[-1][1] + text)
        else:
            self.events.append(("print", text))
        return len(text)


def run(path: Path) -> list[tuple[script.Cell, list[tuple]]]:
    """Run a lesson: [(cell, [(kind, value)])]. kind is print, picture, quote, seen, read or claim."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    np.random.seed(0)
    names = {"__name__": "__main__", "__file__": str(path)}
    return [(cell, _run_cell(cell, path, names)) for cell in script.cells(path.read_text(encoding="utf-8"))]


def _run_cell(cell, path, names):
    events = []
    if cell.kind == "markdown":
        return events
    tools.listener = lambda kind, value: events.append((kind, value))
    try:
        # Empty lines in front make errors name the right line of the script.
        with redirect_stdout(Said(events)):
            exec(compile("\n" * (cell.line - 1) + cell.text, str(path), "exec"), names)
    finally:
        tools.listener = None
    return events


def render(path: Path) -> tuple[str, dict[str, bytes]]:
    """Run a lesson: (text of its page, {file name: bytes of a picture})."""
    ran = run(path)
    pictures, files = {}, {}
    for name, _, image in [value for _, events in ran for kind, value in events if kind == "picture"]:
        if name in pictures:
            raise ValueError(f"{path.name} shows two pictures named {name!r}")
        data, suffix = tools.encode(image)
        pictures[name] = f"{path.stem[:2]}_{name}{suffix}"
        files[pictures[name]] = data
    return page.markdown(path, ran, pictures), files


def write(path: Path, pages: Path = PAGES) -> str:
    """Render a lesson into the folder `pages`, and remove pictures that it no longer shows. Returns a summary."""
    text, files = render(path)
    pages.mkdir(parents=True, exist_ok=True)
    for old in pages.glob(f"{path.stem[:2]}_*.*"):
        if old.suffix in (".png", ".jpg") and old.name not in files:
            old.unlink()
    for name, data in files.items():
        (pages / name).write_bytes(data)
    (pages / f"{path.stem}.md").write_text(text, encoding="utf-8")
    return f"{len(files)} pictures, {sum(map(len, files.values())) // 1000} kB"


def check(path: Path, pages: Path = PAGES) -> list[str]:
    """Render a lesson and compare it with its page: a list of the differences."""
    stored = pages / f"{path.stem}.md"
    if not stored.exists():
        return [f"{stored.name} is missing"]
    text, files = render(path)
    found = differences(stored.read_text(encoding="utf-8"), text)
    return found + [line for name, data in files.items() for line in _picture_differs(pages / name, data)]


ROUNDING = 1e-5                     # smaller numbers, such as 3e-07, are rounding errors
NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[+-]?\d+)?")


def differences(stored: str, fresh: str) -> list[str]:
    """The lines of two pages that differ by more than rounding."""
    # Whether a picture is a PNG or a JPEG depends on its size in bytes.
    stored, fresh = (re.sub(r"\.(png|jpg)\)", ".picture)", text).splitlines() for text in (stored, fresh))
    found = [f"page: {old}\n      now:  {new}" for old, new in zip(stored, fresh) if not _same(old, new)]
    if len(stored) != len(fresh):
        found.append(f"the page has {len(stored)} lines, now there are {len(fresh)}")
    return found


def _same(old, new):
    numbers = [NUMBER.findall(line) for line in (old, new)]
    percent = [bool(re.match(r" ?%", old[match.end():])) for match in NUMBER.finditer(old)]
    return (NUMBER.sub("#", old) == NUMBER.sub("#", new)
            and all(_near(a, b, rounded) for a, b, rounded in zip(*numbers, percent)))


def _near(a, b, rounded):
    """Compare two printed numbers. Whole numbers are counts and have to be equal, unless they are percentages."""
    if "e" in a + b and max(abs(float(a)), abs(float(b))) < ROUNDING:
        return True
    mantissa, _, exponent = a.partition("e")
    decimals = len(mantissa.partition(".")[2])
    if not (decimals or exponent or rounded):
        return a == b
    last_digit = 10.0 ** (int(exponent or 0) - decimals)
    return abs(float(a) - float(b)) <= max(1.001 * last_digit, 1e-3 * abs(float(a)))


def _picture_differs(path, data):
    same_name = [path.with_suffix(suffix) for suffix in (".png", ".jpg") if path.with_suffix(suffix).exists()]
    if not same_name:
        return [f"picture {path.name} is missing"]
    old, new = Image.open(same_name[0]).convert("RGB"), Image.open(io.BytesIO(data)).convert("RGB")
    if max(abs(a - b) for a, b in zip(old.size, new.size)) > 2:         # a wider number can move the layout by a pixel
        return [f"picture {path.name} is {old.size}, now {new.size}"]
    thumbs = [np.asarray(one.resize((24, 24), Image.Resampling.BOX), float) for one in (old, new)]
    off = np.abs(thumbs[0] - thumbs[1]).max()
    return [f"picture {path.name} looks different: a part of it by {off:.0f} of 255"] if off > 12 else []


def main(argv: list[str] | None = None) -> int:
    """The command line. Returns the exit code: 1 if a lesson failed."""
    parser = argparse.ArgumentParser(prog="python -m lessons.render", description="Run lessons and write their pages.")
    parser.add_argument("lessons", nargs="*", help="numbers or names, such as 02; none: all")
    parser.add_argument("--check", action="store_true", help="compare with the pages instead of writing them")
    parser.add_argument("--out", type=Path, default=PAGES, help="folder for the pages (default: lessons/pages)")
    parser.add_argument("--notebooks", action="store_true", help="only write NN_name.ipynb beside each script")
    options = parser.parse_args(argv)
    paths = script.scripts(options.lessons)
    if options.notebooks:
        for path in paths:
            path.with_suffix(".ipynb").write_text(script.notebook(path.read_text(encoding="utf-8")), encoding="utf-8")
        return 0
    failed = [path for path in paths if not _one(path, options)]
    if not options.check:
        page.write_readme(options.out)
        page.write_index(options.out)
    return 1 if failed else 0


def missing_network(path: Path) -> str | None:
    """A network that a lesson's page shows and that has not been fetched on this machine, or None."""
    names = FETCHED.findall(path.read_text(encoding="utf-8"))
    return next((name for name in names if not weights_path(name).exists()), None)


def _one(path, options):
    if missing := missing_network(path):
        print(f"{path.stem:24s} left out: its page needs {missing}, which has not been fetched here "
              f"(python -m weights_scripts.{missing})", flush=True)
        return True
    start = time.process_time()     # processor time does not depend on other programs
    try:
        found = check(path, options.out) if options.check else []
        done = "as on its page" if options.check else write(path, options.out)
    except Exception as error:
        found = [f"{type(error).__name__}: {error} ({_line_of(error, path)})"]
    seconds = time.process_time() - start
    late = f"   slower than {SLOW} s" if seconds > SLOW else ""
    print(f"{path.stem:24s}{seconds:6.1f} s   {'FAILED' if found else done}{late}", flush=True)
    for line in found:
        print(f"    - {line}")
    return not found


def _line_of(error, path):
    """The line of the lesson in which an error was raised."""
    trace, line = error.__traceback__, None
    while trace:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return f"{path.name}, line {line}" if line else path.name


if __name__ == "__main__":
    sys.exit(main())
