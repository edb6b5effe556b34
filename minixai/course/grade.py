"""Many submissions, each function in a process of its own, with limits and with passes that no student has seen.

    submissions/*.py ─► runner.py, a process each ─► values ─► compared here ─► results.py: JSON, JUnit XML, a table

A crash, an endless loop, a flood of output, too much memory, a fork or sys.exit costs the function, or at most the
submission, and nothing else. What this does not do: it is no jail. A submission runs as the user who grades. It can
read, change and delete that user's files (this library's source and the grades among them), end that user's processes,
use the network, take the block on `import minixai` away, and if root grades, fork without limit. The memory limit
counts each process alone. Grade strangers' code in a container without a network, or on an account that owns nothing.
"""
import json
import os
import select
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from minixai.course import results
from minixai.course.check import FAILED, PASSED, Outcome, judge_value
from minixai.course.record import fixture

PASSES = 4                  # hidden ones, one image and a batch by turns
SHOWN = 1000                # characters of what a function printed
LARGEST_FILE = 2**20        # bytes of a submission
LARGEST_RESULT = 2**26      # bytes of what may come back from one function
RUNNER = Path(__file__).with_name("runner.py")
NOT_STUDENTS = ("__MACOSX", "__pycache__")


@dataclass(frozen=True)
class Limits:
    """Of one function, but for the last. The largest expected answer takes thousandths of a second."""
    seconds: int = 5                # of processor time
    wall_seconds: float = 10
    memory: int = 2 * 2**30         # bytes
    file_size: int = 2**24          # bytes of any one file, printed output included
    all_seconds: float = 30         # of a whole submission; what is left then is not run


def grade(exercise, folder, seed, out, say=print, limits=None):
    """Grade every .py file of a folder. Writes OUT/NAME/results.json and junit.xml, OUT/grades.csv and OUT/answers.md.

    seed: chooses the hidden passes; the same seed gives the same files. Returns {name: {function: Outcome}}.
    ValueError if the folder holds no submissions.
    """
    submissions = named(Path(folder))
    passes = [_parsed(fixture(exercise, number)) for number in hidden_seeds(seed)] if exercise.tasks else []
    graded, printed = {}, {}
    with tempfile.TemporaryDirectory() as work, Runner() as runner:
        write_inputs(exercise, passes, Path(work) / "inputs.npz")
        for number, (name, path) in enumerate(submissions.items(), start=1):
            started = time.monotonic()
            graded[name], printed[name] = grade_one(exercise, path, passes, runner, Path(work), limits or Limits())
            say(f"{number}/{len(submissions)} {name}: {results.points_of(exercise, graded[name])} of "
                f"{exercise.points} points, {time.monotonic() - started:.1f} s")
    results.write(exercise, graded, printed, submissions, Path(out))      # last: no submission runs any more
    return graded


def named(folder):
    """{name: path} of the submissions in a folder: a file each, or in folders of their own. ValueError if none."""
    found = {}
    for path in sorted(folder.glob("**/*.py")):
        parts = path.relative_to(folder).parts
        if any(part.startswith(".") or part in NOT_STUDENTS for part in parts):
            continue
        name = plain = os.fsencode("_".join(parts)[:-3]).decode("utf-8", "replace")
        number = 1
        while name in found:                # a/b.py and a_b.py
            number += 1
            name = f"{plain}-{number}"
        found[name] = path
    if not found:
        raise ValueError(f"{folder}: no .py files in this folder" if folder.is_dir() else f"{folder} is no folder")
    return found


def hidden_seeds(seed):
    """The seeds of the hidden passes; none of them is a public one."""
    first = 1001 + 2 * (int(seed) % 10**6) * PASSES
    return range(first, first + PASSES)


def grade_one(exercise, path, passes, runner, work, limits):
    """One submission: ({function: Outcome}, what it printed)."""
    outcomes = {task.name: Outcome(task.name, PASSED) for task in exercise.tasks}
    problem = unusable(path)
    until, output = time.monotonic() + limits.all_seconds, ""
    for name, outcome in outcomes.items():
        if not problem and time.monotonic() > until:
            problem = f"not run: the functions before it took {limits.all_seconds:.0f} s"
        if problem:
            outcome.status, outcome.message = FAILED, problem
            continue
        result, ending, said, loaded = run_function(name, path, passes, runner, work, limits)
        output += said
        if not loaded:
            problem = f"the file stops when it is loaded: {result.get('problem') or ending}"
        judge(outcome, passes, result, problem or ending)
    return outcomes, output


def unusable(path):
    """'' or why a file is not even run."""
    kind = path.lstat()
    if not stat.S_ISREG(kind.st_mode):
        return "this is a link, not a file"
    return f"a file of {kind.st_size} bytes, {LARGEST_FILE} at most" if kind.st_size > LARGEST_FILE else ""


def run_function(name, path, passes, runner, work, limits):
    """(what the runner wrote, how the process ended, what it printed, whether the file ran through): one function."""
    with tempfile.TemporaryDirectory(dir=work, ignore_cleanup_errors=True) as folder:
        folder = Path(folder)
        shutil.copyfile(path, folder / "submission.py")         # whatever is done to it, the original stays
        ending = runner.ask({
            "submission": str(folder / "submission.py"), "function": name, "folder": str(folder),
            "inputs": str(work / "inputs.npz"), "printed": str(folder / "printed"), "result": str(folder / "result"),
            "parameters": [about["tasks"][name]["inputs"] for about, _ in passes],
            "of_numpy": bool(passes[0][1][f"expected/{name}"].dtype == np.uint8), **asdict(limits)})
        loaded = (folder / "result.loaded").exists() or not folder.exists()
        return read_result(folder / "result"), ending, _printed(folder / "printed"), loaded


class Runner:
    """The process that forks a child for every function. One serves all submissions, as long as it lives."""

    def __enter__(self):
        self.process = None
        return self

    def __exit__(self, *_):
        self._stop()

    def ask(self, request):
        """Run one request; how it ended, or "" if it came to its end."""
        if self.process is None:
            self.process = subprocess.Popen(
                [sys.executable, "-I", str(RUNNER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                env={"PATH": os.environ.get("PATH", ""), "OMP_NUM_THREADS": "1"}, start_new_session=True)
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            patience = request["wall_seconds"] + 60         # the first request waits for the import of torch
            if select.select([self.process.stdout], [], [], patience)[0]:
                return str(json.loads(self.process.stdout.readline())["ending"])
        except (OSError, ValueError, KeyError, TypeError):
            pass
        self._stop()
        return "it ended the process that ran it"

    def _stop(self):
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None


def write_inputs(exercise, passes, path):
    """What students' processes are given: inputs, and nothing of what is expected."""
    arrays = {f"{number}/{key.partition('/')[2]}": value for number, (_, values) in enumerate(passes)
              for key, value in values.items() if key.startswith("input/")}
    np.savez(path, **arrays)


def read_result(path):
    """What a child wrote: a dict with "passes", to each of which its value is added; {} if nothing can be read.

    A submission may have written anything there.
    """
    try:
        if not stat.S_ISREG(path.lstat().st_mode) or path.stat().st_size > LARGEST_RESULT:
            return {}
        head, _, data = path.read_bytes().partition(b"\n")
        result = json.loads(head)
        for said in result.get("passes", []):
            if said["bytes"]:
                numbers = np.frombuffer(data[:said["bytes"]], np.dtype(said["dtype"])).reshape(said["shape"]).copy()
                said["value"] = torch.from_numpy(numbers) if said["tensor"] else numbers
                data = data[said["bytes"]:]
        return result
    except Exception:
        return {}


def judge(outcome, passes, result, problem):
    """Compare what one function gave with what is expected, pass by pass, until one is wrong."""
    given = result.get("passes") or []
    for number, (about, arrays) in enumerate(passes):
        said = given[number] if number < len(given) else {}
        wrong = problem or result.get("problem") or said.get("problem")
        if not wrong and "value" not in said:
            wrong = "it gave nothing: its process ended early, or what it left cannot be read"
        judge_value(outcome, said.get("value"), wrong and str(wrong)[:300], said.get("changed"), about, arrays, number)
        if outcome.status == FAILED:
            return


def _printed(path):
    try:
        with open(path, "rb") as file:
            return file.read(SHOWN).decode(errors="replace") if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else ""
    except OSError:
        return ""


def _parsed(arrays):
    return json.loads(str(arrays.pop("about"))), arrays
