"""The tree for students: the library with the exercises' functions blanked, pages that quote them blanked too, and no
oracle. Then a search that proves it: no line of a solution is left anywhere in it.

    the checkout ─► what git tracks ─► without tests, mistakes, profiles … ─► bodies blanked ─► pages blanked ─► searched
"""
import ast
import html
import shutil
import subprocess
from pathlib import Path

from minixai.course.blank import blanked_source, body_lines
from minixai.course.exercises import EXERCISES

# What would give answers away, or works only with them. Fixtures stay: they are arrays.
LEFT_OUT = ("tests", ".ci", "minixai/mistakes", "minixai/profiles", "minixai/verify.py", "minixai/search.py",
            "minixai/compare.py", "minixai/figures_verify.py", "minixai/compat.py", "minixai/course/record.py",
            "minixai/course/grade.py", "minixai/course/runner.py", "minixai/course/release.py",
            "minixai/course/INSTRUCTOR.md")
TEXT = {".py", ".md", ".html", ".toml", ".txt", ".ipynb", ".json", ".cfg", ".csv"}
TELLING = 12                # characters without spaces: a shorter line ("return cam") says nothing


class Leak(Exception):
    """A line of a solution is in the tree; the message says which, and where."""


def release(out, root=None):
    """Write the student tree to the folder `out`, which must not exist. Returns the number of files.

    root: a checkout of this repository. Leak if a solution is left in it: then nothing is written.
    """
    root, out = Path(root or Path(__file__).parents[2]), Path(out)
    if not (root / ".git").exists():
        raise ValueError(f"{root} is no checkout of the repository; release runs from one")
    if out.exists():
        raise FileExistsError(f"{out} is there already; name a new folder")
    unfinished = out.with_name(out.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        count = sum(_copy(root, unfinished, path) for path in tracked(root))
        search(unfinished)
        unfinished.rename(out)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return count


def tracked(root):
    """Paths of the files that git tracks, those left out of a release taken off."""
    listed = subprocess.run(["git", "-C", str(root), "ls-files", "-z"], capture_output=True, text=True, check=True)
    paths = (Path(name) for name in listed.stdout.split("\0") if name)
    return [path for path in paths if not any(path.is_relative_to(left) for left in LEFT_OUT) and (root / path).exists()]


def _copy(root, out, path):
    target = out / path
    target.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix not in TEXT:
        shutil.copyfile(root / path, target)
        return True
    text = (root / path).read_text(encoding="utf-8")
    target.write_text(without_solutions(text, path.suffix), encoding="utf-8")
    return True


def without_solutions(text, suffix):
    """A file's text with every solution's body blanked: in code, and quoted on pages."""
    if suffix == ".py":
        return blank_module(text)
    for source, blank in quotations():
        text = text.replace(source, blank).replace(html.escape(source, quote=False), html.escape(blank, quote=False))
        text = text.replace(html.escape(source), html.escape(blank))
    return text


def blank_module(text):
    """A module's source with the exercises' functions blanked, from the last to the first so that lines stay put."""
    names = {task.name for exercise in EXERCISES.values() for task in exercise.tasks}
    nodes = [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef) and node.name in names]
    lines = text.splitlines()
    for node in reversed(nodes):
        if ast.get_docstring(node):
            lines[node.lineno - 1:node.end_lineno] = blanked_source(text, node).splitlines()
    return "\n".join(lines) + "\n"


def quotations():
    """(source, the same blanked) of every function that an exercise asks for, as a page quotes it."""
    import inspect

    from minixai.course.blank import blanked
    for exercise in EXERCISES.values():
        for task in exercise.tasks:
            yield inspect.getsource(task.function).rstrip(), blanked(task.function)


def search(folder):
    """Leak if any telling line of a solution is in any text file of the folder, however it is spaced or escaped."""
    solutions = {_squeezed(line): (task.name, line) for exercise in EXERCISES.values() for task in exercise.tasks
                 for line in body_lines(task.function) if len(_squeezed(line)) >= TELLING}
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file() and path.suffix in TEXT:
            text = _squeezed(html.unescape(path.read_text(encoding="utf-8")))
            for line, (name, shown) in solutions.items():
                if line in text:
                    raise Leak(f"{path.relative_to(folder)} holds a line of {name}: {shown}")


def _squeezed(text):
    return "".join(text.split())
