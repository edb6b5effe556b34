"""The coursework's part of the command line: start, check, release, grade."""
import argparse
import sys
from getpass import getpass
from pathlib import Path

STUDENT = """examples:
  minixai start 02                              writes exercise_02.py
  minixai check 02                              which function is wrong, and why
  minixai check 02 --watch                      again each time the file is saved
  minixai explain cat.jpg --mine exercise_02.py your own stages on a photo
"""
INSTRUCTOR = """examples:
  minixai release students/                     the tree to hand out, without solutions; run it in a checkout
  minixai grade submissions/ --exercise 02 --out results/             draws a seed, and writes it there in the end
  minixai grade submissions/ --exercise 02 --out results/ --seed -    asks for the seed, and does not show it
"""


def add_to(commands):
    """Add the four commands to the command line's parser."""
    start = _command(commands, "start", "write the file of an exercise", STUDENT, _start)
    start.add_argument("exercise", nargs="?", help="a number; without one, all are listed")
    start.add_argument("--file", type=Path, help="default: exercise_NN.py; a file that is there is never overwritten")
    check = _command(commands, "check", "say which function of an exercise is wrong, and why", STUDENT, _check,
                     "Each function runs by itself, for at most 10 seconds.\n"
                     "Exit code 0: all is right; 1: not yet; 2: there is no file to check.")
    check.add_argument("exercise", help="a number")
    check.add_argument("file", nargs="?", type=Path, help="default: exercise_NN.py")
    check.add_argument("--watch", action="store_true", help="check again each time the file is saved,"
                       " even while it runs")
    check.add_argument("--out", type=Path, default=Path("minixai-out"), metavar="DIR", help="default: %(default)s")
    release = _command(commands, "release", "for instructors: the tree for students", INSTRUCTOR, _release)
    release.add_argument("out", type=Path, metavar="OUT", help="a new folder")
    grade = _command(commands, "grade", "for instructors: grade a folder of submissions", INSTRUCTOR, _grade)
    grade.add_argument("submissions", type=Path, help="a folder of .py files, or a folder for each student")
    grade.add_argument("--exercise", required=True, help="a number")
    grade.add_argument("--seed", type=_seed, metavar="N", help="of the hidden passes, any whole number; keep it to "
                       "yourself. -: asked for, and not shown. Default: a new one, written to DIR/seed.txt")
    grade.add_argument("--out", type=Path, default=Path("minixai-grades"), metavar="DIR", help="default: %(default)s")


def _command(commands, name, what, epilog, run, more=""):
    description = f"{what[0].upper()}{what[1:]}.\n{more}".strip()
    parser = commands.add_parser(name, help=what, description=description, epilog=epilog,
                                 formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.set_defaults(run=run)
    return parser


def _seed(text):
    return text if text == "-" else int(text)


_seed.__name__ = "whole number"         # what argparse calls it when it is none


def _ask_for_seed():
    """From the terminal without an echo, or from a pipe: then no list of processes and no shell's history shows it."""
    text = getpass("seed: ") if sys.stdin.isatty() else sys.stdin.readline()
    try:
        return int(text)
    except ValueError:
        raise ValueError("the seed has to be a whole number") from None


def _start(options):
    from minixai.course import exercises, start
    if options.exercise is None:
        for exercise in exercises.EXERCISES.values():
            names = ", ".join(task.name for task in exercise.tasks) or "a question"
            print(f"{exercise.number}  {exercise.title}: {names}")
        return 0
    exercise = exercises.find(options.exercise)
    path = start.write(exercise, options.file)
    what = f"{len(exercise.tasks)} function(s) to write" if exercise.tasks else "a question to answer"
    print(f"wrote {path}: {what}. Then: minixai check {exercise.number} {path}")
    return 0


def _check(options):
    from minixai.course import exercises, report
    exercise = exercises.find(options.exercise)
    return report.main(exercise.number, options.file or f"exercise_{exercise.number}.py", options.watch, options.out)


def _release(options):
    try:
        from minixai.course.release import release
    except ImportError:
        raise ValueError("release is for instructors, and not part of the tree for students") from None
    print(f"{options.out}: {release(options.out)} files")
    return 0


def _grade(options):
    try:
        from minixai.course.grade import grade
    except ImportError:
        raise ValueError("grade is for instructors, and not part of the tree for students") from None
    from minixai.course.exercises import find
    exercise = find(options.exercise)
    grade(exercise, options.submissions, _ask_for_seed() if options.seed == "-" else options.seed, options.out)
    print(f"grades in {options.out / 'grades.csv'}, answers in words in answers.md, a folder a submission beside them")
    return 0
