"""Many submissions, each function in a process of its own, with limits, behind a fence, on passes that no student has
seen.

    submissions.py: who handed in what ─► worker.py: a process a function ─► compared here ─► results.py: the files

A function's hidden passes are its own: no input of one function is the answer of another. A run has a new folder with
its inputs and nothing else; nothing that a run writes is read for another. Neither the seed nor an expected value is in
its memory, its arguments, its environment or its folder.

What this does not protect against. On Linux with Landlock and seccomp, on x86_64 or arm64: a fault of the kernel; a
full disk (a run may write files of 16 MB without number, which go when it ends); memory and processors that runs share;
that a run asks which paths exist, and how large their files are; that it tells a few bits about its hidden passes by
the line and the kind of an error, or by which known mistake it makes; two equal files. Elsewhere it is no jail at all:
a submission can read, change and delete the files of the user who grades, use the network, and leave processes behind.
`grade` says so when it starts. Then use a container without a network.
"""
import hashlib
import os
import secrets
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from minixai.course import results, submissions
from minixai.course.check import FAILED, Outcome, try_function
from minixai.course.record import fixture
from minixai.course.worker import Limits, Worker
from minixai.files import shown

PASSES = 4                  # hidden ones, one image and a batch by turns
AT_ONCE = min(4, os.cpu_count() or 1)
LIMITS = Limits(seconds=20)     # twice the clock of `check`, since others run beside it; the same processor time
NO_FENCE = ("this system has no {0}: a submission can read, change and delete your files, use the network and leave "
            "processes behind. Grade people you know, or in a container without a network")


@dataclass
class Graded:
    """What came of one submission. outcomes: {function: Outcome}, empty if it was not graded; note: why, or what else
    there is to say; answers: {"PREDICTION": text, …}, empty if they cannot be read."""
    outcomes: dict = field(default_factory=dict)
    note: str = ""
    answers: dict = field(default_factory=dict)


def grade(exercise, folder, seed, out, say=print, limits=LIMITS):
    """Grade every submission of a folder. Writes OUT/NAME/results.json, junit.xml and details.txt, OUT/grades.csv and
    OUT/answers.md; without a seed, OUT/seed.txt too.

    seed: any whole number; it chooses the hidden passes, and the same one gives the same files. None draws one.
    Returns {name: Graded}. ValueError if the folder holds no submissions, OSError if OUT cannot be written. Stopped by
    Ctrl-C it writes what is graded so far.
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
        results.write(exercise, graded, out)            # no submission runs any more
        if seed is None:
            (out / results.SEED).write_text(f"{drawn}\n", encoding="utf-8")
    if elsewhere:
        say(f"left out, of other exercises: {', '.join(elsewhere)}")
    return graded


def each_graded(exercise, found, passes, limits):
    """(name, Graded) of each submission, in order; several run at once. When this is closed, none runs any more."""
    stop, pool = threading.Event(), ThreadPoolExecutor(AT_ONCE)
    try:
        runs = {name: pool.submit(grade_one, exercise, one, passes, limits, stop.is_set) for name, one in found.items()}
        for name, run in runs.items():
            yield name, result_of(run)
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


def warn_without_fence(say):
    """One line if submissions will run without a fence."""
    with Worker() as worker:
        missing = worker.run(b"").said.get("missing", ["fence"])
    if missing:
        say(f"note: {NO_FENCE.format(' and no '.join(missing))}")


@contextmanager
def one_thread():
    """Small networks are no work for several threads: on a busy machine these wait for each other, 40 times as long."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def hidden_passes(exercise, task, seed):
    """[(about, arrays)] for one function: one image, then a batch, and so on."""
    alone = replace(exercise, tasks=(task,))
    return [fixture(alone, number) for number in hidden_numbers(task, seed)]


def hidden_numbers(task, seed):
    """The numbers of a function's hidden passes. None is a public one; those of one seed tell nothing of another's."""
    digests = (hashlib.sha256(f"{seed} {task.path} {number}".encode()).digest() for number in range(PASSES))
    return [2 * (2 + int.from_bytes(digest[:6], "big")) + (number + 1) % 2 for number, digest in enumerate(digests)]


def grade_one(exercise, submission, passes, limits, stop):
    """One submission, in a worker that no other one gets: Graded."""
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
                stopped = outcome.message, outcome.more     # the file itself: no function of it can be run
    return graded


def answers_of(answers):
    """The answers in words, if that is what they are."""
    return {name: text for name, text in answers.items() if isinstance(text, str)} if isinstance(answers, dict) else {}


def result_of(run):
    """What a thread found; an error of ours costs this submission its row, and no other."""
    try:
        return run.result()
    except Exception as problem:
        return Graded(note=shown(f"could not be graded: {type(problem).__name__}: {problem}")[:300])
