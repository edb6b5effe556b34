"""A line on stderr for work that takes longer than a person waits without one."""
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TextIO

PATIENCE = 2.0      # seconds
PAUSE = 0.5         # seconds between two lines on a terminal
LONG_PAUSE = 30.0   # seconds between two lines in a file or a log, which keeps every one of them


def watched(parts: Iterable, what: str) -> Iterator:
    """Go through the parts. After two seconds, say on stderr which part it is; remove the line at the end."""
    began = last = time.monotonic()
    shown = ""
    for number, part in enumerate(parts):
        yield part
        now = time.monotonic()
        if now - began > PATIENCE and now - last > PAUSE:
            shown, last = f"{what}: part {number + 1}", now
            print(f"\r{shown}", end="", file=sys.stderr, flush=True)
    if shown:
        _wipe(shown)


class Progress:
    """How many of `total` are done, how many a second, and the time left, on stderr.

    On a terminal it is one line that is written over. Elsewhere it is a new line every 30 seconds.
    """

    def __init__(self, total: int):
        self.total = total
        self.done = self.skipped = 0
        self.began = self.last = time.monotonic()
        self.on_terminal = sys.stderr is not None and sys.stderr.isatty()
        self.pause = PAUSE if self.on_terminal else LONG_PAUSE
        self.shown = ""

    def advance(self, skipped: bool = False) -> None:
        """One more is done. skipped: it took no work, so it says nothing about the time left."""
        self.done += 1
        self.skipped += skipped
        now = time.monotonic()
        if now - self.last > self.pause and sys.stderr is not None:
            self.last = now
            self._show(self._line(now - self.began))

    def _show(self, line):
        if self.on_terminal:
            self.wipe()
            self.shown = line
        print(line, end="" if self.on_terminal else "\n", file=sys.stderr, flush=True)

    def _line(self, seconds):
        rate = (self.done - self.skipped) / seconds
        left = f", {rate:.1f} a second, {_duration((self.total - self.done) / rate)} left" if rate else ""
        return f"{self.done} of {self.total}{left}"

    def say(self, line: str, file: TextIO | None = None) -> None:
        """Print a line of its own, on stdout or to `file`, where the progress line was."""
        self.wipe()
        print(line, file=file)

    def wipe(self) -> None:
        """Remove the line from the terminal."""
        if self.shown:
            _wipe(self.shown)
        self.shown = ""


def _wipe(line):
    print("\r" + " " * len(line) + "\r", end="", file=sys.stderr, flush=True)


def _duration(seconds):
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
