"""The report of `minixai check`: printed lines and a picture, once or whenever the file is saved."""
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from minixai.course.check import FAILED, PASSED, WAITING, Outcome, check
from minixai.course.exercises import Exercise, find
from minixai.course.student import source_of
from minixai.course.worker import Stopped, Worker
from minixai.files import shown

INDENT = " " * 28
PRINTED = 20                # how many lines of a function's own output are shown


def main(number: str, path: str | Path, watch: bool = False, out: str | Path = "minixai-out") -> int:
    """Check a file and print the report. The exit code: 0 if everything is right, else 1.

    number: of the exercise. out: the folder for the picture. watch: check again whenever the file is saved.
    OSError or ValueError if the file cannot be read; with watch this is printed, and the next save is waited for.
    """
    exercise, path = find(number), Path(path)
    with Worker() as worker:
        if not watch:
            return 0 if verdict(exercise, path, source_of(path), worker, out) else 1
        while True:
            seen = _stamp(path)
            if _watched(exercise, path, worker, out, seen):
                return 0
            _wait_for_another(path, seen)
            print()


def _watched(exercise, path, worker, out, seen):
    """Check the file once, until it is saved again. Returns whether everything is right."""
    try:
        source = source_of(path)
    except (OSError, ValueError) as problem:
        print(problem, flush=True)
        return False
    try:
        return verdict(exercise, path, source, worker, out, lambda: _stamp(path) != seen)
    except Stopped:
        print("saved again", flush=True)
        return False


def verdict(exercise: Exercise, path: Path, source: bytes, worker: Worker, out: str | Path = "minixai-out",
            stop: Callable[[], bool] = lambda: False) -> bool:
    """Print the report on a file's bytes. Returns whether everything is right.

    The picture comes after the verdicts, because importing matplotlib takes long. Stopped as soon as `stop()` is true.
    """
    print(f"exercise {exercise.number}: {exercise.title}", flush=True)
    outcomes = []
    for outcome in check(exercise, source, worker, lambda name: print(f"  {name:26s}", end="", flush=True), stop,
                         path.name if path.suffix == ".py" and path.name.isprintable() else "exercise.py"):
        print("\n".join(said_of(outcome)), flush=True)
        outcomes.append(outcome)
    done = sum(outcome.status == PASSED for outcome in outcomes)
    if outcomes:
        print(f"{done} of {len(outcomes)} right", flush=True)
    if exercise.see and done == len(outcomes):
        print(f"see your functions at work: minixai explain {exercise.see} --mine {shown(path)}", flush=True)
    if picture := save_picture(exercise, outcomes, Path(out)):
        print(f"picture: {shown(picture)}", flush=True)
    words = list(of_the_answers(path, worker.run(source, stop=stop).said.get("answers")))
    print("\n".join(words), flush=True)
    return done == len(outcomes) and (bool(exercise.tasks) or not words)


def said_of(outcome: Outcome) -> Iterator[str]:
    """The lines about one function. The first line follows the function's name, which is printed before it runs."""
    yield {PASSED: "ok", WAITING: "waiting", FAILED: shown(outcome.sentence)}[outcome.status]
    yield from (f"{INDENT}{shown(line)}" for line in [*outcome.details, *outcome.hints])
    printed = outcome.printed.splitlines()
    if printed:
        yield f"{INDENT}it printed:"
        yield from (f"{INDENT}| {shown(line[:200])}" for line in printed[:PRINTED])
    if len(printed) > PRINTED:
        yield f"{INDENT}| … and {len(printed) - PRINTED} more lines"


def of_the_answers(path: Path, answers: dict[str, str] | None) -> Iterator[str]:
    """A line for each answer in words that is still empty. None or {}: the file cannot be read."""
    for name, text in (answers or {}).items():
        if not text:
            yield f"{name} is still empty (your instructor reads it)"
    if not answers:
        yield f"{shown(path)}: the answers cannot be read"


def save_picture(exercise: Exercise, outcomes: list[Outcome], folder: Path) -> Path | None:
    """Draw the failed function's result beside the expected one, as a PNG. Returns its path.

    None if no function failed, or if the result has another shape and cannot be compared.
    """
    failed = next((outcome for outcome in outcomes if outcome.status == FAILED), None)
    if failed is None or failed.got is None or failed.got.shape != failed.expected.shape or failed.got.ndim == 0:
        return None
    from minixai.course.pictures import three_panels  # late: matplotlib takes long to import
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"exercise_{exercise.number}_{failed.name}.png"
    three_panels(failed).savefig(path)
    return path


def _wait_for_another(path, seen):
    """Wait until the file is saved again. An editor may remove the file for a moment, or write it in two pieces."""
    stamp = None
    while stamp in (seen, None) or stamp != _stamp(path):
        time.sleep(0.15)
        stamp = _stamp(path)
        time.sleep(0.05)


def _stamp(path):
    try:
        seen = path.stat()
        return seen.st_mtime_ns, seen.st_size
    except OSError:
        return None
