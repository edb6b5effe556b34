"""The tree for students: it works, and no line of a solution is in it."""
import ast
import html
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import minixai
from minixai.course import leaks, release, yours
from minixai.course.exercises import find
from minixai.course.leaks import Leak
from tests.test_course import solution

ROOT = Path(minixai.__file__).parents[1]


def git(root, *words):
    subprocess.run(["git", "-C", str(root), *words], check=True, capture_output=True)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A checkout of the working tree as it is, in a repository of its own; weights are links."""
    root = tmp_path_factory.mktemp("checkout") / "minixai"
    for name in ("minixai", "lessons", "weights_scripts"):
        shutil.copytree(ROOT / name, root / name, copy_function=_link_weights,
                        ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("README.md", "pyproject.toml", "LICENSE", "NOTICE", ".gitignore"):
        shutil.copy(ROOT / name, root / name)
    (root / "tests").mkdir()
    (root / "tests" / "test_x.py").write_text("from minixai.gradcam import rectify\n")
    git(root, "init", "-q")
    git(root, "add", "-A")
    return root


def _link_weights(source, target):
    if source.endswith(".pt"):
        Path(target).symlink_to(source)
    else:
        shutil.copy(source, target)


@pytest.fixture(scope="module")
def students(checkout):
    out = checkout.parent / "students"
    assert release.release(out, checkout) == sum(path.is_file() for path in out.rglob("*"))
    return out


def run(students, *words, cwd):
    """(exit code, what it printed and what it complained of) of the student tree's own command, not installed."""
    environment = {**os.environ, "PYTHONPATH": str(students), "OMP_NUM_THREADS": "1"}
    ran = subprocess.run([sys.executable, "-m", "minixai", *map(str, words)], cwd=cwd, env=environment,
                         capture_output=True, text=True)
    return ran.returncode, ran.stdout + ran.stderr


@pytest.mark.slow
def test_what_gives_answers_away_is_not_there(students):
    names = {str(path.relative_to(students)) for path in students.rglob("*")}
    assert not {"tests", ".git", "minixai/verification", "minixai/course/grade.py",
                "minixai/course/record.py", "minixai/course/INSTRUCTOR.md", "minixai/course/release.py"} & names
    assert {"minixai/gradcam.py", "minixai/course/check.py", "lessons/pages/02_gradcam_by_hand.md", "README.md",
            "minixai/course/fixtures/02_1.npz", "minixai/verify.py"} <= names
    assert all((ROOT / path).exists() for path in release.LEFT_OUT if path not in (".ci",))     # the list is no fossil


@pytest.mark.slow
def test_nothing_that_stays_imports_what_is_left_out(students):
    """Lessons about libraries apart, whose script is left out too."""
    gone = [path.removesuffix(".py").replace("/", ".") for path in release.LEFT_OUT if path.startswith("minixai/")]
    imports = re.compile(rf"^\s*(from|import) ({'|'.join(map(re.escape, gone))})\b", re.MULTILINE)
    importers = {str(path.relative_to(students)) for path in students.rglob("*.py") if imports.search(path.read_text())}
    assert importers == {"minixai/course/command.py", "minixai/cli/verify.py"}     # they import it late, and say so


@pytest.mark.slow
def test_every_function_to_write_is_blank_and_keeps_its_docstring(students):
    for exercise, task in release.tasks():
        text = (students / release.source_file(task)).read_text()
        body = text[text.index(f"def {task.name}("):]
        assert f'raise NotImplementedError("{task.name} is yours to write (about ' in body.split("\ndef ")[0]
        assert f"minixai start {exercise.number}" in body.split("\ndef ")[0]
        assert task.function.__doc__.splitlines()[0] in body


@pytest.mark.slow
def test_a_student_can_work_in_it_without_installing(students, tmp_path):
    code, said = run(students, "start", "02", cwd=tmp_path)
    assert code == 0 and 'raise NotImplementedError("about 5 lines")' in (tmp_path / "exercise_02.py").read_text()
    from minixai.course.start import text_of
    assert (tmp_path / "exercise_02.py").read_text() == text_of(find("02"), "exercise_02.py")
    (tmp_path / "exercise_02.py").write_text(solution(find("02")))
    code, said = run(students, "check", "02", cwd=tmp_path)
    assert code == 0 and "6 of 6 right" in said


@pytest.mark.slow
def test_the_students_stages_draw_a_photo_there(students, tmp_path):
    (tmp_path / "mine.py").write_text(solution(find("02")))
    code, said = run(students, "explain", "--method", "gradcam", cwd=tmp_path)
    assert code == 2 and said.strip() == "minixai: channel_weights is yours to write (about 1 line): minixai start 02"
    code, said = run(students, "explain", "--method", "gradcam", "--mine", "mine.py", cwd=tmp_path)
    assert code == 0 and len(list((tmp_path / "minixai-out").iterdir())) == 2


def stages_of(folder, *numbers):
    for number in numbers:
        (folder / f"exercise_{number}.py").write_text(solution(find(number)), encoding="utf-8")


def lesson(students, number, cwd):
    script, = (students / "lessons").glob(f"{number}_*.py")
    environment = {**os.environ, "PYTHONPATH": str(students), "OMP_NUM_THREADS": "1"}
    ran = subprocess.run([sys.executable, script], cwd=cwd, env=environment, capture_output=True, text=True)
    return ran.returncode, ran.stdout, ran.stderr


@pytest.mark.slow
@pytest.mark.parametrize("number, exercises", [("02", ["02"]), ("07", ["02", "05", "10"])])
def test_a_lesson_runs_with_the_students_own_functions(number, exercises, students, tmp_path):
    """As the README of the tree has it: which exercises a lesson needs. Without one, its function is named."""
    code, _, complaint = lesson(students, number, tmp_path)
    assert (code, complaint) == (1, "channel_weights is yours to write (about 1 line): minixai start 02\n")
    stages_of(tmp_path, *exercises)
    code, said, complaint = lesson(students, number, tmp_path)
    assert code == 0, complaint
    assert "do not hold" not in said and "does not hold for them" not in said
    assert "in minixai/course/yours.py" not in said
    text = (tmp_path / "exercise_02.py").read_text(encoding="utf-8")
    (tmp_path / "exercise_02.py").write_text(text.replace("return cam.clamp(min=0)", "return -cam"), encoding="utf-8")
    code, said, _ = lesson(students, number, tmp_path)
    assert "does not hold for them" in said         # it was the student's own, which now is wrong


@pytest.mark.slow
def test_a_function_still_blank_and_a_broken_file_are_one_sentence(students, tmp_path):
    run(students, "start", "02", cwd=tmp_path)
    code, _, complaint = lesson(students, "02", tmp_path)
    assert (code, complaint) == (1, "channel_weights is yours to write (about 1 line): minixai start 02\n")
    (tmp_path / "exercise_02.py").write_text("def x(")
    code, _, complaint = lesson(students, "02", tmp_path)
    assert code == 1 and len(complaint.splitlines()) == 1 and "cannot be read as Python" in complaint
    code, said = run(students, "explain", "--method", "gradcam", cwd=tmp_path)
    assert code == 2 and len(said.splitlines()) == 1 and "cannot be read as Python" in said


@pytest.mark.parametrize("words", [("release", "x"), ("grade", "subs", "--exercise", "02", "--seed", "1")])
def test_the_instructors_commands_say_that_they_are_not_there(words, monkeypatch, capsys):
    from minixai.__main__ import main
    monkeypatch.setitem(sys.modules, f"minixai.course.{words[0]}", None)        # as if the file were missing
    assert main(list(words)) == 2
    said = capsys.readouterr().err
    assert said == f"minixai: {words[0]} is for instructors; the tree for students does not have it\n"


def test_the_command_says_how_many_files_it_wrote(tmp_path, monkeypatch, capsys):
    from minixai.__main__ import main
    asked = []
    monkeypatch.setattr(release, "release", lambda out: asked.append(out) or 7)
    assert main(["release", str(tmp_path / "out")]) == 0 and asked == [tmp_path / "out"]
    assert capsys.readouterr().out == f"{tmp_path / 'out'}: 7 files\n"


@pytest.mark.slow
def test_verify_says_that_it_is_not_there(students):
    names = {}
    exec((students / "minixai" / "verify.py").read_text(), names)
    with pytest.raises(ValueError, match="verify is not part of the tree for students"):
        names["verify"](1, 2, target=3)


@pytest.mark.slow
def test_links_of_pages_lead_where_they_led(students, checkout):
    for page in students.rglob("*.md"):
        for target in re.findall(r"\]\(([^)#:\s]+)\)", page.read_text(encoding="utf-8")):
            led = (checkout / page.relative_to(students).parent / target).exists()
            assert (page.parent / target).exists() or not led, (page.relative_to(students), target)
    page = (checkout / "lessons/pages/03_three_lines.md").read_text()
    assert "](../../minixai/verification/profiles/profile.py)" in page


@pytest.mark.slow
def test_pages_show_the_blanked_function(students, checkout):
    for name, raised in (("02_gradcam_by_hand.md", '"yours to write: minixai start 02"'),
                         ("index.html", "&quot;yours to write: minixai start 02&quot;")):
        text = (students / "lessons" / "pages" / name).read_text(encoding="utf-8")
        assert f"raise NotImplementedError({raised})" in text
        assert "def channel_weights(gradients" in html.unescape(re.sub("<[^>]*>", "", text))
    plain = (students / "lessons" / "pages" / "index.html").read_text()
    assert plain.count("<pre>") == (checkout / "lessons" / "pages" / "index.html").read_text().count("<pre>")


@pytest.mark.slow
def test_the_tree_is_made_again_the_same(students, checkout):
    release.release(checkout.parent / "again", checkout)
    for path in students.rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (checkout.parent / "again" / path.relative_to(students)).read_bytes()


SUM = "return (weights * activations).sum(dim=-3)"
MEAN = "gradients.mean(dim=(-2, -1), keepdim=True)"


# ---- a small checkout, made and released in this process

@pytest.fixture
def little(tmp_path):
    """A checkout of few files. One of them is not tracked."""
    root = tmp_path / "checkout"
    for name in ("minixai/gradcam.py", "minixai/course/STUDENT.md", "minixai/verify.py"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    for name, text in {"lessons/page.md": "[a](x.md) [b](../tests/test_x.py) [c](../minixai/verification/x.py#y)\n",
                       "lessons/gone.md": "", "tests/test_x.py": f"{SUM}\n", "README.md": "for readers of the code\n",
                       "minixai/tool.py": "x = 'déjà'"}.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    (root / "lessons" / "a.png").write_bytes(b"\x89PNG\xff")
    git(root, "init", "-q")
    git(root, "add", "-A")
    (root / "solutions.py").write_text("print(1)")
    return root


def test_a_tree_is_what_git_tracks_without_what_knows_the_answers(little, tmp_path):
    said, out = [], tmp_path / "new" / "tree"
    (little / "lessons" / "gone.md").unlink()           # though it is tracked
    assert release.release(out, little, said.append) == 6
    names = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert names == {"minixai/gradcam.py", "minixai/verify.py", "minixai/tool.py", "lessons/page.md", "lessons/a.png",
                     "README.md"}
    assert (out / "README.md").read_text() == (little / "minixai/course/STUDENT.md").read_text()
    assert (out / "minixai/verify.py").read_text() == release.NO_VERIFY
    assert (out / "lessons/page.md").read_text() == "[a](x.md) b [c](../minixai/verification/x.py#y)\n"
    assert (out / "lessons/a.png").read_bytes() == b"\x89PNG\xff"
    assert (out / "minixai/tool.py").read_text(encoding="utf-8") == "x = 'déjà'"
    assert len(said) == 1 and said[0].startswith("searched 5 of 6 files ")
    assert list(out.parent.iterdir()) == [out]


def test_a_blank_module_keeps_its_heads_and_names_the_students_function(little, tmp_path):
    release.release(tmp_path / "tree", little, lambda line: None)
    text = (tmp_path / "tree/minixai/gradcam.py").read_text()
    for name, length in (("channel_weights", "1 line"), ("weighted_sum", "1 line"), ("rectify", "1 line")):
        head = text[text.index(f"def {name}("):].partition("\n\n\n")[0]
        assert head.endswith(f'raise NotImplementedError("{name} is yours to write (about {length}): '
                             'minixai start 02")') and head.count('"""') == 2
        assert f'@yours("02")\ndef {name}(' in text
    assert text.count("from minixai.course.yours import yours\n") == 1 and text.count("@yours") == 3
    assert text.endswith("\n") and not text.endswith("\n\n") and ast.get_docstring(ast.parse(text))
    assert re.search(r"^(from|import) .*\n", text, re.MULTILINE)[0] == "from minixai.course.yours import yours\n"
    compile(text, "gradcam.py", "exec")


def test_a_listing_on_a_page_is_blanked_and_any_other_stays_as_it_is():
    source = inspect.getsource(find("02").tasks[0].function)
    coloured = html.escape(source).replace("return", '<span class="k">return</span>')
    other = '<pre><b>x</b> &lt; 1\n</pre>'
    page = release.without_solutions(f"<p>{other}<pre>{coloured}</pre></p>", Path("lessons/pages/index.html"))
    blank = html.escape(release.blank_quotations(source))
    assert page == f"<p>{other}<pre>{blank}</pre></p>" and "yours to write: minixai start 02" in page
    quoted = release.without_solutions(f"before\n{source}\nafter", Path("lessons/x.md"))
    assert quoted == f"before\n{release.blank_quotations(source)}\nafter"
    assert "mean(" not in release.blank_quotations(source).partition('"""\n')[2]


def test_a_leak_ends_the_release_and_nothing_is_written(little, tmp_path):
    (little / "minixai/tool.py").write_text("w = lambda g: g.mean(dim=(-2, -1), keepdim=True)\n")
    with pytest.raises(Leak, match=r"^minixai/tool\.py holds a part of channel_weights"):
        release.release(tmp_path / "out", little)
    assert list(tmp_path.iterdir()) == [little]


def test_what_cannot_be_released_is_one_line(little, tmp_path, monkeypatch):
    with pytest.raises(FileExistsError, match="checkout exists already; name a new folder$"):
        release.release(little, little)
    with pytest.raises(ValueError, match="is not a checkout of the repository, which release needs$"):
        release.release(tmp_path / "x", tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(minixai, "__file__", str(tmp_path / "here" / "minixai" / "__init__.py"))
        with pytest.raises(ValueError, match=f"^{re.escape(str(tmp_path / 'here'))} is not a checkout"):
            release.release(tmp_path / "x")             # without a root: where this library lies
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OSError, match=f"^{re.escape(str(tmp_path / 'file' / 'x'))} cannot be made: Not a directory$"):
        release.release(tmp_path / "file" / "x", little)
    (tmp_path / ".git").write_text("gitdir: nowhere\n")
    with pytest.raises(ValueError, match="^git cannot list the files of .*: fatal: not a git repository"):
        release.release(tmp_path / "x", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match="git is not installed here$"):
        release.release(tmp_path / "x", little)
    assert {path.name for path in tmp_path.iterdir()} == {"checkout", "file", ".git"}


# ---- a blank function runs the student's

@pytest.fixture
def blank(tmp_path, monkeypatch):
    """blank(name): a blank function of this name, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(yours, "TREE", tmp_path / "tree")
    (tmp_path / "tree").mkdir()
    yours._functions_in.cache_clear()

    def make(name):
        def function(*arguments, **named):
            """The exercise."""
            raise NotImplementedError(f"{name} is yours to write")
        function.__name__ = name
        return yours.yours("02")(function)
    return make


def test_a_blank_function_runs_the_students_with_tensors_and_overlay_with_arrays(blank, tmp_path):
    (tmp_path / "exercise_02.py").write_text("def rectify(*a, **b): return a, b\noverlay = rectify\n")
    run = blank("rectify")
    assert run.__doc__ == "The exercise." and run.__name__ == "rectify"
    for name, kind in (("rectify", torch.Tensor), ("overlay", np.ndarray)):
        given, named = blank(name)(np.ones(2), torch.ones(2), (3, 4), cam=np.zeros(1), alpha=0.5)
        assert isinstance(given[0], kind) and isinstance(given[1], kind) and given[2] == (3, 4)
        assert isinstance(named["cam"], kind) and named["alpha"] == 0.5
    with pytest.raises(NotImplementedError, match="^weighted_sum is yours to write$"):
        blank("weighted_sum")(1, weights=2)


def test_the_students_file_is_in_the_current_folder_or_beside_the_tree(blank, tmp_path):
    with pytest.raises(NotImplementedError, match="^rectify is yours to write$"):
        blank("rectify")(1)
    yours._functions_in.cache_clear()
    (tmp_path / "tree/exercise_02.py").write_text("def rectify(cam): return 'tree'")
    assert blank("rectify")(1) == "tree"
    yours._functions_in.cache_clear()
    (tmp_path / "exercise_02.py").write_text("def rectify(cam): raise NotImplementedError('about 1 line')\n"
                                             "def min_max(full): return 'here'")
    assert blank("min_max")(1) == "here"
    with pytest.raises(NotImplementedError, match="^rectify is yours to write$"):
        blank("rectify")(1)
    yours._functions_in.cache_clear()
    (tmp_path / "exercise_02.py").write_text("x = 1\n\n1 / 0")
    with pytest.raises(NotImplementedError, match=r"stops when it is loaded \(line 3\): ZeroDivisionError: division"):
        blank("rectify")(1)


LEAKS = {
    "code": ("minixai/other.py", f"def f(weights, activations):\n    {SUM}\n"),
    "other names": ("minixai/other.py", "def f(one, x):\n    return (one * x).sum(dim=-3)\n"),
    "the other order": ("minixai/other.py", "def f(weights, activations):\n    return (activations*weights).sum(-3)\n"),
    "split over lines": ("minixai/other.py", "def f(a, weights):\n    return (weights*a).sum(\n        dim=-3)\n"),
    "keywords turned round": ("minixai/other.py", "w = slope.mean(keepdim=True, dim=(-2, -1))\n"),
    "without keywords": ("minixai/other.py", "w = slope.mean((-2, -1), True)\n"),
    "a function of torch": ("minixai/other.py", "w = torch.mean(slope, dim=(-2, -1), keepdim=True)\n"),
    "of an attribute": ("minixai/other.py", "w = trace.gradients[0].mean(dim=(-2, -1), keepdim=True)\n"),
    "a temporary argument": ("minixai/other.py", "dims = (-2, -1)\nw = slope.mean(dim=dims, keepdim=True)\n"),
    "a temporary": ("minixai/other.py", "def f(w, a):\n    both = w * a\n    cam = both.sum(dim=-3)\n    return cam"),
    "temporaries put in": ("minixai/other.py", "span = x.amax(dim=(-2, -1), keepdim=True) - x.amin(dim=(-2, -1), "
                           "keepdim=True)\n"),
    "not kept from 0/0": ("lessons/other.py", "share = (found * places).sum(dim=(-2, -1)) / found.sum(dim=(-2, -1))\n"),
    "a lambda": ("minixai/other.py", "f = lambda w, a: (w * a).sum(dim=-3)\n"),
    "an f-string": ("minixai/other.py", "print(f'{(w * a).sum(dim=-3)}')\n"),
    "a string": ("minixai/other.py", "text = 'cam = (w * a).sum(dim=-3)'\n"),
    "a doctest": ("minixai/other.py", f'def f():\n    """Text.\n\n    >>> w = (\n    ...     {MEAN})\n    """\n'),
    "a comment": ("minixai/other.py", f"x = 1  # {SUM}\n"),
    "a comment of two lines": ("minixai/other.py", "# cam = (w * a\n#        ).sum(dim=-3)\n"),
    "the function itself": ("minixai/other.py", "def rectify(cam):\n    return torch.relu(cam)\n"),
    "a method": ("minixai/other.py", "class A:\n    def mean_heads(self, x):\n        return x.mean(1)\n"),
    "a page": ("lessons/pages/x.md", f"Write\n\n    {SUM}\n"),
    "a block": ("lessons/pages/x.md", f"Write:\n```python\nw = (\n    {MEAN}\n)\n```\nand no more\n"),
    "a span": ("lessons/pages/x.md", f"The answer is `{MEAN}`, of course.\n"),
    "escaped": ("lessons/pages/x.html", "<p>"
                "flat = span / torch.maximum(low.abs(), high.abs()) &lt;= rounding</p>"),
    "a span of html": ("lessons/pages/x.html", f"<p>The answer is <code>{MEAN}</code>, of course.</p>"),
    "coloured": ("lessons/pages/x.html", '<p>so:</p>\n<pre><code><span class="k">return</span> <span>(</span>w <span>*'
                 "</span> a)\\\n  .sum(dim=<span>-</span>3)</code></pre><p>and so on</p>"),
    "a notebook": ("lessons/x.ipynb", json.dumps({"cells": [{"cell_type": "code", "source": [
        "full = F.interpolate(\n", "    coarse.reshape(-1, 1, h, w), size=tuple(size), ",
        'mode="bilinear", align_corners=False)\n']}]})),
}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A tree of few files, as it is handed out."""
    tree = tmp_path_factory.mktemp("tree")
    for name in ("minixai/gradcam.py", "lessons/README.md", "lessons/tools.py"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        text = release.without_solutions((ROOT / name).read_text(encoding="utf-8"), Path(name))
        (tree / name).write_text(text, encoding="utf-8")
    (tree / "lessons/pages").mkdir()
    return tree


@pytest.mark.parametrize("kind", LEAKS)
def test_a_planted_leak_is_found(kind, small):
    name, text = LEAKS[kind]
    assert "none found" in leaks.search(small)
    (small / name).write_text(text, encoding="utf-8")
    try:
        with pytest.raises(Leak, match=f"^{re.escape(name)} holds a part of "):
            leaks.search(small)
    finally:
        (small / name).unlink()


@pytest.mark.parametrize("text, form, searched", [      # the form of the expression, and the parts that are long enough
    ("g.mean(dim=(-2, -1), keepdim=True)", "mean(_, (Tuple -2 -1), True)", ["mean(_, (Tuple -2 -1), True)"]),
    ("torch.mean(trace.g[0], keepdim=True, dim=3)", "mean(_, 3, True)", ["mean(_, 3, True)"]),
    ("f(x, b, y=2)", "_(_, 2, _)", []), ("F.relu(x, y=2)", "relu(_, 2)", []), ("x.sum(1).y", "sum(_, 1).y", []),
    ("-x + 3 * y", "(Add (Mult 3 _) -_)", ["(Add (Mult 3 _) -_)"]),
    ("3 - x * 2", "(Sub 3 (Mult 2 _))", ["(Sub 3 (Mult 2 _))"]), ("x / 2", "(Div _ 2)", []),
    ("x[i][0]", "_", []), ("x.sum(1)[0]", "sum(_, 1)[0]", ["sum(_, 1)[0]"]),
    ("x[..., :3]", "_[(Tuple Ellipsis :3)]", ["_[(Tuple Ellipsis :3)]"]), ("x[1:]", "_[1:]", []),
    ("x if y > 0 else 1", "(IfExp (Compare _ (Gt) 0) _ 1)",
     ["(Compare _ (Gt) 0)", "(IfExp (Compare _ (Gt) 0) _ 1)"]),
    ("not x", "(UnaryOp (Not) _)", []),
])
def test_the_plain_form_ignores_names_and_order(text, form, searched):
    found = set()
    assert leaks._plain(ast.parse(text).body[0].value, found) == form
    assert found == leaks.plain_forms(ast.parse(text)) == set(searched)


@pytest.mark.parametrize("before, text, inserted", [
    ("both = a * 2\n", "both.sum(1)", "(a * 2).sum(1)"), ("one, two = a * 2, b / 3\n", "one + two", "a * 2 + b / 3"),
    ("a = b * 2\nc = a + 3\n", "c.sum(1)", "(b * 2 + 3).sum(1)"), ("a[0] = b * 2\n", "a.sum(1)", "a.sum(1)"),
    ("one, two = pair\n", "one.sum(1)", "one.sum(1)"),
    (f"a = {' + '.join('b' * 15)}\n", "a.sum(1)", f"({' + '.join('b' * 15)}).sum(1)"),
    (f"a = {' + '.join('b' * 16)}\n", "a.sum(1)", "a.sum(1)"),         # too large to insert again and again
])
def test_values_of_temporary_variables_are_inserted(before, text, inserted):
    for head, indent in (("", ""), ("def f(a, b):\n", "    ")):
        code = "".join(f"{indent}{line}\n" for line in [*before.splitlines(), text])
        last = leaks._Inlined().visit(ast.parse(head + code)).body[-1]
        last = last.body[-1] if head else last
        assert ast.unparse(last) == inserted


def test_a_value_is_inserted_into_the_next_variable_too():
    for head in ("", "def f(a):\n    "):
        found = leaks.plain_forms(ast.parse(f"{head}both = a * 2; c = both.sum(1)"))
        assert found == {"sum((Mult 2 _), 1)"}


def test_a_variable_of_one_function_is_not_inserted_into_another():
    tree = leaks._Inlined().visit(ast.parse("def f(a):\n    b = a * 2\ndef g(b):\n    return b\n"))
    assert ast.unparse(tree).endswith("return b")


def test_comments_keep_their_lines_and_strings_of_notebooks_are_joined():
    comments, *strings = leaks._strings_and_comments("# one\nx = 'a'  # two\n\ny = 3\n")
    assert comments == "# one\n# two\n\n\n" and strings == ["a"]
    assert list(leaks._strings({"a": ["x = (\n", "1)"], "b": [1, {"c": "d"}], "e": None})) == ["x = (\n1)", "d"]


@pytest.mark.parametrize("text", [
    "x = heatmap.clamp(min=0)", "x = attention.mean(dim=-3)", "x = a * b", "total = x.sum(dim=(-2, -1))",
    "x = x / x.sum(dim=-1, keepdim=True)", "x = values.mean(dim=(-2, -1))", "x = f(a).sum()", "y = 1 - alpha",
    "The mean over all places, one number a map: that is C2.", "def rectify_all(x):\n    return x.clamp(min=0)",
    'def rectify(cam):\n    """C4"""\n    raise NotImplementedError("yours")',
    'def rectify(cam):\n    """C4"""\n    ...',
])
def test_what_is_no_leak_is_let_be(text, small):
    for name in ("x.md", "lessons/x.py"):
        if name.endswith("md") or "The mean" not in text:
            (small / name).write_text(text + "\n", encoding="utf-8")
    try:
        assert "none found" in leaks.search(small)
    finally:
        for name in ("x.md", "lessons/x.py"):
            (small / name).unlink(missing_ok=True)


@pytest.mark.parametrize("name, data", [("x.pyc", b"code"), ("x.zip", b"PK"), ("x.md", b"\xff\xfe\x00")])
def test_what_cannot_be_searched_is_refused(name, data, small):
    (small / name).write_bytes(data)
    try:
        with pytest.raises(ValueError, match=r"x\.\w+ .*cannot be searched"):
            leaks.search(small)
    finally:
        (small / name).unlink()


def test_every_file_that_students_get_can_be_searched():
    paths = [path.relative_to(ROOT) for folder in ("minixai", "lessons", "weights_scripts")
             for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    handed_out = [path for path in paths if not release.left_out(path)]
    assert Path("minixai/py.typed") in handed_out
    assert {path.suffix for path in handed_out} <= leaks.TEXT | leaks.NO_TEXT


def test_what_was_searched_is_said_and_what_is_too_short_to_be_found_is_known(small):
    telling = leaks.telling_expressions()
    assert leaks.search(small) == (f"searched 3 of 3 files (not arrays and pictures) for 17 functions by name and "
                                   f"{len(telling)} of their expressions: none found")
    found = set(telling.values()) | {"one_layer"}           # whose expression is in multiply_layers too
    assert {task.name for _, task in release.tasks()} - found == {"rectify", "mean_heads", "positive_gradients"}
    assert len(telling) > 50 and all(name in leaks.functions() for name in telling.values())
