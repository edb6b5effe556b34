"""What grading writes: results.json as Gradescope reads it, JUnit XML, a table of points, and the answers in words."""
import csv
import json
from xml.etree import ElementTree

from minixai.course.check import PASSED
from minixai.course.student import answers_in


def write(exercise, graded, printed, submissions, out):
    """All files of one run of grading, into the folder `out`."""
    for name, outcomes in graded.items():
        folder = out / name
        folder.mkdir(parents=True, exist_ok=True)
        tests = tests_of(exercise, outcomes)
        text = {"score": points_of(exercise, outcomes), "output": printed[name], "output_format": "text",
                "tests": tests}
        (folder / "results.json").write_text(json.dumps(text, indent=1), encoding="utf-8")
        write_junit(exercise, tests, folder / "junit.xml")
    out.mkdir(parents=True, exist_ok=True)
    write_table(exercise, graded, out / "grades.csv")
    (out / "answers.md").write_text("\n".join(answers(exercise, submissions)), encoding="utf-8")


def points_of(exercise, outcomes):
    """The points of the functions that passed."""
    return sum(points(task, outcomes) for task in exercise.tasks)


def points(task, outcomes):
    """All of a function's points, or none."""
    return task.points if outcomes[task.name].status == PASSED else 0


def tests_of(exercise, outcomes):
    """One entry a function, in the words of Gradescope."""
    return [{"name": task.name, "score": points(task, outcomes), "max_score": task.points,
             "status": outcomes[task.name].status, "output": said_of(outcomes[task.name]),
             "visibility": "after_published"} for task in exercise.tasks]


def said_of(outcome):
    """What the author of a submission may read of one function. Hidden numbers stay hidden: no expected values."""
    hints = [line for line in outcome.details if not line.startswith(("expected", "got", "they differ most"))]
    return "\n".join([outcome.message or outcome.status, *hints])


def write_junit(exercise, tests, path):
    """One testcase a function, as pytest --junitxml has it."""
    failures = sum(test["status"] != PASSED for test in tests)
    suite = ElementTree.Element("testsuite", name=f"exercise {exercise.number}", tests=str(len(tests)),
                                failures=str(failures), errors="0")
    for test in tests:
        case = ElementTree.SubElement(suite, "testcase", classname=f"exercise_{exercise.number}", name=test["name"])
        if test["status"] != PASSED:
            said = [_printable(line) for line in test["output"].splitlines()] or [""]
            ElementTree.SubElement(case, "failure", message=said[0]).text = "\n".join(said)
    ElementTree.ElementTree(suite).write(path, encoding="utf-8", xml_declaration=True)


def write_table(exercise, graded, path):
    """One row a submission: the points of each function, and their sum."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["submission", *(task.name for task in exercise.tasks), "points", "of"])
        for name, outcomes in graded.items():
            each = [points(task, outcomes) for task in exercise.tasks]
            table.writerow([_no_formula(name), *each, sum(each), exercise.points])


def answers(exercise, submissions):
    """The lines of answers.md. The files are read, not run."""
    yield f"# Exercise {exercise.number}: answers in words, {exercise.written_points} points"
    yield f"\n{exercise.question}"
    for name, path in submissions.items():
        yield f"\n## {name}"
        try:
            found = answers_in(path) if path.is_file() and not path.is_symlink() else {}
        except (OSError, ValueError, SyntaxError, RecursionError, MemoryError):
            found = {}
        if not found:
            yield "\n(the file cannot be read as Python)"
        for kind, text in found.items():
            yield f"\n{kind.capitalize()}:\n"
            yield "\n".join(f"    {_printable(line)}" for line in (text or "(empty)").splitlines())


def _no_formula(name):
    """A spreadsheet takes a cell that begins with = + - @ for a formula."""
    return f"'{name}" if name[:1] in "=+-@" else name


def _printable(text):
    return "".join(character for character in text if character.isprintable())
