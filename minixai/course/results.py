"""What grading writes. For students: results.json as Gradescope reads it, and JUnit XML. For the instructor: a table of
points, the answers in words, and the details of each submission.

What is for students is made of fixed sentences: no number of a hidden pass, no printed line and no word of the file.
"""
import csv
import json
from xml.etree import ElementTree

from minixai.course.check import PASSED
from minixai.files import must_take_files, shown

TABLE, ANSWERS, SEED = FILES = ("grades.csv", "answers.md", "seed.txt")


def make(out):
    """The folder for the results. OSError if nothing can be written there: before a minute of grading, not after it."""
    must_take_files(out)
    out.mkdir(parents=True, exist_ok=True)


def write(exercise, graded, out):
    """All files of one run of grading, into the folder `out`."""
    for name, one in graded.items():
        folder = out / name
        folder.mkdir(exist_ok=True)
        tests = tests_of(exercise, one)
        text = {"score": points_of(exercise, one), "output": one.note, "output_format": "text", "tests": tests}
        (folder / "results.json").write_text(json.dumps(text, indent=1), encoding="utf-8")
        write_junit(exercise, tests, folder / "junit.xml")
        (folder / "details.txt").write_text("\n".join(details(one)) + "\n", encoding="utf-8")
    write_table(exercise, graded, out / TABLE)
    (out / ANSWERS).write_text("\n".join(answers(exercise, graded)) + "\n", encoding="utf-8")


def points_of(exercise, one):
    """The points of the functions that passed."""
    return sum(points(task, one) for task in exercise.tasks)


def points(task, one):
    """All of a function's points, or none."""
    return task.points if task.name in one.outcomes and one.outcomes[task.name].status == PASSED else 0


def summary(exercise, one):
    """A submission in a line: '14 of 14 points', and what there is to say of it."""
    said = f"{points_of(exercise, one)} of {exercise.points} points" if one.outcomes else ""
    return ", ".join(part for part in (said, one.note) if part) or "nothing to run"


def tests_of(exercise, one):
    """One entry a function, in the words of Gradescope."""
    return [{"name": task.name, "score": points(task, one), "max_score": task.points,
             "status": one.outcomes[task.name].status, "output": said_of(one.outcomes[task.name]),
             "visibility": "after_published"} for task in exercise.tasks if task.name in one.outcomes]


def said_of(outcome):
    """What the author of a submission may read of one function."""
    return "\n".join([outcome.message or outcome.status, *outcome.hints])


def details(one):
    """All there is to say of a submission, for the instructor: hidden numbers, and what it printed."""
    yield one.note
    for outcome in one.outcomes.values():
        yield f"{outcome.name}: {shown(outcome.sentence or outcome.status)}"
        yield from (f"    {shown(line)}" for line in [*outcome.details, *outcome.hints])
        yield from (f"    | {shown(line)}" for line in outcome.printed.splitlines())


def write_junit(exercise, tests, path):
    """One testcase a function, as pytest --junitxml has it."""
    failures = sum(test["status"] != PASSED for test in tests)
    suite = ElementTree.Element("testsuite", name=f"exercise {exercise.number}", tests=str(len(tests)),
                                failures=str(failures), errors="0")
    for test in tests:
        case = ElementTree.SubElement(suite, "testcase", classname=f"exercise_{exercise.number}", name=test["name"])
        if test["status"] != PASSED:
            message = test["output"].partition("\n")[0]
            ElementTree.SubElement(case, "failure", message=message).text = test["output"]
    ElementTree.ElementTree(suite).write(path, encoding="utf-8", xml_declaration=True)


def write_table(exercise, graded, path):
    """One row a submission: the points of each function, their sum, and a note; no points where nothing was graded."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["submission", *(task.name for task in exercise.tasks), "points", "of", "note"])
        for name, one in graded.items():
            each = [points(task, one) if one.outcomes else "" for task in exercise.tasks]
            total = sum(each) if one.outcomes else ""
            table.writerow([no_formula(name), *each, total, exercise.points, no_formula(one.note)])


def answers(exercise, graded):
    """The lines of answers.md."""
    yield f"# Exercise {exercise.number}: answers in words, {exercise.written_points} points"
    yield f"\n{exercise.question}"
    for name, one in graded.items():
        yield f"\n## {name}"
        if not one.answers:
            yield f"\n({one.note or 'the file cannot be read as Python'})"
        for kind, text in one.answers.items():
            yield f"\n{shown(kind).capitalize()}:\n"
            yield "\n".join(f"    {shown(line)}" for line in (text or "(empty)").splitlines())


def no_formula(text):
    """A spreadsheet takes a cell that begins with = + - @ for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text
