"""A student's file: the functions in it, and the answers in words."""
import ast
import traceback
from difflib import get_close_matches
from pathlib import Path

ANSWERS = ("PREDICTION", "EXPLANATION")


def functions_in(path):
    """Run a student's file: ({name: function}, "") or ({}, what is wrong with it). It may lie anywhere."""
    path = Path(path)
    try:
        source = path.read_text(encoding="utf-8-sig")
        code = compile(source, str(path), "exec")
    except OSError as problem:
        missing = isinstance(problem, FileNotFoundError)
        return {}, f"no file {path}; `minixai start` writes one" if missing else f"{path}: {problem.strerror}"
    except UnicodeDecodeError as problem:
        return {}, f"the file is not UTF-8 text (byte {problem.start}): save it as UTF-8"
    except (SyntaxError, ValueError) as problem:
        return {}, f"the file cannot be read as Python: {syntax(problem)}"
    names = {"__name__": "exercise", "__file__": str(path)}
    try:
        exec(code, names)       # the student's own file on the student's own machine; grading has a process for it
    except (Exception, SystemExit) as problem:
        return {}, f"the file stops when it is loaded: {one_line(problem, path)}"
    return {name: value for name, value in names.items() if callable(value)}, ""


def syntax(problem):
    """A SyntaxError in one line, with the line that it is in."""
    if not isinstance(problem, SyntaxError) or problem.lineno is None:
        return str(problem)
    return f"line {problem.lineno}, {problem.msg}: {(problem.text or '').strip()}"


def answers_in(path):
    """{"PREDICTION": text, "EXPLANATION": text}, read without running the file; "" where there is none.

    ValueError if the file cannot be read as Python.
    """
    answers = dict.fromkeys(ANSWERS, "")
    for node in ast.parse(Path(path).read_text(encoding="utf-8-sig")).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            answers |= {target.id: node.value.value.strip() for target in node.targets
                        if isinstance(target, ast.Name) and target.id in ANSWERS}
    return answers


def like(name, functions):
    """' (there is one called channel_weight)', where a function of the file may have been renamed; or ''."""
    own = [other for other, function in functions.items() if getattr(function, "__module__", "") == "exercise"]
    near = get_close_matches(name, own, n=1)
    return f" (there is one called {near[0]})" if near else ""


def one_line(problem, file):
    """'IndexError: … (line 12)': the last line of the student's own file that was running."""
    frames = [frame for frame in traceback.extract_tb(problem.__traceback__) if frame.filename == str(file)]
    where = f" (line {frames[-1].lineno})" if frames else ""
    text = str(problem).strip().splitlines()
    return f"{type(problem).__name__}: {text[0] if text else ''}{where}"
