"""Many submissions, each in a process of its own, with limits and with passes that no student has seen.

    submissions/*.py ─► runner.py, one process each ─► values ─► compared here ─► results.json, JUnit XML, one CSV table

A crash, an endless loop, a flood of output, too much memory or sys.exit costs the function, or at most the submission,
and nothing else. What it does not do: it is no jail. A submission runs as the user who grades, so it can read that
user's files, this library's source among them, use the network, and start processes that outlive it as root. Grade
strangers' code in a container or on an account that owns nothing.
"""
import csv
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import torch

from minixai.course.check import FAILED, PASSED, Outcome, compare, name_the_mistake
from minixai.course.record import fixture

WALL_SECONDS = 40           # for one process: the import of torch takes some of it
PASSES = 4                  # hidden ones, two of one image and two of a batch
SHOWN = 2000                # characters of what a submission printed
RUNNER = Path(__file__).with_name("runner.py")
LOADED = "loaded"           # the runner's mark that the file itself ran through


def grade(exercise, folder, seed, out, say=print):
    """Grade every .py file of a folder. Writes OUT/NAME/results.json, OUT/NAME/junit.xml and OUT/grades.csv.

    seed: chooses the hidden passes; the same seed gives the same grades. Returns {name: {function: Outcome}}.
    ValueError if the folder holds no submissions.
    """
    submissions = sorted(path for path in Path(folder).glob("**/*.py") if path.is_file())
    if not submissions:
        raise ValueError(f"{folder}: no .py files in this folder")
    passes = [_parsed(fixture(exercise, number)) for number in hidden_seeds(seed)]
    graded = {}
    for number, path in enumerate(submissions, start=1):
        name = _name(path, Path(folder))
        started = time.monotonic()
        graded[name], printed = grade_one(exercise, path, passes)
        points = points_of(exercise, graded[name])
        say(f"{number}/{len(submissions)} {name}: {points} of {exercise.points} points, "
            f"{time.monotonic() - started:.0f} s")
        write_results(exercise, graded[name], printed, Path(out) / name)
    write_table(exercise, graded, Path(out) / "grades.csv")
    return graded


def hidden_seeds(seed):
    """The seeds of the hidden passes, one image and a batch by turns; none of them is a public one."""
    first = 1001 + 2 * (int(seed) % 10**6) * PASSES
    return range(first, first + PASSES)


def grade_one(exercise, path, passes):
    """One submission: ({function: Outcome}, what it printed)."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        results = folder / "results"
        results.mkdir()
        write_inputs(exercise, passes, folder / "inputs.npz")
        left, endings, printed = [task.name for task in exercise.tasks], {}, ""
        while left:             # a process that dies costs the function it was in; the others get another process
            (results / LOADED).unlink(missing_ok=True)
            ending, output = run_process(path, folder / "inputs.npz", results, left)
            printed += output
            left = [name for name in left if not (results / f"{name}.{len(passes) - 1}.npz").exists()]
            if not (results / LOADED).exists():
                last = output.strip().splitlines()[-1:] or [ending]
                endings.update(dict.fromkeys(left, f"the file stops when it is loaded: {last[0][:200]}"))
                break
            if left:
                endings[left.pop(0)] = ending
        return {task.name: judge(task, passes, results, endings.get(task.name)) for task in exercise.tasks}, printed


def run_process(path, inputs, results, names):
    """(how the process ended, what it printed). Its whole group is ended with it."""
    with open(results.parent / "printed", "w+b") as printed:
        process = subprocess.Popen([sys.executable, "-I", str(RUNNER), str(path.resolve()), str(inputs), str(results),
                                    *names], stdout=printed, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                   cwd=results.parent, start_new_session=True,
                                   env={"PATH": os.environ.get("PATH", ""), "OMP_NUM_THREADS": "1"})
        try:
            code = process.wait(timeout=WALL_SECONDS)
            ending = _ending(code)
        except subprocess.TimeoutExpired:
            ending = f"it was stopped after {WALL_SECONDS} s"
        finally:
            _end_group(process)
        printed.seek(0)
        output = printed.read(SHOWN).decode(errors="replace")
    return ending, output


def _end_group(process):
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def _ending(code):
    if code == -signal.SIGXCPU or code == -signal.SIGKILL:
        return "it was stopped: too much processor time or memory"
    if code == -signal.SIGXFSZ:
        return "it was stopped: it printed or wrote too much"
    return f"its process ended ({signal.Signals(-code).name if code < 0 else f'exit code {code}'})"


def write_inputs(exercise, passes, path):
    """What a student's process is given: inputs only, in an order that says nothing of what is expected."""
    arrays, plan = {}, []
    for task in exercise.tasks:
        for number, (about, values) in enumerate(passes):
            of_numpy = values[f"expected/{task.name}"].dtype == np.uint8
            parameters = about["tasks"][task.name]["inputs"]
            plan.append([task.name, number, dict.fromkeys(parameters, bool(of_numpy))])
            arrays |= {f"{number}/{parameter}": values[f"input/{parameter}"] for parameter in parameters}
    np.savez(path, plan=np.array(json.dumps(plan)), **arrays)


def judge(task, passes, results, ending):
    """Compare what one function gave with what is expected, pass by pass: an Outcome."""
    outcome = Outcome(task.name, PASSED)
    for number, (about, arrays) in enumerate(passes):
        value, problem = read_result(results / f"{task.name}.{number}.npz", ending)
        problem = problem or compare(outcome, value, arrays[f"expected/{task.name}"])
        if problem:
            outcome.status, outcome.message = FAILED, problem
            name_the_mistake(outcome, about, arrays)
            return outcome
    return outcome


def read_result(path, ending):
    """(value, "") or (None, why there is none)."""
    if not path.exists():
        return None, ending or "it gave nothing"
    try:
        with np.load(path, allow_pickle=False) as file:
            result = dict(file)
        if "error" in result:
            return None, str(result["error"])[:300]
        return (torch.from_numpy(result["value"]) if bool(result["tensor"]) else result["value"]), ""
    except Exception:           # a submission may have written anything there
        return None, "its result cannot be read"


def points_of(exercise, outcomes):
    """The points of the functions that passed."""
    return sum(task.points for task in exercise.tasks if outcomes[task.name].status == PASSED)


def write_results(exercise, outcomes, printed, folder):
    """results.json as Gradescope reads it, and the same as JUnit XML."""
    folder.mkdir(parents=True, exist_ok=True)
    tests = [{"name": task.name, "max_score": task.points,
              "score": task.points if outcomes[task.name].status == PASSED else 0,
              "status": outcomes[task.name].status, "output": said_of(outcomes[task.name]),
              "visibility": "after_published"} for task in exercise.tasks]
    text = {"score": points_of(exercise, outcomes), "output": printed[:SHOWN], "tests": tests}
    (folder / "results.json").write_text(json.dumps(text, indent=1), encoding="utf-8")
    suite = ElementTree.Element("testsuite", name=f"exercise {exercise.number}", tests=str(len(tests)),
                                failures=str(sum(test["status"] != PASSED for test in tests)))
    for test in tests:
        case = ElementTree.SubElement(suite, "testcase", classname=f"exercise_{exercise.number}", name=test["name"])
        if test["status"] != PASSED:
            ElementTree.SubElement(case, "failure", message=_xml_safe(test["output"].splitlines()[0]))
    ElementTree.ElementTree(suite).write(folder / "junit.xml", encoding="utf-8", xml_declaration=True)


def write_table(exercise, graded, path):
    """One row a submission: points of each function, and their sum."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["submission", *(task.name for task in exercise.tasks), "points", f"of {exercise.points}"])
        for name, outcomes in graded.items():
            each = [task.points if outcomes[task.name].status == PASSED else 0 for task in exercise.tasks]
            table.writerow([name, *each, sum(each), exercise.points])


def said_of(outcome):
    """What the author of a submission may read of one function."""
    return "\n".join([outcome.message or outcome.status, *outcome.details])


def _parsed(arrays):
    return json.loads(str(arrays.pop("about"))), arrays


def _name(path, folder):
    """One submission a file, or a file in a folder of its own; both give a name that is good for a folder."""
    return "_".join(path.relative_to(folder).with_suffix("").parts)


def _xml_safe(text):
    return "".join(character for character in text if character.isprintable())
