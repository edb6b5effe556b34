"""The tree for students: it works, and no line of a solution is in it."""
import html
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import minixai
from minixai.course import release
from minixai.course.exercises import find
from minixai.course.release import Leak
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


def test_what_gives_answers_away_is_not_there(students):
    names = {str(path.relative_to(students)) for path in students.rglob("*")}
    assert not {"tests", ".git", "minixai/mistakes", "minixai/profiles", "minixai/search.py", "minixai/course/grade.py",
                "minixai/course/record.py", "minixai/course/INSTRUCTOR.md", "minixai/course/release.py"} & names
    assert {"minixai/gradcam.py", "minixai/course/check.py", "lessons/pages/02_gradcam_by_hand.md", "README.md",
            "minixai/course/fixtures/02_1.npz", "minixai/verdict.py"} <= names
    assert all((ROOT / path).exists() for path in release.LEFT_OUT if path not in (".ci",))     # the list is no fossil


def test_nothing_that_stays_imports_what_is_left_out(students):
    """Lessons about libraries apart, whose script is left out too."""
    gone = [path.removesuffix(".py").replace("/", ".") for path in release.LEFT_OUT if path.startswith("minixai/")]
    late = {"minixai/course/command.py", "minixai/verdict.py"}      # both import it when asked to, and say so
    for path in students.rglob("*.py"):
        text = path.read_text()
        for name in gone:
            if re.search(rf"^\s*(from|import) {re.escape(name)}\b", text, re.MULTILINE):
                assert str(path.relative_to(students)) in late, (path, name)


def test_every_function_to_write_is_blank_and_keeps_its_docstring(students):
    for exercise, task in release.tasks():
        text = (students / release.source_file(task)).read_text()
        body = text[text.index(f"def {task.name}("):]
        assert f'raise NotImplementedError("{task.name} is yours to write (about ' in body.split("\ndef ")[0]
        assert f"minixai start {exercise.number}" in body.split("\ndef ")[0]
        assert task.function.__doc__.splitlines()[0] in body


def test_a_student_can_work_in_it_without_installing(students, tmp_path):
    code, said = run(students, "start", "02", cwd=tmp_path)
    assert code == 0 and 'raise NotImplementedError("about 5 lines")' in (tmp_path / "exercise_02.py").read_text()
    from minixai.course.start import text_of
    assert (tmp_path / "exercise_02.py").read_text() == text_of(find("02"), "exercise_02.py")
    (tmp_path / "exercise_02.py").write_text(solution(find("02")))
    code, said = run(students, "check", "02", cwd=tmp_path)
    assert code == 0 and "6 of 6 right" in said


def test_the_students_stages_draw_a_photo_there(students, tmp_path):
    (tmp_path / "mine.py").write_text(solution(find("02")))
    code, said = run(students, "explain", "--method", "gradcam", cwd=tmp_path)
    assert code == 2 and said.strip() == "minixai: channel_weights is yours to write (about 1 line): minixai start 02"
    code, said = run(students, "explain", "--method", "gradcam", "--mine", "mine.py", cwd=tmp_path)
    assert code == 0 and len(list((tmp_path / "minixai-out").iterdir())) == 2


@pytest.mark.parametrize("words", [("release", "x"), ("grade", "subs", "--exercise", "02", "--seed", "1")])
def test_the_instructors_commands_say_that_they_are_not_there(words, monkeypatch, capsys):
    from minixai.__main__ import main
    monkeypatch.setitem(sys.modules, f"minixai.course.{words[0]}", None)        # as if the file were missing
    assert main(list(words)) == 2
    said = capsys.readouterr().err
    assert said == f"minixai: {words[0]} is for instructors, and not part of the tree for students\n"


def test_verify_says_that_it_is_not_there(students):
    names = {}
    exec((students / "minixai" / "verify.py").read_text(), names)
    with pytest.raises(ValueError, match="verify is not part of the tree for students"):
        names["verify"](1, 2, target=3)


def test_links_of_pages_lead_where_they_led(students, checkout):
    for page in students.rglob("*.md"):
        for target in re.findall(r"\]\(([^)#:\s]+)\)", page.read_text(encoding="utf-8")):
            led = (checkout / page.relative_to(students).parent / target).exists()
            assert (page.parent / target).exists() or not led, (page.relative_to(students), target)
    assert "](../../minixai/profiles/profile.py)" in (checkout / "lessons/pages/03_three_lines.md").read_text()


def test_pages_show_the_blanked_function(students, checkout):
    for name, raised in (("02_gradcam_by_hand.md", '"yours to write: minixai start 02"'),
                         ("index.html", "&quot;yours to write: minixai start 02&quot;")):
        text = (students / "lessons" / "pages" / name).read_text(encoding="utf-8")
        assert f"raise NotImplementedError({raised})" in text
        assert "def channel_weights(gradients):" in html.unescape(re.sub("<[^>]*>", "", text))
    plain = (students / "lessons" / "pages" / "index.html").read_text()
    assert plain.count("<pre>") == (checkout / "lessons" / "pages" / "index.html").read_text().count("<pre>")


def test_the_tree_is_made_again_the_same(students, checkout):
    release.release(checkout.parent / "again", checkout)
    for path in students.rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (checkout.parent / "again" / path.relative_to(students)).read_bytes()


LINE = "return (weights * activations).sum(dim=-3)"
LEAKS = {
    "code": ("minixai/other.py", f"def f(weights, activations):\n    {LINE}\n"),
    "another spacing": ("minixai/other.py", "def f(a, weights):\n    return (weights*activations).sum(\n  dim=-3)\n"),
    "a comment": ("minixai/other.py", f"# {LINE}\n"),
    "a page": ("lessons/pages/x.md", f"Write\n\n    {LINE}\n"),
    "escaped": ("lessons/pages/x.html", "<p>"
                "flat = span / torch.maximum(low.abs(), high.abs()) &lt;= rounding</p>"),
    "coloured": ("lessons/pages/x.html", '<pre><span class="k">return</span> <span class="p">(</span>weights <span>*'
                 "</span> activations).sum(dim=<span>-</span>3)</pre>"),
    "a notebook": ("lessons/x.ipynb", json.dumps({"cells": [{"source": [
        'full = F.interpolate(coarse.reshape(-1, 1, h, w), size=tuple(size), '
        'mode="bilinear", align_corners=False)\n']}]})),
}


@pytest.mark.parametrize("kind", LEAKS)
def test_a_planted_leak_is_refused_and_nothing_is_written(kind, tmp_path):
    name, text = LEAKS[kind]
    root, out = tmp_path / "checkout", tmp_path / "leaking"
    for path in ("minixai/gradcam.py", "minixai/verify.py", "minixai/course/STUDENT.md", "lessons/README.md"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, root / path)
    (root / name).parent.mkdir(exist_ok=True, parents=True)
    (root / name).write_text("nothing" if name.endswith(("md", "html", "ipynb")) else "x = 1\n", encoding="utf-8")
    git(root, "init", "-q")
    git(root, "add", "-A")
    release.release(tmp_path / "sound", root)
    (root / name).write_text(text, encoding="utf-8")
    with pytest.raises(Leak, match=f"^{re.escape(name)} holds a line of "):
        release.release(out, root)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkout", "sound"]


def test_only_what_git_tracks_is_handed_out(checkout, students):
    (checkout / "solutions.py").write_text("print(1)")
    try:
        assert Path("solutions.py") not in release.tracked(checkout) and Path("README.md") in release.tracked(checkout)
    finally:
        (checkout / "solutions.py").unlink()


def test_every_solution_can_be_found_out():
    """No function is so short that its leak would go unseen."""
    assert {name for name, _ in release.telling_lines().values()} == {task.name for _, task in release.tasks()}


def test_a_folder_that_is_there_and_a_tree_without_git_are_one_line(checkout, students, tmp_path):
    with pytest.raises(FileExistsError, match="name a new folder"):
        release.release(students, checkout)
    with pytest.raises(ValueError, match="no checkout of the repository"):
        release.release(tmp_path / "x", tmp_path)
    assert not (tmp_path / "x").exists()
