"""How the command ends: exit codes, messages, signals, streams that cannot be written. In this process, with one
command that does what each test wants; test_signals.py stops real ones.
"""
import errno
import io
import os
import signal
import stat
import sys
import time
import warnings

import pytest

from minixai.__main__ import main
from minixai.networks import registry

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the signals are POSIX's")


@pytest.fixture
def doing(monkeypatch):
    """doing(function) makes `minixai models` print what the function returns."""
    return lambda function: monkeypatch.setattr(registry, "describe", function)


@pytest.fixture
def program(monkeypatch):
    """main, as the installed command calls it. What it changes in this process is put back."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    monkeypatch.setattr(sys, "argv", ["minixai", "models"])
    yield main
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def exits(monkeypatch):
    """The codes that the process would have ended with at once."""
    codes = []
    monkeypatch.setattr(os, "_exit", codes.append)
    return codes


def raising(error):
    def describe():
        raise error
    return describe


def send(number):
    os.kill(os.getpid(), number)
    time.sleep(1)       # the signal comes while this runs


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_program_in_one_line(number, code, program, doing, capsys):
    second = []

    def describe():
        try:
            send(number)
        finally:
            second.append(signal.getsignal(number))

    doing(describe)
    assert program() == code and capsys.readouterr() == ("", "minixai: stopped\n")
    assert second == [signal.SIG_DFL]           # a second signal ends the process at once
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_called_by_another_program_it_leaves_the_signals_alone(doing, capsys):
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM), sys.unraisablehook
    doing(raising(KeyboardInterrupt()))
    assert main(["models"]) == 130 and capsys.readouterr() == ("", "minixai: stopped\n")
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM), sys.unraisablehook) == handlers


def test_a_signal_during_an_import_ends_it_at_once(program, doing, exits, capsys, tmp_path, monkeypatch):
    """Many libraries catch every exception there, and go on without the module."""
    (tmp_path / "careless.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nimport string\n")
    monkeypatch.syspath_prepend(tmp_path)

    def describe():
        try:
            import careless  # noqa: F401
        except BaseException:
            return "went on"

    doing(describe)
    program()
    assert exits == [130] and capsys.readouterr().err == "minixai: stopped\n"


def test_a_signal_in_a_destructor_ends_it_too_and_other_errors_there_do_not(program, doing, exits, capsys):
    class Careless:
        def __init__(self, doing):
            self.doing = doing

        def __del__(self):
            self.doing()

    def describe():
        Careless(lambda: 1 / 0)
        Careless(lambda: send(signal.SIGINT))
        return "went on"

    doing(describe)
    assert program() == 0
    said = capsys.readouterr().err
    assert exits == [130] and "ZeroDivisionError" in said and said.count("minixai: stopped\n") == 1


def test_a_reader_that_has_read_enough_is_no_error(doing, capsys):
    doing(raising(BrokenPipeError()))
    assert main(["models"]) == 141 and capsys.readouterr().err == ""


def test_a_warning_is_a_note_of_one_line(doing, capsys):
    def describe():
        warnings.warn("one\nand two", stacklevel=1)
        return "the networks"

    doing(describe)
    assert main(["models"]) == 0 and capsys.readouterr() == ("the networks\n", "note: one\\nand two\n")


def test_a_terminal_that_knows_only_ascii_gets_escapes(doing, monkeypatch):
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="ascii") for _ in range(2))
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    doing(lambda: "more …")
    assert main(["models"]) == 0 and out.buffer.getvalue() == b"more \\u2026\n"
    doing(raising(ValueError("less …")))
    assert main(["models"]) == 2 and err.buffer.getvalue() == b"minixai: less \\u2026\n"


class Full(io.StringIO):
    """A file on a full disk."""

    def __init__(self, path):
        super().__init__()
        self.number = os.open(path, os.O_RDWR | os.O_CREAT)

    def fileno(self):
        return self.number

    def flush(self):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_found_out_at_the_end_and_python_does_not_write_again(tmp_path, doing, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", full := Full(tmp_path / "full"))
    doing(lambda: "the networks")
    assert main(["models"]) == 2
    assert capsys.readouterr().err == "minixai: [Errno 28] No space left on device\n"
    assert stat.S_ISCHR(os.fstat(full.number).st_mode)          # it goes to /dev/null now
    os.close(full.number)


def test_if_nobody_can_be_told_the_exit_code_tells(doing, monkeypatch):
    class Closed(io.StringIO):
        def write(self, text):
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(sys, "stderr", Closed())
    doing(raising(ValueError("nobody reads this")))
    assert main(["models"]) == 2


def test_without_any_stream_it_works_too(doing, monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    doing(lambda: "the networks")
    assert main(["models"]) == 0


def test_a_program_that_calls_main_keeps_its_own_warnings(doing, capsys):
    own = warnings.showwarning
    doing(lambda: warnings.warn("odd", stacklevel=1) or "")
    assert main(["models"]) == 0 and warnings.showwarning is own
    assert capsys.readouterr().err == "note: odd\n"
