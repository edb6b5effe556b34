"""python -m tests.mutants changes what it says, and calls killed what a test notices and survived what none does."""
import subprocess
import sys
from pathlib import Path

import pytest

from tests import mutants

SMALL = '''"""Words: 1 < 2."""
__all__ = ["up_to"]
STEP = 1


def up_to(end: int = 3 - 1) -> int:
    """Counts, 1 by 1."""
    number = 0
    while number < end:
        number += STEP
    if number < 0:
        raise ValueError(f"{number + 1}", 7)
    return number


def has_left(a, b):
    return a >= b


def of_no_test(a):
    return -a
'''
TESTS = '''import inspect
import minixai.small
import pytest


@pytest.fixture(scope="module")
def compared():
    return minixai.small.has_left(2, 1)


def test_up_to():
    assert minixai.small.up_to(5) == 5


def test_up_to_by_itself():
    assert minixai.small.up_to() == 2


def test_first(compared):
    assert compared is not None


def test_second(compared):
    assert compared


def test_the_source_is_quoted():
    assert "return a >= b" in inspect.getsource(minixai.small.has_left)


def test_fails_always():
    assert minixai.small.up_to(1) == 7
'''
OUTCOMES = {
    ("STEP = 1", "STEP = 2"): "killed",
    ("def up_to(end: int = 3 - 1) -> int:", "def up_to(end: int = 3 + 1) -> int:"): "killed",
    ("def up_to(end: int = 3 - 1) -> int:", "def up_to(end: int = 4 - 1) -> int:"): "killed",
    ("def up_to(end: int = 3 - 1) -> int:", "def up_to(end: int = 3 - 2) -> int:"): "killed",
    ("number = 0", "number = 1"): "survived",
    ("while number < end:", "while number <= end:"): "killed",
    ("while number < end:", "while not number < end:"): "killed",
    ("number += STEP", "number -= STEP"): "timed out",
    ("number += STEP", "pass"): "timed out",
    ("if number < 0:", "if number <= 0:"): "survived",
    ("if number < 0:", "if not number < 0:"): "killed",
    ("if number < 0:", "if number < 1:"): "survived",
    ('raise ValueError(f"{number + 1}", 7)', "pass"): "not run",
    ("return number", "return None"): "killed",
    ("return a >= b", "return None"): "killed",
    ("return a >= b", "return a > b"): "survived",
    ("return -a", "return None"): "not run",
    ("return -a", "return a"): "not run",
}


@pytest.fixture
def repository(tmp_path):
    texts = {"minixai/__init__.py": "", "minixai/small.py": SMALL, "tests/test_small.py": TESTS,
             "pyproject.toml": "[tool.pytest.ini_options]\npythonpath = ['.']\n"}
    for name, text in texts.items():
        path = tmp_path / "repository" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "repository"


def test_every_mutant_has_one_mistake_and_words_have_none(repository):
    found = mutants.mutants_of("minixai/small.py", repository)
    assert [(mutant.before, mutant.after) for mutant in found] == list(OUTCOMES)


@pytest.mark.parametrize("before, after", [
    ("x = f(a, key=1)", ["x = f(a)", "x = f(a, key=2)"]),
    ("x = a is b or c not in d", ["x = a is b and c not in d", "x = a is not b or c not in d", "x = a is b or c in d"]),
    ("x = a if b else not c", ["x = a if not b else not c", "x = a if b else c"]),
    ("x = [a for a in b if a == 0.5]", ["x = [a for a in b if a != 0.5]", "x = [a for a in b if a == 1.5]"]),
    ("x = a @ b ** c", ["x = a * b ** c", "x = a @ (b * c)"]),
    ("x = -(a + b) * c", ["x = (a + b) * c", "x = -(a - b) * c", "x = -(a + b) / c"]),
    ("a[b] = True", ["pass", "a[b] = False"]),
    ("x = 'ä' + (a *\n     b)", ["x = 'ä' - a * b", "x = 'ä' + (a / b)"]),
    ("assert a, 1", ["pass"]),
    ("x: Literal[1] = None", []),
    ("if __name__ == '__main__':\n    f(1)", []),
])
def test_a_mutant_is_shown_as_the_line_that_it_makes(before, after, tmp_path):
    (tmp_path / "file.py").write_text(before + "\n", encoding="utf-8")
    found = mutants.mutants_of("file.py", tmp_path)
    assert {mutant.after.replace("( ", "(") for mutant in found} == set(after)
    for mutant in found:
        mutant.change()
        compile(mutants.ast.fix_missing_locations(mutant.tree), "file.py", "exec")


@pytest.mark.slow
def test_what_a_test_notices_is_killed_and_the_rest_is_listed(repository):
    pytest.importorskip("coverage", reason="only the extra `mutants` installs coverage")
    (repository / mutants.KNOWN).write_text(
        "# of no effect\n"
        "minixai/small.py:11 up_to || if number < 0: || if number <= 0: || it is never below\n"
        "minixai/small.py has_left || return a >= b || return None || killed in truth\n"
        "minixai/small.py has_left || return a >= b || return a < b || no mutant\n")
    printed = run(repository)
    outcomes = {}
    for line in printed.split("\n\n")[0].splitlines():
        place, before, after, _ = line.split(" || ") if line.count(" || ") == 3 else (line, "", "", "")
        if before:
            outcomes[before, after] = place[:9].strip()
    assert outcomes == OUTCOMES
    assert "left out, since it fails without a mutant: tests/test_small.py::test_fails_always" in printed
    assert row(printed, "minixai/small.py") == ["18", "11", "64.7%", "2", "3", "1"]
    lists = {block.partition(":")[0]: block.splitlines()[1:] for block in printed.split("\n\n")[1:-1]}
    survived = [line.rpartition(" || ")[2] for line in lists["Survived"]]
    assert survived == ["number = 1", "if number < 1:", "return a > b"]
    assert len(lists["On lines that no test runs"]) == 3
    assert lists[f"Survived, as {mutants.KNOWN} says"][0].endswith("|| it is never below")
    assert lists["Killed"][0].endswith("return None") and lists["No mutant any more"][0].endswith("return a < b")


def run(repository, *options):
    environment = {**mutants.os.environ, "TMPDIR": str(repository.parent)}
    done = subprocess.run([sys.executable, "-m", "tests.mutants", "--root", str(repository), *options], text=True,
                          cwd=Path(__file__).parents[1], env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def row(printed, place):
    return next(line for line in printed.splitlines() if line.startswith(place + "  ")).replace(" %", "%").split()[1:]
