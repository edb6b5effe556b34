"""Grade many submissions on hidden passes. Each function runs in a process of its own, with limits and inside a fence.

    submissions.py: find the files ─► worker.py: run each function ─► check.py: compare ─► results.py: write the files

Each function has hidden passes of its own, so the input of one function is never the answer of another. Each run gets a
new folder with its inputs only. A later run never reads what an earlier run wrote. The seed and the expected values are
not in the memory, arguments, environment or folder of a run.

INSTRUCTOR.md lists what this does not protect against. Without Landlock and seccomp (not Linux, or an old kernel) a
submission can do whatever the user who grades can do. `grade` warns of this when it starts.
"""
import hashlib
import os
import secrets
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from minixai.course import results, submissions
from minixai.course.check import FAILED, Outcome, try_function
from minixai.course.exercises import Exercise, Task
from minixai.course.fixtures import Fixture
from minixai.course.record import fixture
from minixai.course.submissions import Submission
from minixai.course.worker import Limits, Worker
from minixai.files import shown

PASSES = 4                  # hidden passes of a function: one image and a batch in turn
AT_ONCE = min(4, os.cpu_count() or 1)
LIMITS = Limits(seconds=20)     # twice as long as in `check`, since several runs share the processors
NO_FENCE = ("this system has no {0}: a submission can read, change and delete your files, use the network and leave "
            "processes running. Grade only people whom you trust, or use a container without a network")


@dataclass
class Graded:
    """The result for one submission.

    outcomes: {function: Outcome}, empty if it was not graded. note: why it was not graded, or another remark.
    answers: {"PREDICTION": text, …}, empty if they cannot be read.
    """
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    note: str = ""
    answers: dict[str, str] = field(default_factory=dict)


def grade(exercise: Exercise, folder: str | Path, seed: int | None, out: str | Path,
          say: Callable[[str], None] = print, limits: Limits = LIMITS) -> dict[str, Graded]:
    """Grade every submission in a folder: {name: Graded}.

    Writes out/NAME/results.json, junit.xml and details.txt, out/grades.csv and out/answers.md.
    seed: any whole number. It decides the hidden passes, and the same seed gives the same files. None draws a seed and
    writes it to out/seed.txt. say: is called with each line about the progress.
    ValueError if the folder holds no submissions, OSError if `out` cannot be written. After Ctrl-C the results so far
    are written.
    """
    folder, out = Path(folder), Path(out)
    found, elsewhere = submissions.find_all(exercise, folder, out)
    results.make(out)
    warn_without_fence(say)
    drawn = secrets.randbelow(10**12) if seed is None else int(seed)
    with one_thread():
        passes = {task.name: hidden_passes(exercise, task, drawn) for task in exercise.tasks}
    graded = {name: Graded(note="not graded: grading was stopped") for name in found}
    try:
        with closing(each_graded(exercise, found, passes, limits)) as each:
            for number, (name, one) in enumerate(each, start=1):
                graded[name] = one
                say(f"{number}/{len(found)} {name}: {results.summary(exercise, one)}")
    finally:
        results.write(exercise, graded, out)            # after the last run has ended
        if seed is None:
            (out / results.SEED).write_text(f"{drawn}\n", encoding="utf-8")
    if elsewhere:
        say(f"left out, files of other exercises: {', '.join(elsewhere)}")
    return graded


def each_graded(exercise: Exercise, found: dict[str, Submission], passes: dict[str, list[Fixture]],
                limits: Limits) -> Iterator[tuple[str, Graded]]:
    """(name, Graded) of each submission, in order. Several run at once. Closing the generator ends all runs."""
    stop, pool = threading.Event(), ThreadPoolExecutor(AT_ONCE)
    try:
        runs = {name: pool.submit(grade_one, exercise, one, passes, limits, stop.is_set) for name, one in found.items()}
        for name, run in runs.items():
            yield name, result_of(run)
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


def warn_without_fence(say: Callable[[str], None]) -> None:
    """Say so if submissions will run without a fence."""
    with Worker() as worker:
        missing = worker.run(b"").said.get("missing", ["fence"])
    if missing:
        say(f"note: {NO_FENCE.format(' and no '.join(missing))}")


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread. On a busy machine, several threads make small networks up to 40 times slower."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def hidden_passes(exercise: Exercise, task: Task, seed: int) -> list[Fixture]:
    """The hidden passes for one function: one image, then a batch, and so on."""
    alone = replace(exercise, tasks=(task,))
    return [fixture(alone, number) for number in hidden_numbers(task, seed)]


def hidden_numbers(task: Task, seed: int) -> list[int]:
    """The seeds of a function's hidden passes. They are never those of the public passes.

    They come from a hash, so they give no information about the passes of another seed or function.
    """
    digests = (hashlib.sha256(f"{seed} {task.path} {number}".encode()).digest() for number in range(PASSES))
    return [2 * (2 + int.from_bytes(digest[:6], "big")) + (number + 1) % 2 for number, digest in enumerate(digests)]


def grade_one(exercise: Exercise, submission: Submission, passes: dict[str, list[Fixture]], limits: Limits,
              stop: Callable[[], bool]) -> Graded:
    """Grade one submission, with a worker of its own."""
    if submission.problem:
        return Graded(note=f"not graded: {submission.problem}")
    outcomes = {task.name: Outcome(task.name) for task in exercise.tasks}
    with Worker(limits) as worker:
        said = worker.run(submission.source, stop=stop).said
        graded = Graded(outcomes, submission.note, answers_of(said.get("answers")))
        stopped = None
        for name, outcome in outcomes.items():
            if stopped:
                outcome.status, (outcome.message, outcome.more) = FAILED, stopped
            elif not try_function(outcome, submission.source, passes[name], worker, stop):
                stopped = outcome.message, outcome.more     # the file cannot be loaded, so no function can run
    return graded


def answers_of(answers: Any) -> dict[str, str]:
    """The answers in words of a runner's report, which may be forged: only texts are kept."""
    return {name: text for name, text in answers.items() if isinstance(text, str)} if isinstance(answers, dict) else {}


def result_of(run: Future) -> Graded:
    """The result of a thread. If it raised an error, only this submission is not graded."""
    try:
        return run.result()
    except Exception as problem:
        return Graded(note=shown(f"could not be graded: {type(problem).__name__}: {problem}")[:300])
