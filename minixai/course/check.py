"""The verdict on a student's file, function by function, in the order of the stages.

    not written ► wrong type ► wrong shape ► not finite ► wrong values      the first that fails is told, with a picture

Every function gets the reference's inputs, in a process of its own (worker.py). What an earlier one gave is never used,
so no error shows a stage late. The expected values are recorded arrays: this file can be handed out, it holds no
solution. grade.py judges with the same lines, on other passes.
"""
import builtins
from dataclasses import dataclass, field

import numpy as np

from minixai.course import fixtures
from minixai.course.blank import BLANK

TOLERANCE = 1e-5            # of the largest expected value
ROUNDED = 0.01              # share of a picture's numbers that may be off by one of 255
PASSED, FAILED, WAITING = "passed", "failed", "waiting"
KNOWN = {name for name, value in vars(builtins).items() if isinstance(value, type) and issubclass(value, BaseException)}
KNOWN |= {"LinAlgError", "AxisError", "OutOfMemoryError"}       # of numpy and torch
UNREADABLE = "it gave nothing that can be read", ""


@dataclass
class Outcome:
    """What is said of one function. message and hints hold no number of a pass and no word of the student's file:
    anybody may read them. more and details are for those who may see the numbers."""
    name: str
    status: str = WAITING
    message: str = ""                       # one sentence, for FAILED …
    more: str = ""                          # … and how it goes on
    hints: list = field(default_factory=list)       # further lines
    details: list = field(default_factory=list)     # further lines
    printed: str = ""                       # by the student's own code
    mistake: str = ""                       # its name, if it is a known one
    expected: object = None                 # arrays, for the picture
    got: object = None

    @property
    def sentence(self):
        """The whole of what is wrong."""
        return self.message + self.more


def check(exercise, source, worker, begin=lambda name: None, stop=lambda: False, file="exercise.py"):
    """Every function of one exercise, on the public passes: yields an Outcome each. What is behind a failure waits.

    source: the file's bytes. begin: is told a function's name before it runs. Stopped as soon as `stop()` is true.
    """
    waiting = False
    for task in exercise.tasks:
        outcome = Outcome(task.name)
        begin(task.name)
        if not waiting:
            try_function(outcome, source, fixtures.public(exercise), worker, stop, file)
        waiting = waiting or outcome.status == FAILED
        yield outcome


def try_function(outcome, source, passes, worker, stop=lambda: False, file="exercise.py"):
    """Run one function of a file on every pass, and judge it. Returns whether the file itself ran through."""
    name = outcome.name
    inputs = {f"{number}/{parameter}": arrays[f"input/{name}.{parameter}"]
              for number, (about, arrays) in enumerate(passes) for parameter in about["tasks"][name]["inputs"]}
    of_numpy = bool(passes[0][1][f"expected/{name}"].dtype == np.uint8)
    run = worker.run(source, name, inputs, len(passes), of_numpy, stop, file)
    judge(outcome, run, passes, source.decode(errors="replace").splitlines())
    return run.loaded


def judge(outcome, run, passes, lines=()):
    """Compare what one function gave with what is expected, pass by pass, until one is wrong.

    lines: of the student's file, to show those that an error is about.
    """
    outcome.printed = run.printed
    given = run.said.get("passes")
    problem = run.ending or run.said.get("problem")
    if run.ending and not run.loaded:
        problem = f"the file stops when it is loaded: {run.ending[0]}", run.ending[1]
    for number, (about, arrays) in enumerate(passes):
        said = given[number] if isinstance(given, list) and number < len(given) else {}
        said = said if isinstance(said, dict) else {}
        wrong = problem or said.get("problem")
        if isinstance(wrong, dict):
            outcome.details += frames_of(wrong, lines)
            wrong = told(wrong, parameters_of(outcome.name, passes), arrays[f"expected/{outcome.name}"], lines)
        elif wrong and not isinstance(wrong, tuple):        # ours is a tuple; this came out of a forged report
            wrong = UNREADABLE
        judge_pass(outcome, said, wrong, run.arrays[number], about, arrays)
        if outcome.status == FAILED:
            if number and not outcome.mistake and not said.get("changed"):
                outcome.hints.append(of_a_batch(outcome, about))
            return
        if said.get("graph") is True and not outcome.hints:
            outcome.hints.append("note: it carries a graph for a backward pass, which nothing here needs")
    outcome.status = PASSED


def parameters_of(name, passes):
    """The parameters that a function is given in any of the passes."""
    return dict.fromkeys(parameter for about, _ in passes for parameter in about["tasks"][name]["inputs"])


def judge_pass(outcome, said, problem, values, about, arrays):
    """Say of one function what it did on one pass; the status stays as it is if nothing is wrong."""
    expected = arrays[f"expected/{outcome.name}"]
    outcome.got = None
    problem = problem or compare(outcome, values, said.get("tensor") is True, expected)
    if not problem and said.get("changed"):
        names = said["changed"] if isinstance(said["changed"], list) else [""]
        problem = ("right values, but it writes into its input",
                   f" {str(names[0])[:40]}, which later stages read too: make a new tensor (no names that end in _, no "
                   "+=, no x[...] = ...)")
    if problem:
        outcome.status, outcome.expected = FAILED, expected
        outcome.message, outcome.more = problem
        name_the_mistake(outcome, about, arrays)


def told(problem, parameters, expected, lines):
    """(what may be told to anybody, more) of a problem as runner.py reports it; anything may stand there."""
    kind, text, line = (problem.get(name) for name in ("kind", "text", "line"))
    text = text if isinstance(text, str) else ""
    where = f" (line {line})" if isinstance(line, int) and 1 <= line <= max(1, len(lines)) else ""
    if kind == "syntax":
        return f"the file cannot be read as Python{where}", f": {text}"
    if kind == "gone":
        return "the function is not in the file", f": was it renamed?{f' (there is one called {text})' if text else ''}"
    if kind == "head":
        return f"its parameters have to be ({', '.join(parameters)}): keep the head as it was", ""
    if kind == "type":
        return f"it returns no {kind_of(expected)}", f": {text}"
    if kind == "large":
        return "wrong shape", f": expected {expected.shape}, got {text}"
    if kind == "numbers":
        return wrong_numbers(expected, text)
    return of_exception(problem, text, where) if kind == "raised" else UNREADABLE


def of_exception(problem, text, where):
    """The same, of an exception. A class of the student's own may be called after a number."""
    kind = str(problem.get("type"))
    blank = BLANK.search(text)
    if kind == "NotImplementedError" and (blank or not text):
        return "not written yet", f" ({blank[0]})" if blank else ""
    start = "the file stops when it is loaded: " if problem.get("loading") else "it stops with "
    known = kind if kind in KNOWN else "an error of its own"
    return f"{start}{known}{where}", f": {'' if kind in KNOWN else f'{kind}: '}{text}"


def frames_of(problem, lines):
    """The student's own lines that an exception came through, the last ones."""
    frames = problem.get("frames")
    for frame in frames if isinstance(frames, list) else []:
        if isinstance(frame, list) and len(frame) == 2 and frame[0] in range(1, len(lines) + 1):
            yield f"line {frame[0]}, in {str(frame[1])[:80]}:  {lines[frame[0] - 1].strip()[:120]}"


def of_a_batch(outcome, about):
    """What is special about a pass that fails though the pass before it, of one image, was right."""
    remarks = about["tasks"][outcome.name]["remarks"]
    if outcome.got is not None and outcome.got.shape == outcome.expected.shape and len(remarks) == len(outcome.got):
        apart = [not same(got, expected) for got, expected in zip(outcome.got, outcome.expected)]
        of_the_wrong = dict.fromkeys(remark for remark, wrong in zip(remarks, apart) if wrong)
        if all(of_the_wrong):
            return " ".join(of_the_wrong)
    return ("a batch stands in front of every tensor here; the pass before, of one image, was right. "
            "Index from the right: dim=-1, dim=(-2, -1)")


def compare(outcome, values, tensor, expected):
    """Type, shape, finiteness, values, in this order: what is wrong first, in two parts, or None if nothing is."""
    picture = expected.dtype == np.uint8
    if values is None:
        return UNREADABLE
    if tensor is picture:
        return f"it returns no {kind_of(expected)}", (
            ": a tensor; a picture is a numpy array, as its inputs are" if picture else
            ": a numpy array; stay in torch: its inputs are tensors, and so is what comes next")
    if values.dtype != expected.dtype:
        return wrong_numbers(expected, str(values.dtype))
    outcome.got = values
    if values.shape != expected.shape:
        return wrong_shape(values, expected)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        bad = ~np.isfinite(values)
        return "NaN or infinite values", f": {bad.sum()} of {bad.size}, first at {_place(bad.argmax(), bad.shape)}"
    apart = np.abs(values.astype(np.float64) - expected)
    if picture and apart.max() <= 1 and (apart > 0).mean() <= ROUNDED:
        return None
    allowed = 0 if picture else TOLERANCE * np.abs(expected).max()
    if apart.max() <= allowed:
        return None
    place = _place(apart.argmax(), apart.shape)
    outcome.details += [f"expected {_few(expected)}", f"got      {_few(values)}",
                        f"they differ most at {place}: expected {expected[place]:.4g}, got {values[place]:.4g}"]
    return "right shape, wrong values", f": {(apart > allowed).mean():.0%} of them differ"


def kind_of(expected):
    """A picture, 8 bits, is an array; all else is a tensor."""
    return "numpy array" if expected.dtype == np.uint8 else "tensor"


def wrong_numbers(expected, got):
    """What is said of float64, bool or bfloat16, in two parts."""
    keep = "; keep that of the inputs" if got == "float64" else ""
    return "wrong type of numbers", f": expected {expected.dtype}, got {got}{keep}"


def wrong_shape(values, expected):
    """What is said of a shape, in two parts, and whether the numbers are right but for that."""
    right = same(values.reshape(-1), expected.reshape(-1))
    end = "; the numbers themselves are right" if right else ""
    return "wrong shape", f": expected {expected.shape}, got {values.shape}{end}"


def name_the_mistake(outcome, about, arrays):
    """If the values are those of known mistakes, say which, and what to read again."""
    if outcome.got is None:
        return
    names = [(name, reread) for number, (name, reread) in enumerate(about["tasks"][outcome.name]["mistakes"])
             if same(outcome.got, arrays[f"mistake/{outcome.name}/{number}"])]
    if names:
        outcome.mistake = ", or ".join(dict.fromkeys(name for name, _ in names))
        outcome.hints += [f"this is a known mistake: {outcome.mistake}",
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
