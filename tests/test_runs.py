"""A run of a student's function: what the fence asks of the kernel, what the runner does, how the worker waits for it.

The kernel, and the calls that would change this process, are replaced. tests/test_grade.py runs the real ones.
"""
import ctypes
import errno
import fcntl
import io
import json
import os
import queue
import signal
import stat
import struct
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from minixai.course import fence, runner, worker
from minixai.course.worker import Limits, Stopped, Worker

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the fence is Linux's")

# ---- the fence: system calls

X86, ARM, OTHER = 0xC000003E, 0xC00000B7, 0x40000003        # AUDIT_ARCH_X86_64, AUDIT_ARCH_AARCH64, AUDIT_ARCH_I386
ALLOW, ERRNO, KILL = 0x7FFF0000, 0x00050000, 0x80000000     # SECCOMP_RET_*
# From the kernel's asm/unistd_64.h and asm-generic/unistd.h: the calls of x86_64 and of arm64 that are refused.
REFUSED = {X86: {57, 58, 59, 322, 112, 109, 41, 53, 425, 62, 200, 234, 129, 297, 424, 90, 91, 268, 452, 92, 94, 93, 260,
                 76, 132, 235, 280, 261, 188, 189, 190, 197, 29, 68, 64, 240, 248, 249, 250, 141, 203, 144, 314, 251},
           ARM: {221, 281, 157, 154, 198, 199, 425, 129, 130, 131, 138, 240, 424, 52, 53, 452, 55, 54, 45, 88, 5, 6, 7,
                 14, 194, 186, 190, 180, 217, 218, 219, 140, 122, 119, 274, 30}}
CLONE, CLONE3, PRLIMIT, FCNTL = {X86: 56, ARM: 220}, 435, {X86: 302, ARM: 261}, {X86: 72, ARM: 25}
NAMES = {"x86_64": X86, "aarch64": ARM}


class Kernel:
    """Takes the calls that the fence makes through libc, and answers as a kernel with this version of Landlock."""

    def __init__(self, version=7, answer=0):
        self.version, self.answer = version, answer
        self.asked, self.rules, self.program = [], {}, None

    def prctl(self, option, *arguments):
        if option == 22 and arguments[0] == 2:      # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
            length, address = struct.unpack("@HP", arguments[1])
            self.program, arguments = ctypes.string_at(address, 8 * length), ("filter", *arguments[2:])
        self.asked.append(("prctl", option, *arguments))
        return self.answer

    def capset(self, *arguments):
        self.asked.append(("capset", *arguments))

    def syscall(self, number, *arguments):
        first, second, *others = (getattr(value, "value", value) for value in arguments)
        self.asked.append(number)
        if number == 444 and first is None:         # landlock_create_ruleset: which version is there?
            assert (second, others) == (0, [1])
            return self.version
        if number == 444:
            assert (second, others) == (8, [0])
            self.handled, = struct.unpack("=Q", first)
            self.ruleset = os.open(os.devnull, os.O_RDONLY)
            return self.ruleset
        assert first == self.ruleset
        if number == 445:                           # landlock_add_rule: LANDLOCK_RULE_PATH_BENEATH
            rights, opened = struct.unpack("=Qi", others[0])
            assert (second, others[1]) == (1, 0) and fcntl.fcntl(opened, fcntl.F_GETFL) & os.O_PATH
            assert fcntl.fcntl(opened, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
            self.rules[os.readlink(f"/proc/self/fd/{opened}")] = rights
            return 0
        assert (number, second) == (446, 0)         # landlock_restrict_self
        return self.answer


def decided(program, machine, number, *arguments):
    """What the kernel does with a system call: it runs the filter on struct seccomp_data."""
    data, at, value = struct.pack("=IIQ6Q", number, machine, 0, *arguments, *[0] * (6 - len(arguments))), 0, None
    steps = list(struct.iter_unpack("=HBBI", program))
    while True:
        code, yes, no, operand = steps[at]
        at += 1
        if code == 0x06:                            # BPF_RET
            return operand
        if code == 0x20:                            # BPF_LD | BPF_W | BPF_ABS
            value, = struct.unpack_from("=I", data, operand)
        else:                                       # BPF_JMP with BPF_JEQ, BPF_JGE or BPF_JSET
            at += yes if {0x15: value == operand, 0x35: value >= operand, 0x45: value & operand}[code] else no


@pytest.fixture(params=NAMES)
def filtered(request, monkeypatch):
    """(the machine, decide(number, *arguments)) of the filter for a machine."""
    monkeypatch.setattr(fence.platform, "machine", lambda: request.param)
    kernel, machine = Kernel(), NAMES[request.param]
    assert fence._wall_around_calls(kernel) is True
    assert kernel.asked == [("prctl", 22, "filter", 0, 0)]
    return machine, lambda *call: decided(kernel.program, machine, *call), kernel.program


def test_the_filter_refuses_the_calls_of_the_list_and_no_others(filtered):
    machine, decide, program = filtered
    asked_further = {CLONE[machine], CLONE3, PRLIMIT[machine], FCNTL[machine]}
    refused = {number for number in range(600) if number not in asked_further and decide(number) != ALLOW}
    assert refused == REFUSED[machine]
    assert {decide(number) for number in refused} == {ERRNO | errno.EPERM}


def test_the_filter_lets_a_run_make_threads_and_no_processes(filtered):
    machine, decide, _ = filtered
    for flags in (0x10000, 0x3D0F00):               # CLONE_THREAD; the flags of pthread_create
        assert decide(CLONE[machine], flags) == ALLOW
    for flags in (0, 17, 0x8000 | 17, 0x20000 | 17):
        assert decide(CLONE[machine], flags) == ERRNO | errno.EPERM
    assert decide(CLONE3, 0x10000) == ERRNO | errno.ENOSYS      # libc then calls clone


def test_the_filter_keeps_limits_and_signals_to_the_run_itself(filtered):
    machine, decide, _ = filtered
    assert decide(PRLIMIT[machine], 0, 7) == ALLOW
    assert {decide(PRLIMIT[machine], pid) for pid in (1, 2, 4711)} == {ERRNO | errno.EPERM}
    assert [what for what in range(40) if decide(FCNTL[machine], 8, what) != ALLOW] == [8, 15]  # F_SETOWN, F_SETOWN_EX
    assert decide(FCNTL[machine], 0, 15) == ERRNO | errno.EPERM


def test_the_filter_ends_a_run_that_calls_as_another_machine(filtered):
    machine, decide, program = filtered
    assert decided(program, OTHER, 3) == decided(program, {X86: ARM, ARM: X86}[machine], 3) == KILL
    assert decide(2**30) == decide(2**30 + 1) == KILL and decide(2**30 - 1) == ALLOW        # x32


@pytest.mark.parametrize("name, largest", [("riscv64", 2**63 - 1), ("x86_64", 2**31 - 1)])
def test_there_is_no_filter_for_other_machines(name, largest, monkeypatch):
    kernel = Kernel()
    monkeypatch.setattr(fence.platform, "machine", lambda: name)
    monkeypatch.setattr(fence.sys, "maxsize", largest)
    assert fence._wall_around_calls(kernel) is False and kernel.asked == []


def test_a_filter_that_the_kernel_does_not_take_is_missing():
    assert fence._wall_around_calls(Kernel(answer=-1)) is False


# ---- the fence: files

WRITE_FILE, READ_FILE, READ_DIR, REMOVE_FILE, MAKE_REG, TRUNCATE = (1 << n for n in (1, 2, 3, 5, 8, 14))    # Landlock's


@pytest.mark.parametrize("version, rights", [(1, 13), (2, 14), (3, 15), (4, 15), (5, 16), (7, 16)])
def test_files_are_closed_but_for_the_folder_and_what_is_listed(version, rights, tmp_path):
    for name in ("own", "whole", "names"):
        (tmp_path / name).mkdir()
    (tmp_path / "file").touch()
    kernel, before = Kernel(version), os.listdir("/proc/self/fd")
    readable = [(str(tmp_path / "whole"), True), (str(tmp_path / "names"), False), (str(tmp_path / "file"), True)]
    assert fence._wall_around_files(kernel, str(tmp_path / "own"), readable) is True
    assert kernel.handled == 2**rights - 1          # all rights that this version knows: what is not allowed is refused
    assert kernel.rules == {
        str(tmp_path / "own"): (READ_FILE | READ_DIR | WRITE_FILE | REMOVE_FILE | MAKE_REG | TRUNCATE) & kernel.handled,
        os.devnull: READ_FILE | WRITE_FILE, "/dev/urandom": READ_FILE,
        str(tmp_path / "whole"): READ_FILE | READ_DIR, str(tmp_path / "names"): READ_DIR,
        str(tmp_path / "file"): READ_FILE}
    assert kernel.asked[-1] == 446 and len(os.listdir("/proc/self/fd")) == len(before)


def test_a_kernel_without_landlock_has_no_wall_around_files(tmp_path):
    assert fence._wall_around_files(Kernel(version=-1), str(tmp_path), []) is False
    assert fence._wall_around_files(Kernel(version=0), str(tmp_path), []) is False
    assert fence._wall_around_files(Kernel(answer=-1), str(tmp_path), []) is False


# ---- the fence: limits, and all of it

@pytest.fixture
def limited(monkeypatch):
    """The limits that are set, in order: [(name, (soft, hard))]."""
    import resource
    names = {getattr(resource, name): name for name in dir(resource)
             if name.startswith("RLIMIT_") and name != "RLIMIT_OFILE"}     # another name of RLIMIT_NOFILE
    made = []
    monkeypatch.setattr(resource, "setrlimit", lambda what, value: made.append((names[what], value)))
    monkeypatch.setattr(fence.time, "process_time", lambda: 3.2)
    before = signal.getsignal(signal.SIGXFSZ)
    yield made
    signal.signal(signal.SIGXFSZ, before)


LIMITS = {"seconds": 10, "memory": 2**40, "file_size": 5000}


def test_limits_come_on_top_of_what_the_process_has_used(limited):
    fence.limit(**LIMITS)
    assert limited[-1] == ("RLIMIT_CPU", (14, 15))      # SIGXCPU, and a second later SIGKILL
    assert signal.getsignal(signal.SIGXFSZ) == signal.SIG_DFL
    made = dict(limited)
    used = made.pop("RLIMIT_AS")[0] - 2**40
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    assert used == pytest.approx(pages * os.sysconf("SC_PAGE_SIZE"), rel=0.1)
    assert made == {"RLIMIT_CPU": (14, 15), "RLIMIT_FSIZE": (5000, 5000), "RLIMIT_CORE": (0, 0),
                    "RLIMIT_NOFILE": (128, 128)}


def test_memory_is_limited_on_linux_only_and_nothing_on_windows(limited, monkeypatch):
    monkeypatch.setattr(fence.sys, "platform", "darwin")
    fence.limit(**LIMITS)
    assert "RLIMIT_FSIZE" in dict(limited) and "RLIMIT_AS" not in dict(limited)
    limited.clear()
    monkeypatch.setitem(sys.modules, "resource", None)
    fence.limit(**LIMITS)
    assert limited == []


@pytest.mark.parametrize("version, answer, missing", [(7, 0, []), (-1, 0, ["Landlock"]),
                                                      (7, -1, ["Landlock", "seccomp"])])
def test_the_fence_stands_before_a_run_and_says_what_is_missing(version, answer, missing, limited, tmp_path,
                                                                monkeypatch):
    kernel = Kernel(version, answer)
    monkeypatch.setattr(fence.ctypes, "CDLL", lambda name, **how: kernel)
    monkeypatch.setattr(fence.platform, "machine", lambda: "x86_64")
    assert fence.close(str(tmp_path), [], LIMITS) == missing
    assert dict(limited)["RLIMIT_CPU"] == (14, 15)
    assert kernel.asked[:3] == [
        ("prctl", 1, signal.SIGKILL, 0, 0, 0),      # PR_SET_PDEATHSIG
        ("prctl", 38, 1, 0, 0, 0),                  # PR_SET_NO_NEW_PRIVS
        ("capset", struct.pack("=II", 0x20080522, 0), bytes(24))]       # _LINUX_CAPABILITY_VERSION_3, none left
    assert kernel.asked[-1] == ("prctl", 22, "filter", 0, 0)            # the last one: it refuses calls


def test_other_systems_have_limits_alone(limited, tmp_path, monkeypatch):
    monkeypatch.setattr(fence.sys, "platform", "darwin")
    monkeypatch.setattr(fence.ctypes, "CDLL", None)
    assert fence.close(str(tmp_path), [], LIMITS) == ["Landlock", "seccomp"] and "RLIMIT_CPU" in dict(limited)
