"""Write the results of grading: files for students, and files for the instructor.

For students: results.json, in the format of Gradescope, and JUnit XML. They consist of fixed sentences, without numbers
of hidden passes, printed lines or text of the submission.
For the instructor: a table of points, the answers in words, and the details of each submission.
"""
from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from minixai.course.check import PASSED, Outcome
from minixai.course.exercises import Exercise, Task
from minixai.files import must_take_files, shown

if TYPE_CHECKING:
    from minixai.course.grade import Graded

TABLE, ANSWERS, SEED = FILES = ("grades.csv", "answers.md", "seed.txt")


def make(out: Path) -> None:
    """Make the folder for the results. OSError if nothing can be written there."""
    must_take_files(out)
    out.mkdir(parents=True, exist_ok=True)


def write(exercise: Exercise, graded: dict[str, Graded], out: Path) -> None:
    """Write all files of one grading into the folder `out`."""
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


def points_of(exercise: Exercise, one: Graded) -> int:
    """The points of a submission."""
    return sum(points(task, one) for task in exercise.tasks)


def points(task: Task, one: Graded) -> int:
    """The points for one function: all, or 0."""
    return task.points if task.name in one.outcomes and one.outcomes[task.name].status == PASSED else 0


def summary(exercise: Exercise, one: Graded) -> str:
    """A submission in one line: "14 of 14 points", and its note."""
    said = f"{points_of(exercise, one)} of {exercise.points} points" if one.outcomes else ""
    return ", ".join(part for part in (said, one.note) if part) or "nothing to run"


def tests_of(exercise: Exercise, one: Graded) -> list[dict]:
    """One entry for each function, in the format of Gradescope."""
    return [{"name": task.name, "score": points(task, one), "max_score": task.points,
             "status": one.outcomes[task.name].status, "output": said_of(one.outcomes[task.name]),
             "visibility": "after_published"} for task in exercise.tasks if task.name in one.outcomes]


def said_of(outcome: Outcome) -> str:
    """The text about one function that the student may read."""
    return "\n".join([outcome.message or outcome.status, *outcome.hints])


def details(one: Graded) -> Iterator[str]:
    """All lines about a submission for the instructor, with hidden numbers and printed lines."""
    yield one.note
    for outcome in one.outcomes.values():
        yield f"{outcome.name}: {shown(outcome.sentence or outcome.status)}"
        yield from (f"    {shown(line)}" for line in [*outcome.details, *outcome.hints])
        yield from (f"    | {shown(line)}" for line in outcome.printed.splitlines())


def write_junit(exercise: Exercise, tests: list[dict], path: Path) -> None:
    """Write one testcase for each function, in the format of pytest --junitxml."""
    failures = sum(test["status"] != PASSED for test in tests)
    suite = ElementTree.Element("testsuite", name=f"exercise {exercise.number}", tests=str(len(tests)),
                                failures=str(failures), errors="0")
    for test in tests:
        case = ElementTree.SubElement(suite, "testcase", classname=f"exercise_{exercise.number}", name=test["name"])
        if test["status"] != PASSED:
            message = test["output"].partition("\n")[0]
            ElementTree.SubElement(case, "failure", message=message).text = test["output"]
    ElementTree.ElementTree(suite).write(path, encoding="utf-8", xml_declaration=True)


def write_table(exercise: Exercise, graded: dict[str, Graded], path: Path) -> None:
    """Write one row for each submission: the points of each function, their sum, and a note.

    The points are left empty if the submission was not graded.
    """
    with open(path, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["submission", *(task.name for task in exercise.tasks), "points", "of", "note"])
        for name, one in graded.items():
            each = [points(task, one) if one.outcomes else "" for task in exercise.tasks]
            total = sum(each) if one.outcomes else ""
            table.writerow([no_formula(name), *each, total, exercise.points, no_formula(one.note)])


def answers(exercise: Exercise, graded: dict[str, Graded]) -> Iterator[str]:
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


def no_formula(text: str) -> str:
    """Put an apostrophe in front of a text that a spreadsheet would read as a formula: one that begins with = + - @."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text
