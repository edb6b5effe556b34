"""The tree for students: the library with the exercises' functions blanked, pages that quote them blanked too, and
no oracle. Then a search that proves it: no line of a solution is left in it.

    the checkout ─► what git tracks ─► without tests, mistakes, … ─► bodies blanked ─► pages blanked ─► searched
"""
import ast
import html
import inspect
import os
import re
import shutil
import subprocess
from pathlib import Path

import minixai
from minixai.course.blank import blanked_source, body_lines, length_of
from minixai.course.exercises import EXERCISES

# What would give answers away, or works only with what does. Fixtures stay: they are arrays.
LEFT_OUT = ("tests", ".ci", "lessons/recorded", "lessons/03_three_lines.py", "minixai/mistakes", "minixai/profiles",
            "minixai/search.py", "minixai/compare.py", "minixai/rounding.py", "minixai/figures_verify.py",
            "minixai/compat.py", "minixai/coloured.py", "minixai/colourings.py", "minixai/course/record.py",
            "minixai/course/mistakes.py", "minixai/course/grade.py",
            "minixai/course/runner.py", "minixai/course/results.py", "minixai/course/release.py",
            "minixai/course/INSTRUCTOR.md", "minixai/course/STUDENT.md")
NO_VERIFY = '''"""Not part of the tree for students: it knows every stage, and every mistake."""


def verify(*arguments, **options):
    """ValueError, whatever is asked."""
    raise ValueError("verify is not part of the tree for students")
'''
TEXT = {".py", ".md", ".html", ".toml", ".txt", ".ipynb", ".json", ".cfg", ".csv"}
TELLING = 12                # characters without spaces: a shorter line ("return cam") says nothing
HELPER = re.compile(r"(?:[\w, ]+ = )?_\w+\([^()]*\)")      # calls a helper that stays; it checks, and solves nothing


class Leak(ValueError):
    """A line of a solution is in the tree; the message says which, and where."""


def release(out, root=None):
    """Write the student tree to the folder `out`, which must not exist. Returns the number of files.

    root: a checkout of this repository. Leak if a solution is left in it: then nothing is written.
    """
    root, out = Path(root or Path(minixai.__file__).parents[1]), Path(out)
    if not (root / ".git").exists():
        raise ValueError(f"{root} is no checkout of the repository; release runs from one")
    if out.exists():
        raise FileExistsError(f"{out} is there already; name a new folder")
    unfinished = out.with_name(f"{out.name}.{os.getpid()}.unfinished")
    try:
        count = sum(_copy(root, unfinished, path) for path in tracked(root))
        shutil.copyfile(root / "minixai/course/STUDENT.md", unfinished / "README.md")
        (unfinished / "minixai/verify.py").write_text(NO_VERIFY, encoding="utf-8")
        search(unfinished)
        unfinished.rename(out)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return count


def tracked(root):
    """Paths of the files that git tracks, those left out of a release taken off."""
    listed = subprocess.run(["git", "-C", str(root), "ls-files", "-z"], capture_output=True, text=True, check=True)
    paths = (Path(name) for name in listed.stdout.split("\0") if name)
    return [path for path in paths if not left_out(path) and (root / path).is_file()]


def left_out(path):
    """Whether a path, relative to the root, is not for students."""
    return any(Path(path).is_relative_to(left) for left in LEFT_OUT)


def _copy(root, out, path):
    target = out / path
    target.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix not in TEXT:
        shutil.copyfile(root / path, target)
    else:
        text = (root / path).read_text(encoding="utf-8")
        target.write_text(without_solutions(text, path), encoding="utf-8")
    return True


def without_solutions(text, path):
    """A file's text with every solution's body blanked: in code, and quoted on pages."""
    if path.suffix == ".py":
        return blank_module(text, path)
    if path.suffix == ".html":
        return re.sub(r"<pre>(.*?)</pre>", _blank_listing, text, flags=re.DOTALL)
    if path.suffix == ".md":
        text = re.sub(r"\[([^]\n]*)\]\(([^)#\s]+)\)", lambda link: _link(link, path), text)
    return blank_quotations(text)


def blank_module(text, path):
    """A module's source with the exercises' functions blanked, from the last to the first so that lines stay put."""
    here = {task.name: exercise.number for exercise, task in tasks() if source_file(task) == path}
    nodes = [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef) and node.name in here]
    lines = text.splitlines()
    for node in reversed(nodes):
        message = f"{node.name} is yours to write ({length_of(text, node)}): minixai start {here[node.name]}"
        lines[node.lineno - 1:node.end_lineno] = blanked_source(text, node, message).splitlines()
    return "\n".join(lines) + "\n" if nodes else text


def blank_quotations(text):
    """A page's text with every quoted solution blanked."""
    for exercise, task in tasks():
        source = inspect.getsource(task.function).rstrip()
        if source in text:
            message = f"yours to write: minixai start {exercise.number}"
            text = text.replace(source, blanked_source(source, ast.parse(source).body[0], message))
    return text


def _blank_listing(listing):
    """Code on an HTML page, coloured by many tags: if it quotes a solution, the same blanked and without colours."""
    code = html.unescape(re.sub(r"<[^>]+>", "", listing[1]))
    blank = blank_quotations(code)
    return listing[0] if blank == code else f"<pre>{html.escape(blank)}</pre>"


def _link(link, page):
    """A link that leads to what is left out becomes its text."""
    target = os.path.normpath(page.parent / link[2])
    return link[1] if left_out(target) else link[0]


def tasks():
    """(exercise, task) of every function that a student writes."""
    return [(exercise, task) for exercise in EXERCISES.values() for task in exercise.tasks]


def source_file(task):
    """minixai/gradcam.py: where a function is, relative to the root."""
    return Path(inspect.getsourcefile(task.function)).relative_to(Path(minixai.__file__).parents[1])


def telling_lines():
    """{line without spaces: (function, line)} of all solutions."""
    lines = ((task.name, line) for _, task in tasks() for line in body_lines(task.function))
    return {_squeezed(line): (name, line) for name, line in lines
            if len(_squeezed(line)) >= TELLING and not HELPER.fullmatch(line) and not line.startswith("from ")}


def search(folder):
    """Leak if any telling line of a solution is in any text file of the folder, however it is spaced or escaped."""
    solutions = telling_lines()
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file() and path.suffix in TEXT:
            raw = path.read_text(encoding="utf-8")
            texts = [_squeezed(text) for text in (raw, html.unescape(raw), raw.replace('\\"', '"'),
                                                  html.unescape(re.sub(r"<[^>]*>", "", raw)))]
            for line, (name, shown) in solutions.items():
                if any(line in text for text in texts):
                    raise Leak(f"{path.relative_to(folder)} holds a line of {name}: {shown}")


def _squeezed(text):
    return "".join(text.split())
