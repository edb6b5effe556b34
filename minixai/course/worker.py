"""The other end of runner.py: start it, ask for one run after the other, and read what came back as from a stranger.

    with Worker() as worker:
        run = worker.run(source, "rectify", inputs)     # in a new folder, which is gone when this returns

A run that takes too long, or is not wanted any more, is ended with everything that it has started.
"""
import json
import os
import queue
import shutil
import signal
import stat
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import numpy as np

RUNNER = Path(__file__).with_name("runner.py")
FORKS = sys.platform == "linux"
LARGEST_REPORT = 2**18
LARGEST_ARRAY = 2**22 + 4096
SHOWN = 4000                # characters of what was printed
PATIENCE = 120              # seconds for `import torch`: a cold disk, another program's scan
KEPT = ("PATH", "SYSTEMROOT", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH",       # of the environment: to find libraries,
        "ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS")     # and to compute as our tests ask
TOO_LONG = "it printed or wrote too much", ""
SYSTEM = ("/usr/lib", "/usr/lib64", "/lib", "/lib64", "/usr/local/lib", "/usr/share", "/etc/ld.so.cache", "/etc/fonts",
          "/etc/localtime", "/etc/mime.types", "/proc/cpuinfo", "/sys/devices/system/cpu")


@dataclass(frozen=True)
class Limits:
    """Of one run. The largest expected answer takes thousandths of a second."""
    seconds: float = 10             # of the clock
    processor_seconds: int = 10
    memory: int = 2 * 2**30         # bytes
    file_size: int = 2**24          # bytes of any one file, printed output included


@dataclass
class Run:
    """What came of one run. said: the runner's report, checked in nothing but its size; ending: how the process ended,
    (what may be told to anybody, more), or None if it came to its end; loaded: whether the file itself ran through."""
    said: dict = field(default_factory=dict)
    arrays: list = field(default_factory=list)      # of each pass, or None
    printed: str = ""
    ending: tuple = None
    loaded: bool = True


class Stopped(Exception):
    """The run was ended because `stop` said so."""


class Worker:
    """Runs one function after the other. Never share one between two students' files.

    Where runner.py forks, one process serves all runs. Elsewhere each run takes one, and the next is warmed meanwhile.
    """

    def __init__(self, limits=None):
        self.limits = limits or Limits()
        self.process, self.next = Process(), None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in (self.process, self.next):
            if process:
                process.end()

    def run(self, source, function="", inputs=None, passes=0, of_numpy=False, stop=lambda: False, file="exercise.py"):
        """Run one function of a file on every pass: Run. Without a function the file is only read.

        source: the file's bytes; file: the name that it has in messages. inputs: {"0/parameter": array}.
        Stopped as soon as `stop()` is true. OSError if the process cannot be started.
        """
        self.process.wait_until_ready(stop)
        limits = self.limits
        with FolderThatGoes() as folder:
            (folder / file).write_bytes(source)
            if inputs:
                np.savez(folder / "inputs.npz", **inputs)
            self.process.write({
                "folder": str(folder), "file": file, "function": function, "passes": passes, "of_numpy": of_numpy,
                "limits": {"seconds": limits.processor_seconds, "memory": limits.memory,
                           "file_size": limits.file_size}})
            if not FORKS:
                self.next = Process()
            ending = self._wait(folder / "printed", stop)
            said = read_report(folder / "report.json")
            return Run(said, [read_array(folder / f"{number}.npy") for number in range(passes)],
                       read_printed(folder / "printed"), ending, "passes" in said or (folder / "loaded").exists())

    def _wait(self, printed, stop):
        """How the run ends. A process that has ended, or has to be ended, gives way to a new one."""
        until = time.monotonic() + self.limits.seconds
        code = None
        while code is None:
            if stop():
                self._renew()
                raise Stopped
            if time.monotonic() > until:
                self._renew()
                return f"it did not come to an end in {self.limits.seconds:g} s", " (an endless loop?)"
            if _size(printed) > self.limits.file_size:
                self._renew()
                return TOO_LONG
            code = self.process.line()
            if code is None and self.process.popen.poll() is not None:
                code = self.process.popen.returncode
                self._renew()
        return ending_of(int(code))

    def _renew(self):
        self.process.end()
        self.process, self.next = self.next or Process(), None


class Process:
    """One process of runner.py."""

    def __init__(self):
        environment = {name: os.environ[name] for name in KEPT if name in os.environ}
        self.popen = subprocess.Popen(
            [sys.executable, "-I", "-S", "-X", "utf8", str(RUNNER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True, encoding="utf-8", start_new_session=True,
            env={**environment, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"})
        self.lines, self.ready = queue.Queue(), False
        threading.Thread(target=_read, args=(self.popen.stdout, self.lines), daemon=True).start()
        self.write({"packages": packages(), "readable": readable()})

    def wait_until_ready(self, stop):
        """Until torch is imported. OSError if that does not happen."""
        until = time.monotonic() + PATIENCE
        while not self.ready:
            if stop():
                raise Stopped
            if self.popen.poll() is not None or time.monotonic() > until:
                raise OSError("the process that runs students' functions did not start: does "
                              f'`{sys.executable} -c "import torch, numpy"` work?')
            self.ready = self.line() == "ready"

    def line(self):
        """The next line that it wrote, or None if there is none yet."""
        try:
            return self.lines.get(timeout=0.05).strip()
        except queue.Empty:
            return None

    def write(self, request):
        """Send one line."""
        try:
            self.popen.stdin.write(json.dumps(request) + "\n")
            self.popen.stdin.flush()
        except OSError:
            pass            # it has ended: whoever waits for it will see that

    def end(self):
        """End it with everything in its group; and on Windows, where there are no groups, alone."""
        try:
            os.killpg(self.popen.pid, signal.SIGKILL)
        except (AttributeError, ProcessLookupError, PermissionError):
            self.popen.kill()
        self.popen.wait()
        with suppress(OSError):
            self.popen.stdin.close()


def _read(stream, lines):
    for line in stream:
        lines.put(line)


def ending_of(code):
    """How a run ended, (what may be told to anybody, more); None if it came to its end."""
    if code == 0:
        return None
    if code > 0:
        return "it ended its process", f" with exit code {code}, and gave nothing"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
    known = {"SIGXCPU": ("it took too much time", " (an endless loop?)"), "SIGXFSZ": TOO_LONG,
             "SIGKILL": ("it took too much time or memory", "")}
    return known.get(name, ("it crashed", f" ({name})"))


def packages():
    """The folders that hold torch and the other packages; found without importing them."""
    specs = (find_spec(name) for name in ("torch", "numpy", "PIL", "matplotlib", "typing_extensions"))
    return list(dict.fromkeys(str(Path(spec.origin).parent if spec.submodule_search_locations is None else
                                  Path(spec.origin).parents[1]) for spec in specs if spec and spec.origin))


def readable():
    """[(path, whole)]: what a run may read. Python, the packages, the system's libraries, and never this library."""
    roots = [Path(path).resolve() for path in dict.fromkeys([
        *packages(), sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), f"{sys.base_prefix}/lib", *SYSTEM])
        if Path(path).exists()]
    closed = {Path(__file__).resolve().parents[1]}
    for pattern in ("minixai*", "*-packages/minixai*", "python3*/*-packages/minixai*"):
        closed |= {path for root in roots for path in root.glob(pattern)}
    return [[str(path), whole] for root in roots for path, whole in without(root, closed)]


def without(path, closed):
    """What there is in a path but for what is closed: (path, True) of whole paths, (folder, False) of names alone."""
    if path in closed:
        return
    whole = not any(path in one.parents for one in closed)
    yield path, whole
    if not whole:
        for entry in path.iterdir():
            yield from without(entry, closed)


class FolderThatGoes:
    """A new folder of one's own, gone at the end whatever lies in it."""

    def __enter__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="minixai-")).resolve()
        return self.folder

    def __exit__(self, *_):
        try:
            shutil.rmtree(self.folder, ignore_errors=True)
        except RecursionError:          # thousands of folders in each other
            pass


# ---- what a run left behind: any of it may be forged

def read_report(path):
    """The runner's report, a dict; {} if there is none that can be read."""
    try:
        report = json.loads(_bytes(path, LARGEST_REPORT))
    except (OSError, ValueError, RecursionError):
        return {}
    return report if isinstance(report, dict) else {}


def read_array(path):
    """An array of plain numbers, or None."""
    try:
        if not _is_file(path, LARGEST_ARRAY):
            return None
        array = np.lib.format.open_memmap(path, mode="r")
        return np.array(array) if array.dtype.kind in "fiub" and array.nbytes <= LARGEST_ARRAY else None
    except Exception:       # numpy raises whatever it meets in a forged head
        return None


def read_printed(path):
    """The first of what was printed, as text."""
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
