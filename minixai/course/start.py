"""`minixai start 02`: one file with the stages to write."""
import textwrap
from pathlib import Path

from minixai.course.blank import blanked

HEAD = '''"""Exercise {number}: {title}

{what}
"""
'''
CODE = '''Write the functions below: replace each `raise` by your own lines. Then, as often as you like:

    minixai check {number} {file}            # or: python {file}, or: pytest {file}
    minixai check {number} {file} --watch    # again each time you save

Each function is fed what it would get in a real pass, never what your earlier functions gave. Index from the right
(dim=-1, dim=(-2, -1)): then one image (K,h,w) and a batch of them (B,K,h,w) work alike. Keep the functions' names and
parameters, and do not import minixai in them. Lesson {number} tells the rest.'''
WORDS = '''A question to answer in words: there is nothing to write in code. Lesson {number} helps to find the answer.

    minixai check {number} {file}            # says what is still empty'''
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


def test_exercise_{number}():      # for pytest, which then says what `minixai check` says
    from minixai.course.report import main
    assert main("{number}", __file__) == 0


if __name__ == "__main__":
    from minixai.course.report import main
    raise SystemExit(main("{number}", __file__))
'''


def text_of(exercise, file):
    """The text of the file for one exercise."""
    code = bool(exercise.tasks)
    what = (CODE if code else WORDS).format(number=exercise.number, file=file)
    functions = "".join(f"\n\n{blanked(task.function)}\n" for task in exercise.tasks)
    explain = "When it works: were you right?" if code else "After the lesson: were you right?"
    return "".join([
        HEAD.format(number=exercise.number, title=exercise.title, what=what), IMPORTS if code else "",
        QUESTION.format(question=_wrapped(exercise.question)), functions, "\n" if code else "",
        TAIL.format(number=exercise.number, explain=f"{explain} If not, what made the difference?")])


def write(exercise, path=None):
    """Write the file, never over one that is there. Returns its path. FileExistsError names it."""
    path = Path(path or f"exercise_{exercise.number}.py")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with open(path, "x", encoding="utf-8") as file:
            file.write(text_of(exercise, path.name))
    except FileExistsError:
        raise FileExistsError(f"{path} is there already, perhaps with your work in it; rename it, or name another file "
                              f"with --file") from None
    return path


def _wrapped(text):
    return "\n# ".join(textwrap.wrap(f'Before you begin. {text}', 116))
