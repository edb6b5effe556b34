"""Run a student's functions in another process: start runner.py, send it runs, and read the results.

    with Worker() as worker:
        run = worker.run(source, "rectify", inputs)     # in a new folder, which is removed when this returns

The results may be forged by the student's code, so everything is checked while it is read. A run that takes too long,
or is no longer wanted, is killed together with every process that it started.
"""
import json
import os
import queue
import signal
import stat
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import IO

import numpy as np

RUNNER = Path(__file__).with_name("runner.py")
MEMORY = 2 * 2**30          # bytes that a run may take on top of torch
FILE_SIZE = 2**24           # bytes of any one file that a run writes, printed output included
LARGEST_REPORT = 2**18      # bytes
LARGEST_ARRAY = 2**22 + 4096
SHOWN = 4000                # characters of printed output
PATIENCE = 120              # seconds for `import torch`, which is slow on a cold disk
# Environment variables that a run gets: to find libraries, and to choose the processor's instructions.
KEPT = ("PATH", "SYSTEMROOT", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH",
        "ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS")
TOO_LONG = "it printed or wrote too much", ""
# Files and folders of the system that a run may read.
SYSTEM = ("/usr/lib", "/usr/lib64", "/lib", "/lib64", "/usr/local/lib", "/usr/share", "/etc/ld.so.cache", "/etc/fonts",
          "/etc/localtime", "/etc/mime.types", "/proc/cpuinfo", "/sys/devices/system/cpu")


@dataclass(frozen=True)
class Limits:
    """The time that one run may take. The slowest solution takes some milliseconds."""
    seconds: float = 10             # of the clock
    processor_seconds: int = 10


@dataclass
class Run:
    """The result of one run.

    said: the runner's report; only its size is checked, so it may hold any JSON. arrays: the result for each pass, or
    None. ending: (message, more) if the process was killed or crashed, else None. loaded: whether the student's file
    itself ran to its end.
    """
    said: dict = field(default_factory=dict)
    arrays: list[np.ndarray | None] = field(default_factory=list)
    printed: str = ""
    ending: tuple[str, str] | None = None
    loaded: bool = True


class Stopped(Exception):
    """The run was ended because `stop()` became true."""


class Worker:
    """Runs one function after the other. Two students' files must never share one worker.

    On Linux runner.py forks, and one process serves all runs. On other systems every run takes a new process.
    """

    def __init__(self, limits: Limits = Limits()):
        self.limits = limits
        self.process = Process()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.end()

    def run(self, source: bytes, function: str = "", inputs: dict[str, np.ndarray] | None = None, passes: int = 0,
            of_numpy: bool = False, stop: Callable[[], bool] = lambda: False, file: str = "exercise.py") -> Run:
        """Run one function of a file on every pass. Without a function the file is only read.

        source: the file's bytes; file: its name in messages. inputs: {"0/parameter": array}, "0" being the pass.
        of_numpy: whether the function gets arrays, and not tensors.
        Raises Stopped as soon as `stop()` is true, and OSError if the process cannot be started.
        """
        self.process.wait_until_ready(stop)
        with tempfile.TemporaryDirectory(prefix="minixai-", ignore_cleanup_errors=True) as folder:
            folder = Path(folder).resolve()
            (folder / file).write_bytes(source)
            if inputs:
                np.savez(folder / "inputs.npz", **inputs)
            self.process.write({
                "folder": str(folder), "file": file, "function": function, "passes": passes, "of_numpy": of_numpy,
                "limits": {"seconds": self.limits.processor_seconds, "memory": MEMORY, "file_size": FILE_SIZE}})
            ending = self._wait(folder / "printed", stop)
            said = read_report(folder / "report.json")
            return Run(said, [read_array(folder / f"{number}.npy") for number in range(passes)],
                       read_printed(folder / "printed"), ending, "passes" in said or (folder / "loaded").exists())

    def _wait(self, printed, stop):
        """Wait for the end of the run: its Run.ending. A process that died or is killed is replaced by a new one."""
        until = time.monotonic() + self.limits.seconds
        code = None
        while code is None:
            if stop():
                self._renew()
                raise Stopped
            if time.monotonic() > until:
                self._renew()
                return f"it did not end within {self.limits.seconds:g} s", " (an endless loop?)"
            if _size(printed) > FILE_SIZE:
                self._renew()
                return TOO_LONG
            code = self.process.line()
            if code is None and self.process.popen.poll() is not None:
                code = self.process.popen.returncode
                self._renew()
        return ending_of(int(code))

    def _renew(self):
        self.process.end()
        self.process = Process()


class Process:
    """One process that runs runner.py. It speaks in lines: JSON goes in, exit codes of runs come out."""

    def __init__(self):
        environment = {name: os.environ[name] for name in KEPT if name in os.environ}
        self.popen = subprocess.Popen(
            [sys.executable, "-I", "-S", "-X", "utf8", str(RUNNER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True, encoding="utf-8", start_new_session=True,
            env={**environment, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"})
        self.lines, self.ready = queue.Queue(), False
        threading.Thread(target=_read, args=(self.popen.stdout, self.lines), daemon=True).start()
        self.write({"packages": packages(), "readable": readable()})

    def wait_until_ready(self, stop: Callable[[], bool]) -> None:
        """Wait until the process has imported torch. OSError if it ends before, or takes longer than PATIENCE."""
        until = time.monotonic() + PATIENCE
        while not self.ready:
            if stop():
                raise Stopped
            if self.popen.poll() is not None or time.monotonic() > until:
                raise OSError("the process that runs students' functions did not start: does "
                              f'`{sys.executable} -c "import torch, numpy"` work?')
            self.ready = self.line() == "ready"

    def line(self) -> str | None:
        """The next line of its output, or None if there is none yet."""
        try:
            return self.lines.get(timeout=0.05).strip()
        except queue.Empty:
            return None

    def write(self, request: dict) -> None:
        """Send one line of JSON."""
        try:
            self.popen.stdin.write(json.dumps(request) + "\n")
            self.popen.stdin.flush()
        except OSError:
            pass            # the process has ended, and the code that waits for it will notice

    def end(self) -> None:
        """Kill it and all processes in its group. On Windows there are no groups, and only the process is killed."""
        try:
            os.killpg(self.popen.pid, signal.SIGKILL)
        except (AttributeError, ProcessLookupError, PermissionError):
            self.popen.kill()
        self.popen.wait()
        with suppress(OSError):
            self.popen.stdin.close()


def _read(stream: IO[str], lines: queue.Queue):
    for line in stream:
        lines.put(line)


def ending_of(code: int) -> tuple[str, str] | None:
    """(message, more) for the exit code of a run, or None for 0. A negative code is the signal that killed it."""
    if code == 0:
        return None
    if code > 0:
        return "it ended its process", f" with exit code {code}, and gave nothing"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
    known = {"SIGXCPU": ("it took too much time", " (an endless loop?)"), "SIGXFSZ": TOO_LONG,
             "SIGKILL": ("it took too much time or memory", "")}
    return known.get(name, ("it crashed", f" ({name})"))


def packages() -> list[str]:
    """The folders that hold torch, numpy, PIL and matplotlib. They are found without importing these packages."""
    specs = (find_spec(name) for name in ("torch", "numpy", "PIL", "matplotlib", "typing_extensions"))
    return list(dict.fromkeys(str(Path(spec.origin).parent if spec.submodule_search_locations is None else
                                  Path(spec.origin).parents[1]) for spec in specs if spec and spec.origin))


def readable() -> list[list]:
    """[[path, whole]]: what a run may read: Python, the packages and the system's libraries, but not this library."""
    roots = [Path(path).resolve() for path in dict.fromkeys([
        *packages(), sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), f"{sys.base_prefix}/lib", *SYSTEM])
        if Path(path).exists()]
    closed = {Path(__file__).resolve().parents[1]}
    for pattern in ("minixai*", "*-packages/minixai*", "python3*/*-packages/minixai*"):
        closed |= {path for root in roots for path in root.glob(pattern)}
    return [[str(path), whole] for root in roots for path, whole in without(root, closed)]


def without(path: Path, closed: set[Path]) -> Iterator[tuple[Path, bool]]:
    """The parts of a path that do not contain a path in `closed`.

    Yields (path, True) where everything inside may be read, and (folder, False) where only the names may be listed.
    """
    if path in closed:
        return
    whole = not any(path in one.parents for one in closed)
    yield path, whole
    if not whole:
        for entry in path.iterdir():
            yield from without(entry, closed)


# ---- the files that a run left: any of them may be forged

def read_report(path: Path) -> dict:
    """The runner's report; {} if it cannot be read."""
    try:
        report = json.loads(_bytes(path, LARGEST_REPORT))
    except (OSError, ValueError, RecursionError):
        return {}
    return report if isinstance(report, dict) else {}


def read_array(path: Path) -> np.ndarray | None:
    """An array of numbers from a .npy file; None if it cannot be read, is too large or holds other objects."""
    try:
        if not _is_file(path, LARGEST_ARRAY):
            return None
        array = np.lib.format.open_memmap(path, mode="r")
        return np.array(array) if array.dtype.kind in "fiub" and array.nbytes <= LARGEST_ARRAY else None
    except Exception:       # a forged header can make numpy raise any exception
        return None


def read_printed(path: Path) -> str:
    """The first SHOWN characters of the printed output."""
    try:
        text = _bytes(path, 2**31, SHOWN + 1).decode(errors="replace")
    except (OSError, ValueError):
        return ""
    return text if len(text) <= SHOWN else f"{text[:SHOWN]} …"


def _bytes(path, largest, most=-1):
    if not _is_file(path, largest):
        raise ValueError("no file, or too large")
    with open(path, "rb") as file:
        return file.read(most)


def _is_file(path, largest):
    seen = path.lstat()
    return stat.S_ISREG(seen.st_mode) and seen.st_size <= largest


def _size(path):
    try:
        return path.lstat().st_size
    except OSError:
        return 0
