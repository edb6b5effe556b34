"""Every method against every library that has it, run now: same network, image, layer and class, how different a map?

Run it where the libraries are installed (requirements.txt in this folder):

    python -m tests.reference.live                  # two tables; exits 1 if a cell is above 1e-5
    python -m tests.reference.live --markdown       # the tables as tests/README.md has them
    python -m tests.reference.live --networks       # also the networks themselves (live_networks, live_foreign)

A cell is the largest difference of any case: of |ours - theirs| over the largest |theirs| of an image, where ours is
computed with that library's profile (minixai.verification.profiles). "–": the library does not have the method.
Repositories that cannot be installed stand in the table with their formulas, restated in restated.py; they are named
below it.
"""
import argparse
import sys
import time
from collections import defaultdict
from importlib import import_module
from importlib.util import find_spec

import numpy as np
import torch

from minixai.attention import ATTENTIONS
from minixai.cams import CAMS
from tests.reference import restated
from tests.reference.cases import cases_of, difference, libraries, ours, theirs
from tests.reference.near import DOUBLE
from tests.reference.record_cases import versions

NETWORKS = ("tests.reference.live_networks", "tests.reference.live_foreign")


def main():
    parser = argparse.ArgumentParser(description="Compare every method with the installed libraries.")
    parser.add_argument("--markdown", action="store_true", help="print the table as markdown")
    parser.add_argument("--networks", action="store_true", help="also compare the networks themselves")
    parser.add_argument("--each", action="store_true", help="print each case as it is compared")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    start, results = time.perf_counter(), compare(arguments.each)
    names = sorted({case.profile.library for case, _ in results}, key=str.lower)
    for methods in (CAMS, ATTENTIONS):
        lines = table(results, methods)
        print("\n".join([*(as_markdown(lines) if arguments.markdown else aligned(lines)), ""]))
    print(f"after their formulas, not installed: {', '.join(restated.REPOSITORIES)}")
    print(f"{len(results)} cases in {time.perf_counter() - start:.0f} s; {', '.join(versions())}")
    for name in names:
        print(f"{name}: {', '.join(ways(results, name))}")
    failed = [f"{case.profile.library} {case.name}: {value:.1e}" for case, value in results if not value <= DOUBLE]
    print("\n".join(["", "above the limit:", *failed]) if failed else f"all within {DOUBLE:.0e}")
    return int(bool(failed)) | (networks() if arguments.networks else 0)


def compare(aloud=False):
    """[(case, largest difference)] of all libraries; NaN where one of the two raised."""
    results = []
    for case in (case for library in libraries() for case in cases_of(library)):
        try:
            value = float(difference(ours(case), theirs(case)))
        except Exception as error:              # one that fails must not hide the others
            print(f"{case.profile.library} {case.name}: {type(error).__name__}: {error}", file=sys.stderr)
            value = np.nan
        results.append((case, value))
        if aloud:
            print(f"{value:.1e}  {case.profile.name}: {case.name}", flush=True)
    return results


def table(results, methods):
    """Rows of cells: a line of titles, then for each method the worst difference in each library that has any."""
    values = defaultdict(list)
    for case, value in results:
        values[case.profile.method, case.profile.library].append(value)
    names = sorted({library for method, library in values if method in methods}, key=str.lower)
    cells = [[method, *(cell(values.get((method, name))) for name in names)] for method in methods]
    return [["method", *names], *cells]


def cell(values):
    return "–" if values is None else f"{np.max(values):.0e}"       # unlike max(), a NaN stays one


def ways(results, name):
    """The ways in which a library gives a map, each with its number of cases."""
    counts = defaultdict(int)
    for case, _ in results:
        if case.profile.library == name:
            counts[case.profile.variant or "as it comes"] += 1
    return [f"{way} ({count})" for way, count in counts.items()]


def aligned(lines):
    widths = [max(map(len, column)) for column in zip(*lines)]
    return ["  ".join(text.ljust(width) for text, width in zip(line, widths)).rstrip() for line in lines]


def as_markdown(lines):
    rows = [f"| {' | '.join(line)} |" for line in lines]
    return [rows[0], "|---" * len(lines[0]) + "|", *rows[1:]]


def networks():
    """Run the live comparisons of the networks; 1 if any of them fails."""
    code = 0
    for name in NETWORKS:
        if find_spec(name):
            print(f"\n{name}", flush=True)
            code |= import_module(name).main() or 0
    return code


if __name__ == "__main__":
    sys.exit(main())
