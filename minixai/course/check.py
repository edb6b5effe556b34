"""The verdict on a student's file, function by function, in the order of the stages.

    not written ► wrong type ► wrong shape ► not finite ► wrong values      the first that fails is told, with a picture

Every function gets the reference's inputs. What an earlier one gave is never used, so no error shows a stage late. The
expected values are recorded arrays: this file can be handed out, it holds no solution.
"""
import inspect
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from io import StringIO

import numpy as np
import torch

from minixai.course import fixtures
from minixai.course.student import functions_in, like, one_line

TOLERANCE = 1e-5            # of the largest expected value
ROUNDED = 0.01              # share of a picture's numbers that may be off by one of 255
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
    torch.set_default_dtype(torch.float32)      # the file may have changed it when it was checked before
    student, error = functions_in(path)
    outcomes = [Outcome(task.name) for task in exercise.tasks]
    for outcome in outcomes:
        if error:
            outcome.status, outcome.message = FAILED, error
        else:
            judge(outcome, student, fixtures.public(exercise))
        if outcome.status == FAILED:
            break
    return outcomes


def judge(outcome, student, passes):
    """Run one function on every pass, and say of it what is to be said."""
    function = student.get(outcome.name)
    problem = head_of(outcome.name, function, passes[0][0]) if function else \
        f"the function is not in the file: was it renamed?{like(outcome.name, student)}"
    if problem:
        outcome.status, outcome.message = FAILED, problem
        return
    for number, (about, arrays) in enumerate(passes):
        arguments = fixtures.arguments(about, arrays, outcome.name)
        got, problem = run(function, arguments)
        changed = changed_inputs(arguments, about, arrays, outcome.name)
        judge_value(outcome, got, problem, changed, about, arrays, number)
        if outcome.status == FAILED:
            return
        if getattr(got, "grad_fn", None) is not None and not outcome.details:
            outcome.details.append("note: it carries a graph for a backward pass, which nothing here needs")
    outcome.status = PASSED


def head_of(name, function, about):
    """'' if the function can be called with the parameters of the exercise, or what is wrong with its head."""
    wanted = about["tasks"][name]["inputs"]
    try:
        inspect.signature(function).bind(**dict.fromkeys(wanted))
    except (TypeError, ValueError):
        return f"its parameters have to be ({', '.join(wanted)}): keep the head as it was"
    return ""


def run(function, arguments):
    """(what the function returns, "") or (None, why it returned nothing). Its prints are swallowed."""
    try:
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            return function(**arguments), ""
    except NotImplementedError as problem:
        return None, not_written(str(problem))
    except (Exception, SystemExit) as problem:
        file = getattr(getattr(function, "__code__", None), "co_filename", "")
        return None, f"it stops with {one_line(problem, file)}"


def not_written(how_long):
    """What is said of a function that is still blank."""
    return f"not written yet ({how_long})" if how_long else "not written yet"


def changed_inputs(arguments, about, arrays, name):
    """The names of the inputs that the function wrote into."""
    before = fixtures.arguments(about, arrays, name)
    return [parameter for parameter, value in arguments.items()
            if hasattr(value, "shape") and not np.array_equal(np.asarray(value), np.asarray(before[parameter]))]


def judge_value(outcome, got, problem, changed, about, arrays, number):
    """Say of one function what it did on pass `number`; the status stays as it is if nothing is wrong."""
    expected = arrays[f"expected/{outcome.name}"]
    problem = problem or compare(outcome, got, expected)
    if not problem and changed:
        problem = (f"right values, but it writes into its input {changed[0]}, which later stages read too: "
                   "make a new tensor (no names that end in _, no +=, no x[...] = ...)")
    if not problem:
        return
    outcome.status, outcome.message = FAILED, problem
    outcome.expected = expected
    name_the_mistake(outcome, about, arrays)
    if number and not outcome.mistake and not changed:
        outcome.details.append(of_a_batch(outcome, about))


def of_a_batch(outcome, about):
    """What is special about a pass that fails though the pass before it, of one image, was right."""
    remarks = about["tasks"][outcome.name]["remarks"]
    if outcome.got is not None and outcome.got.shape == outcome.expected.shape and len(remarks) == len(outcome.got):
        apart = ~np.isclose(outcome.got, outcome.expected, rtol=1e-4, atol=1e-6).reshape(len(remarks), -1).all(axis=1)
        if all(remark for remark, wrong in zip(remarks, apart) if wrong):
            return " ".join(remark for remark, wrong in zip(remarks, apart) if wrong)
    return ("a batch stands in front of every tensor here; the pass before, of one image, was right. "
            "Index from the right: dim=-1, dim=(-2, -1)")


def compare(outcome, got, expected):
    """Type, shape, finiteness, values, in this order: what is wrong first, or "" if nothing is."""
    values, problem = array_of(got, expected)
    if problem:
        return problem
    outcome.got = values
    if values.shape != expected.shape:
        return wrong_shape(values, expected)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        bad = ~np.isfinite(values)
        return f"{bad.sum()} of {bad.size} values are NaN or infinite, first at {_place(bad.argmax(), bad.shape)}"
    apart = np.abs(values.astype(np.float64) - expected)
    if expected.dtype == np.uint8 and apart.max() <= 1 and (apart > 0).mean() <= ROUNDED:
        return ""
    allowed = 0 if expected.dtype == np.uint8 else TOLERANCE * np.abs(expected).max()
    if apart.max() <= allowed:
        return ""
    place = _place(apart.argmax(), apart.shape)
    outcome.details += [f"expected {_few(expected)}", f"got      {_few(values)}",
                        f"they differ most at {place}: expected {expected[place]:.4g}, got {values[place]:.4g}"]
    return f"right shape, wrong values: {(apart > allowed).mean():.0%} of them differ"


def array_of(got, expected):
    """(numpy array, "") or (None, what is wrong with the type): a tensor for a tensor, an array for a picture."""
    picture = expected.dtype == np.uint8
    if isinstance(got, np.ndarray if not picture else torch.Tensor):
        return None, ("it returns a tensor; a picture is a numpy array, as its inputs are" if picture else
                      "it returns a numpy array; stay in torch: its inputs are tensors, and so is what comes next")
    if not isinstance(got, np.ndarray if picture else torch.Tensor):
        returned = "nothing (is there a return?)" if got is None else f"a {type(got).__name__}"
        return None, f"it returns {returned}, not a {'numpy array' if picture else 'tensor'}"
    try:
        values = got if picture else got.detach().cpu().numpy()
    except (TypeError, RuntimeError):
        return None, f"wrong type of numbers: expected {expected.dtype}, got {got.dtype}"
    if values.dtype != expected.dtype:
        keep = "; keep that of the inputs" if values.dtype.kind == "f" else ""
        return None, f"wrong type of numbers: expected {expected.dtype}, got {values.dtype}{keep}"
    return values, ""


def wrong_shape(values, expected):
    """'wrong shape: …', and if the numbers are right but for that, this too."""
    said = f"wrong shape: expected {expected.shape}, got {values.shape}"
    if values.size == expected.size and np.allclose(values.reshape(-1), expected.reshape(-1), rtol=1e-4, atol=1e-6):
        return f"{said}; the numbers themselves are right"
    return said


def name_the_mistake(outcome, about, arrays):
    """If the values are those of known mistakes, say which, and what to read again."""
    if outcome.got is None:
        return
    names = [(name, reread) for number, (name, reread) in enumerate(about["tasks"][outcome.name]["mistakes"])
             if same(outcome.got, arrays[f"mistake/{outcome.name}/{number}"])]
    if names:
        outcome.mistake = ", or ".join(dict.fromkeys(name for name, _ in names))
        outcome.details += [f"this is a known mistake: {outcome.mistake}",
                            f"reread: {'; '.join(dict.fromkeys(reread for _, reread in names))}"]


def same(values, known):
    """Whether two arrays hold the same numbers, but for rounding."""
    if values.shape != known.shape:
        return False
    finite = np.isfinite(known)
    if not finite.any() or not np.array_equal(np.isfinite(values), finite):
        return False
    apart = np.abs(values[finite].astype(np.float64) - known[finite])
    if known.dtype == np.uint8:
        return bool(apart.max() <= 1 and (apart > 0).mean() <= ROUNDED)
    return bool(apart.max() <= TOLERANCE * max(1e-30, np.abs(known[finite]).max()))


def _place(index, shape):
    return tuple(int(place) for place in np.unravel_index(index, shape))


def _few(values, count=6):
    flat = values.reshape(-1)
    more = ", …" if flat.size > count else ""
    return f"{values.shape} " + ", ".join(f"{value:.4g}" for value in flat[:count]) + more
