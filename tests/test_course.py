"""Exercises and the check: what a student is told. Every known mistake is planted, and has to be named."""
import ast
import atexit
import inspect
import io
import json
import os
import subprocess
import sys
import tempfile
import textwrap
import time
from contextlib import redirect_stdout
from functools import cache
from inspect import Signature, signature
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from PIL import Image

from minixai import METHODS, figures
from minixai.__main__ import main
from minixai.course import check, fixtures, pictures, record, report, runner, start
from minixai.course.blank import blanked, length_of
from minixai.course.check import FAILED, PASSED, WAITING, Outcome
from minixai.course.exercises import EXERCISES, find
from minixai.course.mine import with_mine
from minixai.course.worker import Limits, Run, Stopped, Worker, read_array
from tests.reference.near import SINGLE, relative_difference

DEEPER = "return deeper(gradients)\ndef deeper(x):\n    return x[99]"
CLAMP = "return cam.clamp(min=0)"
TASKS = [(exercise, task) for exercise in EXERCISES.values() for task in exercise.tasks]
HELPERS = """
def not_zero(values):
    return torch.where(values == 0, 1, values)

def _array(values):
    return np.asarray(values)

def _check_overlay(*_):
    pass

def _with_mask(heatmap, mask):
    return heatmap, mask

"""


def solution(exercise):
    """A student's file with the library's own bodies in it."""
    text = start.text_of(exercise, "x.py")
    for task in exercise.tasks:
        assert blanked(task.function) in text
        text = text.replace(blanked(task.function), inspect.getsource(task.function).rstrip())
    return text.replace("import torch\n", f"import torch\n{HELPERS}", 1)


def body_lines(function):
    """The lines of a function behind its docstring: what no student may find."""
    source = textwrap.dedent(inspect.getsource(function))
    docstring, *_ = ast.parse(source).body[0].body
    return [line.strip() for line in source.splitlines()[docstring.end_lineno:]]


def written(tmp_path, text, name="mine.py"):
    path = tmp_path / name
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return path


@cache
def worker():
    """One for all tests here; each run in it is a process of its own."""
    one = Worker()
    atexit.register(one.__exit__)
    return one


class Here:
    """A worker that runs a harmless file in this process, with runner.py's own functions."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def run(self, source, function="", inputs=None, passes=0, of_numpy=False, stop=lambda: False, file="exercise.py"):
        if stop():
            raise Stopped
        before, printed = os.getcwd(), io.StringIO()
        with tempfile.TemporaryDirectory() as folder, mock.patch.dict(sys.modules), redirect_stdout(printed):
            os.chdir(folder)
            try:
                Path(file).write_bytes(source)
                np.savez("inputs.npz", **(inputs or {}))
                said = runner.answer({"file": file, "function": function, "passes": passes, "of_numpy": of_numpy})
                arrays = [read_array(Path(f"{number}.npy")) for number in range(passes)]
                loaded = "passes" in said or Path("loaded").exists()
            finally:
                os.chdir(before)
        return Run(json.loads(json.dumps(said)), arrays, printed.getvalue(), None, loaded)


@pytest.fixture
def here(monkeypatch):
    """`minixai check` runs a file in this process."""
    monkeypatch.setattr(report, "Worker", Here)


def checked(text, exercise="02", by=None):
    """The outcomes of a student's file, given as text."""
    return list(check.check(find(exercise), textwrap.dedent(text).encode(), by or worker()))


def said(text, exercise="02", by=None):
    """The report on a student's file, in one string."""
    outcomes = checked(text, exercise, by)
    lines = [f"{outcome.name:26s}" + "\n".join(report.said_of(outcome)) for outcome in outcomes]
    return "\n".join([*lines, f"{sum(outcome.status == PASSED for outcome in outcomes)} of {len(outcomes)} right"])


def judged(name, function, passes):
    """The verdict on a function of this process, as on a student's: without a process for each of hundreds."""
    outcome, said, arrays = Outcome(name), [], []
    for about, values in passes:
        of_numpy = values[f"expected/{name}"].dtype == np.uint8
        inputs = {parameter: values[f"input/{name}.{parameter}"] for parameter in about["tasks"][name]["inputs"]}
        one, array = runner.one_pass(function, inputs, of_numpy, "exercise.py")
        said.append(one)
        arrays.append(array)
    check.judge(outcome, Run({"passes": said}, arrays), passes)
    return outcome


def of_weights(body):
    """A file for exercise 02 whose first function has this body; the second is not written."""
    return f"""import numpy as np
import torch
def channel_weights(gradients):
    {body}
def weighted_sum(activations, weights):
    raise NotImplementedError("about 1 line")
"""


def student_of(function, task):
    """A mistake as a student makes it: a function with the right one's parameters, fed what the check feeds.

    None if the mistake needs to know what the right function is not given.
    """
    given = {name: one.replace(annotation=one.empty) for name, one in signature(task.function).parameters.items()}
    head = signature(task.function).replace(parameters=list(given.values()), return_annotation=Signature.empty)
    fixed = getattr(function, "keywords", {})           # of a partial
    reads = signature(function).parameters
    if any(name not in given and parameter.default is parameter.empty for name, parameter in reads.items()):
        return None
    names = {"mistake": function, "torch": torch, "numpy": np}      # which the annotations of the head name
    passed = ", ".join(f"{name}={name}" for name in reads if name in given and name not in fixed)
    exec(f"def {task.name}{head}:\n    return mistake({passed})", names)
    return names[task.name]


# ---- the exercises

def test_there_is_an_exercise_for_every_lesson_each_with_a_question():
    assert list(EXERCISES) == [f"{number:02d}" for number in range(1, 15)]
    assert all(exercise.question.endswith("?") or "." in exercise.question for exercise in EXERCISES.values())
    names = [task.name for _, task in TASKS]
    assert len(names) == len(set(names)) == 17


@pytest.mark.parametrize("number", EXERCISES)
def test_the_file_holds_head_and_docstring_and_no_line_of_a_solution(number, tmp_path):
    exercise = find(number)
    text = start.write(exercise, tmp_path / "a.py").read_text(encoding="utf-8")
    for task in exercise.tasks:
        assert f"def {task.name}(" in text and inspect.cleandoc(task.function.__doc__).splitlines()[0] in text
        assert not [line for line in body_lines(task.function) if len(line) > 12 and line in text]
    assert max(map(len, text.splitlines())) <= 120 and "PREDICTION" in text
    assert ("# When it works: was your" in text, "# After the lesson: was your" in text) == (
        (True, False) if exercise.tasks else (False, True))
    names = {"__name__": "exercise"}
    exec(compile(text, "a.py", "exec"), names)          # as it is handed out: nothing that it names is missing
    assert all(callable(names[task.name]) for task in exercise.tasks)


def test_a_file_that_is_there_is_never_overwritten(tmp_path):
    path = written(tmp_path, "my work")
    with pytest.raises(FileExistsError, match="your work"):
        start.write(find("02"), path)
    assert path.read_text() == "my work"
    for name in ("one.py", "two.py"):
        assert start.write(find("04"), tmp_path / "new" / "folder" / name).exists()


def test_a_blank_says_how_long_an_answer_is_even_if_the_library_is_blanked_already():
    from minixai.gradcam import channel_weights
    from minixai.heatmap import min_max
    assert blanked(channel_weights).endswith('raise NotImplementedError("about 1 line")')
    assert blanked(min_max).endswith('raise NotImplementedError("about 5 lines")')
    source = 'def f(x):\n    """Doc."""\n    raise NotImplementedError("f is yours to write (about 7 lines): …")\n'
    assert length_of(source, ast.parse(source).body[0]) == "about 7 lines"


def test_the_instructors_page_has_the_points_as_they_are():
    page = (Path(start.__file__).parent / "INSTRUCTOR.md").read_text(encoding="utf-8")
    words = sum(exercise.written_points for exercise in EXERCISES.values())
    code = sum(exercise.points for exercise in EXERCISES.values())
    assert f"That is {code} points for code and {words} for words." in page
    assert {number: exercise.points for number, exercise in EXERCISES.items() if exercise.tasks} == {
        "02": 14, "05": 3, "08": 6, "10": 6, "11": 7, "12": 5, "13": 4}
    for part in ("| 14 + 2 |", "| 3 + 2, 2 |", "| 6 + 2 |", "| 7 + 2, 5 + 2 |", "| 4 + 2, 2 |"):
        assert part in page


# ---- the fixtures

def test_a_fixture_with_code_in_it_is_not_read(tmp_path):
    np.savez(tmp_path / "forged.npz", about=np.array([Path("x")], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle"):
        fixtures.load(tmp_path / "forged.npz")


@pytest.mark.parametrize("number", [number for number, exercise in EXERCISES.items() if exercise.tasks])
def test_public_fixtures_are_what_the_library_gives_now(number):
    """python -m minixai.course.record writes them again. Names, sizes and known mistakes have to be the same ones.

    The numbers come out of a pass in single precision. A photo is cut off to 8 bits, so that a level may turn.
    """
    exercise = find(number)
    for seed, (about, arrays) in zip(fixtures.PUBLIC, fixtures.public(exercise)):
        about_now, now = record.fixture(exercise, seed)
        assert about_now == about
        assert set(now) == set(arrays)
        for name, array in arrays.items():
            assert array.dtype == now[name].dtype
            assert up_to_rounding(now[name], array), name
        assert (fixtures.FOLDER / f"{number}_{seed}.npz").stat().st_size < 100_000


def test_the_public_fixtures_are_written_for_each_exercise_with_code(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(record, "EXERCISES", {number: find(number) for number in ("04", "05")})
    record.main(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["05_1.npz", "05_2.npz"]
    for seed in fixtures.PUBLIC:
        about, arrays = fixtures.load(tmp_path / f"05_{seed}.npz")
        expected_about, expected = record.fixture(find("05"), seed)
        assert about == expected_about and set(arrays) == set(expected)
    size = (tmp_path / "05_1.npz").stat().st_size
    assert capsys.readouterr().out.splitlines()[0] == f"05_1.npz {size / 1000:.0f} kB" and 1000 < size < 100_000


def up_to_rounding(now, array):
    if array.dtype == np.uint8:
        levels = np.abs(now.astype(int) - array)
        return levels.max() <= 1 and (levels > 0).mean() < 0.01
    if array.dtype.kind != "f":
        return np.array_equal(now, array)
    return relative_difference(now, array) <= SINGLE


@pytest.mark.parametrize("number", [number for number, exercise in EXERCISES.items() if exercise.tasks])
def test_no_known_mistake_is_so_small_that_a_processor_decides_whether_it_is_one(number, monkeypatch):
    """A mistake is listed if it moves a value by more than check.TOLERANCE. Each is far above it or far below."""
    lists = []
    for factor in (0.1, 50):
        monkeypatch.setattr(check, "TOLERANCE", factor * 1e-5)
        lists.append([record.fixture(find(number), seed)[0] for seed in fixtures.PUBLIC])
    assert lists[0] == lists[1]


def test_the_recorder_is_deterministic_and_leaves_the_random_state_alone():
    before = torch.random.get_rng_state()
    (_, one), (_, two) = (record.fixture(find("12"), 7) for _ in range(2))
    assert set(one) == set(two) and all(one[name].tobytes() == two[name].tobytes() for name in one)
    assert torch.equal(before, torch.random.get_rng_state())
    _, other = record.fixture(find("12"), 9)
    assert not np.array_equal(other["expected/positive_evidence"], one["expected/positive_evidence"])


def test_sizes_that_could_be_confused_differ():
    for seed in range(1, 13):
        values = record.pass_of(seed)
        *batch, K, h, w = values["activations"].shape
        *_, L, M, T, _ = values["attention"].shape
        (H, W), (gh, gw) = values["size"], values["grid"]
        assert len({*batch, K, h, w, H, W}) == 5 + len(batch)
        assert len({L, M, T, gw}) == 4 and gh != gw and T == values["prefix_tokens"] + gh * gw
        assert len({*values["lost"].shape[-2:], H, W}) == 4
        assert values["attention"].shape[:-4] != (M,) and values["layer"] not in (0, L - 1)


def test_stages_of_a_pass_belong_together():
    """Each value is what the one before gives: slow arithmetic, not the library's."""
    values = {name: value for name, value in record.pass_of(2).items()}
    A, g = (values[name].double() for name in ("activations", "gradients"))
    K, h, w = A.shape[-3:]
    for image in range(len(A)):
        weights = [sum(g[image, k].flatten().tolist()) / (h * w) for k in range(K)]
        cam = sum(weight * A[image, k] for k, weight in enumerate(weights))
        assert torch.allclose(values["cam"][image].double(), cam, atol=1e-6)
    assert not g[2].any() and not A[:, 1].any()         # nothing for the third class; a channel that is nowhere on
    rows = values["attention"].sum(dim=-1)
    assert torch.allclose(rows, torch.ones_like(rows), atol=1e-5)


# ---- right files

@pytest.mark.parametrize("number", [number for number, exercise in EXERCISES.items() if exercise.tasks])
@pytest.mark.parametrize("by", [Here, pytest.param(worker, marks=pytest.mark.slow)])
def test_the_librarys_own_functions_pass(by, number):
    outcomes = checked(solution(find(number)), number, by())
    assert [outcome.status for outcome in outcomes] == [PASSED] * len(find(number).tasks), outcomes


def test_other_right_ways_pass_too():
    text = """
        import numpy as np, torch
        from matplotlib import colormaps
        def channel_weights(gradients):
            return torch.einsum("...khw->...k", gradients)[..., None, None] / gradients.shape[-2] / gradients.shape[-1]
        def weighted_sum(activations, weights):
            return torch.einsum("...khw,...kij->...hw", activations, weights)
        def rectify(cam):
            return torch.relu(cam)
        def upsample(coarse, size):
            H, W = size
            rows, columns = between(coarse.shape[-2], H), between(coarse.shape[-1], W)
            return rows @ coarse @ columns.T
        def between(few, many):
            place = ((torch.arange(many) + 0.5) * few / many - 0.5).clamp(0, few - 1)
            return (1 - (place[:, None] - torch.arange(few)).abs()).clamp(min=0)
        def min_max(full):
            low = full.flatten(-2).min(-1).values[..., None, None]
            span = full.flatten(-2).max(-1).values[..., None, None] - low
            return torch.where(span > 1e-6 * full.abs().max(), (full - low) / span.clamp(min=1e-30), 0)
        def overlay(rgb, heatmap, alpha=0.5, colors="turbo"):
            colour = colormaps[colors](heatmap)[..., :3] * 255
            picture = rgb if rgb.dtype == "uint8" else rgb * 255
            return np.rint(picture * (1 - alpha) + colour * alpha).astype("uint8")
        """
    assert "6 of 6 right" in said(text, by=Here())


# ---- mistakes

@pytest.mark.parametrize("exercise, task", TASKS, ids=lambda value: getattr(value, "name", None))
def test_every_known_mistake_is_rejected_and_named(exercise, task):
    """Planted in the place of the student's function; named on the first pass or, if one of batches, on the second."""
    passes, planted = fixtures.public(exercise), 0
    for mistake in record.mistakes_for(task):
        name, mine = mistake.name, student_of(mistake.function, task)
        if mine is None or _does_not_fit(mine, passes[0], task):
            continue
        outcome = judged(task.name, mine, passes)
        assert outcome.status == FAILED and name in outcome.mistake.split(", or "), (name, outcome)
        assert any(line.startswith("reread: ") and len(line) > 12 for line in outcome.hints)
        planted += 1
    assert planted >= {"positive_gradients": 2, "rectify": 3}.get(task.name, 4) - 1


def _does_not_fit(function, one, task):
    """A mistake of the table that cannot be made here: head 12 of three."""
    return "IndexError" in judged(task.name, function, [one]).message


def test_mistakes_that_give_the_same_numbers_are_both_named():
    about, arrays = fixtures.public(find("02"))[0]
    about = {"tasks": {"rectify": {"mistakes": [["one", "here"], ["other", "there"], ["third", "x"]]}}}
    known = {f"mistake/rectify/{number}": np.full((2, 3), value, np.float32) for number, value in enumerate((4, 4, 5))}
    outcome = Outcome("rectify", got=np.full((2, 3), 4, np.float32))
    check.name_the_mistake(outcome, about, known)
    assert outcome.mistake == "one, or other" and outcome.hints[-1] == "reread: here; there"


# ---- what is said, in the order of the verdicts

@pytest.mark.parametrize("text, sentence", [
    ("def channel_weights(gradients)\n    return 1", "the file cannot be read as Python (line 1): expected ':'"),
    ("x = 1\nraise KeyError('k')", "the file stops when it is loaded: KeyError (line 2): 'k'"),
    ("import sys\nsys.exit(0)", "the file stops when it is loaded: SystemExit (line 2): 0"),
    ("import torch", "the function is not in the file: was it renamed?"),
    ("def channel_weight(gradients): return 1", "was it renamed? (the file has channel_weight)"),
    ("channel_weights = 3", "the function is not in the file"),
    ("def channel_weights(gradients: Tensr): pass", "the file stops when it is loaded: NameError (line 1)"),
    ("def channel_weights(grads): return grads", "its parameters have to be (gradients): keep the def line as it was"),
    (of_weights("raise NotImplementedError('about 1 line')"), "not written yet (about 1 line)"),
    (of_weights("pass"), "it returns no tensor: nothing (is there a return?)"),
    (of_weights("return gradients.numpy().mean()"), "it returns no tensor: a float32"),
    (of_weights("return gradients.numpy().mean((-2, -1), keepdims=True)"), "it returns no tensor: a numpy array;"),
    (of_weights("return gradients[99]"), "it stops with IndexError (line 4): index 99 is out of bounds"),
    (of_weights("return gradients[99]"), "line 4, in channel_weights:  return gradients[99]"),
    (of_weights(DEEPER), "line 4, in channel_weights:  return deeper("),
    (of_weights(DEEPER), "line 6, in deeper:  return x[99]"),
    (of_weights("class E1(Exception): pass\n    raise E1(4)"), "it stops with an exception of its own (line 5): E1: 4"),
    (of_weights("return channel_weights(gradients)"), "it stops with RecursionError (line 4): maximum recursion"),
    (of_weights("return torch.zeros(3).to(torch.int64).logdet()"), "it stops with RuntimeError (line 4)"),
    (of_weights("raise NotImplementedError('my own')"), "it stops with NotImplementedError (line 4): my own"),
    (of_weights("return torch.zeros(10, 10).to_sparse()"), "expected float32, got torch.float32, torch.sparse_coo"),
    (of_weights("return torch.zeros(1).expand(10**6, 10**6)"), "wrong shape: expected (10, 1, 1), got (1000000, "),
    (of_weights("return torch.zeros(3, device='meta')"), "wrong dtype"),
    ("import minixai\n" + of_weights("return 1"), "ImportError (line 1): minixai cannot be imported here"),
    (of_weights("from minixai import gradcam"), "ImportError (line 4): minixai cannot be imported here"),
    ("import pandas as pd", "ModuleNotFoundError (line 1): pandas cannot be imported in grading"),
    ("import utils", "utils cannot be imported in grading"),
    ("import pytest", "pytest cannot be imported in grading"),
    (of_weights("import sys; sys.exit('no')"), "it stops with SystemExit (line 4): no"),
    (of_weights("return gradients.double().mean((-2, -1), keepdim=True)"),
     "wrong dtype: expected float32, got float64; keep the dtype of the inputs"),
    (of_weights("return gradients.mean((-2, -1), keepdim=True) > 0"), "expected float32, got bool"),
    (of_weights("return gradients.mean((-2, -1), keepdim=True).bfloat16()"), "expected float32, got torch.bfloat16"),
    (of_weights("return gradients.mean((-2, -1))"),
     "wrong shape: expected (10, 1, 1), got (10,); the numbers themselves are right"),
    (of_weights("return gradients.mean((-2, -1)).mean()"), "wrong shape: expected (10, 1, 1), got ()"),
    (of_weights("return gradients.mean((-2, -1), keepdim=True) * float('nan')"), "NaN or infinite values: 10 of 10,"),
    (of_weights("return 2 * gradients.mean((-2, -1), keepdim=True)"), "right shape, wrong values: 100% of them differ"),
    (of_weights("return gradients.mean((1, 2), keepdim=True)"), "every tensor has a batch dimension in front here"),
    (of_weights("gradients -= 1; return (gradients + 1).mean((-2, -1), keepdim=True)"),
     "writes into its input gradients"),
    (of_weights("gradients.zero_(); return gradients[..., :1, :1]"), "right shape, wrong values"),
])
def test_each_failure_has_its_sentence(text, sentence):
    says_so(said(text, by=Here()), sentence)


@pytest.mark.slow
@pytest.mark.parametrize("text, sentence", [
    ("def channel_weights(gradients)\n    return 1", "the file cannot be read as Python (line 1): expected ':'"),
    ("x = 1\nraise KeyError('k')", "the file stops when it is loaded: KeyError (line 2): 'k'"),
    (of_weights("gradients.zero_(); return gradients[..., :1, :1]"), "right shape, wrong values"),
    (of_weights("import os; os._exit(3)"), "it ended its process with exit code 3"),
    (of_weights("import ctypes; ctypes.string_at(0)"), "it crashed (SIGSEGV)"),
    (of_weights("return bytearray(10 * 2**30)"), "it stops with MemoryError"),
    (of_weights("torch.Tensor.numpy = lambda self: 1; return gradients"), "it stops with "),
    (of_weights("return input()"), "RuntimeError (line 4): there is no keyboard here"),
    (of_weights("breakpoint()"), "there is no keyboard here, so input(), breakpoint() and pdb do not work"),
    (of_weights("import pdb; pdb.set_trace()"), "there is no keyboard here"),
    (of_weights(f"return open({__file__!r}).read()"), "PermissionError (line 4): other files, other programs and"),
    (of_weights("import subprocess; subprocess.run(['python'])"), "other files, other programs and the network are"),
    (of_weights("import socket; socket.create_connection(('127.0.0.1', 9))"), "it stops with PermissionError"),
    (of_weights("while True: print('flood' * 1000)"), "it printed or wrote too much"),
])
def test_each_failure_of_a_process_has_its_sentence(text, sentence):
    says_so(said(text), sentence)


def says_so(report, sentence):
    assert sentence in report, report
    assert "weighted_sum              waiting" in report and report.endswith("0 of 6 right")
    assert "minixai/course" not in report       # no line of ours


@pytest.mark.parametrize("data", ["x = 'été'".encode("latin-1"), "x = 1".encode("utf-16"), b"x = 1\0"])
def test_what_is_no_utf_8_says_so(data):
    outcome, *_ = check.check(find("02"), data, Here())
    assert "it is not UTF-8 text; save it as UTF-8" in outcome.sentence and outcome.status == FAILED
    assert b"\0" not in data or "(line" not in outcome.sentence        # Python names no line of null bytes


@pytest.mark.slow
@pytest.mark.parametrize("before, after", [
    ("\n", "\r\n"), ("import torch\n", "import torch\ntorch.set_default_dtype(torch.float64)\n"),
    ("import torch\n", "import torch\ntorch.set_grad_enabled(False)\n"),
    ("import torch\n", "import torch\nimport random, warnings, math, functools, itertools, typing\nrandom.seed(3)\n"
     "torch.manual_seed(3)\nwarnings.warn('careful')\n"),
    ("import torch\n", "import torch\nfrom matplotlib import pyplot as plt\nfrom PIL import Image\nplt.figure()\n"),
    ("import torch\n", "import torch\ntry:\n    import einops\nexcept ImportError:\n    einops = None\n"),
    ("import torch\n", "import torch\nfrom dataclasses import dataclass\n@dataclass\nclass A:\n    x: 'int' = 1\n"),
    ('import numpy as np\n', 'from __future__ import annotations\nfrom dataclasses import dataclass\n'
     'import numpy as np\n@dataclass\nclass A:\n    x: int = 1\n    y: ClassVar[int] = 1\n'
     'from typing import ClassVar, get_type_hints\nget_type_hints(A)\n'),
    (CLAMP, "return torch.nn.Parameter(cam.clamp(min=0))"),
    (CLAMP, "return torch.from_numpy(np.maximum(cam.double().numpy(), 0)).float()"),
    (CLAMP, "return cam.clamp(min=0).transpose(-2, -1).contiguous().transpose(-2, -1)"),
    (CLAMP, "return torch.cat([cam, cam], -1).clamp(min=0)[..., :cam.shape[-1]]"),
    (CLAMP, "cam.requires_grad_(); return cam.clamp(min=0)"),
    (CLAMP, "x = cam.clone().requires_grad_(); x.relu().sum().backward(); return cam * x.grad"),
    (CLAMP, "big = torch.ones(2**27); print(big.sum()); return cam.clamp(min=0)"),
    (CLAMP, "import time; time.sleep(2); return cam.clamp(min=0)"),
    (CLAMP, "[print('a line') for _ in range(10000)]; return cam.clamp(min=0)"),
    (CLAMP, "@torch.jit.script\n    def f(x):\n        return x.clamp(min=0)\n    return f(cam)"),
    (CLAMP, "import threading\n"
     "    threading.Thread(target=lambda: exec('while 1: pass')).start(); return cam.clamp(min=0)"),
    (CLAMP, "import tempfile; tempfile.TemporaryFile(); np.save('mine', cam); return cam.clamp(min=0)"),
    (CLAMP, "global seen; seen = cam.tolist(); return torch.tensor(seen).clamp(min=0)"),
], ids=range(21))
def test_right_files_of_many_kinds_are_right(before, after):
    text = solution(find("02"))
    assert before in text
    outcomes = list(check.check(find("02"), text.replace(before, after).encode("utf-8-sig"), worker()))
    assert [outcome.sentence for outcome in outcomes] == [""] * 6, outcomes


def test_where_values_differ_is_shown():
    text = of_weights("x = gradients.mean((-2, -1), keepdim=True); x[3] += 1; return x")
    report = said(text, by=Here())
    arrays = fixtures.public(find("02"))[0][1]
    right = arrays["expected/channel_weights"]
    assert f"they differ most at (3, 0, 0): expected {right[3, 0, 0]:.4g}, got {right[3, 0, 0] + 1:.4g}" in report
    assert f"expected {right.shape} {right[0, 0, 0]:.4g}, " in report and "10% of them differ" in report


def test_what_is_special_about_an_image_is_said():
    text = solution(find("02")).replace("return torch.where(flat, 0, (full - low) / torch.where(span > 0, span, 1))",
                                        "return (full - low) / span")
    outcomes = checked(text, by=Here())
    assert [outcome.status for outcome in outcomes] == [PASSED] * 4 + [FAILED, WAITING]
    assert outcomes[4].sentence.startswith("NaN or infinite values: ") and "first at (2, 0, 0)" in outcomes[4].sentence
    assert "In image 3 every gradient is zero" in " ".join(outcomes[4].hints)


def test_a_failing_function_stops_the_rest_and_what_it_gave_is_never_used():
    text = solution(find("02")).replace(CLAMP, "return cam")
    outcomes = checked(text, by=Here())
    assert [outcome.status for outcome in outcomes] == [PASSED, PASSED, FAILED, WAITING, WAITING, WAITING]
    assert outcomes[2].mistake == "no ReLU"
    passes = fixtures.public(find("02"))
    outcome = Outcome("upsample")
    assert check.try_function(outcome, text.encode(), passes, Here())
    assert outcome.status == PASSED         # though what comes before it is wrong


@pytest.mark.slow
def test_prints_are_shown_under_the_name_and_bounded():
    report = said(of_weights("print('so far: \\x1b[31m', gradients.shape)\n    import warnings; warnings.warn('w')"))
    assert "it printed:" in report and "| so far: \\x1b[31m torch.Size([10, 5, 7])" in report
    assert "UserWarning: w" in report
    report = said(of_weights("[print('noise', n) for n in range(3000)]; return 1"))
    assert "| noise 19" in report and "| noise 20" not in report and "more lines" in report


@pytest.mark.slow
def test_one_run_leaves_nothing_for_the_next():
    text = solution(find("02")).replace(CLAMP, "torch.relu = None; torch.set_default_dtype("
                                        "torch.float64); open('x.txt', 'w').close(); return cam.clamp(min=0)")
    looks = "    import os; assert torch.relu and not os.path.exists('x.txt')\n    leading, (h, w)"
    assert "    leading, (h, w)" in text
    text = text.replace("    leading, (h, w)", looks)
    assert [outcome.sentence for outcome in checked(text)] == [""] * 6


@pytest.mark.slow
def test_an_endless_loop_is_ended_and_the_next_function_still_runs():
    with Worker(Limits(seconds=2)) as short:
        for text in (of_weights("while True: pass"), "while True: pass"):
            outcome, *_ = check.check(find("02"), text.encode(), short)
            assert outcome.sentence.endswith("it did not end within 2 s (an endless loop?)")
        outcome, *_ = check.check(find("02"), solution(find("02")).encode(), short)
        assert outcome.status == PASSED


def test_each_function_is_named_before_it_runs_and_nothing_runs_when_the_check_is_stopped():
    begun, source = [], solution(find("05")).encode()
    assert [outcome.status for outcome in check.check(find("05"), source, Here(), begun.append)] == [PASSED]
    assert begun == ["energy_inside"]
    with pytest.raises(Stopped):
        list(check.check(find("05"), source, Here(), stop=lambda: True))


def test_how_a_process_ended_is_said_before_what_it_reported():
    passes = fixtures.public(find("02"))
    for loaded, sentence in ((True, "it crashed (SIGSEGV)"),
                             (False, "the file stops when it is loaded: it crashed (SIGSEGV)")):
        outcome = Outcome("rectify")
        check.judge(outcome, Run({}, [None, None], "printed", ("it crashed", " (SIGSEGV)"), loaded), passes)
        assert outcome.sentence == sentence and outcome.status == FAILED and outcome.printed == "printed"


def test_a_result_with_a_graph_is_right_and_gets_a_note():
    text = solution(find("02")).replace(CLAMP, "return cam.clone().requires_grad_().clamp(min=0)")
    rectify = checked(text, by=Here())[2]
    assert rectify.status == PASSED and len(rectify.hints) == 1 and "carries a graph" in rectify.hints[0]


def test_pictures_may_be_off_by_one_level_in_few_places():
    known = np.full((10, 20, 3), 100, np.uint8)
    for places, apart, equal in ((6, 1, True), (7, 1, False), (1, 2, False)):
        values = known.copy()
        values.reshape(-1)[:places] += apart
        assert check.same(values, known) is equal


def test_numbers_that_are_not_finite_are_the_same_in_the_same_places_only():
    known = np.array([1, np.nan, np.inf, 2], np.float32)
    assert check.same(known.copy(), known) and not check.same(np.nan_to_num(known), known)
    assert not check.same(known[1:3], known[1:3])           # nothing is left to compare
    assert not check.same(known[:1], known)
    assert check.same(np.zeros(3, np.float32), np.zeros(3, np.float32))


def test_inputs_are_copies():
    array = np.ones((2, 3), np.float32)
    for of_numpy in (False, True):
        runner.argument(array, of_numpy)[:] = 0
    assert array.all()


def test_no_result_of_an_earlier_pass_is_drawn():
    passes = fixtures.public(find("02"))
    outcome = Outcome("rectify")
    right = passes[0][1]["expected/rectify"]
    check.judge(outcome, Run({"passes": [{"tensor": True}, {"tensor": True}]}, [right, None]), passes)
    assert outcome.sentence == "its result cannot be read" and outcome.got is None and outcome.status == FAILED
    for forged in ([], [{"tensor": True}], "passes", [3, 3]):
        outcome = Outcome("rectify")
        check.judge(outcome, Run({"passes": forged}, [right, None]), passes)
        assert outcome.status == FAILED


def test_only_lines_of_the_students_file_are_quoted():
    """A forged report may hold any value."""
    lines, frames = ["first", "  second"], [[1, "f"], [2, "g" * 90], [0, "f"], [3, "f"], [-1, "f"], [1], [1, 2, 3], 1,
                                            ["1", "f"], [1, 7]]
    assert list(check.frames_of({"frames": frames}, lines)) == [
        "line 1, in f:  first", f"line 2, in {'g' * 80}:  second", "line 1, in 7:  first"]
    assert list(check.frames_of({"frames": 3}, lines)) == list(check.frames_of({}, lines)) == []
    quoted, = check.frames_of({"frames": [[1, "f"]]}, ["x" * 121])
    assert quoted.endswith(f"  {'x' * 120}")


@pytest.mark.parametrize("line, where", [(1, " (line 1)"), (3, " (line 3)"), (0, ""), (4, ""), ("1", ""), (None, "")])
def test_a_line_is_named_if_the_file_has_it(line, where):
    problem = {"kind": "raised", "type": "KeyError", "text": "x", "line": line}
    assert check.told(problem, [], np.zeros(2), ["", "", ""]) == (f"it stops with KeyError{where}", ": x")
    assert check.told({**problem, "line": 1}, [], np.zeros(2), [])[0] == "it stops with KeyError (line 1)"


@pytest.mark.parametrize("problem, said", [
    ({"type": "NotImplementedError", "text": "about 2 lines, I think"}, ("not written yet", " (about 2 lines)")),
    ({"type": "NotImplementedError", "text": ""}, ("not written yet", "")),
    ({"type": "ValueError", "text": "about 2 lines"}, ("it stops with ValueError", ": about 2 lines")),
    ({"type": "Mine", "text": "x", "loading": True},
     ("the file stops when it is loaded: an exception of its own", ": Mine: x")),
    ({"type": None, "text": 3}, ("it stops with an exception of its own", ": None: ")),
    ({"kind": "anything else"}, check.UNREADABLE),
])
def test_exceptions_have_their_sentences(problem, said):
    assert check.told({"kind": "raised", **problem}, [], np.zeros(2), []) == said


def test_a_few_numbers_are_shown_and_where_they_differ_most():
    assert check._few(np.arange(6.0)) == "(6,) 0, 1, 2, 3, 4, 5"
    assert check._few(np.arange(8.0).reshape(2, 4) / 3) == "(2, 4) 0, 0.3333, 0.6667, 1, 1.333, 1.667, …"
    outcome, expected = Outcome("f"), np.full((2, 5), 100, np.float32)
    got = expected.copy()
    got[1, 2], got[0, 1], got[0, 0] = 98, 101, 100.0005         # the last one is rounding
    assert check.compare(outcome, got, True, expected) == ("right shape, wrong values", ": 20% of them differ")
    assert outcome.details[-1] == "they differ most at (1, 2): expected 100, got 98"
    assert [check.same(expected + apart, expected) for apart in (0.0009, 0.0015)] == [True, False]


# ---- pictures

@pytest.mark.parametrize("number, wrong, right", [
    ("02", "return gradients.mean(dim=(-2, -1), keepdim=True)", "return gradients.amax(dim=(-2, -1), keepdim=True)"),
    ("02", "return cam.clamp(min=0)", "return cam.abs()"),
    ("02", ".round().astype(np.uint8)", ".astype(np.uint8)"),
    ("12", ".clamp(min=0).mean(dim=-3)", ".mean(dim=-3).clamp(min=0)"),
])
def test_a_failing_function_is_drawn(number, wrong, right, tmp_path, capsys, here):
    text = solution(find(number))
    assert wrong in text
    path = written(tmp_path, text.replace(wrong, right))
    assert main(["check", number, str(path), "--out", str(tmp_path / "out")]) == 1
    printed = capsys.readouterr().out
    picture, = (tmp_path / "out").iterdir()
    assert f"picture: {picture}" in printed
    with Image.open(picture) as image:
        assert image.width > 800 and len(image.convert("L").histogram()) == 256
        assert len(set(image.convert("L").resize((200, 80)).tobytes())) > 20


def test_no_picture_where_there_is_nothing_to_draw(tmp_path, capsys, here):
    path = written(tmp_path, of_weights("return None"))
    assert main(["check", "02", str(path), "--out", str(tmp_path / "out")]) == 1
    assert not (tmp_path / "out").exists()


def drawn(expected, got, **outcome):
    """The panels of a picture of these values."""
    figure = pictures.three_panels(Outcome("f", FAILED, expected=expected, got=got, **outcome))
    return figure, figure.axes


def test_a_picture_has_the_maps_in_one_range_and_their_difference_about_zero():
    expected = np.array([[0, 1, 2], [3, 4, 5]], np.float32)
    figure, axes = drawn(expected, expected - np.array([[0, 0, 2], [0, 0, 0]], np.float32), message="wrong")
    assert figure.get_suptitle() == "f: wrong" and figure.get_layout_engine() is not None   # or titles overlap
    assert [one.get_title() for one in axes] == ["expected", "yours", "yours - expected, at most 2", "", "", ""]
    images = [one.images[0] for one in axes[:3]]
    assert [image.get_clim() for image in images] == [(0, 5), (0, 5), (-2, 2)]
    assert [image.get_cmap().name for image in images] == ["viridis", "viridis", "RdBu_r"]
    assert images[2].get_array().tolist() == [[0, 0, -2], [0, 0, 0]]
    assert not [tick for one in axes[:3] for tick in (*one.get_xticks(), *one.get_yticks())]
    assert drawn(expected, expected + 1, message="wrong", mistake="no ReLU")[0].get_suptitle() == "f: no ReLU"
    assert [image.images[0].get_clim() for image in drawn(expected, 7 - expected)[1][:3]] == [(0, 7), (0, 7), (-7, 7)]


def test_a_picture_of_pictures_has_the_first_one_and_no_bar_of_colours_beside_it():
    expected = np.full((2, 4, 5, 3), 100, np.uint8)
    got = expected.copy()
    got[0, 1, 1] = 90, 100, 97
    got[1] = 0
    _, axes = drawn(expected, got)
    assert len(axes) == 4 and axes[2].get_title() == "yours - expected, at most 10"
    assert axes[0].images[0].get_array().shape == (4, 5, 3)
    apart = axes[2].images[0].get_array()
    assert apart[1, 1] == pytest.approx(-13 / 3) and (apart != 0).sum() == 1
    _, axes = drawn(expected[0], got[0])
    assert axes[1].images[0].get_array().tolist() == got[0].tolist()


@pytest.mark.parametrize("shape", [(3, 1, 1), (3,), (1, 3), (3, 1)])
def test_a_picture_of_a_row_of_numbers_has_bars_from_zero(shape):
    for values, limits in (([1, 2, 4], (0, 5)), ([-1, -2, -4], (-4, 1)), ([-1, 0, 3], (-1, 4)),
                           ([0.25, 0, -0.5], (-0.5, 0.5))):
        expected = np.array(values, np.float32).reshape(shape)
        _, axes = drawn(expected, expected + np.array([0, 0, 1], np.float32).reshape(shape))
        assert len(axes) == 3 and not axes[0].images
        assert [bar.get_height() for bar in axes[0].patches] == values
        assert [bar.get_x() + bar.get_width() / 2 for bar in axes[0].patches] == pytest.approx([0, 1, 2])
        assert axes[0].get_ylim() == axes[1].get_ylim() == limits
        assert axes[2].get_ylim() == (-1, 1) and axes[0].lines[0].get_ydata()[0] == 0


def test_of_several_maps_the_one_with_the_largest_difference_is_drawn():
    expected = np.zeros((2, 3, 4, 5), np.float32)
    got = expected.copy()
    got[1, 2, 3, 4], got[0, 1, 0, 0], got[1, 0, 0, 0] = -7, 5, 1
    one, other = pictures.one_of(expected, got)
    assert one.shape == (4, 5) and other[3, 4] == -7
    assert pictures.one_of(np.zeros((2, 3, 1, 1)), np.ones((2, 3, 1, 1)))[1].shape == (1, 6)
    assert pictures.one_of(np.zeros((2, 3, 1, 4)), np.ones((2, 3, 1, 4)))[0].shape == (1, 4)


# ---- answers in words

def test_answers_are_read_without_running_the_file():
    run = Here().run(b'while True: pass\nPREDICTION = """\nblue  \n"""\nEXPLANATION = 1 + 1\n')
    assert run.said["answers"] == {"PREDICTION": "blue", "EXPLANATION": ""}


def test_an_exercise_of_words_is_done_when_both_answers_are_there(tmp_path, capsys, here):
    path = start.write(find("04"), tmp_path / "words.py")
    assert main(["check", "04", str(path)]) == 1
    assert "PREDICTION is still empty" in capsys.readouterr().out
    path.write_text(path.read_text().replace('"""\n"""', '"""\nthe mean\n"""'))
    assert main(["check", "04", str(path)]) == 0
    assert "empty" not in capsys.readouterr().out


# ---- the commands

def test_start_lists_the_exercises_and_writes_one(tmp_path, capsys, monkeypatch, here):
    monkeypatch.chdir(tmp_path)
    assert main(["start"]) == 0 and main(["start", "2"]) == 0
    printed = capsys.readouterr().out
    assert "11  Attention rollout: half_skip, multiply_layers" in printed and "04  Target layer: a question" in printed
    assert (tmp_path / "exercise_02.py").exists() and main(["check", "02"]) == 1
    assert main(["start", "2"]) == 2 and "exists already" in capsys.readouterr().err
    assert main(["start", "2", "--file", "other.py"]) == 0 and (tmp_path / "other.py").exists()
    assert "wrote other.py: 6 function(s) to write" in capsys.readouterr().out
    assert main(["start", "99"]) == 2 and "no exercise '99'; there are 01" in capsys.readouterr().err


@pytest.mark.parametrize("command, told", [
    ("start", ["write the file of an exercise", "without a number, all exercises are listed", "never overwritten"]),
    ("check", ["say which function of an exercise is wrong", "Exit code 0: everything is right", "its number",
               "default: exercise_NN.py", "even while a function runs", "--out DIR", "default: minixai-out"]),
    ("release", ["write the tree for students", "OUT", "a new folder"]),
    ("grade", ["grade a folder of submissions", "a folder for each student", "its number", "--seed N",
               "written to DIR/seed.txt", "--out DIR", "default: minixai-grades"]),
])
def test_each_command_explains_its_arguments(command, told, capsys):
    printed = []
    for words in ([command, "--help"], ["--help"]):
        with pytest.raises(SystemExit, match="^0$"):
            main(words)
        printed.append(capsys.readouterr().out)
    assert f"\n  minixai {command} " in printed[0]         # the examples, line by line
    own, all_commands = (" ".join(text.split()) for text in printed)
    for text in told:
        assert text in own or text.capitalize() in own, text
    assert f"{command} " in all_commands and told[0] in all_commands


def test_when_all_is_right_the_next_command_is_named(tmp_path, capsys, here):
    path = written(tmp_path, solution(find("11")))
    assert main(["check", "11", str(path)]) == 0
    assert f"minixai explain --method rollout --mine {path}" in capsys.readouterr().out


class Shown:
    """Standard output as another process sees it: what is not flushed has not been printed yet."""

    def __init__(self, monkeypatch):
        self.raw = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(self.raw, encoding="utf-8"))

    def __str__(self):
        return self.raw.getvalue().decode()


def test_what_is_known_is_shown_before_the_next_thing_that_takes_time(tmp_path, monkeypatch):
    shown, seen = Shown(monkeypatch), []

    class Looking(Here):
        def run(self, *arguments, **more):
            seen.append(str(shown))
            return super().run(*arguments, **more)
    path = tmp_path / "mine.py"
    wrong = solution(find("12")).replace(".clamp(min=0).mean(dim=-3)", ".mean(dim=-3).clamp(min=0)")
    report.verdict(find("12"), path, wrong.encode(), Looking(), tmp_path)
    assert [text.splitlines()[-1].split(": ")[0] for text in seen] == ["  positive_evidence         ", "picture"]
    assert seen[0].startswith("exercise 12: Gradients meet attention\n") and "0 of 2 right\npicture: " in seen[1]
    assert str(shown).endswith("EXPLANATION is still empty (your instructor reads it)\n")
    seen.clear()
    report.verdict(find("12"), path, solution(find("12")).encode(), Looking(), tmp_path)
    assert seen[2].endswith(f"ok\n2 of 2 right\nsee your functions at work: minixai explain PHOTO --method chefer "
                            f"--model small_vit --mine {path}\n")
    seen.clear()
    report.verdict(find("05"), path, b"", Looking(), tmp_path)
    assert seen[-1].endswith("0 of 1 right\n")
    seen.clear()
    report.verdict(find("04"), path, b"", Looking(), tmp_path)
    assert len(seen) == 1 and seen[0].endswith("exercise 04: Target layer\n")


@pytest.mark.parametrize("name, named", [("mine.py", "mine.py"), ("mine.txt", "exercise.py"),
                                         ("a\nb.py", "exercise.py")])
def test_a_run_has_the_files_own_name_where_that_can_be_printed(name, named, tmp_path, capsys):
    names = []

    class Noting(Here):
        def run(self, *arguments, **more):
            names.append(arguments[-1] if len(arguments) > 2 else None)
            return super().run(*arguments, **more)
    report.verdict(find("05"), tmp_path / name, b"", Noting(), tmp_path)
    assert names == [named, None]                       # the answers are read from a file that is not run


def test_watch_checks_again_whenever_the_file_is_saved(tmp_path, monkeypatch):
    path, shown, seen = tmp_path / "exercise_12.py", Shown(monkeypatch), []
    saves = [solution(find("12")).replace(".clamp(min=0).mean(dim=-3)", ".mean(dim=-3).clamp(min=0)"),
             "while it runs", solution(find("12"))]

    def save(where, stamp):
        assert where == path and (stamp is None) == (not path.exists())
        seen.append(str(shown)[len("".join(seen)):])
        path.write_text(saves.pop(0), encoding="utf-8")

    class SavedWhileItRuns(Here):
        def run(self, source, *arguments, **more):
            if source == b"while it runs":
                path.write_text("another size")
            return super().run(source, *arguments, **more)
    monkeypatch.setattr(report, "Worker", SavedWhileItRuns)
    monkeypatch.setattr(report, "_wait_for_another", save)
    assert report.main("12", path, watch=True, out=tmp_path / "out") == 0
    assert seen[0] == f"no file {path}; `minixai start` writes one\n"
    assert "known mistake: clamped after the mean over heads" in seen[1] and "0 of 2 right" in seen[1]
    assert seen[1].startswith("\nexercise 12") and seen[2].endswith("positive_evidence         saved again\n")
    assert "2 of 2 right" in str(shown)[len("".join(seen)):] and not saves


def test_a_save_is_waited_for_until_the_file_is_there_and_stays_as_it_is(tmp_path, monkeypatch):
    path = written(tmp_path, "old", "x.py")
    half = [None, None, path.unlink, None, lambda: path.write_text("new, ha"), lambda: path.write_text("new, whole"),
            None, None]
    slept = []

    def sleep(seconds):
        slept.append(seconds)
        action = half.pop(0)
        action and action()
    monkeypatch.setattr(report.time, "sleep", sleep)
    report._wait_for_another(path, report._stamp(path))
    assert not half and sum(slept) < 1 and path.read_text() == "new, whole"


@pytest.mark.slow
def test_watch_waits_out_a_file_that_is_away_or_half_written(tmp_path):
    path = tmp_path / "exercise_02.py"
    whole = solution(find("02"))
    process = subprocess.Popen([sys.executable, "-u", "-m", "minixai", "check", "02", str(path), "--watch"],
                               stdout=subprocess.PIPE, text=True)
    try:
        assert "no file" in _until(process, "no file")
        path.write_text(whole.replace(CLAMP, "return cam"))
        assert "known mistake: no ReLU" in _until(process, "2 of 6 right")
        path.unlink()
        time.sleep(0.4)
        path.write_text(whole[:400])
        path.write_text(whole)
        last = _until(process, "6 of 6 right")
        assert "cannot be read" not in last and "no file" not in last
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()


@pytest.mark.slow
def test_watch_judges_the_next_save_while_a_function_runs(tmp_path):
    path = written(tmp_path, solution(find("02")).replace(CLAMP, "while True: pass"))
    process = subprocess.Popen([sys.executable, "-u", "-m", "minixai", "check", "02", str(path), "--watch"],
                               stdout=subprocess.PIPE, text=True)
    try:
        read = ""
        while "rectify" not in read:            # the name comes before it runs
            read += process.stdout.read(1)
        started = time.monotonic()
        path.write_text(solution(find("02")))
        assert "saved again" in _until(process, "6 of 6 right")
        assert time.monotonic() - started < 8 and process.wait(timeout=60) == 0
    finally:
        process.kill()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFO here")
def test_what_is_no_file_is_one_line(tmp_path, capsys):
    os.mkfifo(tmp_path / "fifo.py")
    (tmp_path / "loop.py").symlink_to(tmp_path / "loop.py")
    (tmp_path / "large.py").write_bytes(b"#" * (2**20 + 1))
    names = ["fifo.py", "loop.py", "large.py", ".", "none.py", "a\nb.py", "x" * 300, "a\0b"]
    for path in [*(str(tmp_path / name) for name in names), "/dev/zero"]:
        for command in (["check", "02", path], ["explain", "--mine", path, "--out", str(tmp_path / "o")]):
            assert main(command) == 2
            out, err = capsys.readouterr()
            assert err.startswith("minixai: ") and err.count("\n") == 1 and not out, (err, out)


@pytest.mark.slow
def test_the_file_runs_as_a_script_and_under_pytest(tmp_path):
    path = written(tmp_path, solution(find("05")), "exercise_05.py")
    for command in ([str(path)], ["-m", "pytest", "-q", str(path)]):
        ran = subprocess.run([sys.executable, *command], capture_output=True, text=True, cwd=tmp_path)
        assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.slow
def test_watch_ends_with_one_line(tmp_path, monkeypatch, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt
    monkeypatch.setattr(report.time, "sleep", interrupt)
    assert main(["check", "02", str(tmp_path / "none.py"), "--watch"]) == 130
    assert capsys.readouterr().err == "minixai: stopped\n"


def _until(process, end):
    lines = []
    for line in process.stdout:
        lines.append(line)
        if end in line:
            break
    return "".join(lines)


def test_pytest_on_the_file_and_the_file_itself_say_what_check_says(tmp_path, here):
    """Both call report.main with the file's own path; run here as pytest would."""
    path = start.write(find("02"), tmp_path / "exercise_02.py")
    names = {"__name__": "exercise_02", "__file__": str(path)}
    exec(compile(path.read_text(), str(path), "exec"), names)
    with pytest.raises(AssertionError):
        names["test_exercise_02"]()
    path.write_text(solution(find("02")))
    names["test_exercise_02"]()


@pytest.mark.slow
def test_check_imports_neither_the_search_nor_the_mistakes_nor_matplotlib(tmp_path):
    path = start.write(find("04"), tmp_path / "words.py")
    code = ("import sys, minixai; before = set(sys.modules); "
            f"from minixai.course import report; report.main('04', {str(path)!r}); "
            "print(*sorted(set(sys.modules) - before))")
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    new = ran.stdout.splitlines()[-1].split()
    assert "minixai.course.check" in new
    assert not [name for name in new if name.partition(".")[0] == "matplotlib" or name in (
        "minixai.verification.search", "minixai.verification.mistakes", "minixai.course.record",
        "minixai.course.mistakes",
        "minixai.course.grade")]


# ---- the student's own stages on a photo

def test_a_recipe_runs_the_stages_that_the_files_define(tmp_path):
    one = written(tmp_path, "def rectify(cam):\n    return 'one'\ndef min_max(full):\n    return 'first'\n", "one.py")
    two = written(tmp_path, "def rectify(cam):\n    return 'two'\nother = 3\n", "two.py")
    recipe, names = with_mine(METHODS["gradcam"], [one, two])
    assert names == ["rectify", "min_max"] and recipe.C4(None) == "two" and recipe.M2(None) == "first"
    assert recipe.C2 is METHODS["gradcam"].C2 and with_mine(METHODS["gradcam"], str(one))[0].C4(None) == "one"
    with pytest.raises(ValueError, match="no function has the name of a stage of this method: class_score, mean_heads"):
        with_mine(METHODS["rollout"], two)


def test_a_students_overlay_draws_all_pictures(tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "overlay", figures.overlay)        # put back at the end
    path = written(tmp_path, "def rectify(cam): pass\ndef overlay(rgb, heatmap, alpha=0.5):\n    return rgb, heatmap\n")
    assert with_mine(METHODS["gradcam"], path)[1] == ["rectify", "overlay"]
    assert all(isinstance(array, np.ndarray) for array in figures.overlay([1], torch.ones(2)))


@pytest.mark.slow
def test_own_stages_draw_a_photo_and_change_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(figures, "overlay", figures.overlay)        # put back at the end: --mine replaces it
    right = written(tmp_path, solution(find("02")), "right.py")
    wrong = written(tmp_path, solution(find("02")).replace("return gradients.mean(", "return -gradients.mean("), "w.py")
    faint = written(tmp_path, solution(find("02")).replace("alpha * color", "0.1 * color"), "faint.py")
    for folder, files in (("library", []), ("right", [right]), ("wrong", [wrong]), ("later", [wrong, right]),
                          ("faint", [faint])):
        mine = [word for file in files for word in ("--mine", str(file))]
        assert main(["explain", "--method", "gradcam", *mine, "--out", str(tmp_path / folder)]) == 0
    assert "yours: channel_weights, weighted_sum, rectify, upsample, min_max, overlay" in capsys.readouterr().out
    pictures = {folder: next((tmp_path / folder).glob("*overlay.png")).read_bytes() for folder in
                ("library", "right", "wrong", "later", "faint")}
    assert pictures["library"] == pictures["right"] == pictures["later"] != pictures["wrong"]
    assert pictures["faint"] not in (pictures["library"], pictures["wrong"])
