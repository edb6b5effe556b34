"""The lines on stderr for work that takes long, on a terminal and in a file."""
import io
import re
import sys

import pytest

from minixai import progress
from minixai.progress import Progress, watched


class Stream(io.StringIO):
    """A terminal, or a file."""

    def __init__(self, terminal):
        super().__init__()
        self.terminal, self.flushed = terminal, 0

    def flush(self):
        self.flushed = len(self.getvalue())

    def isatty(self):
        return self.terminal

    def screen(self):
        """What a person sees at last: a return goes back to the start of the line, and what comes overwrites."""
        text, lines = self.getvalue(), []
        for line in text[:max(self.flushed, text.rfind("\n") + 1)].split("\n"):     # the rest is in a buffer
            seen = ""
            for part in line.split("\r"):
                seen = part + seen[len(part):]
            lines.append(seen.rstrip())
        return lines


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is set."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture(params=[True, False], ids=["terminal", "file"])
def stderr(request, monkeypatch):
    stream = Stream(request.param)
    monkeypatch.setattr(sys, "stderr", stream)
    return stream


def test_on_a_terminal_one_line_is_written_over_and_removed(clock, monkeypatch):
    monkeypatch.setattr(sys, "stderr", stderr := Stream(True))
    line = Progress(1000)
    for _ in range(600):
        clock[0] += 0.1
        line.advance()
    assert stderr.screen()[-1].endswith("of 1000, 10.0 a second, 40 s left")
    assert 90 <= stderr.getvalue().count("of 1000") <= 120     # twice a second, for 60 seconds
    assert len(stderr.screen()) == 1
    line.wipe()
    assert stderr.screen() == [""]


def test_in_a_file_there_is_a_line_now_and_then(clock, monkeypatch):
    monkeypatch.setattr(sys, "stderr", stderr := Stream(False))
    line = Progress(1000)
    for _ in range(700):
        clock[0] += 0.1
        line.advance()
    line.wipe()
    assert stderr.getvalue() == "301 of 1000, 10.0 a second, 1 min 10 s left\n602 of 1000, 10.0 a second, 40 s left\n"


def test_what_is_done_quickly_says_nothing(clock, stderr):
    line = Progress(3)
    for _ in range(3):
        line.advance()
    assert stderr.getvalue() == ""


def test_other_lines_stand_alone(clock, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stderr", stderr := Stream(True))
    line = Progress(10)
    clock[0] += 1
    line.advance()
    assert "1 of 10" in stderr.screen()[-1]
    line.say("cat.png: a cat")
    line.say("minixai: bad.png", stderr)
    assert capsys.readouterr().out == "cat.png: a cat\n" and stderr.screen() == ["minixai: bad.png", ""]


@pytest.mark.parametrize("total, done, skipped, seconds, line", [
    (500, 120, 0, 6, "120 of 500, 20.0 a second, 19 s left"),
    (500, 120, 100, 2, "120 of 500, 10.0 a second, 38 s left"),
    (500, 100, 100, 2, "100 of 500"),
    (500, 2, 0, 1, "2 of 500, 2.0 a second, 4 min 9 s left"),
    (9000, 2, 0, 1, "2 of 9000, 2.0 a second, 1 h 14 min left"),
    (61, 1, 0, 1, "1 of 61, 1.0 a second, 1 min 0 s left"),
    (60, 1, 0, 1, "1 of 60, 1.0 a second, 59 s left"),
    (7202, 2, 0, 1, "2 of 7202, 2.0 a second, 1 h 0 min left")])
def test_the_line_says_how_far_how_fast_and_how_long(total, done, skipped, seconds, line, clock, monkeypatch):
    monkeypatch.setattr(sys, "stderr", stderr := Stream(True))
    progress_line = Progress(total)
    for number in range(done):
        if number == done - 1:
            clock[0] += seconds
        progress_line.advance(skipped=number < skipped)
    assert stderr.screen() == [line]


def test_without_stderr_it_works_too(clock, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stderr", None)
    line = Progress(3)
    clock[0] += 99
    line.advance()
    line.wipe()
    assert "1 of 3" not in capsys.readouterr().out


def test_watched_says_which_part_it_is_after_two_seconds_and_removes_the_line(clock, monkeypatch):
    monkeypatch.setattr(sys, "stderr", stderr := Stream(True))
    seen, screens = [], []
    for part in watched(range(20), "scorecam"):
        seen.append(part)
        screens += stderr.screen()
        clock[0] += 0.25
    assert seen == list(range(20)) and stderr.screen() == [""]
    assert re.findall(r"\rscorecam: part (\d+)", stderr.getvalue()) == ["9", "12", "15", "18"]     # each half second
    assert screens[8] == "" and screens[9] == "scorecam: part 9" and screens[-1] == "scorecam: part 18"


def test_watched_says_nothing_of_what_is_done_quickly(clock, stderr):
    assert list(watched("abc", "any")) == ["a", "b", "c"] and stderr.getvalue() == ""
