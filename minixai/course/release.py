"""The tree for students: the library with the exercises' functions blanked, pages that quote them blanked too, and
no oracle. Then a search (leaks.py) for what is left of a solution: if anything is found, nothing is written.

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
from minixai.course.blank import blanked_source, length_of
from minixai.course.exercises import EXERCISES
from minixai.course.leaks import TEXT, read, search

# What would give answers away, or works only with what does. Fixtures stay: they are arrays.
LEFT_OUT = ("tests", ".ci", "lessons/recorded", "lessons/03_three_lines.py", "minixai/verification",
            "minixai/compat.py", "minixai/course/record.py", "minixai/course/mistakes.py", "minixai/course/grade.py",
            "minixai/course/leaks.py", "minixai/course/submissions.py", "minixai/course/results.py",
            ".github", "CHANGELOG.md",
            "minixai/course/release.py", "minixai/course/INSTRUCTOR.md", "minixai/course/STUDENT.md")
NO_VERIFY = '''"""Not part of the tree for students: it knows every stage, and every mistake."""
Verdict = None


def verify(*arguments, **options):
    """ValueError, whatever is asked."""
    raise ValueError("verify is not part of the tree for students")
'''


def release(out, root=None, say=print):
    """Write the student tree to the folder `out`, which must not exist. Returns the number of files.

    root: a checkout of this repository; say: is told what was searched. Leak if a part of a solution is left in it, and
    ValueError if there is no checkout or git cannot read it: then nothing is written.
    """
    root, out = Path(root or Path(minixai.__file__).parents[1]), Path(out)
    if not (root / ".git").exists():
        raise ValueError(f"{root} is no checkout of the repository; release runs from one")
    if out.exists():
        raise FileExistsError(f"{out} is there already; name a new folder")
    unfinished = out.with_name(f"{out.name}.{os.getpid()}.unfinished")
    try:
        unfinished.mkdir(parents=True)
    except OSError as problem:
        raise OSError(f"{out} cannot be made: {problem.strerror}") from None
    try:
        count = sum(_copy(root, unfinished, path) for path in tracked(root))
        shutil.copyfile(root / "minixai/course/STUDENT.md", unfinished / "README.md")
        (unfinished / "minixai/verify.py").write_text(NO_VERIFY, encoding="utf-8")
        searched = search(unfinished)
        unfinished.rename(out)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    say(searched)
    return count


def tracked(root):
    """Paths of the files that git tracks, those left out of a release taken off."""
    if not shutil.which("git"):
        raise ValueError("release asks git which files belong to the checkout, and there is no git here")
    listed = subprocess.run(["git", "-C", str(root), "ls-files", "-z"], capture_output=True, encoding="utf-8",
                            errors="surrogateescape")
    if listed.returncode:
        raise ValueError(f"git cannot list the files of {root}: {listed.stderr.strip().splitlines()[-1]}")
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
        target.write_text(without_solutions(read(root / path), path), encoding="utf-8")
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
    """A module's source with the exercises' functions blanked, from the last to the first so that lines stay put.

    Each runs the student's own where that is written (yours.py).
    """
    here = {task.name: exercise.number for exercise, task in tasks() if source_file(task) == path}
    nodes = [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef) and node.name in here]
    lines = text.splitlines()
    for node in reversed(nodes):
        message = f"{node.name} is yours to write ({length_of(text, node)}): minixai start {here[node.name]}"
        blank = blanked_source(text, node, message).splitlines()
        lines[node.lineno - 1:node.end_lineno] = [f'@yours("{here[node.name]}")', *blank]
    if nodes:
        first = next(node for node in ast.parse(text).body if isinstance(node, ast.Import | ast.ImportFrom))
        lines.insert(first.lineno - 1, "from minixai.course.yours import yours")
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
