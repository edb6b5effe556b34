"""`minixai explain` for several images: an overlay and a record of each, and a page of all.

    open and preprocess (threads) ─► explain in batches ─► draw and save (threads) ─► print, count

Only a few images are in memory at a time, however many there are. One that cannot be used stops none of the others.
"""
import os
import sys
import warnings
from argparse import Namespace
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from minixai.cli.image_files import ImageFiles, Job
from minixai.cli.index_page import OVERLAY, page
from minixai.cli.pictures import save
from minixai.cli.question import Question, model_and_method
from minixai.cli.record import asked_json, card_of
from minixai.files import alone_in, one_line, shown, why
from minixai.images import ImageError, endings
from minixai.progress import Progress

BATCH = {"cpu": 4, "cuda": 16}      # images explained at once; on a CPU more are no faster
RECORDED = 256 << 20                # bytes recorded of one batch; the attention of 1025 tokens takes 300 MB
SAME_REASON = 3                     # images that are refused alike before the question is to blame
OF_AN_IMAGE = (ValueError, OSError, MemoryError, RuntimeError)      # what may be wrong with one image
OF_NO_IMAGE = (BrokenPipeError, NotImplementedError)                # nobody reads on; a stage is not written yet


def explain_folder(options: Namespace) -> int:
    """Every image named, and every one in a folder named. Returns 0 if all were explained, 1 if some were, 2 if none.

    OSError if --out takes no files or another run writes there. ValueError if an option does not fit.
    """
    paths, problems = image_paths(options.images)
    for problem in problems:
        print(f"minixai: {problem}", file=sys.stderr)
    if not paths:
        return 2
    with alone_in(options.out):
        run = FolderRun(Question(options, *model_and_method(options)), options)
        run.explain(paths)
        return run.finish(len(paths), problems)


def image_paths(named: list[Path]) -> tuple[list[Path], list[str]]:
    """(images, problems): the files named and those in folders named; a line for each folder that gives none."""
    images, problems = [], []
    for path in named:
        try:
            images += _images_in(path) if os.path.isdir(path) else [path]
        except OSError as error:
            problems.append(str(one_line(path, error)))
        except ImageError as error:
            problems.append(str(error))
    return images, problems


def _images_in(folder):
    known = endings()
    if inside := sorted(file for file in folder.iterdir() if file.suffix.lower() in known):
        return inside
    raise ImageError(f"{shown(folder)}: no images in this folder")


class FolderRun:
    """A question asked of many images. Threads open photos and save pictures; all else is done in the main thread."""

    def __init__(self, question: Question, options: Namespace):
        self.question, self.out, self.resume = question, options.out, options.resume
        self.files = ImageFiles(question, options.out, options.stages)
        self.cards = {}             # place among all -> Card
        self.before = 0             # how many of them an earlier run explained
        self.failed = []            # a line each
        self.refused = []           # the reasons why images were refused, as long as none was explained
        self.batch = 1              # until it is known how much is recorded of one image
        # torch gets one thread in each of these, and half of the cores in the main thread: a computation of several
        # threads waits for the last of them, which would wait for a core.
        self.pool = ThreadPoolExecutor(min(8, os.cpu_count() or 1), initializer=torch.set_num_threads, initargs=(1,))

    def explain(self, paths: list[Path]) -> None:
        """Explain all images. Raises only what no single image is to blame for."""
        self.progress = Progress(len(paths))
        threads = torch.get_num_threads()
        torch.set_num_threads(max(1, threads // 2))
        with warnings.catch_warnings():
            # Set once for all threads: those that open photos at the same time change and restore the same filters.
            warnings.filterwarnings("ignore", module=r"PIL\.")
            warnings.showwarning = lambda message, *_: self.progress.say(f"note: {shown(message)}", sys.stderr)
            try:
                self._explain(self._jobs(paths))
            finally:
                self.pool.shutdown(cancel_futures=True)
                torch.set_num_threads(threads)
                self.progress.wipe()

    def finish(self, total: int, problems: list[str]) -> int:
        """Write the page and say how it went. problems: what was wrong before any image was opened.

        Returns the exit code.
        """
        total, failed = total + len(problems), problems + self.failed
        if not self.cards:
            print(f"0 of {total} explained")
            return 2
        text = page(self.question.title(), [self.cards[number] for number in sorted(self.cards)], failed)
        index = save(self.out / "index.html", lambda file: file.write(text.encode()))
        before = f" ({self.before} by an earlier run)" if self.before else ""
        print(f"{len(self.cards)} of {total} explained{before}, all on one page: {shown(index)}")
        return 0 if len(self.cards) == total else 1

    def _explain(self, jobs):
        saving = deque()
        for batch in self._batches(jobs):
            for job, opened, result, index in self._explained(batch):
                for drawn in self._tried(job, self.files.draw, job, opened, result, index):
                    saving.append((job, self.pool.submit(self.files.save, job, *drawn)))
            while len(saving) > 2 * self.batch:
                self._saved(*saving.popleft())
        while saving:
            self._saved(*saving.popleft())

    def _jobs(self, paths):
        """What is to be explained. What an earlier run explained gets its card at once."""
        asked = self.question.asked()
        for number, path in enumerate(paths):
            name, record = self.files.place(path)
            try:
                job = Job(number, path, name, asked_json(asked, path))
            except OSError as error:
                self._fail(path, one_line(path, error))
                continue
            if self.resume and record and record["asked"] == job.asked and self.files.all_there(name):
                self.before += 1
                self._add_card(job, record, skipped=True)
            else:
                yield job

    def _batches(self, jobs):
        """Lists of (Job, Opened), of self.batch each. Meanwhile the next photos are being opened."""
        batch = []
        for job, opening in self._opening(jobs):
            batch += [(job, opened) for opened in self._tried(job, opening.result)]
            if len(batch) >= self.batch:
                yield batch
                batch = []
        if batch:
            yield batch

    def _opening(self, jobs):
        """(Job, future Opened), so many ahead that two batches are being opened."""
        ahead = deque()
        for job in jobs:
            ahead.append((job, self.pool.submit(self.files.open, job.path)))
            if len(ahead) > 2 * self.batch:
                yield ahead.popleft()
        while ahead:
            yield ahead.popleft()

    def _explained(self, batch):
        """(Job, Opened, Explanation, index in it) of each image. If the batch fails, its images are tried singly."""
        try:
            result = self.question.explain(torch.cat([opened.image for _, opened in batch]))
        except OF_NO_IMAGE:
            raise
        except OF_AN_IMAGE as error:
            if len(batch) > 1:
                for one in batch:
                    yield from self._explained([one])
            else:
                self._refuse(batch[0][0], error)
            return
        self.refused = None
        self.batch = self._room(result)
        yield from ((job, opened, result, index) for index, (job, opened) in enumerate(batch))

    def _room(self, result):
        """How many images may be explained at once."""
        recorded = sum(value.nbytes for value in vars(result.trace).values() if isinstance(value, torch.Tensor))
        return max(1, min(BATCH[self.question.device], RECORDED * len(result.target) // recorded))

    def _refuse(self, job, error):
        """Report an image that cannot be explained. Raise the error if the first images all fail with it."""
        if self.refused is not None:
            self.refused.append(str(error))
            if self.refused == [str(error)] * SAME_REASON:
                raise error
        self._fail(job.path, error)

    def _tried(self, job, function, *arguments):
        """[what the function returns], or [] if it fails by a fault of this image, which is then reported."""
        try:
            return [function(*arguments)]
        except OF_NO_IMAGE:
            raise
        except OF_AN_IMAGE as error:
            self._fail(job.path, error)
            return []

    def _saved(self, job, saving):
        for record in self._tried(job, saving.result):
            self._add_card(job, record)

    def _add_card(self, job, record, skipped=False):
        card = card_of(record, job.name, job.path, self.files.further(job.name))
        self.cards[job.number] = card
        if not skipped:
            self.progress.say(f"{card.photo}: {card.label} {card.score} -> {shown(OVERLAY.format(job.name))}")
        self.progress.advance(skipped)

    def _fail(self, path, error):
        """Report what went wrong with one image, in one line that begins with its name."""
        reason = "there is not enough memory" if isinstance(error, MemoryError) else why(error)
        named = isinstance(error, ImageError) or reason.startswith(shown(path))
        line = reason if named else f"{shown(path)}: {reason}"
        self.failed.append(line)
        self.progress.say(f"minixai: {line}", sys.stderr)
        self.progress.advance()
