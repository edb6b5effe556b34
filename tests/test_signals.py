"""The command when it is stopped or cannot write: one line, the right exit code, no traceback, no unfinished file."""
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from minixai import images

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name == "nt", reason="signals and /dev/full are POSIX's")]

CAT = images.PHOTOS / "cat.png"
OURS = """
import sys
from minixai import __main__ as program
catch_signals = program._catch_signals
program._catch_signals = lambda: (catch_signals(), print("begun", flush=True))
sys.exit(program.main())"""


def start(*arguments, code=OURS, **options):
    """The command in a process of its own, as the installed script runs it; it says "begun" where main begins."""
    process = subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parent.parent, **options)
    assert process.stdout.readline() == "begun\n"
    return process


def ended(process):
    _, error = process.communicate(timeout=120)
    return process.returncode, error


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_it_can_be_stopped_at_any_moment(tmp_path, number, code):
    began = time.monotonic()
    assert ended(start("explain", CAT, "--out", tmp_path / "whole"))[0] == 0
    takes = time.monotonic() - began
    for part in range(7):       # from where our code begins, through torch's import, to where it is nearly done
        out = tmp_path / str(part)
        process = start("explain", CAT, "--out", out)
        time.sleep(takes * part / 7)
        process.send_signal(number)
        exit_code, error = ended(process)
        if (exit_code, error) != (code, "minixai: stopped\n"):
            assert exit_code in (0, -signal.SIGTERM) and error == "", (part, error)     # it came after the work,
            assert len(list(out.iterdir())) == 2                                        # which is done
        assert not list(out.glob("*.part"))


def test_a_second_ctrl_c_ends_it_at_once(tmp_path):
    """While the first one is being answered: here, in a `finally` that takes long."""
    code = f"""
import sys, time
from minixai.cli import single
def explain_file(options):
    try:
        print("begun", flush=True)
        time.sleep(60)
    finally:
        print("cleaning up", flush=True)
        time.sleep(60)
single.explain_file = explain_file
sys.argv[1:] = ["explain", {str(CAT)!r}]
from minixai.__main__ import main
sys.exit(main())"""
    process = start(code=code)
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "cleaning up\n"
    process.send_signal(signal.SIGINT)
    exit_code, error = ended(process)
    assert exit_code in (130, -signal.SIGINT) and error == ""


@pytest.mark.parametrize("where", ["raise", "in a destructor", "while importing"])
def test_libraries_cannot_swallow_it(where, tmp_path):
    """Many catch all that is raised while they import something, and Python itself what a destructor raises."""
    (tmp_path / "careless.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nimport string\n")
    doings = {"raise": "os.kill(os.getpid(), signal.SIGINT)",
              "in a destructor": "type('T', (), {'__del__': lambda _: os.kill(os.getpid(), signal.SIGINT)})()",
              "while importing": "\n    try:\n        import careless\n    except BaseException:\n        pass"}
    code = f"""
import os, signal, sys
from minixai.networks import registry
def describe():
    {doings[where]}
    return "went on"
registry.describe = describe
sys.path.append({str(tmp_path)!r})
sys.argv[1:] = ["models"]
print("begun", flush=True)
from minixai.__main__ import main
sys.exit(main())"""
    process = start(code=code)
    assert ended(process) == (130, "minixai: stopped\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", [["--help"], ["explain", "--help"], ["start"]], ids=" ".join)
def test_a_full_disk_is_one_line_and_a_closed_pipe_is_none(arguments, unbuffered):
    command = [sys.executable, "-m", "minixai", *arguments]
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, env=environment)
    assert done.returncode == 2 and done.stderr == "minixai: [Errno 28] No space left on device\n"
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, env=environment)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("environment", [
    {"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "latin-1"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}], ids=str)
@pytest.mark.parametrize("arguments", [["explain", "--help"], ["start"]], ids=" ".join)
def test_every_encoding_can_print_it(arguments, environment):
    done = subprocess.run([sys.executable, "-m", "minixai", *arguments], capture_output=True,
                          env={**os.environ, **environment})
    assert (done.returncode, done.stderr) == (0, b"") and done.stdout
