"""`minixai start 02`: one file with the stages to write."""
import textwrap
from pathlib import Path

from minixai.course.blank import blanked

HEAD = '''"""Exercise {number}: {title}

Write the functions below: replace each `raise` by your own lines. Then, as often as you like:

    minixai check {number} {file}            # or: python {file}
    minixai check {number} {file} --watch    # again each time you save

Each function is fed what it would get in a real pass, never what your earlier functions gave. Index from the right
(dim=-1, dim=(-2, -1)): then one image (K,h,w) and a batch of them (B,K,h,w) work alike. Lesson {number} tells the rest.
"""
import numpy as np
import torch
from torch.nn import functional as F

# {question}
PREDICTION = """
"""
'''
TAIL = '''
# When it works: were you right? If not, what made the difference?
EXPLANATION = """
"""

if __name__ == "__main__":
    from minixai.course.check import main
    raise SystemExit(main("{number}", __file__))
'''


def text_of(exercise, file):
    """The text of the file for one exercise."""
    functions = "\n\n".join(f"\n{blanked(task.function)}" for task in exercise.tasks)
    head = HEAD.format(number=exercise.number, title=exercise.title, file=file, question=_wrapped(exercise.question))
    return f"{head}\n{functions}\n\n{TAIL.format(number=exercise.number)}"


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
