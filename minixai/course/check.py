"""Judge a student's file: one verdict for each function, in the order of the stages.

    not written ► wrong type ► wrong shape ► not finite ► wrong values      the first fault is reported

Each function runs in a process of its own (worker.py) and gets the right inputs. It never gets the result of the
student's earlier function, so an error is reported at the stage that made it. The expected values are recorded arrays,
so students can have this file: it holds no solution. grade.py uses the same functions with other passes.
"""
import builtins
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from minixai.course import fixtures
from minixai.course.blank import BLANK
from minixai.course.exercises import Exercise
from minixai.course.fixtures import Fixture
from minixai.course.worker import Run, Worker

TOLERANCE = 1e-5            # largest difference, as a share of the largest expected value
ROUNDED = 0.01              # share of a picture's 8-bit numbers that may differ by one
PASSED, FAILED, WAITING = "passed", "failed", "waiting"
KNOWN = {name for name, value in vars(builtins).items() if isinstance(value, type) and issubclass(value, BaseException)}
KNOWN |= {"LinAlgError", "AxisError", "OutOfMemoryError"}       # from numpy and torch
UNREADABLE = "its result cannot be read", ""


@dataclass
class Outcome:
    """The verdict on one function.

    message and hints contain no number of a pass and no text of the student's file, so a graded student may read them.
    more and details contain numbers of the pass.
    """
    name: str
    status: str = WAITING
    message: str = ""                               # the first part of a sentence: what is wrong
    more: str = ""                                  # the rest of this sentence
    hints: list[str] = field(default_factory=list)
    details: list[str] = field(default_factory=list)
    printed: str = ""                               # the output of the student's own code
    mistake: str = ""                               # the name of the known mistake, or ""
    expected: np.ndarray | None = None              # for the picture
    got: np.ndarray | None = None

    @property
    def sentence(self) -> str:
        """The whole sentence about what is wrong, with numbers."""
        return self.message + self.more


def check(exercise: Exercise, source: bytes, worker: Worker, begin: Callable[[str], None] = lambda name: None,
          stop: Callable[[], bool] = lambda: False, file: str = "exercise.py") -> Iterator[Outcome]:
    """Judge every function of an exercise on the public passes. Functions after a failed one do not run.

    source: the file's bytes; file: its name in messages. begin: called with a function's name before the function runs.
    Stopped is raised as soon as `stop()` is true.
    """
    waiting = False
    for task in exercise.tasks:
        outcome = Outcome(task.name)
        begin(task.name)
        if not waiting:
            try_function(outcome, source, fixtures.public(exercise), worker, stop, file)
        waiting = waiting or outcome.status == FAILED
        yield outcome


def try_function(outcome: Outcome, source: bytes, passes: list[Fixture], worker: Worker,
                 stop: Callable[[], bool] = lambda: False, file: str = "exercise.py") -> bool:
    """Run the function `outcome.name` of a file on every pass, and write the verdict into `outcome`.

    Returns whether the file itself could be loaded.
    """
    name = outcome.name
    inputs = {f"{number}/{parameter}": arrays[f"input/{name}.{parameter}"]
              for number, (about, arrays) in enumerate(passes) for parameter in about["tasks"][name]["inputs"]}
    of_numpy = bool(passes[0][1][f"expected/{name}"].dtype == np.uint8)
    run = worker.run(source, name, inputs, len(passes), of_numpy, stop, file)
    judge(outcome, run, passes, source.decode(errors="replace").splitlines())
    return run.loaded


def judge(outcome: Outcome, run: Run, passes: list[Fixture], lines: Sequence[str] = ()) -> None:
    """Compare the results of a run with the expected values, pass by pass, until one is wrong.

    lines: the lines of the student's file. Those that an exception came through are added to the details.
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
        elif wrong and not isinstance(wrong, tuple):        # only a forged report has such a value
            wrong = UNREADABLE
        judge_pass(outcome, said, wrong, run.arrays[number], about, arrays)
        if outcome.status == FAILED:
            if number and not outcome.mistake and not said.get("changed"):
                outcome.hints.append(of_a_batch(outcome, about))
            return
        if said.get("graph") is True and not outcome.hints:
            outcome.hints.append("note: the result carries a graph for a backward pass; no later stage needs it")
    outcome.status = PASSED


def parameters_of(name: str, passes: list[Fixture]) -> dict[str, None]:
    """The names of the parameters that a function gets in at least one of the passes, in order, as keys."""
    return dict.fromkeys(parameter for about, _ in passes for parameter in about["tasks"][name]["inputs"])


def judge_pass(outcome: Outcome, said: dict, problem: tuple | None, values: np.ndarray | None, about: dict,
               arrays: dict[str, np.ndarray]) -> None:
    """Judge one pass. If something is wrong, `outcome` becomes FAILED and says what; otherwise it stays as it is.

    said: the runner's report on this pass. problem: (message, more) if the run itself failed. values: the result.
    """
    expected = arrays[f"expected/{outcome.name}"]
    outcome.got = None
    problem = problem or compare(outcome, values, said.get("tensor") is True, expected)
    if not problem and said.get("changed"):
        names = said["changed"] if isinstance(said["changed"], list) else [""]
        problem = ("right values, but it writes into its input",
                   f" {str(names[0])[:40]}, which later stages read too: make a new tensor (without functions whose "
                   "name ends in _, without += and without x[...] = ...)")
    if problem:
        outcome.status, outcome.expected = FAILED, expected
        outcome.message, outcome.more = problem
        name_the_mistake(outcome, about, arrays)


def told(problem: dict, parameters: Iterable[str], expected: np.ndarray, lines: Sequence[str]) -> tuple[str, str]:
    """(message, more) for a problem that runner.py reports. A forged report may hold any value, of any type."""
    kind, text, line = (problem.get(name) for name in ("kind", "text", "line"))
    text = text if isinstance(text, str) else ""
    where = f" (line {line})" if isinstance(line, int) and 1 <= line <= max(1, len(lines)) else ""
    if kind == "syntax":
        return f"the file cannot be read as Python{where}", f": {text}"
    if kind == "gone":
        return "the function is not in the file", f": was it renamed?{f' (the file has {text})' if text else ''}"
    if kind == "head":
        return f"its parameters have to be ({', '.join(parameters)}): keep the def line as it was", ""
    if kind == "type":
        return f"it returns no {kind_of(expected)}", f": {text}"
    if kind == "large":
        return "wrong shape", f": expected {expected.shape}, got {text}"
    if kind == "numbers":
        return wrong_numbers(expected, text)
    return of_exception(problem, text, where) if kind == "raised" else UNREADABLE


def of_exception(problem: dict, text: str, where: str) -> tuple[str, str]:
    """(message, more) for an exception.

    The name of a class that the student defined is not in the message: it could contain a number of a hidden pass.
    """
    kind = str(problem.get("type"))
    blank = BLANK.search(text)
    if kind == "NotImplementedError" and (blank or not text):
        return "not written yet", f" ({blank[0]})" if blank else ""
    start = "the file stops when it is loaded: " if problem.get("loading") else "it stops with "
    known = kind if kind in KNOWN else "an exception of its own"
    return f"{start}{known}{where}", f": {'' if kind in KNOWN else f'{kind}: '}{text}"


def frames_of(problem: dict, lines: Sequence[str]) -> Iterator[str]:
    """The last lines of the student's file that an exception came through."""
    frames = problem.get("frames")
    for frame in frames if isinstance(frames, list) else []:
        if isinstance(frame, list) and len(frame) == 2 and frame[0] in range(1, len(lines) + 1):
            yield f"line {frame[0]}, in {str(frame[1])[:80]}:  {lines[frame[0] - 1].strip()[:120]}"


def of_a_batch(outcome: Outcome, about: dict) -> str:
    """A hint for a pass of a batch that fails although the pass of one image before it was right."""
    remarks = about["tasks"][outcome.name]["remarks"]
    if outcome.got is not None and outcome.got.shape == outcome.expected.shape and len(remarks) == len(outcome.got):
        apart = [not same(got, expected) for got, expected in zip(outcome.got, outcome.expected)]
        of_the_wrong = dict.fromkeys(remark for remark, wrong in zip(remarks, apart) if wrong)
        if all(of_the_wrong):
            return " ".join(of_the_wrong)
    return ("every tensor has a batch dimension in front here; without it, in the pass before, the result was right. "
            "Count dimensions from the right: dim=-1, dim=(-2, -1)")


def compare(outcome: Outcome, values: np.ndarray | None, tensor: bool, expected: np.ndarray) -> tuple[str, str] | None:
    """The first fault in type, shape, finiteness and values, in this order: (message, more), or None.

    values: the result, or None if it cannot be read. tensor: whether the function returned a tensor.
    """
    picture = expected.dtype == np.uint8
    if values is None:
        return UNREADABLE
    if tensor is picture:
        return f"it returns no {kind_of(expected)}", (
            ": a tensor; return a numpy array, as the inputs are" if picture else
            ": a numpy array; return a tensor, as the inputs are")
    if values.dtype != expected.dtype:
        return wrong_numbers(expected, str(values.dtype))
    outcome.got = values
    if values.shape != expected.shape:
        return wrong_shape(values, expected)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        bad = ~np.isfinite(values)
        return "NaN or infinite values", f": {bad.sum()} of {bad.size}, first at {_place(bad.argmax(), bad.shape)}"
    if same(values, expected):
        return None
    apart = np.abs(values.astype(np.float64) - expected)
    allowed = 0 if picture else TOLERANCE * np.abs(expected).max()
    place = _place(apart.argmax(), apart.shape)
    outcome.details += [f"expected {_few(expected)}", f"got      {_few(values)}",
                        f"they differ most at {place}: expected {expected[place]:.4g}, got {values[place]:.4g}"]
    return "right shape, wrong values", f": {(apart > allowed).mean():.0%} of them differ"


def kind_of(expected: np.ndarray) -> str:
    """The type that a function has to return: "numpy array" for a picture of 8 bits, else "tensor"."""
    return "numpy array" if expected.dtype == np.uint8 else "tensor"


def wrong_numbers(expected: np.ndarray, got: str) -> tuple[str, str]:
    """(message, more) for a wrong dtype such as float64, bool or bfloat16."""
    keep = "; keep the dtype of the inputs" if got == "float64" else ""
    return "wrong dtype", f": expected {expected.dtype}, got {got}{keep}"


def wrong_shape(values: np.ndarray, expected: np.ndarray) -> tuple[str, str]:
    """(message, more) for a wrong shape. It says so if only the shape is wrong and the numbers are right."""
    right = same(values.reshape(-1), expected.reshape(-1))
    end = "; the numbers themselves are right" if right else ""
    return "wrong shape", f": expected {expected.shape}, got {values.shape}{end}"


def name_the_mistake(outcome: Outcome, about: dict, arrays: dict[str, np.ndarray]) -> None:
    """If the result equals that of a known mistake, add the mistake's name and what to read again."""
    if outcome.got is None:
        return
    names = [(name, reread) for number, (name, reread) in enumerate(about["tasks"][outcome.name]["mistakes"])
             if same(outcome.got, arrays[f"mistake/{outcome.name}/{number}"])]
    if names:
        outcome.mistake = ", or ".join(dict.fromkeys(name for name, _ in names))
        outcome.hints += [f"this is a known mistake: {outcome.mistake}",
                          f"reread: {'; '.join(dict.fromkeys(reread for _, reread in names))}"]


def same(values: np.ndarray, known: np.ndarray) -> bool:
    """Whether two arrays have the same shape and the same numbers, up to rounding. Infinities and NaN of `known` have
    to be non-finite in `values` too; False if no number of `known` is finite."""
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
