"""The verdict on a student's file, function by function, in the order of the stages.

    not written ► wrong type ► wrong shape ► not finite ► wrong values      the first that fails is told, with a picture

Every function gets the reference's inputs. What an earlier one gave is never used, so no error shows a stage late. The
expected values are recorded arrays: this file can be handed out, it holds no solution.
"""
import ast
import time
import traceback
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

import numpy as np
import torch

from minixai.course import fixtures
from minixai.course.exercises import find

TOLERANCE = 1e-5            # of the largest expected value
PASSED, FAILED, WAITING = "passed", "failed", "waiting"


@dataclass
class Outcome:
    """What is said of one function."""
    name: str
    status: str = WAITING
    message: str = ""                       # one sentence, for FAILED
    details: list = field(default_factory=list)     # further lines
    mistake: str = ""                       # its name, if it is a known one
    expected: object = None                 # arrays, for the picture
    got: object = None


def check(exercise, path):
    """Every function of one exercise, on the public passes: a list of Outcome. Those behind the first failure wait."""
    student, error = functions_in(path)
    outcomes = [Outcome(task.name) for task in exercise.tasks]
    for outcome in outcomes:
        if error:
            outcome.status, outcome.message = FAILED, error
        else:
            judge(outcome, student.get(outcome.name), fixtures.public(exercise))
        if outcome.status == FAILED:
            break
    return outcomes


def functions_in(path):
    """Run a student's file: ({name: function}, "") or ({}, what is wrong with it)."""
    path = Path(path)
    try:
        source = path.read_text(encoding="utf-8")
        code = compile(ast.parse(source, str(path)), str(path), "exec")
    except FileNotFoundError:
        return {}, f"no file {path}; `minixai start` writes one"
    except (SyntaxError, UnicodeDecodeError, ValueError) as problem:
        return {}, f"the file cannot be read as Python: {problem}"
    names = {"__name__": "exercise", "__file__": str(path)}
    try:
        exec(code, names)       # the student's own file on the student's own machine; grading has a process for it
    except (Exception, SystemExit) as problem:
        return {}, f"the file stops when it is loaded: {_one_line(problem, path)}"
    return {name: value for name, value in names.items() if callable(value)}, ""


def judge(outcome, function, passes):
    """Run one function on every pass, and say of it what is to be said."""
    if function is None:
        outcome.status, outcome.message = FAILED, "the function is not in the file: was it renamed?"
        return
    for number, (about, arrays) in enumerate(passes):
        expected = arrays[f"expected/{outcome.name}"]
        got, problem = run(function, fixtures.arguments(about, arrays, outcome.name))
        problem = problem or compare(outcome, got, expected)
        if problem:
            outcome.status, outcome.message = FAILED, problem
            outcome.expected = expected
            name_the_mistake(outcome, about, arrays)
            if number:
                outcome.details.append(f"this was pass {number + 1}: a batch stands in front of every tensor; the pass "
                                       "before, of one image, was right. Index from the right: dim=-1, dim=(-2, -1)")
            return
    outcome.status = PASSED


def run(function, arguments):
    """(what the function returns, "") or (None, why it returned nothing). Its prints are swallowed."""
    try:
        with redirect_stdout(StringIO()):
            return function(**arguments), ""
    except NotImplementedError as problem:
        return None, f"not written yet ({problem})" if str(problem) else "not written yet"
    except (Exception, SystemExit) as problem:
        return None, f"it stops with {_one_line(problem, function.__code__.co_filename)}"


def compare(outcome, got, expected):
    """Type, shape, finiteness, values, in this order: what is wrong first, or "" if nothing is."""
    kind = np.ndarray if expected.dtype == np.uint8 else torch.Tensor
    if not isinstance(got, kind):
        returned = "nothing (is there a return?)" if got is None else f"a {type(got).__name__}"
        return f"it returns {returned}, not a {'numpy array' if kind is np.ndarray else 'tensor'}"
    values = got if kind is np.ndarray else got.detach().cpu().numpy()
    if values.shape != expected.shape:
        return f"wrong shape: expected {expected.shape}, got {values.shape}"
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        return f"{int((~np.isfinite(values)).sum())} of {values.size} values are NaN or infinite"
    if values.dtype.kind != expected.dtype.kind:
        return f"wrong type of numbers: expected {expected.dtype}, got {values.dtype}"
    outcome.got = values
    apart = np.abs(values.astype(np.float64) - expected)
    if apart.max() <= (1 if expected.dtype == np.uint8 else TOLERANCE * max(1e-30, np.abs(expected).max())):
        return ""
    place = np.unravel_index(apart.argmax(), apart.shape)
    outcome.details += [f"expected {_few(expected)}", f"got      {_few(values)}",
                        f"they differ most at {tuple(int(index) for index in place)}: "
                        f"expected {expected[place]:.4g}, got {values[place]:.4g}"]
    return f"right shape, wrong values: {(apart > TOLERANCE * np.abs(expected).max()).mean():.0%} of them differ"


def name_the_mistake(outcome, about, arrays):
    """If the values are those of a known mistake, say which, and what to read again."""
    if outcome.got is None:
        return
    for number, (name, reread) in enumerate(about["tasks"][outcome.name]["mistakes"]):
        known = arrays[f"mistake/{outcome.name}/{number}"]
        if known.shape == outcome.got.shape and np.allclose(outcome.got, known, atol=1e-5 * np.abs(known).max()):
            outcome.mistake = name
            outcome.details += [f"this is a known mistake: {name}", f"reread: {reread}"]
            return


def report(exercise, outcomes, picture=None):
    """The lines that a student reads."""
    yield f"exercise {exercise.number}: {exercise.title}"
    for outcome in outcomes:
        sign = {PASSED: "ok  ", FAILED: "here", WAITING: "    "}[outcome.status]
        yield f"  {sign}  {outcome.name:26s}{outcome.message or outcome.status}"
        yield from (f"{'':34s}{line}" for line in outcome.details)
        if outcome.status == FAILED and picture:
            yield f"{'':34s}picture: {picture}"
    done = sum(outcome.status == PASSED for outcome in outcomes)
    if done == len(outcomes):
        yield "all of them are right. See yours on a photo: minixai explain --mine FILE cat.jpg"
    else:
        yield f"{done} of {len(outcomes)} right"


def save_picture(exercise, outcomes, folder):
    """Expected, yours and the difference of the failing function, as a PNG; its path, or None where there is none."""
    failed = next((outcome for outcome in outcomes if outcome.got is not None and outcome.status == FAILED), None)
    if failed is None or failed.expected is None or failed.expected.ndim == 0:
        return None
    from minixai.course.pictures import three_panels  # late: matplotlib takes long to import
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"exercise_{exercise.number}_{failed.name}.png"
    three_panels(failed).savefig(path)
    return path


def main(number, path, watch=False, out="minixai-out"):
    """Check one file and print the report; with watch, again whenever it is saved. Exit code 0 if all is right."""
    exercise, path = find(number), Path(path)
    seen = None
    while True:
        stamp = path.stat().st_mtime_ns if path.exists() else None
        if stamp != seen or not watch:
            seen = stamp
            outcomes = check(exercise, path)
            print("\n".join(report(exercise, outcomes, save_picture(exercise, outcomes, Path(out)))), flush=True)
        right = all(outcome.status == PASSED for outcome in outcomes)
        if not watch or right:
            return 0 if right else 1
        time.sleep(0.3)


def _one_line(problem, file):
    """'IndexError: … (line 12)': the last line of the student's own file that was running."""
    frames = [frame for frame in traceback.extract_tb(problem.__traceback__) if frame.filename == str(file)]
    where = f" (line {frames[-1].lineno})" if frames else ""
    text = str(problem).strip().splitlines()
    return f"{type(problem).__name__}: {text[0] if text else ''}{where}"


def _few(values, count=6):
    flat = values.reshape(-1)
    more = ", …" if flat.size > count else ""
    return f"{values.shape} " + ", ".join(f"{value:.4g}" for value in flat[:count]) + more
