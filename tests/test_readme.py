"""What the README and the pages beside it say about the repository is so."""
import re
from pathlib import Path

import pytest

from minixai import METHODS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MEASURED = (ROOT / "tests" / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / ".github" / "CONTRIBUTING.md").read_text(encoding="utf-8")
PAGES = ["README.md", "CHANGELOG.md", "tests/README.md", ".github/CONTRIBUTING.md", "weights_scripts/README.md"]


@pytest.mark.parametrize("path, lines", re.findall(r"^\| \[[^]]+\]\((\S+\.py)\) \| (\d+) \|", README, re.MULTILINE))
def test_line_counts_are_those_of_the_files(path, lines):
    assert len((ROOT / path).read_text(encoding="utf-8").splitlines()) == int(lines)


def links():
    """(page, where one of its links leads), no addresses of the web."""
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        yield from ((page, link) for link in sorted(set(re.findall(r"\]\(([^)\s]+)\)", text))) if "://" not in link)


def anchors(page):
    """The names by which the headings of a page can be linked to."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings]


@pytest.mark.parametrize("page, link", [*links()])
def test_links_lead_somewhere(page, link):
    path, _, anchor = link.partition("#")
    target = (ROOT / page).parent / path if path else ROOT / page
    assert target.exists() and (not anchor or anchor in anchors(target))


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:minixai|tests|lessons|weights_scripts)/[^`\s]*)`",
                                                       CONTRIBUTING + README))))
def test_paths_in_the_text_are_there(path):
    assert re.search(r"NAME|NN_", path) or (ROOT / path).exists()


def test_the_first_two_commands_install_with_a_pinned_torch_and_run_explain_and_the_tests():
    explain, tests, *_ = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    for command, end in ((explain, "minixai explain\n"), (tests, "-m pytest\n")):
        assert command.startswith("python3 -m venv .venv && .venv/bin/pip install torch==2.13.0 -e ")
        assert command.count("\n") == 1 and command.endswith(end)


def test_every_method_is_listed_and_every_listed_one_exists():
    rows = "".join(re.findall(r"^\| (?:CNN|ViT) \|.*$", README, re.MULTILINE))
    assert set(re.findall(r"`([a-z]+)`", rows)) == set(METHODS)


def test_the_table_of_libraries_has_the_methods_that_libraries_have():
    section = MEASURED.partition("## Libraries")[2].partition("\n## ")[0]
    measured = re.findall(r"^\| (\w+) \| (?:–|\d)", section, re.MULTILINE)
    assert set(measured) == set(METHODS) - {"randomcam", "valueattention"} and len(measured) == len(set(measured))


def test_numbers_of_the_readme_are_those_of_the_page_that_it_links():
    libraries, verdicts, networks = re.search(r"in (\d+)\s+cases.*0 of (\d+) planted.*names ([\d.]+ %)", README,
                                              re.DOTALL).groups()
    assert f"All {libraries} cases" in MEASURED and f"| SmallCNN | {networks} |" in MEASURED
    row = re.search(r"^\| one mistake \| (\d+) \| (\d+) \| (\d+) \| 0 \|$", MEASURED, re.MULTILINE).groups()
    assert sum(map(int, row)) == int(verdicts)
