"""What `minixai check` prints and draws, once or whenever the file is saved."""
import time
from pathlib import Path

from minixai.course.check import FAILED, PASSED, WAITING, check
from minixai.course.exercises import find
from minixai.course.student import answers_in

INDENT = " " * 34


def main(number, path, watch=False, out="minixai-out"):
    """Check one file and print the report; with watch, again whenever it is saved. Exit code 0 if all is right."""
    exercise, path = find(number), Path(path)
    while True:
        seen = _stamp(path)
        if verdict(exercise, path, out):
            return 0
        if not watch:
            return 1
        _wait_for_another(path, seen)
        print()


def verdict(exercise, path, out="minixai-out"):
    """Print everything about one file; whether all is right. The picture comes last: matplotlib takes its time."""
    outcomes = check(exercise, path)
    print("\n".join(report(exercise, outcomes, path)), flush=True)
    if picture := save_picture(exercise, outcomes, Path(out)):
        print(f"picture: {picture}", flush=True)
    words = list(of_the_answers(exercise, path))
    print("\n".join(words), flush=True)
    return all(outcome.status == PASSED for outcome in outcomes) and (bool(exercise.tasks) or not words)


def report(exercise, outcomes, path):
    """The lines that a student reads about the functions."""
    yield f"exercise {exercise.number}: {exercise.title}"
    for outcome in outcomes:
        sign = {PASSED: "ok  ", FAILED: "here", WAITING: "    "}[outcome.status]
        yield f"  {sign}  {outcome.name:26s}{outcome.message or outcome.status}"
        yield from (f"{INDENT}{line}" for line in outcome.details)
    done = sum(outcome.status == PASSED for outcome in outcomes)
    if outcomes:
        yield f"{done} of {len(outcomes)} right"
    if exercise.see and done == len(outcomes):
        yield f"see yours at work: minixai explain {exercise.see} --mine {path}"


def of_the_answers(exercise, path):
    """A line for each answer in words that is still empty; nobody but a person can say more of them."""
    try:
        answers = answers_in(path)
    except (OSError, ValueError, SyntaxError):
        answers = {}
    for name, text in answers.items():
        if not text:
            yield f"{name} is still empty: a person reads it"
    if not answers:
        yield f"{path}: no answers can be read"


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
