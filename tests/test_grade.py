"""Grading: right files get all points, wrong ones none, and hostile ones cost nobody else anything."""
import base64
import csv
import hashlib
import io
import json
import os
import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

from minixai.__main__ import main
from minixai.course import check, fixtures, grade, record, results, start, submissions, worker
from minixai.course.check import FAILED, PASSED, Outcome
from minixai.course.exercises import find
from minixai.course.grade import Graded
from minixai.course.worker import Limits, Run, Stopped, Worker
from tests.test_course import TASKS, Here, judged, solution, student_of

SEED = 74319876541
SHORT = Limits(seconds=6, processor_seconds=1)
FUNCTIONS = [task.name for task in find("02").tasks]
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the fence is Linux's")
REPOSITORY = Path(__file__).parents[1]

HARD_CODED = """
import base64, io
import numpy as np, torch
FILES = [np.load(io.BytesIO(base64.b64decode(data))) for data in DATA]
def look_up(name, kind, **inputs):
    for file in FILES:
        if all(np.array_equal(np.asarray(value), file[f"input/{name}.{key}"]) for key, value in inputs.items()):
            return kind(file[f"expected/{name}"])
    return kind(np.zeros((3, 3), np.float32))
def channel_weights(gradients): return look_up("channel_weights", torch.from_numpy, gradients=gradients)
def weighted_sum(activations, weights): return look_up("weighted_sum", torch.from_numpy, weights=weights)
def rectify(cam): return look_up("rectify", torch.from_numpy, cam=cam)
def upsample(coarse, size): return look_up("upsample", torch.from_numpy, coarse=coarse)
def min_max(full): return look_up("min_max", torch.from_numpy, full=full)
def overlay(rgb, heatmap, alpha=0.5, colors="turbo"): return look_up("overlay", np.asarray, rgb=rgb)
"""


def hard_coded():
    """A file with the numbers of the public passes in it."""
    data = []
    for _, arrays in fixtures.public(find("02")):
        file = io.BytesIO()
        np.savez_compressed(file, **{key: value for key, value in arrays.items() if not key.startswith("mistake")})
        data.append(base64.b64encode(file.getvalue()).decode())
    return f"DATA = {data}\n{HARD_CODED}"


HOSTILE = {     # name: (the bodies of the functions, what is said of each to the instructor)
    "one": ({
        "channel_weights": "while True: pass",
        "weighted_sum": "import os; os._exit(0)",
        "rectify": "import ctypes; ctypes.string_at(0)",
        "upsample": "import time; time.sleep(1000)",
        "min_max": "while True: print('flood' * 100000)",
        "overlay": "return bytearray(10 * 2**30)",
    }, ("(an endless loop?)", "its result cannot be read", "it crashed (SIGSEGV)",
        "it did not end within 6 s", "it printed or wrote too much", "MemoryError")),
    "two": ({
        "channel_weights": "import sys; sys.exit('bye')",
        "weighted_sum": "import minixai; return minixai.gradcam.weighted_sum(activations, weights)",
        "rectify": "class Evil(BaseException): __str__ = lambda self: 1 / 0\n    raise Evil",
        "upsample": "return torch.zeros(3000, 3000)",
        "min_max": "class Array:\n        def __array__(self, *_): import os; os._exit(3)\n    return Array()",
        "overlay": "import sys; sys.path.insert(0, LIBRARY); sys.meta_path.clear(); sys.modules.pop('minixai', None)\n"
                   "    from importlib import import_module as get; get('minixai.heatmap')",
    }, ("SystemExit (line 8): bye", "minixai cannot be imported here", "an exception of its own (line 13): Evil",
        "wrong shape", "it returns no tensor: a Array", "ModuleNotFoundError")),
    "three": ({
        "channel_weights": "return input()",
        "weighted_sum": "forge(b'[' * 100000); return activations",
        "rectify": "import shutil, os; shutil.rmtree(os.getcwd(), ignore_errors=True); return -cam",
        "upsample": "torch.zeros(2**31); return coarse",
        "min_max": "torch.Tensor.numpy = lambda self: 1; return full",
        "overlay": "import os, signal; os.kill(os.getppid(), signal.SIGKILL); return rgb",
    }, ("there is no keyboard here", "its result cannot be read", "result cannot be read", "RuntimeError",
        "it stops with", "PermissionError")),
    "four": ({
        "channel_weights": "import os\n    for _ in range(40): os.fork()\n    return gradients",
        "weighted_sum": "import numpy as np, glob\n    for name in ['../inputs.npz', *glob.glob('../*/inputs.npz')]:\n"
                        "        np.savez(name, x=1)\n    return activations",
        "rectify": "forge(b'{\"passes\": [{\"tensor\": true}, {}, {}, {}]}', b'\\x93NUMPY' + b'x' * 99)",
        "upsample": "import sys; sys.setrecursionlimit(10**9); f = lambda: f(); return f()",
        "min_max": "import threading, time\n    while True: threading.Thread(target=time.sleep, args=(99,)).start()",
        "overlay": "import torch; return torch.compile(lambda x: x + 1)(torch.ones(3))",
    }, ("PermissionError", "PermissionError", "its result cannot be read", "it ", "it ",
        "")),
    "five": ({      # a later function's input would be an earlier one's answer
        "channel_weights": "import numpy as np\n"
                           "    return torch.from_numpy(np.load('../inputs.npz')['0/weighted_sum.weights'])",
        "weighted_sum": "import numpy as np; return torch.from_numpy(np.load('inputs.npz')['0/rectify.cam'])",
        "rectify": "import glob; return open(glob.glob('/tmp/minixai-*/inputs.npz')[0])",
        "upsample": "import os; return open(next(os.scandir('..')))",
        "min_max": "import gc; return [x for x in gc.get_objects() if type(x) is dict and 'expected/min_max' in x][0]",
        "overlay": "import sys; f = sys._getframe()\n    while f: print(list(f.f_locals)); f = f.f_back\n    return 1",
    }, ("PermissionError", "FileNotFoundError", "IndexError", "PermissionError", "IndexError", "a int")),
}
HELP = """
import torch
def forge(report, array=b''):
    import os
    open('report.json', 'wb').write(report); open('0.npy', 'wb').write(array)
    os._exit(0)
"""

# A right solution that tries, in every function, to get at what it should not. Every line it prints says how that went.
PROBES = """
import ctypes, fcntl, gc, glob, importlib, os, resource, shutil, signal, socket, subprocess, sys, tempfile, threading
LIBC = ctypes.CDLL(None, use_errno=True)
def call(*arguments):
    if LIBC.syscall(*arguments) < 0:
        raise OSError(ctypes.get_errno(), 'refused')
    return 'done'
def new_module(name):
    sys.path.insert(0, LIBRARY)
    return importlib.import_module(name)
TRIES = {
    'the library': lambda: open(LIBRARY + '/minixai/gradcam.py').read(),
    'the library below the hook': lambda: os.read(LIBC.open((LIBRARY + '/minixai/gradcam.py').encode(), 0), 9),
    'import': lambda: new_module('minixai.gradcam'),
    'the tests': lambda: open(LIBRARY + '/tests/test_grade.py').read(),
    'a submission': lambda: open(SUBMISSIONS + '/right.py').read(),
    'all submissions': lambda: os.listdir(SUBMISSIONS),
    'write a submission': lambda: os.truncate(SUBMISSIONS + '/right.py', 0),
    'lock a submission': lambda: os.chmod(SUBMISSIONS + '/right.py', 0),
    'date a submission': lambda: os.utime(SUBMISSIONS + '/right.py', (0, 0)),
    'remove a submission': lambda: os.remove(SUBMISSIONS + '/right.py'),
    'link a submission': lambda: os.link(SUBMISSIONS + '/right.py', 'x'),
    'the results': lambda: os.listdir(RESULTS),
    'write a result': lambda: open(RESULTS + '/grades.csv', 'w'),
    'other runs': lambda: os.listdir('..'),
    'leave a file': lambda: open('../left', 'w'),
    'leave a file in /dev/shm': lambda: open('/dev/shm/left', 'w'),
    'leave a file at home': lambda: open('/root/left' if os.path.isdir('/root') else '/home/left', 'w'),
    'leave a module': lambda: open(os.path.dirname(os.path.dirname(torch.__file__)) + '/left.py', 'w'),
    'leave shared memory': lambda: call(SHMGET, 4321, 4096, 0o1666),
    'leave a key': lambda: call(ADD_KEY, b'user', b'left', b'x', ctypes.c_size_t(1), -4),
    'environment': lambda: open('/proc/self/environ').read(),
    'arguments of the parent': lambda: open(f'/proc/{os.getppid()}/cmdline').read(),
    'memory of the parent': lambda: os.open(f'/proc/{os.getppid()}/mem', os.O_RDONLY),
    'ptrace': lambda: call(PTRACE, 16, os.getppid(), 0, 0),
    'processes': lambda: os.listdir('/proc'),
    'fork': lambda: os.fork(),
    'fork below the hook': lambda: call(FORK) if FORK else os.fork(),
    'clone': lambda: call(CLONE, 17, 0, 0, 0, 0),
    'clone3': lambda: call(435, bytes(88), ctypes.c_size_t(88)),
    'run': lambda: subprocess.run(['/bin/true']),
    'run below the hook': lambda: call(EXECVE, b'/bin/true', None, None),
    'a new session': lambda: os.setsid(),
    'TCP': lambda: socket.socket().connect(('127.0.0.1', 9)),
    'UDP': lambda: socket.socket(type=socket.SOCK_DGRAM),
    'a socket of the system': lambda: socket.socket(socket.AF_UNIX),
    'kill the parent': lambda: os.kill(os.getppid(), signal.SIGKILL),
    'kill the group': lambda: os.killpg(0, signal.SIGKILL),
    'a signal by a pipe': lambda: fcntl.fcntl(0, fcntl.F_SETOWN, os.getppid()),
    'a signal by a pipe, too': lambda: fcntl.fcntl(0, 15, bytes(8)),
    'limits of the parent': lambda: resource.prlimit(os.getppid(), resource.RLIMIT_CPU, (1, 1)),
    'own limits': lambda: resource.setrlimit(resource.RLIMIT_CPU, (99, 99)),
    'a folder': lambda: os.mkdir('folder'),
    'a link': lambda: os.symlink('/etc/passwd', 'link'),
    'a FIFO': lambda: os.mkfifo('fifo'),
    'passwords': lambda: open('/etc/shadow').read(),
    'the root': lambda: os.chroot('.'),
}
def find_seed():
    words = [word for thing in gc.get_objects() if type(thing) in (dict, list, tuple, set)
             for word in (thing.values() if type(thing) is dict else thing) if type(word) in (str, int)]
    return [word for word in words if str(SEED_PLUS_1 - 1) in str(word)]
def probe(function):
    for name, attempt in TRIES.items():
        try:
            print(function, name, 'OPEN', repr(attempt())[:50])
        except (OSError, ImportError, ValueError) as problem:
            print(function, name, 'shut', type(problem).__name__)
    fresh = sorted(os.listdir('.')) == ['exercise.py', 'loaded', 'printed']
    print(function, 'the folder', 'shut' if fresh else 'OPEN', os.listdir('.'))
    seen = [fd for fd in range(3, 200) if not LIBC.fcntl(fd, 1) < 0]
    print(function, 'open files', 'OPEN' if seen else 'shut', seen)
    told = str([*os.environ.items(), sys.argv])
    print(function, 'seed', 'OPEN' if find_seed() or str(SEED_PLUS_1 - 1) in told else 'shut')
    open('left', 'w').close()
DONE = set()
def once(function):
    if function not in DONE:
        DONE.add(function)
        probe(function)
"""


def probing(folder):
    """The library's own functions, each of which probes first."""
    arm = os.uname().machine == "aarch64"
    numbers = {"SHMGET": (29, 194), "ADD_KEY": (248, 217), "PTRACE": (101, 117), "FORK": (57, 0), "CLONE": (56, 220),
               "EXECVE": (59, 221)}
    names = {name: pair[arm] for name, pair in numbers.items()}
    names |= {"LIBRARY": str(REPOSITORY), "SUBMISSIONS": str(folder / "subs"), "RESULTS": str(folder / "out"),
              "SEED_PLUS_1": SEED + 1}
    text = solution(find("02"))
    for task in find("02").tasks:
        lines = text[text.index(f"def {task.name}("):].split('"""')
        before = f'{lines[0]}"""{lines[1]}"""'
        assert before in text
        text = text.replace(before, f'{before}\n    once("{task.name}")')
    assert text.count("once(") == 6
    return text + PROBES + "".join(f"{name} = {value!r}\n" for name, value in names.items())


# What a file sees of hidden passes, put into all that might come back to its author.
LEAKS = {
    "channel_weights": "raise type('E' + str(float(gradients.flatten()[0])).replace('.', '_'), (Exception,), {})",
    "weighted_sum": "print(weights.tolist()); raise ValueError(f'{float(weights.flatten()[0]):.6f}')",
    "rectify": "return torch.zeros(int(abs(1000 * cam.flatten()[0])) + 1000)",
    "upsample": "return coarse.double().tolist()",
    "min_max": "full[..., 0, 0] = 1; return full / 0",
    "overlay": "class Hidden123: pass\n    return Hidden123()",
}
TOLD = {    # all that its author reads of it
    "channel_weights": "it stops with an exception of its own (line 8)",
    "weighted_sum": "it stops with ValueError (line 10)",
    "rectify": "wrong shape", "upsample": "it returns no tensor", "min_max": "NaN or infinite values",
    "overlay": "it returns no numpy array",
}


def with_bodies(bodies, folder=REPOSITORY):
    heads = {task.name: task.function.__code__.co_varnames[:task.function.__code__.co_argcount]
             for task in find("02").tasks}
    heads["overlay"] = ("rgb", "heatmap", "alpha=0.5", "colors='turbo'")
    text = HELP + "".join(f"def {name}({', '.join(heads[name])}):\n    {body}\n" for name, body in bodies.items())
    return text.replace("LIBRARY", repr(str(folder)))


@pytest.fixture
def here(monkeypatch):
    """Grading runs the files in this process, one after the other."""
    monkeypatch.setattr(grade, "Worker", lambda *limits: Here())
    monkeypatch.setattr(grade, "AT_ONCE", 1)


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """One run over a folder with everything in it: ({name: Graded}, the results' folder, lines said, submissions)."""
    folder, lines = tmp_path_factory.mktemp("graded").resolve(), []
    subs = folder / "subs"
    texts = {
        "right.py": solution(find("02")).replace('PREDICTION = """\n', 'PREDICTION = """\n=1+1 <b>ünknown</b>\n'),
        "two words/exercise ü.py": solution(find("02")).replace("return cam.clamp(min=0)", "return cam"),
        "a/b.py": start.text_of(find("02"), "b.py"), "a_b.py": "raise RuntimeError('at the top')",
        "loop.py": "while True: pass", "Shout.PY": solution(find("02")),
        "=1+1.py": hard_coded(), "empty.py": "", "wrong.py": "def f(:",
        "__MACOSX/._right.py": "junk", ".hidden/x.py": "1",
        "float64.py": solution(find("02")) + "\ntorch.set_default_dtype(torch.float64)\n",
        **{f"hostile_{name}.py": with_bodies(bodies) for name, (bodies, _) in HOSTILE.items()},
        "probing.py": probing(folder), "leaking.py": with_bodies(LEAKS), "broken.py": "x = 1",
        "large.py": "#" * 2**21,
        "notebook.ipynb": "{}", "essay.docx": "PK", "words/notes.txt": "I could not do it",
        "bad\nname/a.b\udcff": "x", "ben/exercise_02.py": solution(find("02")),
        "ben/exercise_05.py": solution(find("05")), "ben/help.py": "x = 1",
        "eve/exercise_05.py": solution(find("05")), "flo/work.py": solution(find("05")),
        "gus/first.py": solution(find("02")), "gus/second.py": solution(find("02")),
        "hal_exercise_12.py": solution(find("12")), "zoe.py": solution(find("02")),
    }
    for name, text in texts.items():
        (subs / name).parent.mkdir(parents=True, exist_ok=True)
        (subs / name).write_text(text, encoding="utf-8")
    (subs / "latin.py").write_bytes("x = 'été'\n".encode("latin-1"))
    (subs / "none").mkdir()
    (subs / "link.py").symlink_to(subs / "right.py")
    (subs / "gone.py").symlink_to("/nowhere/at/all")
    (subs / "linked").symlink_to(subs / "ben")
    os.mkfifo(subs / "fifo.py")
    (folder / "temporary").mkdir()
    run = grade.try_function

    def broken(outcome, source, *more):
        if source == b"x = 1":
            raise RuntimeError("a fault of ours")
        return run(outcome, source, *more)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grade, "try_function", broken)
        patch.setattr(worker.tempfile, "tempdir", str(folder / "temporary"))    # others may be grading beside us
        found = grade.grade(find("02"), subs, SEED, folder / "out", lines.append, SHORT)
    return found, folder / "out", lines, subs


@pytest.mark.slow
def test_right_files_get_all_points_and_the_others_theirs(graded):
    found, out, lines, _ = graded
    points = {name: results.points_of(find("02"), one) for name, one in found.items()}
    right = {name for name, got in points.items() if got == find("02").points}
    assert right == {"right", "float64", "Shout", "probing", "ben_exercise_02", "gus_first", "gus_second", "zoe"}
    assert points["two words_exercise ü"] == 13
    assert {name for name, got in points.items() if got == 0} == {
        "a_b", "a_b-2", "=1+1", "empty", "loop", "wrong", "latin", "link", "linked", "gone", "large", "fifo", "leaking",
        "broken", "notebook.ipynb", "essay.docx", "words", "none", "bad_name", *(f"hostile_{name}" for name in HOSTILE)}
    numbered = [line for line in lines if "/" in line[:5]]
    assert len(numbered) == len(found) and numbered[0].startswith(f"1/{len(found)} =1+1: 0 of 14 points")


@pytest.mark.slow
def test_files_of_other_exercises_are_named_and_have_no_row(graded):
    assert graded[2][-1] == ("left out, files of other exercises: ben/exercise_05.py, eve/exercise_05.py, flo/work.py, "
                             "hal_exercise_12.py")
    assert not [name for name in graded[0] if name.startswith(("eve_", "flo_", "hal_"))]


@pytest.mark.slow
def test_a_mistake_costs_its_own_function_and_is_named(graded):
    outcomes = graded[0]["two words_exercise ü"].outcomes
    assert [name for name, outcome in outcomes.items() if outcome.status != PASSED] == ["rectify"]
    assert outcomes["rectify"].mistake == "no ReLU"


@pytest.mark.slow
@pytest.mark.parametrize("name, sentence", [
    ("a_b", "not written yet (about "), ("a_b-2", "it is loaded: RuntimeError (line 1): at the top"),
    ("empty", "was it renamed?"), ("wrong", "the file cannot be read as Python (line 1): invalid syntax"),
    ("latin", "it is not UTF-8 text"), ("loop", "the file stops when it is loaded: it "),
])
def test_what_cannot_be_run_says_why_for_every_function(name, sentence, graded):
    assert all(sentence in outcome.sentence for outcome in graded[0][name].outcomes.values()), graded[0][name]


@pytest.mark.slow
@pytest.mark.parametrize("name, note", [
    ("link", "not graded: this is a link, not a file"), ("gone", "not graded: this is a link, not a file"),
    ("linked", "not graded: this is a link, not a file"), ("fifo", "not graded: this is not a regular file"),
    ("large", "not graded: a file of 2097152 bytes, 1048576 at most"),
    ("notebook.ipynb", "not graded: a .ipynb file; only .py files are graded"),
    ("essay.docx", "not graded: a .docx file; only .py files are graded"),
    ("words", "not graded: no .py file in this folder"), ("none", "not graded: no .py file in this folder"),
    ("broken", "could not be graded: RuntimeError: a fault of ours"),
    ("gus_first", "one of 2 files for this exercise in gus"), ("gus_second", "one of 2 files for this exercise in gus"),
])
def test_what_is_not_graded_has_a_row_that_says_why(name, note, graded):
    found, out, _, _ = graded
    assert found[name].note == note
    rows = {row[0]: row for row in csv.reader(io.StringIO((out / "grades.csv").read_text(encoding="utf-8")))}
    assert rows[name][-1] == note and rows[name][1] == ("3" if name.startswith("gus") else "")
    assert json.loads((out / name / "results.json").read_text())["output"] == note


@pytest.mark.slow
def test_numbers_copied_from_the_public_passes_earn_nothing(graded):
    outcomes = graded[0]["=1+1"].outcomes
    assert all(outcome.status == FAILED for outcome in outcomes.values())
    with Worker() as one:                               # it does pass the public ones
        assert [outcome.sentence for outcome in check.check(find("02"), hard_coded().encode(), one)] == [""] * 6


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_submissions_are_survived_and_told_why(name, graded):
    outcomes = graded[0][f"hostile_{name}"].outcomes
    for function, sentence in zip(FUNCTIONS, HOSTILE[name][1]):
        assert outcomes[function].status == FAILED and sentence in outcomes[function].sentence, outcomes[function]


@pytest.mark.slow
@LINUX
def test_nothing_is_in_reach_of_a_submission(graded):
    """Forty ways to read, write, leave or end what is not its own, in every function: none finds another's traces."""
    text = (graded[1] / "probing" / "details.txt").read_text()
    if any("this system has no" in line for line in graded[2]):
        pytest.skip("a kernel without the fence; it is told, and this is what it would stop")
    lines = [line for line in text.splitlines() if " shut" in line or " OPEN" in line]
    assert len(lines) >= 40 and not [line for line in lines if "OPEN" in line], text
    assert (graded[3] / "right.py").stat().st_size > 1000 and (graded[3] / "right.py").stat().st_mtime > 1


@pytest.mark.slow
def test_nothing_stays_behind(graded):
    left = [*Path("/dev/shm").glob("left"), *Path.home().glob("left"), *graded[3].parent.glob("*left*")]
    left += (graded[3].parent / "temporary").iterdir()
    assert not left


@pytest.mark.slow
def test_hidden_numbers_are_in_nothing_that_a_student_reads(graded):
    found, out, _, _ = graded
    for function, outcome in found["leaking"].outcomes.items():
        assert results.said_of(outcome) == TOLD[function], (function, outcome)
    for name in found:
        text = (out / name / "results.json").read_text() + (out / name / "junit.xml").read_text()
        assert "flood" not in text and "expected" not in text and "differ" not in text and str(SEED) not in text
    assert "flood" in (out / "hostile_one" / "details.txt").read_text()         # the instructor sees it
    assert "they differ most" in (out / "two words_exercise ü" / "details.txt").read_text()
    text = (out / "two words_exercise ü" / "results.json").read_text()
    assert "this is a known mistake: no ReLU" in text and "reread" in text
    assert not list(out.rglob("seed*"))         # it was given


@pytest.mark.slow
def test_results_json_is_what_gradescope_reads(graded):
    found, out, _, _ = graded
    for name, one in found.items():
        text = json.loads((out / name / "results.json").read_text())
        assert set(text) == {"score", "output", "output_format", "tests"}
        assert text["score"] == sum(test["score"] for test in text["tests"])
        assert len(text["tests"]) == (6 if one.outcomes else 0)
        for test, function in zip(text["tests"], FUNCTIONS):
            assert set(test) == {"name", "score", "max_score", "status", "output", "visibility"}
            assert test["name"] == function and test["status"] in ("passed", "failed")
            assert test["visibility"] == "after_published" and isinstance(test["output"], str)
            assert (test["status"] == "passed") == (one.outcomes[function].status == PASSED) == (test["score"] > 0)


@pytest.mark.slow
def test_junit_has_a_testcase_for_each_function(graded):
    suite = ElementTree.parse(graded[1] / "two words_exercise ü" / "junit.xml").getroot()
    assert suite.get("tests") == "6" and suite.get("failures") == "1"
    assert [case.get("name") for case in suite] == FUNCTIONS
    failure, = suite.iter("failure")
    assert "wrong values" in failure.get("message") and "no ReLU" in failure.text


@pytest.mark.slow
def test_the_table_has_a_row_for_each_submission(graded):
    with open(graded[1] / "grades.csv", newline="", encoding="utf-8") as file:
        head, *rows = csv.reader(file)
    assert head == ["submission", *FUNCTIONS, "points", "of", "note"]
    rows = {row[0]: row[1:] for row in rows}
    assert rows["right"] == ["3", "2", "1", "2", "3", "3", "14", "14", ""]
    assert rows["two words_exercise ü"] == ["3", "2", "0", "2", "3", "3", "13", "14", ""]
    assert "'=1+1" in rows and "=1+1" not in rows           # no formula for a spreadsheet
    assert len(rows) == len(graded[0])


@pytest.mark.slow
def test_answers_in_words_are_collected_without_running_anything(graded):
    text = (graded[1] / "answers.md").read_text(encoding="utf-8")
    assert find("02").question in text and "    =1+1 <b>ünknown</b>" in text
    assert text.count("\n## ") == len(graded[0]) and text.count("cannot be read as Python") == 2


def test_a_small_folder_is_graded(tmp_path, here):
    """Everything that is written about a right file, a mistake, a file that stops, and one that is none."""
    right, subs, lines = solution(find("12")), tmp_path / "subs", []
    subs.mkdir()
    (subs / "ada.py").write_text(right.replace('PREDICTION = """\n', 'PREDICTION = """\nblue\n'))
    (subs / "bob.py").write_text(right.replace(".clamp(min=0).mean(dim=-3)", ".mean(dim=-3).clamp(min=0)"))
    (subs / "eve.py").write_text("print('so')\nraise ValueError('mine')")
    (subs / "fay.txt").write_text("no Python")
    (subs / "gus_exercise_05.py").write_text("x = 1")
    found = grade.grade(find("12"), subs, 5, tmp_path / "out", lines.append)
    assert lines[1:] == ["1/4 ada: 5 of 5 points", "2/4 bob: 2 of 5 points", "3/4 eve: 0 of 5 points",
                         "4/4 fay.txt: not graded: a .txt file; only .py files are graded",
                         "left out, files of other exercises: gus_exercise_05.py"]
    rows = list(csv.reader(io.StringIO((tmp_path / "out" / "grades.csv").read_text())))
    assert rows == [["submission", "positive_evidence", "whole_skip", "points", "of", "note"],
                    ["ada", "3", "2", "5", "5", ""], ["bob", "0", "2", "2", "5", ""], ["eve", "0", "0", "0", "5", ""],
                    ["fay.txt", "", "", "", "5", "not graded: a .txt file; only .py files are graded"]]
    bob = json.loads((tmp_path / "out" / "bob" / "results.json").read_text())
    assert bob["score"] == 2 and [test["status"] for test in bob["tests"]] == ["failed", "passed"]
    assert bob["tests"][0]["output"].splitlines()[:2] == [
        "right shape, wrong values", "this is a known mistake: clamped after the mean over heads"]
    assert bob["tests"][1]["output"] == "passed" and [test["max_score"] for test in bob["tests"]] == [3, 2]
    suite = ElementTree.parse(tmp_path / "out" / "bob" / "junit.xml").getroot()
    assert suite.get("tests") == "2" and suite.get("failures") == "1" and suite.get("errors") == "0"
    assert [len(case) for case in suite] == [1, 0] and suite[0][0].get("message") == "right shape, wrong values"
    assert [case.get("name") for case in suite] == ["positive_evidence", "whole_skip"]
    assert [ElementTree.parse(tmp_path / "out" / name / "junit.xml").getroot().get("failures")
            for name in ("ada", "eve", "fay.txt")] == ["0", "2", "0"]
    details = (tmp_path / "out" / "eve" / "details.txt").read_text().splitlines()
    stopped = "the file stops when it is loaded: ValueError (line 2): mine"
    assert [f"{name}: {stopped}" for name in ("positive_evidence", "whole_skip")] == [
        line for line in details if line[:1] not in ("", " ")]
    assert "    | so" in details and details[0] == ""
    answers = (tmp_path / "out" / "answers.md").read_text()
    assert "## ada\n\nPrediction:\n\n    blue\n\nExplanation:\n\n    (empty)" in answers
    assert "## fay.txt\n\n(not graded: a .txt file" in answers and answers.startswith("# Exercise 12: answers in words")
    assert set(found) == {"ada", "bob", "eve", "fay.txt"} and not (tmp_path / "out" / "seed.txt").exists()


def test_cells_that_a_spreadsheet_would_compute_are_text():
    assert [results.no_formula(text) for text in ("=1", "+1", "-1", "@a", "a=1", "")] == [
        "'=1", "'+1", "'-1", "'@a", "a=1", ""]


def test_a_thread_that_fails_costs_its_own_row():
    with ThreadPoolExecutor(1) as pool:
        assert grade.result_of(pool.submit(int, "x")).note.startswith("could not be graded: ValueError: invalid ")


def test_when_grading_stops_the_runs_are_ended_and_none_begins(monkeypatch):
    noted = []

    def run(exercise, name, passes, limits, stop):
        until = time.monotonic() + 5
        while name != "a" and not stop() and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(0.05)
        noted.append((name, stop()))
        return Graded(note=name)
    monkeypatch.setattr(grade, "grade_one", run)
    monkeypatch.setattr(grade, "AT_ONCE", 1)
    each = grade.each_graded(find("02"), {"a": "a", "b": "b", "c": "c"}, {}, SHORT)
    assert next(each) == ("a", Graded(note="a"))
    each.close()                                        # returns when all runs have ended
    assert noted == [("a", False), ("b", True)]


def test_a_run_in_grading_has_twice_the_time_of_a_check_and_torch_one_thread():
    assert grade.LIMITS == Limits(seconds=2 * Limits().seconds) and 1 <= grade.AT_ONCE <= 4
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(KeyError), grade.one_thread():
            assert torch.get_num_threads() == 1
            raise KeyError
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_a_file_that_cannot_be_loaded_runs_once_and_forged_answers_are_none(monkeypatch):
    runs = []

    class Noting(Here):
        def run(self, source, function="", *arguments, **more):
            runs.append(function)
            return super().run(source, function, *arguments, **more)
    monkeypatch.setattr(grade, "Worker", lambda *limits: Noting())
    exercise = find("12")
    passes = {task.name: [record.fixture(exercise, 5)] for task in exercise.tasks}
    one = grade.grade_one(exercise, submissions.Submission(Path("x.py"), b"1 / 0", note="one of 2"), passes, SHORT,
                          lambda: False)
    assert runs == ["", "positive_evidence"] and one.note == "one of 2"
    assert {(outcome.status, outcome.sentence) for outcome in one.outcomes.values()} == {
        (FAILED, "the file stops when it is loaded: ZeroDivisionError (line 1): division by zero")}
    runs.clear()
    with pytest.raises(Stopped):
        grade.grade_one(exercise, submissions.Submission(Path("x.py"), b""), passes, SHORT, lambda: True)
    assert runs == [""]
    assert grade.answers_of({"PREDICTION": "a", "EXPLANATION": 3}) == {"PREDICTION": "a"}
    assert grade.answers_of("a") == grade.answers_of(None) == {}


def test_a_seed_that_is_drawn_cannot_be_guessed(tmp_path, here, monkeypatch):
    asked = []
    monkeypatch.setattr(grade.secrets, "randbelow", lambda largest: asked.append(largest) or 5)
    (tmp_path / "subs").mkdir()
    start.write(find("04"), tmp_path / "subs" / "ada.py")
    for seed in (None, 3):
        grade.grade(find("04"), tmp_path / "subs", seed, tmp_path / f"out{seed}", lambda line: None)
    assert len(asked) == 1 and asked[0] >= 10**12
    assert (tmp_path / "outNone" / "seed.txt").read_text() == "5\n" and not (tmp_path / "out3" / "seed.txt").exists()


def test_a_seed_gives_the_same_passes_at_any_time():
    """seed.txt is kept, and the passes are made again when a grade is disputed."""
    task, numbers = find("02").tasks[0], []
    for place in range(4):
        digest = hashlib.sha256(f"7 minixai.gradcam.channel_weights {place}".encode()).hexdigest()
        numbers.append(2 * int(digest[:12], 16) + 4 + (place + 1) % 2)
    assert grade.hidden_numbers(task, 7) == numbers
    assert [about["seed"] for about, _ in grade.hidden_passes(find("02"), task, 7)] == numbers


# ---- seeds

def test_the_same_seed_gives_the_same_files_and_what_is_drawn_is_written_down(tmp_path, here):
    subs = tmp_path / "subs"
    subs.mkdir()
    (subs / "ada.py").write_text(solution(find("05")))
    (subs / "bob.py").write_text(solution(find("05")).replace("torch.where(total > 0, total, 1)", "total"))
    grade.grade(find("05"), subs, None, tmp_path / "one", lambda line: None)
    drawn = int((tmp_path / "one" / "seed.txt").read_text())
    grade.grade(find("05"), subs, drawn, tmp_path / "two", lambda line: None)
    files = sorted(path.relative_to(tmp_path / "two") for path in (tmp_path / "two").rglob("*") if path.is_file())
    assert len(files) == 8
    for path in files:
        assert (tmp_path / "one" / path).read_bytes() == (tmp_path / "two" / path).read_bytes()
    assert "In image 3 every gradient is zero" in (tmp_path / "one/bob/results.json").read_text()


def test_every_whole_number_is_a_seed_and_no_two_share_a_pass():
    numbers = [number for seed in (*range(-50, 50), 10**30, -10**30) for _, task in TASKS
               for number in grade.hidden_numbers(task, seed)]
    assert len(numbers) == len(set(numbers)) and not set(numbers) & set(fixtures.PUBLIC)
    assert [number % 2 for number in numbers[:4]] == [1, 0, 1, 0] and min(numbers) > max(fixtures.PUBLIC)
    record.pass_of(max(numbers))


def test_no_function_is_fed_what_another_has_to_answer():
    passes = {task.name: grade.hidden_passes(find("02"), task, 1) for task in find("02").tasks}
    inputs = {name: [array for _, arrays in made for key, array in arrays.items() if key.startswith("input/")]
              for name, made in passes.items()}
    for name, made in passes.items():
        for about, arrays in made:
            assert list(about["tasks"]) == [name]
            for other in inputs:
                assert not [array for array in inputs[other] if np.array_equal(array, arrays[f"expected/{name}"])
                            and array.any()]


@pytest.mark.parametrize("typed, code", [("7\n", 0), ("-3", 0), ("seven\n", 2), ("", 2)])
def test_the_seed_can_come_from_a_pipe(typed, code, tmp_path, here, monkeypatch, capsys):
    graded_with = []
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    monkeypatch.setattr(grade, "hidden_passes", lambda exercise, task, seed: graded_with.append(seed) or [
        record.fixture(exercise, 5), record.fixture(exercise, 6)])
    (tmp_path / "subs").mkdir()
    start.write(find("05"), tmp_path / "subs" / "ada.py")
    where = [str(tmp_path / "subs"), "--out", str(tmp_path / "o")]
    assert main(["grade", *where, "--exercise", "05", "--seed", "-"]) == code
    printed, said = capsys.readouterr()
    assert said.count("\n") == (code > 0) and graded_with == ([] if code else [int(typed)])
    assert ("grades.csv" in printed) == (code == 0) and not list(tmp_path.rglob("seed.txt"))


def test_the_seed_can_be_an_argument_and_has_to_be_a_whole_number(tmp_path, here, capsys):
    (tmp_path / "subs").mkdir()
    start.write(find("04"), tmp_path / "subs" / "ada.py")
    where = [str(tmp_path / "subs"), "--out", str(tmp_path / "o"), "--exercise", "04"]
    assert main(["grade", *where, "--seed", "12"]) == 0 and not (tmp_path / "o" / "seed.txt").exists()
    assert main(["grade", *where]) == 0 and (tmp_path / "o" / "seed.txt").read_text().strip().isdigit()
    assert main(["grade", *where, "--seed", "twelve"]) == 2
    assert "invalid whole number value: 'twelve'" in capsys.readouterr().err


# ---- what a run is given

@pytest.mark.slow
def test_a_run_is_given_its_own_inputs_and_nothing_that_is_expected(tmp_path, monkeypatch):
    given, sent, started = {}, [], []
    save, write, popen = np.savez, worker.Process.write, subprocess.Popen
    monkeypatch.setattr(worker.np, "savez", lambda path, **arrays: (given.update({path: arrays}), save(path, **arrays)))
    monkeypatch.setattr(worker.Process, "write", lambda self, request: (sent.append(json.dumps(request)),
                                                                        write(self, request)))
    monkeypatch.setattr(worker.subprocess, "Popen", lambda *arguments, **how: (started.append((arguments, how["env"])),
                                                                               popen(*arguments, **how))[1])
    monkeypatch.setenv("MY_SECRET", str(SEED))
    (tmp_path / "subs").mkdir()
    (tmp_path / "subs" / "ada.py").write_text(solution(find("12")))
    grade.grade(find("12"), tmp_path / "subs", SEED, tmp_path / "out", lambda line: None)
    assert str(SEED) not in str(started) + str(sent) and "expected" not in str(sent)
    assert [sorted({name.partition("/")[2] for name in arrays}) for arrays in given.values()] == [
        ["attention", "attention_gradients"], ["fused"]]
    assert len({path.parent for path in given}) == 2 and not [path for path in given if path.parent.exists()]


@pytest.mark.slow
def test_where_there_is_no_fence_and_no_fork_it_is_said_and_grading_works(tmp_path, monkeypatch):
    """As on Windows: each run takes a process of its own, and the note says what that does not protect against."""
    code = {name: (worker.RUNNER.parent / name).read_text() for name in ("runner.py", "fence.py")}
    alone = code["runner.py"].replace('FORKS = sys.platform == "linux"', "FORKS = False")
    open_ = code["fence.py"].replace('if sys.platform != "linux":', "if True:")
    assert alone != code["runner.py"] and open_ != code["fence.py"]
    (tmp_path / "runner.py").write_text(alone)
    (tmp_path / "fence.py").write_text(open_)
    monkeypatch.setattr(worker, "RUNNER", tmp_path / "runner.py")
    (tmp_path / "subs").mkdir()
    (tmp_path / "subs" / "ada.py").write_text(solution(find("12")))
    (tmp_path / "subs" / "bob.py").write_text("while True: pass")
    (tmp_path / "subs" / "eve.py").write_text(solution(find("12")) + f"\nopen({__file__!r})\n")
    lines = []
    found = grade.grade(find("12"), tmp_path / "subs", 1, tmp_path / "out", lines.append, SHORT)
    assert lines[0].startswith("note: this system has no Landlock and no seccomp: a submission can read, change and ")
    assert [results.points_of(find("12"), one) for one in found.values()] == [5, 0, 0]
    assert "out of reach here" in found["eve"].outcomes["whole_skip"].more      # what is not meant badly is still told


# ---- interrupted, unwritable, empty

@pytest.mark.slow
def test_ctrl_c_keeps_what_is_graded(tmp_path):
    (tmp_path / "subs").mkdir()
    for name in ("a.py", "b.py", "c.py", "d.py"):
        (tmp_path / "subs" / name).write_text(solution(find("05")) if name == "a.py" else "while True: pass")

    def say(line):
        if line.startswith("1/4"):
            raise KeyboardInterrupt
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        long = Limits(seconds=100, processor_seconds=100)
        grade.grade(find("05"), tmp_path / "subs", None, tmp_path / "out", say, long)
    assert time.monotonic() - started < 60
    rows = list(csv.reader(io.StringIO((tmp_path / "out" / "grades.csv").read_text())))[1:]
    assert [row[1:] for row in rows] == [["3", "3", "3", ""]] + [["", "", "3", "not graded: grading was stopped"]] * 3
    assert (tmp_path / "out" / "seed.txt").exists()


def test_an_exercise_of_words_alone_has_answers_and_no_points(tmp_path, here):
    (tmp_path / "subs").mkdir()
    start.write(find("04"), tmp_path / "subs" / "ada.py")
    found = grade.grade(find("04"), tmp_path / "subs", 1, tmp_path / "out", lambda line: None)
    assert found["ada"].outcomes == {} and "(empty)" in (tmp_path / "out" / "answers.md").read_text()


@pytest.mark.slow
def test_what_cannot_be_graded_at_all_is_one_line(tmp_path, capsys):
    (tmp_path / "subs").mkdir()
    (tmp_path / "subs" / "a.py").write_text("")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    for folder, out, sentence in (("empty", "o", "no submissions"), ("none", "o", "is not a folder"),
                                  ("subs", "file", "Not a directory"), ("subs", "file/o", "Not a directory")):
        where = [str(tmp_path / folder), "--out", str(tmp_path / out)]
        assert main(["grade", *where, "--exercise", "02", "--seed", "1"]) == 2
        printed, said = capsys.readouterr()
        assert sentence in said and said.count("\n") == 1 and not printed
    assert not (tmp_path / "o").exists()


# ---- who handed in what

def test_names_are_folders_on_every_system():
    taken = {name.casefold() for name in results.FILES}
    paths = ["a/b.py", "a_b.py", "A_B.py", "con.py", "CON.txt", "x\ny.py", "grades.csv", "  .py", "...py", "é.py",
             "e\u0301.py", "<a>|b?.py", "n" * 250 + ".py", "n" * 251 + ".py", "=1+1.py", "a\udcffb.py",
             "ß" * 125 + ".py"]
    names = [submissions.new_name(Path(path), taken) for path in paths]
    assert names[:6] == ["a_b", "a_b-2", "A_B-3", "_con", "_CON.txt", "x_y"] and names[6] == "grades.csv-2"
    assert len({name.casefold() for name in names}) == len(paths)
    assert all(len(name.encode()) < 130 and name.strip(" .") == name and name and "/" not in name for name in names)


@pytest.mark.parametrize("name, text, number", [
    ("exercise_02.py", "", "02"), ("ada_Exercise-5 (1).py", "", "05"), ("ada/exercise 12/main.py", "", "12"),
    ("mine.py", "def rectify(cam): pass", "02"), ("mine.py", "import torch\ndef half_skip(fused):\n    pass", "11"),
    ("mine.py", "x = 1", None), ("exercise_05.py", "def rectify(cam): pass", "05"),
])
def test_the_exercise_of_a_file_is_in_its_name_or_in_its_functions(name, text, number, tmp_path):
    assert submissions.exercise_of(submissions.Submission(tmp_path / name, text.encode()), tmp_path) == number


def test_results_in_the_folder_of_the_submissions_are_no_submissions(tmp_path):
    (tmp_path / "out" / "ada").mkdir(parents=True)
    (tmp_path / "out" / "ada" / "x.py").write_text("")
    (tmp_path / "ada.py").write_text("")
    assert list(submissions.find_all(find("02"), tmp_path, tmp_path / "out")[0]) == ["ada"]


def found_in(folder):
    """({name: what is said of it}, the files of other exercises) for exercise 02."""
    found, elsewhere = submissions.find_all(find("02"), folder, folder / "out")
    return {name: (one.path.relative_to(folder).as_posix(), one.problem or one.note)
            for name, one in found.items()}, elsewhere


def test_each_students_folder_is_searched_at_any_depth(tmp_path):
    rectify = "def rectify(cam): pass"
    for name in ("zoe/a/b/Main.PY", "zoe/a/__pycache__/main.py", "zoe/.git/main.py", "zoe/a/.main.py",
                 "zoe/a/notes.md", "__MACOSX/zoe.py", ".idea/x.py", "Thumbs.db",
                 "ben/exercise_02.py", "ben/exercise_05.py", "ben/help.py", "eve/exercise_05.py", "eve/help.py",
                 "gus/1.py", "gus/2.py", "out/results.json", "words/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(rectify if name.startswith("gus") else "")
    (tmp_path / "none").mkdir()
    found, elsewhere = found_in(tmp_path)
    assert found == {
        "ben_exercise_02": ("ben/exercise_02.py", ""),
        "gus_1": ("gus/1.py", "one of 2 files for this exercise in gus"),
        "gus_2": ("gus/2.py", "one of 2 files for this exercise in gus"),
        "none": ("none", "no .py file in this folder"), "words": ("words", "no .py file in this folder"),
        "zoe_a_b_Main": ("zoe/a/b/Main.PY", "")}
    assert list(found) == sorted(found) and elsewhere == ["ben/exercise_05.py", "eve/exercise_05.py"]


def test_a_folder_of_more_files_than_a_student_writes_is_not_read(tmp_path):
    for name, count in (("many", 51), ("most", 50)):
        (tmp_path / name).mkdir()
        for number in range(count):
            (tmp_path / name / f"{number:02d}.py").write_text("")
    found, _ = found_in(tmp_path)
    assert found.pop("many") == ("many", "51 .py files in this folder, 50 at most")
    assert len(found) == 50 and found["most_00"] == ("most/00.py", "one of 50 files for this exercise in most")


def test_what_is_no_python_file_is_not_read_and_says_why(tmp_path):
    (tmp_path / "as_large.py").write_bytes(b"#" * 2**20)
    (tmp_path / "larger.py").write_bytes(b"#" * (2**20 + 1))
    (tmp_path / "link.py").symlink_to(tmp_path / "as_large.py")
    (tmp_path / "linked").symlink_to(tmp_path)
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "link.py").symlink_to(tmp_path / "as_large.py")
    (tmp_path / "work.ipynb").write_text("{}")
    (tmp_path / "work").write_text("")
    os.mkfifo(tmp_path / "fifo.py")
    assert {name: said for name, (_, said) in found_in(tmp_path)[0].items()} == {
        "as_large": "", "larger": "a file of 1048577 bytes, 1048576 at most", "fifo": "this is not a regular file",
        "link": "this is a link, not a file", "linked": "this is a link, not a file",
        "pack_link": "this is a link, not a file",
        "work": "a nameless file; only .py files are graded",
        "work.ipynb": "a .ipynb file; only .py files are graded"}
    source = submissions.find_all(find("02"), tmp_path, tmp_path)[0]["as_large"].source
    assert source == b"#" * 2**20


def test_what_cannot_be_read_is_a_row_of_its_own(tmp_path, monkeypatch):
    (tmp_path / "ada").mkdir()
    (tmp_path / "ben.py").write_text("")
    scan = os.scandir

    def refuse(path, *_):
        if str(path).endswith("ada"):
            raise PermissionError(13, "Permission denied")
        return scan(path)
    monkeypatch.setattr(os, "scandir", refuse)

    def unread(path):
        raise OSError(5, "Input/output error")
    monkeypatch.setattr(Path, "read_bytes", unread)
    assert found_in(tmp_path)[0] == {"ada": ("ada", "the folder cannot be read: no permission"),
                                     "ben": ("ben.py", "it cannot be read: Input/output error")}


def test_a_folder_of_another_exercise_has_no_rows_and_an_empty_one_is_an_error(tmp_path):
    (tmp_path / "hal_exercise_12.py").write_text("")
    assert found_in(tmp_path) == ({}, ["hal_exercise_12.py"])
    (tmp_path / "hal_exercise_12.py").unlink()
    with pytest.raises(ValueError, match=": no submissions in this folder$"):
        found_in(tmp_path)
    with pytest.raises(ValueError, match="none is not a folder$"):
        found_in(tmp_path / "none")


# ---- judged as grading does, without a process for each

@pytest.mark.parametrize("exercise, task", TASKS, ids=lambda value: getattr(value, "name", None))
def test_every_known_mistake_fails_on_hidden_passes_and_is_named(exercise, task):
    for seed in (7431, 12):
        passes = grade.hidden_passes(exercise, task, seed)
        for mistake in record.mistakes_for(task):
            name, mine = mistake.name, student_of(mistake.function, task)
            outcome = mine and judged(task.name, mine, passes)
            if outcome and "IndexError" not in outcome.message:         # head 12 of three
                assert outcome.status == FAILED and name in outcome.mistake.split(", or "), (seed, name, outcome)


# ---- what a run left behind may be forged

def an_array(**changes):
    file = io.BytesIO()
    np.save(file, np.arange(6, dtype=np.float32).reshape(2, 3))
    data = file.getvalue()
    for old, new in changes.values():
        assert old in data
        data = data.replace(old, new)
    return data


def test_an_array_survives_the_way_back(tmp_path):
    (tmp_path / "0.npy").write_bytes(an_array())
    assert np.array_equal(worker.read_array(tmp_path / "0.npy"), np.arange(6).reshape(2, 3))


@pytest.mark.parametrize("data", [
    b"", b"PK\x03\x04", b"\x93NUMPY", an_array()[:90], an_array(a=(b"<f4", b"|O8")),
    an_array(a=(b"(2, 3)", b"(9, 9)")),
    an_array(a=(b"(2, 3)", b"(2,-3)")), an_array(a=(b"(2, 3), }            ", b"(0, 99999999999999), }")),
    an_array(a=(b"<f4", b"<U9")), an_array(a=(b"'shape'", b"'sh\0pe'")), an_array(a=(b"False", b"1/0  ")),
    b"\x93NUMPY\x02\x00\xff\xff\xff\x7f" + b"(" * 5000,
])
def test_forged_arrays_are_no_arrays(data, tmp_path):
    (tmp_path / "0.npy").write_bytes(data)
    array = worker.read_array(tmp_path / "0.npy")
    assert array is None or array.size == 0


@pytest.mark.parametrize("text", [b"", b"[]", b"3", b"{", b"[" * 100_000, b'{"a":' * 100_000, b"1" * 10_000, b"\xff",
                                  b"NaN"])
def test_forged_reports_are_no_reports(text, tmp_path):
    (tmp_path / "report.json").write_bytes(text)
    assert worker.read_report(tmp_path / "report.json") == {}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFO here")
def test_what_is_no_file_or_too_large_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    with open(tmp_path / "large", "wb") as file:
        file.truncate(2**40)
    for name in ("pipe", "link", "large", "none"):
        path = tmp_path / name
        assert worker.read_report(path) == {} and worker.read_array(path) is None and worker.read_printed(path) == ""


def test_whatever_a_report_says_a_verdict_comes_out_and_none_passes():
    chance = random.Random(0)
    words = ["passes", "problem", "kind", "raised", "type", "text", "line", "frames", "tensor", "changed", "graph",
             "gone", "head", "large", "numbers", "syntax", "loading",
             "x" * 1000, "\x1b", 0, -1, 1e308, 10**30, None, True,
             False]

    def anything(depth):
        if depth == 0 or chance.random() < 0.3:
            return chance.choice(words)
        if chance.random() < 0.4:
            return [anything(depth - 1) for _ in range(chance.randrange(5))]
        return {str(chance.choice(words)): anything(depth - 1) for _ in range(chance.randrange(6))}
    passes = fixtures.public(find("02"))
    for _ in range(2000):
        said = {"passes": [anything(3), anything(3)], "problem": anything(2)}
        if chance.random() < 0.6:
            said["problem"] = None
        values = [chance.choice([None, np.zeros((5, 7), np.float32), np.zeros((0, 3), np.uint8)]) for _ in passes]
        outcome = Outcome("rectify")
        check.judge(outcome, Run(said, values), passes, ["one line"])
        assert outcome.status == FAILED and isinstance(outcome.sentence, str) and len(outcome.message) < 200
        assert not set("\x1b") & set(results.said_of(outcome)) and "xxx" not in results.said_of(outcome)
