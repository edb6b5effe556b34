"""Find the submissions in a folder of files, or of folders with files, as learning platforms export them.

Each file ends up in a row of the results, or in the list of other exercises' files. None is ignored silently.
"""
import os
import re
import stat
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from minixai.course.exercises import EXERCISES, Exercise
from minixai.course.results import FILES
from minixai.course.student import LARGEST_FILE
from minixai.files import shown, why

NUMBER = re.compile(r"exercise[ _-]?0*(\d+)", re.IGNORECASE)
DEFINED = re.compile(rb"^def[ \t]+(\w+)", re.MULTILINE)
NOT_STUDENTS = ("__MACOSX", "__pycache__", "Thumbs.db", "desktop.ini")
MOST = 50                   # Python files in one student's folder
RESERVED = {"CON", "PRN", "AUX", "NUL", *(f"{name}{number}" for name in ("COM", "LPT") for number in range(10))}


@dataclass
class Submission:
    """One file. source: its bytes. problem: why it is not graded, or "". note: a remark for the table, or ""."""
    path: Path
    source: bytes = b""
    problem: str = ""
    note: str = ""


def find_all(exercise: Exercise, folder: Path, out: Path) -> tuple[dict[str, Submission], list[str]]:
    """({name: Submission}, [paths of other exercises' files]) of a folder. The files are read, and not run.

    The names are valid folder names on every system. out: the folder of results, which may be inside `folder`.
    ValueError if there are no submissions.
    """
    if not folder.is_dir():
        raise ValueError(f"{shown(folder)} is not a folder")
    found, elsewhere, taken = {}, [], {name.casefold() for name in FILES}
    for entry in sorted(folder.iterdir()):
        if not passed_over(entry.name) and entry.resolve() != out.resolve():
            for one in of_one_entry(exercise, folder, entry, elsewhere):
                found[new_name(one.path.relative_to(folder), taken)] = one
    if not found and not elsewhere:
        raise ValueError(f"{shown(folder)}: no submissions in this folder")
    return found, elsewhere


def passed_over(name: str) -> bool:
    """Whether a file or folder is hidden, or was made by the operating system."""
    return name.startswith(".") or name in NOT_STUDENTS


def of_one_entry(exercise: Exercise, folder: Path, entry: Path, elsewhere: list[str]) -> list[Submission]:
    """The submissions in one entry of the folder: a file, or a student's folder.

    Files of other exercises are added to `elsewhere`.
    """
    if entry.is_symlink() or not entry.is_dir():
        files = [read(entry)]
    else:
        try:
            files = in_folder(entry)
        except OSError as problem:
            return [Submission(entry, problem=f"the folder cannot be read: {why(problem)}")]
        if not files:
            return [Submission(entry, problem="no .py file in this folder")]
        if len(files) > MOST:
            return [Submission(entry, problem=f"{len(files)} .py files in this folder, {MOST} at most")]
        files = [read(path) for path in files]
    number_of = {one.path: exercise_of(one, folder) for one in files}
    elsewhere += [shown(path.relative_to(folder)) for path, number in number_of.items()
                  if number not in (None, exercise.number)]
    wanted = exercise.number if exercise.number in number_of.values() else None
    mine = [one for one in files if number_of[one.path] == wanted]
    if wanted is None and len(mine) < len(files):       # files for another exercise, with helper files
        return []
    for one in mine if len(mine) > 1 else []:
        one.note = f"one of {len(mine)} files for this exercise in {shown(entry.name)}"
    return mine


def in_folder(folder: Path) -> list[Path]:
    """All Python files in a folder, at any depth. OSError if a part of it cannot be read."""
    def stop(problem):
        raise problem
    files = []
    for place, folders, names in os.walk(folder, onerror=stop):
        folders[:] = sorted(name for name in folders if not passed_over(name))
        files += [Path(place) / name for name in sorted(names)
                  if name.lower().endswith(".py") and not passed_over(name)]
    return files


def read(path: Path) -> Submission:
    """Read one file. A file that cannot be graded gets a `problem`."""
    try:
        seen = path.lstat()
        if stat.S_ISLNK(seen.st_mode):
            return Submission(path, problem="this is a link, not a file")
        if not stat.S_ISREG(seen.st_mode):
            return Submission(path, problem="this is not a regular file")
        if path.suffix.lower() != ".py":
            return Submission(path, problem=f"a {shown(path.suffix) or 'nameless'} file; only .py files are graded")
        if seen.st_size > LARGEST_FILE:
            return Submission(path, problem=f"a file of {seen.st_size} bytes, {LARGEST_FILE} at most")
        return Submission(path, path.read_bytes())
    except OSError as problem:
        return Submission(path, problem=f"it cannot be read: {why(problem)}")


def exercise_of(one: Submission, folder: Path) -> str | None:
    """The number of a file's exercise, such as "02". None if it is unknown.

    The number is taken from the file's path, or else from the functions that the file defines.
    """
    if said := NUMBER.findall(str(one.path.relative_to(folder))):
        return said[-1].zfill(2)
    defined = {name.decode() for name in DEFINED.findall(one.source) if name.isascii()}
    count = {number: len(defined & {task.name for task in exercise.tasks}) for number, exercise in EXERCISES.items()}
    return max(count, key=count.get) if any(count.values()) else None


def new_name(path: Path, taken: set[str]) -> str:
    """A new name for a submission's results, valid as a folder name on every system. It is added to `taken`."""
    text = os.fsencode("_".join(path.parts)).decode("utf-8", "replace")
    text = text[:-3] if text.lower().endswith(".py") else text
    text = unicodedata.normalize("NFC", text)
    text = "".join(letter if letter.isprintable() and letter not in '<>:"/\\|?*' else "_" for letter in text)
    text = text.encode()[:120].decode(errors="ignore").strip(" .")
    plain = name = f"_{text}" if not text or text.partition(".")[0].upper() in RESERVED else text
    number = 1
    while name.casefold() in taken:         # such as a/b.py and a_b.py, or Ada.py and ada.py
        number += 1
        name = f"{plain}-{number}"
    taken.add(name.casefold())
    return name
