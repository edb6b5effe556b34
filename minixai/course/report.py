"""What `minixai check` prints and draws, once or whenever the file is saved."""
import time
from pathlib import Path

from minixai.course.check import FAILED, PASSED, WAITING, check
from minixai.course.exercises import find
from minixai.course.student import source_of
from minixai.course.worker import Stopped, Worker
from minixai.files import shown

INDENT = " " * 28
PRINTED = 20                # lines of what the student's own code printed


def main(number, path, watch=False, out="minixai-out"):
    """Check one file and print the report; with watch, again whenever it is saved. Exit code 0 if all is right.

    OSError or ValueError if the file cannot be read; with watch it is waited for.
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
    """One verdict, given up as soon as the file is saved again; whether all is right."""
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


def verdict(exercise, path, source, worker, out="minixai-out", stop=lambda: False):
    """Print everything about one file; whether all is right. The picture comes last: matplotlib takes its time."""
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
        print(f"see yours at work: minixai explain {exercise.see} --mine {shown(path)}", flush=True)
    if picture := save_picture(exercise, outcomes, Path(out)):
        print(f"picture: {shown(picture)}", flush=True)
    words = list(of_the_answers(path, worker.run(source, stop=stop).said.get("answers")))
    print("\n".join(words), flush=True)
    return done == len(outcomes) and (bool(exercise.tasks) or not words)


def said_of(outcome):
    """The lines about one function; its name has been printed before it ran."""
    yield {PASSED: "ok", WAITING: "waiting", FAILED: shown(outcome.sentence)}[outcome.status]
    yield from (f"{INDENT}{shown(line)}" for line in [*outcome.details, *outcome.hints])
    printed = outcome.printed.splitlines()
    if printed:
        yield f"{INDENT}it printed:"
        yield from (f"{INDENT}| {shown(line[:200])}" for line in printed[:PRINTED])
    if len(printed) > PRINTED:
        yield f"{INDENT}| … and {len(printed) - PRINTED} more lines"


def of_the_answers(path, answers):
    """A line for each answer in words that is still empty; nobody but a person can say more of them."""
    for name, text in (answers or {}).items():
        if not text:
            yield f"{name} is still empty: a person reads it"
    if not answers:
        yield f"{shown(path)}: no answers can be read"


def save_picture(exercise, outcomes, folder):
    """Expected, yours and the difference of the failing function, as a PNG; its path, or None where there is none."""
    failed = next((outcome for outcome in outcomes if outcome.status == FAILED), None)
    if failed is None or failed.got is None or failed.got.shape != failed.expected.shape or failed.got.ndim == 0:
        return None
    from minixai.course.pictures import three_panels  # late: matplotlib takes long to import
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"exercise_{exercise.number}_{failed.name}.png"
    three_panels(failed).savefig(path)
    return path


def _wait_for_another(path, seen):
    """Until the file has been saved again. An editor may take it away for a moment, or write it in two pieces."""
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
