"""The four commands of the coursework: start, check, release, grade."""
import argparse
import sys
from getpass import getpass
from pathlib import Path

STUDENT = """examples:
  minixai start 02                              write exercise_02.py
  minixai check 02                              say which function is wrong, and why
  minixai check 02 --watch                      check again each time the file is saved
  minixai explain cat.jpg --mine exercise_02.py explain a photo with your own stages
"""
INSTRUCTOR = """examples:
  minixai release students/                     write the tree for students, without solutions; needs a checkout
  minixai grade submissions/ --exercise 02 --out results/             with a random seed, written to seed.txt
  minixai grade submissions/ --exercise 02 --out results/ --seed -    ask for the seed, without showing it
"""


def add_to(commands) -> None:
    """Add the four commands to the command line. commands: what argparse's add_subparsers returned."""
    start = _command(commands, "start", "write the file of an exercise", STUDENT, _start)
    start.add_argument("exercise", nargs="?", help="its number; without a number, all exercises are listed")
    start.add_argument("--file", type=Path, help="default: exercise_NN.py; an existing file is never overwritten")
    check = _command(commands, "check", "say which function of an exercise is wrong, and why", STUDENT, _check,
                     "Each function runs in a process of its own, for at most 10 seconds.\n"
                     "Exit code 0: everything is right; 1: something is wrong; 2: there is no file to check.")
    check.add_argument("exercise", help="its number")
    check.add_argument("file", nargs="?", type=Path, help="default: exercise_NN.py")
    check.add_argument("--watch", action="store_true", help="check again each time the file is saved, "
                       "even while a function runs")
    check.add_argument("--out", type=Path, default=Path("minixai-out"), metavar="DIR",
                       help="folder for the picture, default: %(default)s")
    release = _command(commands, "release", "for instructors: write the tree for students", INSTRUCTOR, _release)
    release.add_argument("out", type=Path, metavar="OUT", help="a new folder")
    grade = _command(commands, "grade", "for instructors: grade a folder of submissions", INSTRUCTOR, _grade)
    grade.add_argument("submissions", type=Path, help="a folder with .py files, or with a folder for each student")
    grade.add_argument("--exercise", required=True, help="its number")
    grade.add_argument("--seed", type=_seed, metavar="N", help="seed of the hidden passes, any whole number; keep it "
                       "secret. -: ask for it, without showing it. Default: a random one, written to DIR/seed.txt")
    grade.add_argument("--out", type=Path, default=Path("minixai-grades"), metavar="DIR",
                       help="folder for the results, default: %(default)s")


def _command(commands, name, what, epilog, run, more=""):
    description = f"{what[0].upper()}{what[1:]}.\n{more}".strip()
    parser = commands.add_parser(name, help=what, description=description, epilog=epilog,
                                 formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.set_defaults(run=run)
    return parser


def _seed(text):
    return text if text == "-" else int(text)


_seed.__name__ = "whole number"         # argparse writes "invalid whole number value"


def _ask_for_seed():
    """Read the seed from the terminal without an echo, or from a pipe.

    So neither the list of processes nor the shell's history shows it.
    """
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
        raise ValueError("release is for instructors; the tree for students does not have it") from None
    print(f"{options.out}: {release(options.out)} files")
    return 0


def _grade(options):
    try:
        from minixai.course.grade import grade
    except ImportError:
        raise ValueError("grade is for instructors; the tree for students does not have it") from None
    from minixai.course.exercises import find
    exercise = find(options.exercise)
    grade(exercise, options.submissions, _ask_for_seed() if options.seed == "-" else options.seed, options.out)
    print(f"grades: {options.out / 'grades.csv'}; answers in words: answers.md; one folder for each submission")
    return 0
