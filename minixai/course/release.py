"""Write the tree for students: a copy of the repository in which the exercises' functions are blank.

    the checkout ─► what git tracks ─► without tests, mistakes, … ─► bodies blanked ─► pages blanked ─► searched

Quotations of these functions on pages are blanked too. Tests, mistakes and everything else that knows the answers are
left out. Then leaks.py searches the tree. If it finds a part of a solution, nothing is written.
"""
import ast
import html
import inspect
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import minixai
from minixai.course.blank import blanked_source, length_of
from minixai.course.exercises import EXERCISES, Exercise, Task
from minixai.course.leaks import TEXT, read, search

# Files that contain answers, or work only with such files. Fixtures stay: they are arrays.
LEFT_OUT = ("tests", ".ci", "lessons/recorded", "lessons/03_three_lines.py", "minixai/verification",
            "minixai/compat.py", "minixai/course/record.py", "minixai/course/mistakes.py", "minixai/course/grade.py",
            "minixai/course/leaks.py", "minixai/course/submissions.py", "minixai/course/results.py",
            ".github", "CHANGELOG.md",
            "minixai/course/release.py", "minixai/course/INSTRUCTOR.md", "minixai/course/STUDENT.md")
NO_VERIFY = '''"""verify is not part of the tree for students: it knows every stage and every mistake."""
Verdict = None


def verify(*arguments, **options):
    """Raise ValueError: verify is not part of the tree for students."""
    raise ValueError("verify is not part of the tree for students")
'''


def release(out: str | Path, root: str | Path | None = None, say: Callable[[str], None] = print) -> int:
    """Write the tree for students to the folder `out`, which must not exist. Returns the number of files.

    root: a checkout of this repository. say: is called with a sentence about what was searched.
    Leak if a part of a solution is found, FileExistsError if `out` exists, OSError if it cannot be made, ValueError if
    there is no checkout or git cannot read it. Then nothing is written.
    """
    root, out = Path(root or Path(minixai.__file__).parents[1]), Path(out)
    if not (root / ".git").exists():
        raise ValueError(f"{root} is not a checkout of the repository, which release needs")
    if out.exists():
        raise FileExistsError(f"{out} exists already; name a new folder")
    unfinished = out.with_name(f"{out.name}.{os.getpid()}.unfinished")
    try:
        unfinished.mkdir(parents=True)
    except OSError as problem:
        raise OSError(f"{out} cannot be made: {problem.strerror}") from None
    try:
        paths = tracked(root)
        for path in paths:
            _copy(root, unfinished, path)
        shutil.copyfile(root / "minixai/course/STUDENT.md", unfinished / "README.md")
        (unfinished / "minixai/verify.py").write_text(NO_VERIFY, encoding="utf-8")
        searched = search(unfinished)
        unfinished.rename(out)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    say(searched)
    return len(paths)


def tracked(root: Path) -> list[Path]:
    """The relative paths of all files that git tracks, without those that students do not get."""
    if not shutil.which("git"):
        raise ValueError("release needs git, which lists the files of the checkout; git is not installed here")
    listed = subprocess.run(["git", "-C", str(root), "ls-files", "-z"], capture_output=True, encoding="utf-8",
                            errors="surrogateescape")
    if listed.returncode:
        raise ValueError(f"git cannot list the files of {root}: {listed.stderr.strip().splitlines()[-1]}")
    paths = (Path(name) for name in listed.stdout.split("\0") if name)
    return [path for path in paths if not left_out(path) and (root / path).is_file()]


def left_out(path: str | Path) -> bool:
    """Whether students do not get a path, which is relative to the root."""
    return any(Path(path).is_relative_to(left) for left in LEFT_OUT)


def _copy(root, out, path):
    target = out / path
    target.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix not in TEXT:
        shutil.copyfile(root / path, target)
    else:
        target.write_text(without_solutions(read(root / path), path), encoding="utf-8")


def without_solutions(text: str, path: Path) -> str:
    """The text of a file with every solution blanked, in code and in quotations. path: relative to the root."""
    if path.suffix == ".py":
        return blank_module(text, path)
    if path.suffix == ".html":
        return re.sub(r"<pre>(.*?)</pre>", _blank_listing, text, flags=re.DOTALL)
    if path.suffix == ".md":
        text = re.sub(r"\[([^]\n]*)\]\(([^)#\s]+)\)", lambda link: _link(link, path), text)
    return blank_quotations(text)


def blank_module(text: str, path: Path) -> str:
    """A module's source with the exercises' functions blanked. Each one gets the decorator of yours.py."""
    here = {task.name: exercise.number for exercise, task in tasks() if source_file(task) == path}
    nodes = [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef) and node.name in here]
    lines = text.splitlines()
    for node in reversed(nodes):        # from the last one, so that line numbers stay right
        message = f"{node.name} is yours to write ({length_of(text, node)}): minixai start {here[node.name]}"
        blank = blanked_source(text, node, message).splitlines()
        lines[node.lineno - 1:node.end_lineno] = [f'@yours("{here[node.name]}")', *blank]
    if nodes:
        first = next(node for node in ast.parse(text).body if isinstance(node, ast.Import | ast.ImportFrom))
        lines.insert(first.lineno - 1, "from minixai.course.yours import yours")
    return "\n".join(lines) + "\n" if nodes else text


def blank_quotations(text: str) -> str:
    """The text of a page with every quoted solution blanked."""
    for exercise, task in tasks():
        source = inspect.getsource(task.function).rstrip()
        if source in text:
            message = f"yours to write: minixai start {exercise.number}"
            text = text.replace(source, blanked_source(source, ast.parse(source).body[0], message))
    return text


def _blank_listing(listing):
    """A listing on an HTML page. If it quotes a solution, it is blanked and loses its colours."""
    code = html.unescape(re.sub(r"<[^>]+>", "", listing[1]))
    blank = blank_quotations(code)
    return listing[0] if blank == code else f"<pre>{html.escape(blank)}</pre>"


def _link(link, page):
    """A link to a file that students do not get is replaced by its text."""
    target = os.path.normpath(page.parent / link[2])
    return link[1] if left_out(target) else link[0]


def tasks() -> list[tuple[Exercise, Task]]:
    """(exercise, task) for every function that a student writes."""
    return [(exercise, task) for exercise in EXERCISES.values() for task in exercise.tasks]


def source_file(task: Task) -> Path:
    """The file of a task's function, relative to the root, such as minixai/gradcam.py."""
    return Path(inspect.getsourcefile(task.function)).relative_to(Path(minixai.__file__).parents[1])
