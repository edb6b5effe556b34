"""Grading: right files get all points, wrong ones none, and hostile ones cost nobody else anything."""
import csv
import json
import os
import time
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

from minixai.course import fixtures, grade, record, results, start
from minixai.course.check import FAILED, PASSED, Outcome
from minixai.course.exercises import find
from minixai.course.grade import Limits
from tests.test_course import TASKS, solution, student_of

SHORT = Limits(seconds=1, wall_seconds=4, all_seconds=60)     # an endless loop costs a second
FUNCTIONS = [task.name for task in find("02").tasks]

HARD_CODED = """
import numpy as np, torch
def look_up(name, kind, **inputs):
    for seed in (1, 2):
        with np.load(f"{FOLDER}/02_{seed}.npz") as file:
            if all(np.array_equal(np.asarray(value), file[f"input/{name}.{key}"]) for key, value in inputs.items()):
                return kind(file[f"expected/{name}"])
    return kind(np.zeros((3, 3), np.float32))
def channel_weights(gradients): return look_up("channel_weights", torch.from_numpy, gradients=gradients)
def weighted_sum(activations, weights): return look_up("weighted_sum", torch.from_numpy, weights=weights)
def rectify(cam): return look_up("rectify", torch.from_numpy, cam=cam)
def upsample(coarse, size): return look_up("upsample", torch.from_numpy, coarse=coarse)
def min_max(full): return look_up("min_max", torch.from_numpy, full=full)
def overlay(rgb, heatmap, alpha=0.5, colors="turbo"): return look_up("overlay", np.asarray, rgb=rgb)
""".replace("{FOLDER}", str(fixtures.FOLDER))

HOSTILE = {     # name: (the bodies of the functions, what is said of each)
    "one": ({
        "channel_weights": "while True: pass",
        "weighted_sum": "import os; os._exit(0)",
        "rectify": "import ctypes; ctypes.string_at(0)",
        "upsample": "leave_a_process(); return coarse",
        "min_max": "while True: print('flood' * 100000)",
        "overlay": "return bytearray(10 * 2**30)",
    }, ("it was stopped: ", "its process ended early", "SIGSEGV", "wrong shape",
        "printed or wrote too much", "MemoryError")),
    "two": ({
        "channel_weights": "import sys; sys.exit('bye')",
        "weighted_sum": "import time; time.sleep(1000)",
        "rectify": "class Evil(BaseException): __str__ = lambda self: 1 / 0\n    raise Evil",
        "upsample": "return torch.zeros(3000, 3000)",
        "min_max": "class Array:\n        def __array__(self, *_): import os; os._exit(3)\n    return Array()",
        "overlay": "import minixai; return minixai.overlay(rgb, heatmap, alpha)",
    }, ("SystemExit: bye", "did not come to an end in time", "Evil", "it returns 36000000 bytes",
        "it returns a Array", "minixai cannot be imported while it is graded")),
    "three": ({
        "channel_weights": "return input()",
        "weighted_sum": "forge(); return activations",
        "rectify": "import shutil, os; shutil.rmtree(os.getcwd()); return cam",
        "upsample": "import torch; torch.zeros(2**31); return coarse",
        "min_max": "torch.Tensor.numpy = lambda self: 1; return full",
        "overlay": "import os, signal; os.kill(os.getppid(), signal.SIGKILL); return rgb",
    }, ("EOFError", "what it left cannot be read", "exit code 1, and gave nothing", "allocate memory", "rror: ",
        "ended the process that ran it")),
}
HELP = """
import torch
def leave_a_process():
    import os, time
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            end = time.time() + 30
            while time.time() < end:
                open("SIGN", "w").close(); time.sleep(0.05)
        os._exit(0)
    time.sleep(0.3)
def forge():
    import os
    with open("result", "w") as file:
        file.write('{"loaded": true, "passes": [{"tensor": true, "dtype": "O", "shape": [1], "bytes": 8}]}\\n12345678')
    os._exit(0)
"""


def hostile(bodies, sign):
    heads = {task.name: task.function.__code__.co_varnames[:task.function.__code__.co_argcount]
             for task in find("02").tasks}
    heads["overlay"] = ("rgb", "heatmap", "alpha=0.5")
    return HELP.replace("SIGN", str(sign)) + "".join(f"def {name}({', '.join(heads[name])}):\n    {body}\n"
                                                     for name, body in bodies.items())


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """One run over a folder with everything in it: ({name: {function: Outcome}}, the results' folder, lines said)."""
    folder, lines = tmp_path_factory.mktemp("graded"), []
    subs = folder / "subs"
    texts = {
        "right.py": solution(find("02")).replace('PREDICTION = """\n', 'PREDICTION = """\n=1+1 <b>ünknown</b>\n'),
        "two words/exercise ü.py": solution(find("02")).replace("return cam.clamp(min=0)", "return cam"),
        "a/b.py": start.text_of(find("02"), "b.py"), "a_b.py": "raise RuntimeError('at the top')",
        "loop.py": "while True: pass",
        "=1+1.py": HARD_CODED, "empty.py": "", "wrong.py": "def f(:",
        "__MACOSX/._right.py": "junk", ".hidden/x.py": "1",
        "defaults.py": solution(find("02")) + "\ntorch.set_default_dtype(torch.float64)\n",
        **{f"hostile_{name}.py": hostile(bodies, folder / "sign") for name, (bodies, _) in HOSTILE.items()},
        "large.py": "#" * 2**21,
    }
    for name, text in texts.items():
        (subs / name).parent.mkdir(parents=True, exist_ok=True)
        (subs / name).write_text(text, encoding="utf-8")
    (subs / "latin.py").write_bytes("# été\n".encode("latin-1"))
    (subs / "link.py").symlink_to(subs / "right.py")
    (subs / "gone.py").symlink_to("/nowhere/at/all")
    found = grade.grade(find("02"), subs, 7431, folder / "out", lines.append, SHORT)
    return found, folder / "out", lines, subs


def test_right_files_get_all_points_and_the_others_theirs(graded):
    found, out, lines, _ = graded
    points = {name: results.points_of(find("02"), outcomes) for name, outcomes in found.items()}
    assert points.pop("right") == points.pop("defaults") == find("02").points == 14
    assert points.pop("two words_exercise ü") == 13
    assert set(points) == {"a_b", "a_b-2", "=1+1", "empty", "loop", "wrong", "latin", "link", "gone", "large",
                           "hostile_one",
                           "hostile_two", "hostile_three"} and not any(points.values())
    assert len(lines) == len(found) and lines[0].startswith(f"1/{len(found)} =1+1: 0 of 14 points, ")


def test_a_mistake_costs_its_own_function_and_is_named(graded):
    outcomes = graded[0]["two words_exercise ü"]
    assert [name for name, outcome in outcomes.items() if outcome.status != PASSED] == ["rectify"]
    assert outcomes["rectify"].mistake == "no ReLU"


@pytest.mark.parametrize("name, sentence", [
    ("a_b", "not written yet (about "), ("a_b-2", "RuntimeError: at the top (line 1)"), ("empty", "was it renamed?"),
    ("wrong", "when it is loaded: SyntaxError"), ("latin", "UnicodeDecodeError"),
    ("link", "this is a link, not a file"),
    ("loop", "the file stops when it is loaded: it was stopped: "),
    ("gone", "this is a link, not a file"), ("large", "a file of 2097152 bytes"),
])
def test_what_cannot_be_graded_says_why_for_every_function(name, sentence, graded):
    assert all(sentence in outcome.message for outcome in graded[0][name].values()), graded[0][name]


def test_numbers_copied_from_the_public_passes_earn_nothing(graded, tmp_path):
    outcomes = graded[0]["=1+1"]
    assert all(outcome.status == FAILED for outcome in outcomes.values())
    from minixai.course.check import check
    path = tmp_path / "copied.py"
    path.write_text(HARD_CODED)
    assert all(outcome.status == PASSED for outcome in check(find("02"), path))     # it does pass the public ones


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_submissions_are_survived_and_told_why(name, graded):
    outcomes = graded[0][f"hostile_{name}"]
    for function, sentence in zip(FUNCTIONS, HOSTILE[name][1]):
        assert outcomes[function].status == FAILED and sentence in outcomes[function].message, outcomes[function]


def test_what_a_submission_started_is_ended_with_it(graded):
    sign = graded[3].parent / "sign"
    assert sign.exists()                # it ran …
    before = sign.stat().st_mtime_ns
    time.sleep(0.3)
    assert sign.stat().st_mtime_ns == before        # … and runs no more


def test_results_json_is_what_gradescope_reads(graded):
    found, out, _, _ = graded
    for name, outcomes in found.items():
        text = json.loads((out / name / "results.json").read_text())
        assert set(text) == {"score", "output", "output_format", "tests"} and len(text["output"]) <= 6000
        assert text["score"] == sum(test["score"] for test in text["tests"])
        for test, function in zip(text["tests"], FUNCTIONS):
            assert set(test) == {"name", "score", "max_score", "status", "output", "visibility"}
            assert test["name"] == function and test["status"] in ("passed", "failed")
            assert test["visibility"] == "after_published" and isinstance(test["output"], str)
            assert (test["status"] == "passed") == (outcomes[function].status == PASSED) == (test["score"] > 0)
    assert "flood" in json.loads((out / "hostile_one" / "results.json").read_text())["output"]


def test_hidden_numbers_are_not_in_what_a_student_reads(graded):
    text = (graded[1] / "two words_exercise ü" / "results.json").read_text()
    assert "no ReLU" in text and "reread" in text
    assert "they differ most" not in text and "expected (" not in text


def test_junit_has_a_testcase_for_each_function(graded):
    suite = ElementTree.parse(graded[1] / "two words_exercise ü" / "junit.xml").getroot()
    assert suite.get("tests") == "6" and suite.get("failures") == "1"
    assert [case.get("name") for case in suite] == FUNCTIONS
    failure, = suite.iter("failure")
    assert "wrong values" in failure.get("message") and "no ReLU" in failure.text


def test_the_table_has_a_row_for_each_submission(graded):
    with open(graded[1] / "grades.csv", newline="", encoding="utf-8") as file:
        head, *rows = csv.reader(file)
    assert head == ["submission", *FUNCTIONS, "points", "of"]
    rows = {row[0]: row[1:] for row in rows}
    assert rows["right"] == ["3", "2", "1", "2", "3", "3", "14", "14"]
    assert rows["two words_exercise ü"] == ["3", "2", "0", "2", "3", "3", "13", "14"]
    assert "'=1+1" in rows and "=1+1" not in rows           # no formula for a spreadsheet
    assert len(rows) == len(graded[0])


def test_answers_in_words_are_collected_without_running_anything(graded):
    text = (graded[1] / "answers.md").read_text(encoding="utf-8")
    assert find("02").question in text and "    =1+1 <b>ünknown</b>" in text
    assert text.count("\n## ") == len(graded[0]) and text.count("cannot be read as Python") == 4


def test_the_same_seed_gives_the_same_files_and_another_seed_other_passes(tmp_path):
    subs = tmp_path / "subs"
    subs.mkdir()
    (subs / "ada.py").write_text(solution(find("05")))
    (subs / "bob.py").write_text(solution(find("05")).replace("torch.where(total > 0, total, 1)", "total"))
    for folder in ("one", "two"):
        grade.grade(find("05"), subs, 3, tmp_path / folder, lambda line: None)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file())
    assert len(files) == 6
    for path in files:
        assert (tmp_path / "one" / path).read_bytes() == (tmp_path / "two" / path).read_bytes()
    assert "In image 3 nothing speaks" in (tmp_path / "one/bob/results.json").read_text()
    assert not set(grade.hidden_seeds(3)) & (set(grade.hidden_seeds(4)) | set(fixtures.PUBLIC))
    assert [seed % 2 for seed in grade.hidden_seeds(3)] == [1, 0, 1, 0]


def test_an_exercise_of_words_alone_has_answers_and_no_points(tmp_path):
    (tmp_path / "subs").mkdir()
    start.write(find("04"), tmp_path / "subs" / "ada.py")
    assert grade.grade(find("04"), tmp_path / "subs", 1, tmp_path / "out", lambda line: None) == {"ada": {}}
    assert "(empty)" in (tmp_path / "out" / "answers.md").read_text()


def test_a_folder_without_submissions_is_one_line(tmp_path, capsys):
    from minixai.__main__ import main
    for folder, sentence in ((tmp_path, "no .py files"), (tmp_path / "none", "is no folder")):
        assert main(["grade", str(folder), "--exercise", "02", "--seed", "1", "--out", str(tmp_path / "o")]) == 2
        assert sentence in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("exercise, task", TASKS, ids=lambda value: getattr(value, "name", None))
def test_every_known_mistake_fails_on_hidden_passes_and_is_named(exercise, task):
    """Judged as grading does, without a process for each."""
    exercise = replace(exercise, tasks=(task,))
    for seed in (7431, 12):
        passes = [grade._parsed(record.fixture(exercise, number)) for number in grade.hidden_seeds(seed)]
        for name, function, _ in record.mistakes_for(task):
            mine = student_of(function, task)
            given = mine and _given(mine, passes, task)
            if not given:
                continue
            outcome = Outcome(task.name, PASSED)
            grade.judge(outcome, passes, {"passes": given}, "")
            assert outcome.status == FAILED and name in outcome.mistake.split(", or "), (seed, name, outcome)


def _given(function, passes, task):
    try:
        return [{"value": function(**fixtures.arguments(*one, task.name))} for one in passes]
    except IndexError:          # head 12 of three
        return None


@pytest.mark.parametrize("text", [
    b"", b"\n", b"[]\n", b"{}\n", b"not json\n", b'{"passes": 3}\n', b'{"passes": [{"bytes": 4}]}\nabcd',
    b'{"passes": [{"bytes": 8, "dtype": "O", "shape": [1], "tensor": false}]}\nabcdefgh',
    b'{"passes": [{"bytes": 8, "dtype": "<f4", "shape": [9], "tensor": false}]}\nabcdefgh', b"[" * 100_000,
])
def test_forged_results_are_no_results(text, tmp_path):
    (tmp_path / "result").write_bytes(text)
    outcome = Outcome("rectify", PASSED)
    one = grade._parsed(record.fixture(find("02"), 1001))
    grade.judge(outcome, [one], grade.read_result(tmp_path / "result"), "")
    assert outcome.status == FAILED


def test_a_result_that_is_no_file_or_too_large_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    with open(tmp_path / "large", "wb") as file:
        file.truncate(grade.LARGEST_RESULT + 1)
    assert all(grade.read_result(tmp_path / name) == {} for name in ("pipe", "link", "large", "none"))


def test_what_a_student_is_given_holds_no_expected_value(tmp_path):
    passes = [grade._parsed(record.fixture(find("02"), number)) for number in grade.hidden_seeds(1)]
    grade.write_inputs(find("02"), passes, tmp_path / "inputs.npz")
    with np.load(tmp_path / "inputs.npz") as file:
        assert {name.partition("/")[2] for name in file} == {
            "channel_weights.gradients", "weighted_sum.activations", "weighted_sum.weights", "rectify.cam",
            "upsample.coarse", "upsample.size", "min_max.full", "overlay.rgb", "overlay.heatmap", "overlay.alpha"}
    assert "minixai" not in Path(grade.RUNNER).read_text().split('"""', 2)[2].replace('"minixai"', "").replace(
        "minixai cannot be imported", "").replace("`import minixai`", "")


def test_tensors_survive_the_way_back(tmp_path):
    head = {"loaded": True, "passes": [{"tensor": True, "dtype": "<f4", "shape": [2, 3], "bytes": 24}]}
    numbers = np.arange(6, dtype=np.float32)
    (tmp_path / "result").write_bytes(json.dumps(head).encode() + b"\n" + numbers.tobytes())
    value = grade.read_result(tmp_path / "result")["passes"][0]["value"]
    assert torch.equal(value, torch.arange(6.).reshape(2, 3))
