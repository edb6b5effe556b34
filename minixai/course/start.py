"""`minixai start 02`: write the file of an exercise, with blank functions."""
import textwrap
from pathlib import Path

from minixai.course.blank import blanked
from minixai.course.exercises import Exercise

HEAD = '''"""Exercise {number}: {title}

{what}
"""
'''
CODE = '''Write the functions below: replace each `raise` by your own lines. Then, as often as you like:

    minixai check {number} {file}            # or: python {file}, or: pytest {file}
    minixai check {number} {file} --watch    # again each time you save

Each function gets the right inputs of a real pass, and never the results of your earlier functions. Count dimensions
from the right (dim=-1, dim=(-2, -1)): then a function works for one image (K,h,w) and for a batch (B,K,h,w). Keep the
names and parameters of the functions. Do not import minixai. Lesson {number} explains the background.'''
WORDS = '''A question to answer in words. There is no code to write. Lesson {number} helps to find the answer.

    minixai check {number} {file}            # says which answer is still empty'''
IMPORTS = '''import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
'''
QUESTION = '''
# {question}
PREDICTION = """
"""
'''
TAIL = '''
# {explain}
EXPLANATION = """
"""


def test_exercise_{number}():      # pytest runs the same check as `minixai check`
    from minixai.course.report import main
    assert main("{number}", __file__) == 0


if __name__ == "__main__":
    from minixai.course.report import main
    raise SystemExit(main("{number}", __file__))
'''


def text_of(exercise: Exercise, file: str) -> str:
    """The text of an exercise's file. file: its name, for the commands that the text explains."""
    code = bool(exercise.tasks)
    what = (CODE if code else WORDS).format(number=exercise.number, file=file)
    functions = "".join(f"\n\n{blanked(task.function)}\n" for task in exercise.tasks)
    explain = "When it works: was your prediction right?" if code else "After the lesson: was your prediction right?"
    return "".join([
        HEAD.format(number=exercise.number, title=exercise.title, what=what), IMPORTS if code else "",
        QUESTION.format(question=_wrapped(exercise.question)), functions, "\n" if code else "",
        TAIL.format(number=exercise.number, explain=f"{explain} If not, what made the difference?")])


def write(exercise: Exercise, path: str | Path | None = None) -> Path:
    """Write an exercise's file and return its path. path: exercise_NN.py if None.

    FileExistsError if the file exists: it is never overwritten.
    """
    path = Path(path or f"exercise_{exercise.number}.py")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with open(path, "x", encoding="utf-8") as file:
            file.write(text_of(exercise, path.name))
    except FileExistsError:
        raise FileExistsError(f"{path} exists already, and your work may be in it; rename it, or name another file "
                              f"with --file") from None
    return path


def _wrapped(text):
    return "\n# ".join(textwrap.wrap(f'Before you begin. {text}', 116))
