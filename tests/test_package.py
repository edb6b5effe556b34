"""The package ships what it needs besides code: every file under minixai/ is named in pyproject.toml. What is for those
who work on it does not go to students."""
from fnmatch import fnmatch
from pathlib import Path

import pytest

from minixai.course.release import left_out

try:
    import tomllib
except ImportError:         # Python 3.10, on which pytest brings it under this name
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "minixai"
DATA = sorted(path.relative_to(ROOT) for path in PACKAGE.rglob("*")
              if path.is_file() and path.suffix not in (".py", ".pyc"))


def shipped(path):
    """Whether setuptools puts a file into the wheel, by its patterns of package data."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    for package, patterns in project["tool"]["setuptools"]["package-data"].items():
        folder = Path(package.replace(".", "/"))
        if path.is_relative_to(folder) and any(fnmatch(path.relative_to(folder), pattern) for pattern in patterns):
            return True
    return False


@pytest.mark.parametrize("path", DATA, ids=str)
def test_a_file_that_is_no_code_ships(path):
    assert shipped(path)


@pytest.mark.parametrize("path", [*(ROOT / ".github").rglob("*.*"), ROOT / "CHANGELOG.md"], ids=lambda path: path.name)
def test_pages_for_contributors_do_not_go_to_students(path):
    assert path.exists() and left_out(path.relative_to(ROOT))


def test_types_ship():
    assert Path("minixai/py.typed") in DATA
    assert not shipped(Path("minixai/notes.txt"))
