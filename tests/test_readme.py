"""What the README says about the repository is so."""
import re
from pathlib import Path

import pytest

from minixai import METHODS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path, lines", re.findall(r"^\| \[[^]]+\]\((\S+\.py)\) \| (\d+) \|", README, re.MULTILINE))
def test_line_counts_are_those_of_the_files(path, lines):
    assert len((ROOT / path).read_text(encoding="utf-8").splitlines()) == int(lines)


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_links_lead_somewhere(path):
    assert (ROOT / path).exists()


def test_the_first_two_commands_install_with_a_pinned_torch_and_run_explain_and_the_tests():
    explain, tests, *_ = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    for command, end in ((explain, "minixai explain\n"), (tests, "-m pytest\n")):
        assert command.startswith("python3 -m venv .venv && .venv/bin/pip install torch==2.13.0 -e ")
        assert command.count("\n") == 1 and command.endswith(end)


def test_every_method_is_listed_and_every_listed_one_exists():
    rows = "".join(re.findall(r"^\| (?:CNN|ViT) \|.*$", README, re.MULTILINE))
    assert set(re.findall(r"`([a-z]+)`", rows)) == set(METHODS)
