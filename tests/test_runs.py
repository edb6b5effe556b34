"""A run of a student's function: what the fence asks of the kernel, what the runner does, how the worker waits for it.

The kernel, and the calls that would change this process, are replaced. tests/test_grade.py runs the real ones.
"""
import ctypes
import errno
import fcntl
import io
import json
import os
import signal
import stat
import struct
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
import torch

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


# ---- the runner

class Ended(BaseException):
    """In place of os._exit."""


@pytest.fixture
def alone(tmp_path, monkeypatch):
    """run(fence, function): in_a_process_of_its_own in this process: (exit code, what it would have changed here)."""
    noted = {"dup2": [], "closed": [], "hooks": []}
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path)

    def end(code):
        raise Ended(code)

    def duplicate(ours, theirs):
        noted["dup2"].append((os.readlink(f"/proc/self/fd/{ours}"), fcntl.fcntl(ours, fcntl.F_GETFL), theirs))
        noted.setdefault("opened", set()).add(ours)

    def run(close, function=""):
        request = {"folder": str(tmp_path / "run"), "file": "x.py", "function": function, "limits": {"seconds": 3}}
        with pytest.MonkeyPatch.context() as patch, pytest.raises(Ended) as ended:
            for name in ("stdin", "stdout", "stderr"):
                patch.setattr(sys, name, getattr(sys, name))
            for name in ("HOME", "TMPDIR", "MPLCONFIGDIR"):
                patch.setenv(name, "before")
            patch.setattr(tempfile, "tempdir", tempfile.tempdir)
            patch.setattr(runner.os, "dup2", duplicate)
            patch.setattr(runner.os, "closerange", lambda *numbers: noted["closed"].append(numbers))
            patch.setattr(runner.os, "_exit", end)
            patch.setattr(runner.sys, "addaudithook", noted["hooks"].append)
            try:
                runner.in_a_process_of_its_own(request, {"readable": [["/whole", True], ["/names", False]]}, close)
            finally:
                noted.update({"streams": (sys.stdin, sys.stdout, sys.stderr), "tempdir": tempfile.tempdir,
                          "environment": dict(os.environ), "folder": os.getcwd()})
                for number in noted.pop("opened", ()):
                    os.close(number)
        return ended.value.args[0], noted
    return run


def test_a_run_has_its_own_folder_output_and_fence(alone, tmp_path):
    (tmp_path / "run" / "x.py").write_text('PREDICTION = "blue"')
    asked = []

    def close(*arguments):
        asked.append(arguments)
        assert not Path("report.json").exists()
        return ["seccomp"]
    code, noted = alone(close)
    folder = str(tmp_path / "run")
    assert code == 0 and asked == [(folder, [["/whole", True], ["/names", False]], {"seconds": 3})]
    assert json.loads((tmp_path / "run" / "report.json").read_text()) == {
        "answers": {"PREDICTION": "blue", "EXPLANATION": ""}, "missing": ["seccomp"]}
    assert [(path, theirs) for path, _, theirs in noted["dup2"]] == [
        (os.devnull, 0), (f"{folder}/printed", 1), (f"{folder}/printed", 2)]
    for _, flags, _ in noted["dup2"][1:]:
        assert flags & os.O_ACCMODE == os.O_WRONLY and flags & os.O_APPEND
    assert noted["dup2"][0][1] & os.O_ACCMODE == os.O_RDONLY
    assert stat.S_IMODE(os.stat("printed").st_mode) == 0o600
    assert len(noted["closed"]) == 1 and noted["closed"][0][0] == 3 and noted["closed"][0][1] >= 256
    assert noted["folder"] == folder == noted["tempdir"]
    assert {noted["environment"][name] for name in ("HOME", "TMPDIR", "MPLCONFIGDIR")} == {folder}
    hook, = noted["hooks"]
    for path in ("printed", "/whole/x", os.devnull):
        hook("open", (path, "r", 0))
    with pytest.raises(PermissionError):
        hook("open", ("/names/x", "r", 0))


def test_a_run_prints_whatever_it_likes_line_by_line(alone, tmp_path):
    (tmp_path / "run" / "x.py").write_text("")
    code, noted = alone(lambda *_: [])
    given, printed, errors = noted["streams"]
    assert code == 0 and given.fileno() == 0 and printed.fileno() == 1 and errors is printed
    assert printed.errors == "replace" and printed.encoding == given.encoding == "utf-8" and printed.line_buffering
    given.close()
    printed.close()
    assert os.fstat(0) and os.fstat(1)              # a file that closes them closes no descriptor


def test_a_run_whose_fence_cannot_be_closed_reports_nothing(alone, tmp_path):
    def close(*_):
        raise OSError("no fence")
    (tmp_path / "run" / "x.py").write_text("")
    assert alone(close)[0] == 1 and not (tmp_path / "run" / "report.json").exists()


def test_the_runner_says_that_it_is_ready_then_an_exit_code_for_each_line(monkeypatch):
    raw, seen, given, threads = io.BytesIO(), [], [], []
    requests = [{"function": "one"}, {"function": "two"}, {"function": "three"}]
    setup = {"packages": ["/packages/of/torch"], "readable": []}
    children = iter([71, 72, 0])

    def fork():
        seen.append(raw.getvalue().decode().split())            # what the worker can read by now
        return next(children)

    def run(request, *others):
        given.append((request, *others))
        raise Ended
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(map(json.dumps, [setup, *requests]))))
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw))
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(runner.os, "fork", fork)
    monkeypatch.setattr(runner.os, "waitpid", lambda child, how: (child, {71: 3 << 8, 72: signal.SIGXCPU}[child]))
    monkeypatch.setattr("torch.set_num_threads", threads.append)
    monkeypatch.setattr(runner, "in_a_process_of_its_own", run)
    with pytest.raises(Ended):
        runner.main()
    assert seen == [["ready"], ["ready", "3"], ["ready", "3", str(-signal.SIGXCPU)]]
    assert sys.path[-1] == "/packages/of/torch" and threads == [1]
    request, its_setup, close = given[0]
    assert (request, its_setup) == (requests[2], setup) and close.__code__.co_filename == fence.__file__


def test_without_fork_the_runner_itself_does_the_run(monkeypatch):
    given = []

    def run(*arguments):
        given.append(arguments)
        raise Ended
    monkeypatch.setattr(runner, "FORKS", False)
    monkeypatch.setattr(runner.os, "fork", None)
    monkeypatch.setattr(sys, "stdin", io.StringIO('{"packages": []}\n{"function": "f"}\n'))
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(runner, "in_a_process_of_its_own", run)
    with pytest.raises(Ended):
        runner.main()
    assert given[0][0] == {"function": "f"}


def test_what_is_out_of_reach_is_said_in_a_sentence(tmp_path):
    hook = runner.explain_what_is_out_of_reach([str(tmp_path)])
    (tmp_path / "link").symlink_to("/etc/hostname")
    for event, arguments in (("builtins.input", ()), ("builtins.breakpoint", ())):
        with pytest.raises(RuntimeError, match="there is no keyboard here"):
            hook(event, arguments)
    for event in ("os.system", "os.fork", "subprocess.Popen", "socket.connect"):
        with pytest.raises(PermissionError, match=f"network are out of reach here, in check and in grading .{event}"):
            hook(event, ("ls",))
    for path in ("/etc/hostname", b"/etc/hostname", Path("/etc/hostname"), str(tmp_path / "link"), f"{tmp_path}/../x"):
        with pytest.raises(PermissionError, match="out of reach here"):
            hook("open", (path, "r", 0))
    for event, arguments in (("open", (str(tmp_path / "x"), "w", 0)), ("open", (3, "r", 0)), ("import", ("math",)),
                             ("os.listdir", ("/",))):
        hook(event, arguments)


def test_a_result_is_read_up_to_a_size_and_in_the_numbers_that_numpy_has():
    for value, size in ((torch.zeros(2**20), "4194308"), (np.zeros(2**19), "4194312")):
        said, array = runner.told_of(value)
        assert said["tensor"] is isinstance(value, torch.Tensor) and said["graph"] is False and array.any() == 0
        larger = torch.zeros(2**20 + 1) if said["tensor"] else np.zeros(2**19 + 1)
        assert runner.told_of(larger) == (
            {"problem": {"kind": "large", "text": f"({larger.shape[0]},), {size} bytes"}}, None)
    assert runner.told_of(torch.ones(2, requires_grad=True) * 2)[0] == {"tensor": True, "graph": True}
    assert runner.told_of(torch.ones(2, requires_grad=True))[0] == {"tensor": True, "graph": False}
    for value, text in ((torch.zeros(2).bfloat16(), "torch.bfloat16"), (torch.zeros(2) + 1j, "torch.complex64"),
                        (torch.ones(2).to_sparse(), "torch.float32, torch.sparse_coo"), (np.array(["a"]), "<U1")):
        assert runner.told_of(value) == ({"problem": {"kind": "numbers", "text": text}}, None)
    for value, text in ((None, "nothing (is there a return?)"), (3, "a int")):
        assert runner.told_of(value) == ({"problem": {"kind": "type", "text": text}}, None)
    turned = np.arange(6).reshape(2, 3).T
    assert runner.told_of(turned)[1].flags.c_contiguous and (runner.told_of(turned)[1] == turned).all()
    assert runner.told_of(np.array(2.0))[1].shape == ()


def test_a_file_without_the_function_is_loaded_and_one_that_cannot_be_compiled_says_why(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "exercise", None)          # put back at the end
    Path("x.py").write_text("def rectifi(cam): pass\n1 / 0")
    said = runner.answer({"file": "x.py", "function": "rectify"})["problem"]
    assert said["loading"] is True and said["line"] == 2 and not Path("loaded").exists()
    Path("x.py").write_text("def rectifi(cam): pass")
    assert runner.answer({"file": "x.py", "function": "rectify"}) == {"problem": {"kind": "gone", "text": "rectifi"}}
    assert Path("loaded").exists()
    assert [runner.syntax(problem) for problem in (MemoryError(), RecursionError("too deep"), SyntaxError("odd"))] == [
        "MemoryError", "too deep", "odd"]
    assert runner.syntax(SyntaxError("odd", ("x.py", 1, 1, " " + "y" * 400))) == f"odd: {'y' * 295}"


def test_inputs_come_in_the_form_that_a_function_takes():
    assert runner.argument(np.array([4, 6]), False) == (4, 6) and runner.argument(np.array(3), True) == 3
    assert runner.argument(np.array("jet"), True) == "jet" and runner.argument(np.array(0.5), False) == 0.5
    for array in (np.ones(3, np.float32), np.ones((2, 2), int)):
        assert torch.equal(runner.argument(array, False), torch.from_numpy(array))
        assert isinstance(runner.argument(array, True), np.ndarray)


def test_a_traceback_is_its_last_five_lines_in_the_file_and_texts_are_cut_off():
    names = {}
    exec(compile("def f(n):\n    if n: return f(n - 1)\n    raise ValueError('x' * 400 + '\\n2')", "mine.py", "exec"),
         names)
    said = runner.one_pass(lambda n: names["f"](n), {"n": np.array(8)}, False, "mine.py")[0]["problem"]
    assert said == {"kind": "raised", "type": "ValueError", "text": "x" * 300, "line": 3,
                    "frames": [(2, "f")] * 4 + [(3, "f")]}
    assert runner.raised(ValueError("  one\ntwo"), "mine.py") == {
        "kind": "raised", "type": "ValueError", "text": "one", "line": 0, "frames": []}


# ---- the worker, with a runner that runs nothing

RUNNER = r"""
import json, os, subprocess, sys, time
setup = json.loads(sys.stdin.readline())
print("ready", flush=True)
for line in sys.stdin:
    request = json.loads(line)
    os.chdir(request["folder"])
    said = {"request": request, "setup": setup, "files": sorted(os.listdir(".")), "environment": dict(os.environ),
            "started": sys.argv, "isolated": sys.flags.isolated, "no_site": sys.flags.no_site, "pid": os.getpid(),
            "group": os.getpgrp(), "utf8": sys.flags.utf8_mode}
    if os.path.exists("inputs.npz"):
        os.rename("inputs.npz", "0.npy")        # zeros, below, in a file that is none
    what = request["function"]
    if what == "loaded":
        open("loaded", "w").close()
    if what == "passes":
        said["passes"] = []
    if what == "child":
        said["child"] = subprocess.Popen(["sleep", "60"]).pid
    if what in ("large", "at most"):
        with open("printed", "wb") as file:
            file.truncate(2**24 + (what == "large"))
    json.dump(said, open("report.json", "w"))
    if what == "exit":
        os._exit(5)
    if what in ("sleep", "large", "child"):
        time.sleep(60)
    print(what if what.isdigit() else 0, flush=True)
"""


@pytest.fixture
def workers(tmp_path, monkeypatch):
    """start(limits): a worker whose process runs RUNNER."""
    (tmp_path / "runner.py").write_text(RUNNER)
    monkeypatch.setattr(worker, "RUNNER", tmp_path / "runner.py")
    started = []

    def start(*limits):
        started.append(Worker(*limits))
        return started[-1]
    yield start
    for one in started:
        one.__exit__()


def is_alive(pid):
    """Is there such a process, other than one that has ended and waits to be noticed?"""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_a_worker_sends_a_run_and_reads_what_it_left(workers, monkeypatch):
    monkeypatch.setenv("MY_SECRET", "1")
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")
    run = workers().run(b"x = 1", "f", {"0/a": np.zeros(3)}, passes=2, of_numpy=True, file="mine.py")
    folder = run.said["request"].pop("folder")
    assert run.said["request"] == {
        "file": "mine.py", "function": "f", "passes": 2, "of_numpy": True,
        "limits": {"seconds": 10, "memory": 2 * 2**30, "file_size": 2**24}}
    assert run.said["files"] == ["inputs.npz", "mine.py"] and not Path(folder).exists()
    assert Path(folder).name.startswith("minixai-")
    assert (run.arrays, run.printed, run.ending, run.loaded) == ([None, None], "", None, False)
    assert [run.said[name] for name in ("isolated", "no_site", "utf8")] == [1, 1, 1]
    environment = run.said["environment"]
    assert "MY_SECRET" not in environment and environment["ATEN_CPU_CAPABILITY"] == "default"
    assert {environment[name] for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")} == {"1"}
    assert run.said["setup"] == {"packages": worker.packages(), "readable": worker.readable()}
    assert run.said["group"] == run.said["pid"]


def test_a_worker_serves_one_run_after_the_other(workers):
    one = workers()
    first, second = (one.run(b"").said for _ in range(2))
    assert first["pid"] == second["pid"] and first["files"] == second["files"] == ["exercise.py"]
    assert [one.run(b"", name).loaded for name in ("f", "loaded", "passes")] == [False, True, True]
    assert one.run(b"", "3").ending == ("it ended its process", " with exit code 3, and gave nothing")
    assert one.run(b"", "at most").ending is None


def test_a_run_that_takes_too_long_or_writes_too_much_is_ended(workers):
    hasty, patient = workers(Limits(seconds=1)), workers()
    pids = []
    for one, what, ending in (
            (hasty, "sleep", ("it did not end within 1 s", " (an endless loop?)")),
            (patient, "large", ("it printed or wrote too much", "")),
            (patient, "exit", ("it ended its process", " with exit code 5, and gave nothing"))):
        run = one.run(b"", what)
        assert run.ending == ending
        pids.append(run.said["pid"])
    after = [one.run(b"") for one in (hasty, patient)]
    assert [run.ending for run in after] == [None, None]
    assert len({*pids, *(run.said["pid"] for run in after)}) == 5        # each took a new process
    assert not any(map(is_alive, pids))


def test_a_run_that_is_no_longer_wanted_is_ended_with_all_that_it_started(workers):
    one, started = workers(), time.monotonic()
    process = one.process
    with pytest.raises(Stopped):
        one.run(b"", "child", stop=lambda: time.monotonic() > started + 0.5)
    assert process.popen.poll() == -signal.SIGKILL and process.popen.stdin.closed
    children = [path for path in Path("/proc").glob("[0-9]*") if _group_of(path) == process.popen.pid]
    assert not [path for path in children if is_alive(path.name)] and time.monotonic() - started < 10
    assert one.run(b"").said["pid"] != process.popen.pid


def _group_of(path):
    try:
        return os.getpgid(int(path.name))
    except OSError:
        return None


@pytest.mark.parametrize("code, patience", [("", 120), ("import time\ntime.sleep(60)", 0.2)])
def test_a_process_that_does_not_start_is_one_line(code, patience, workers, tmp_path, monkeypatch):
    (tmp_path / "runner.py").write_text(code)
    monkeypatch.setattr(worker, "PATIENCE", patience)
    one, started = workers(), time.monotonic()
    with pytest.raises(OSError, match=r"did not start: does `.* -c \"import torch, numpy\"` work\?"):
        one.run(b"")
    assert time.monotonic() - started < 20


def test_the_start_of_a_process_can_be_stopped(workers, tmp_path):
    (tmp_path / "runner.py").write_text("import time\ntime.sleep(60)")
    with pytest.raises(Stopped):
        workers().run(b"", stop=lambda: True)


def test_a_request_to_a_process_that_has_ended_is_no_error(workers):
    process = workers().process
    process.end()
    process.popen.stdin = io.TextIOWrapper(io.FileIO(os.open("/dev/full", os.O_WRONLY), "w"))
    process.write({})                                   # raises nothing: the next wait notices
    assert process.popen.poll() is not None


@pytest.mark.parametrize("code, ending", [
    (0, None), (1, ("it ended its process", " with exit code 1, and gave nothing")),
    (-signal.SIGXCPU, ("it took too much time", " (an endless loop?)")),
    (-signal.SIGXFSZ, ("it printed or wrote too much", "")),
    (-signal.SIGKILL, ("it took too much time or memory", "")),
    (-signal.SIGSEGV, ("it crashed", " (SIGSEGV)")), (-200, ("it crashed", " (200)")),
])
def test_the_exit_code_of_a_run_has_its_sentence(code, ending):
    assert worker.ending_of(code) == ending


def test_what_was_printed_is_cut_off(tmp_path):
    for text, shown in ((b"a" * 4000, "a" * 4000), (b"a" * 4001, "a" * 4000 + " …"), (b"\xffx", "�x")):
        (tmp_path / "printed").write_bytes(text)
        assert worker.read_printed(tmp_path / "printed") == shown


def test_a_report_or_an_array_that_is_too_large_is_not_read(tmp_path):
    for name, size, read in (("r", 2**18, {"a": 1}), ("r", 2**18 + 1, {})):
        (tmp_path / name).write_text('{"a": 1}'.ljust(size))
        assert worker.read_report(tmp_path / name) == read
    np.save(tmp_path / "0.npy", np.zeros(2**22, np.uint8))
    assert worker.read_array(tmp_path / "0.npy").size == 2**22
    np.save(tmp_path / "1.npy", np.zeros(2**22 + 4096, np.uint8))
    assert worker.read_array(tmp_path / "1.npy") is None


def test_a_run_may_read_everything_in_a_folder_but_what_is_closed(tmp_path):
    for name in ("a/minixai", "a/other/deep", "b"):
        (tmp_path / name).mkdir(parents=True)
    assert sorted(worker.without(tmp_path, {tmp_path / "a/minixai"})) == [
        (tmp_path, False), (tmp_path / "a", False), (tmp_path / "a/other", True), (tmp_path / "b", True)]
    assert list(worker.without(tmp_path / "a", {tmp_path / "a"})) == []
    assert list(worker.without(tmp_path / "b", {tmp_path / "a"})) == [(tmp_path / "b", True)]


def test_a_run_may_read_the_packages_and_not_this_library(tmp_path, monkeypatch):
    import PIL
    places = [str(Path(package.__file__).parents[1]) for package in (torch, np, PIL)]
    assert {*places} <= {*worker.packages()} and len({*worker.packages()}) == len(worker.packages())
    (tmp_path / "minixai-1.0.dist-info").mkdir()
    (tmp_path / "numpy").mkdir()
    monkeypatch.setattr(worker, "packages", lambda: [str(tmp_path)])
    paths = dict(map(tuple, worker.readable()))
    assert paths[str(tmp_path)] is False and paths[str(tmp_path / "numpy")] is True
    assert str(tmp_path / "minixai-1.0.dist-info") not in paths
    assert paths[str(Path(os.__file__).resolve().parent)] is True or str(Path(os.__file__).resolve().parent) in paths
    assert not [path for path in paths if Path(path) == Path(worker.__file__).resolve().parents[1]]
