"""The lessons keep their form, and their pages say what their scripts say."""
import ast
import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from lessons import render
from minixai.gradcam import rectify

# Importing render puts lessons/ on the path, as it is for a lesson that runs as a script.
import page  # isort: skip
import script  # isort: skip
import tools  # isort: skip
from contents import CLAIMS, LESSONS, VERDICTS  # isort: skip

HERE = Path(render.__file__).parent
PAGES = HERE / "pages"
SCRIPTS = script.scripts()
WRITTEN = [pytest.param(path, id=path.stem) for path in SCRIPTS]
ALLOWED = {"minixai", "torch", "numpy", "matplotlib", "PIL", "tools", "draw", "measure"} | set(sys.stdlib_module_names)
KEPT = {"cat_gradcam_stages.jpg", "scene_attention_heads.jpg"}      # shown by the README of the project


def source_of(path):
    return path.read_text(encoding="utf-8")


def sections(path):
    """[[cell, …]]: the cells under each heading of the second order."""
    found = []
    for cell in script.cells(source_of(path)):
        if cell.kind == "markdown" and cell.text.startswith("## "):
            found.append([])
        if found:
            found[-1].append(cell)
    return found


def calls(cells, name):
    """The calls of one of tools' functions in some cells."""
    code = "\n".join(cell.text for cell in cells if cell.kind != "markdown")
    return [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name) and node.func.id == name]


# -- the scripts ----------------------------------------------------------------------------------------------------

def test_the_lessons_are_those_of_the_table_of_contents():
    assert SCRIPTS and {path.stem for path in SCRIPTS} <= set(LESSONS)
    assert list(LESSONS) == sorted(LESSONS)


@pytest.mark.parametrize("path", WRITTEN)
def test_title_and_facts(path):
    facts = script.facts(source_of(path))
    assert facts["title"] == f"{path.stem[:2]} {LESSONS[path.stem]}"
    assert facts["Minutes"].isdigit() and facts["Article"] and facts["Exercise"].endswith((".", "?", "`"))


@pytest.mark.parametrize("path", WRITTEN)
def test_every_section_predicts_runs_a_few_lines_shows_and_says_what_was_seen(path):
    assert len(sections(path)) >= 3
    for number, section in enumerate(sections(path), start=1):
        head, *rest = section
        where = head.text.partition("\n")[0]
        assert where.startswith(f"## {number}. "), where
        assert re.search(r"^\*\*Predict\.\*\* [^*]*\?", head.text, re.MULTILINE), f"{where}: nothing to predict"
        code = [cell for cell in rest if cell.kind == "code"]
        assert 1 <= sum(map(script.code_lines, code)) <= 8, f"{where}: at most 8 lines of code"
        assert rest[0].kind == "code" and rest[-1].kind == "seen", f"{where}: code first, what was seen last"
        assert calls(code, "show") and calls([rest[-1]], "seen"), f"{where}: a picture, and what was seen"
        assert not calls([cell for cell in rest if cell.kind == "seen"], "show"), f"{where}: pictures in plain sight"


@pytest.mark.parametrize("path", WRITTEN)
def test_the_first_code_cells_are_short_and_every_lesson_leads_into_the_library(path):
    for cell in script.cells(source_of(path)):
        if cell.kind == "code":
            assert script.code_lines(cell) <= 8, f"line {cell.line}"
    said = calls(script.cells(source_of(path)), "seen")
    assert any(keyword.arg == "read" for call in said for keyword in call.keywords)


@pytest.mark.parametrize("path", WRITTEN)
def test_what_is_said_rests_on_a_number_of_the_run(path):
    for call in calls(script.cells(source_of(path)), "seen") + calls(script.cells(source_of(path)), "claim"):
        facts = [keyword.value for keyword in call.keywords if keyword.arg == "holds"]
        assert facts and not isinstance(facts[0], ast.Constant), f"line {call.lineno}: holds=True proves nothing"


@pytest.mark.parametrize("path", WRITTEN)
def test_text_cells_hold_no_number_that_a_run_could_change(path):
    for cell in script.cells(source_of(path)):
        if cell.kind == "markdown":
            prose = re.sub(r"`[^`]*`|\]\([^)]*\)", "", cell.text)
            assert not re.search(r"\d\.\d|\d ?%", prose), f"below line {cell.line}: say this number with seen()"


@pytest.mark.parametrize("path", WRITTEN)
def test_only_promised_packages_are_imported(path):
    nodes = [*ast.walk(ast.parse(source_of(path)))]
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom)]
    assert {name.partition(".")[0] for name in names} <= ALLOWED


def test_claims_are_measured_and_their_verdicts_are_of_three_kinds():
    rows = [row for text in page.written(PAGES).values() for row in page.noted(text, "claim")]
    assert rows and all(row["claim"] in CLAIMS and row["verdict"] in VERDICTS for row in rows)
    assert all(re.search(r"\d", row["measured"]) and not row["reach"].endswith(".") for row in rows)
    if len(SCRIPTS) < len(LESSONS):
        pytest.skip(f"{len(LESSONS) - len(SCRIPTS)} lessons are still to be written; then every claim has a row")
    assert {row["claim"] for row in rows} == set(CLAIMS)


# -- the pages ------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("path", WRITTEN)
def test_no_page_is_older_than_its_script(path):
    assert page.noted(source_of(PAGES / f"{path.stem}.md"), "sha256") == [script.sha256(path)]


def test_no_page_without_a_script_and_no_picture_without_a_page():
    assert {path.stem for path in PAGES.glob("*.md")} == {path.stem for path in SCRIPTS}
    shown = {name for text in page.written(PAGES).values() for name in re.findall(r"!\[[^]]+\]\(([^)]+)\)", text)}
    assert {path.name for path in PAGES.iterdir() if path.suffix in (".png", ".jpg")} - KEPT == shown


@pytest.mark.parametrize("path", WRITTEN)
def test_pictures_are_small_described_and_can_be_opened(path):
    pictures = re.findall(r"!\[([^]]*)\]\(([^)]+)\)", source_of(PAGES / f"{path.stem}.md"))
    assert len(pictures) >= 3
    for alt, name in pictures:
        assert len(alt.split()) >= 4, f"{name} is hardly described"
        assert (PAGES / name).stat().st_size <= 150_000
        with Image.open(PAGES / name) as image:
            assert image.convert("RGB").getextrema() != ((255, 255),) * 3 and image.width <= 1600


@pytest.mark.parametrize("path", WRITTEN)
def test_links_on_a_page_lead_somewhere(path):
    for link in re.findall(r"(?<!!)\[[^]]+\]\(([^)#:]+)\)", source_of(PAGES / f"{path.stem}.md")):
        target = (PAGES / link).resolve()
        assert target.exists() or target.stem in LESSONS and not (HERE / f"{target.stem}.py").exists(), link


def test_map_and_ledger_are_what_the_pages_say():
    text = source_of(HERE / "README.md")
    assert page.readme(text, page.written(PAGES)) == text
    for path in SCRIPTS:
        assert f"](pages/{path.stem}.md)" in text


class Parts(HTMLParser):
    """What an HTML file consists of; unbalanced tags are found."""
    VOID = {"meta", "img", "br", "hr", "link", "input"}

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.links, self.sources, self.wrong = [], set(), [], [], []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.ids.add(attributes.get("id"))
        self.links.append(attributes.get("href"))
        self.sources.append(attributes.get("src"))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)

    def handle_endtag(self, tag):
        if self.open and self.open[-1] == tag:
            self.open.pop()
        else:
            self.wrong.append((tag, self.getpos()))


def test_index_holds_all_pages_as_they_are_now_and_needs_nothing_else():
    text = source_of(PAGES / "index.html")
    made = re.search(r'name="made-from" content="([^"]*)"', text)[1].split()
    assert made == [page.fingerprint(one) for one in page.written(PAGES).values()], "python -m lessons.render"
    assert len(text) <= 9_000_000
    parts = Parts()
    parts.feed(text)
    assert not parts.wrong and not parts.open
    assert all(source.startswith("data:image/") for source in filter(None, parts.sources))
    inside = [link for link in filter(None, parts.links) if not link.startswith("https://")]
    missing = {link for link in inside if link[0] != "#" or link[1:] not in parts.ids}
    assert {link[1:] for link in missing} <= set(LESSONS) - {path.stem for path in SCRIPTS}
    assert "url(" not in text and "<script" not in text


# -- a lesson run again ---------------------------------------------------------------------------------------------

@pytest.mark.slow
def test_a_lesson_run_again_says_what_its_page_says():
    assert render.check(HERE / "01_wolf_or_snow.py") == []


@pytest.mark.parametrize("old, new, same", [
    ("score 0.534", "score 0.535", True),           # one in the last digit
    ("score 0.53", "score 0.55", False),
    ("energy 1234.56", "energy 1235.5", True),      # a thousandth of itself
    ("energy 1234.56", "energy 1237.5", False),
    ("47 cells", "48 cells", False),                # a count is exact
    ("47% of it", "48% of it", True),               # a rounded percentage is not
    ("47% of it", "49% of it", False),
    ("by 1.2e-03", "by 1.3e-03", True),
    ("by 1.2e-03", "by 1.9e-03", False),
    ("by 1.2e-07", "by 1.9e-06", True),             # rounding errors, whatever they are
    ("by 1.2e-07", "by 1.2e-04", False),
    ("by 0", "by 3e-07", True),
    ("-0.31", "0.31", False),
    ("stage4", "stage3", False),
    ("0.5 on the wolf", "0.5 on the cow", False),
    ("a\nb", "a", False),
])
def test_how_much_a_number_may_move(old, new, same):
    assert (render.differences(old, new) == []) is same


def test_a_picture_that_changed_is_noticed(tmp_path):
    grey = np.full((60, 80, 3), 200, np.uint8)
    (tmp_path / "01_x.png").write_bytes(tools.encode(Image.fromarray(grey))[0])
    spot, larger = grey.copy(), np.full((60, 90, 3), 200, np.uint8)
    spot[10:20, 10:20] = (200, 20, 20)
    for picture, differs in ((grey, False), (grey + np.uint8(2), False), (spot, True), (larger, True)):
        data = tools.encode(Image.fromarray(picture))[0]
        assert bool(render._picture_differs(tmp_path / "01_x.jpg", data)) is differs
    assert render._picture_differs(tmp_path / "01_y.jpg", data)


# -- a small lesson through the renderer ----------------------------------------------------------------------------

SMALL = '''# %% [markdown]
# # 99 A small one
#
# Text.
#
# - Article: Nowhere,
#   twice
# - Minutes: 1
# - Exercise: None.

# %%
import numpy as np
from tools import claim, quote, seen, show

from minixai.gradcam import rectify

# %% [markdown]
# ## 1. A section
#
# **Predict.** What?

# %%
print("three", 3)
show(np.zeros((8, 9, 3), np.uint8), "black", "a black picture of nothing")
quote(rectify)
print("four")

# %% tags=["seen"]
value = 0.25
seen(f"It is {value:.2f}.", holds=value > LEAST)
claim(1, experiment="none", measured=f"{value:.2f} -- so", verdict="holds here, but", reach="nowhere", holds=True)
'''


@pytest.fixture
def small(tmp_path, monkeypatch):
    monkeypatch.setitem(page.LESSONS, "99_small", "A small one")
    path = tmp_path / "99_small.py"
    path.write_text(SMALL.replace("LEAST", "0.2"), encoding="utf-8")
    return path


def test_a_page_tells_in_order_what_happened(small):
    text, files = render.render(small)
    places = [text.index(part) for part in (
        "# 99 A small one", "*Article:* Nowhere, twice · *about 1 minutes*", "```python\nimport numpy",
        "## 1. A section",
        "```python\nprint(", "```text\nthree 3\n```", "![a black picture of nothing](99_black.png)",
        "def rectify(cam: Tensor)",
        "```text\nfour\n```", "**Seen.** It is 0.25.", "> **Claim 1** (Introduction)",
        "**holds here, but** nowhere")]
    assert places == sorted(places) and "holds=value" not in text and "- Minutes" not in text
    assert list(files) == ["99_black.png"]


def test_the_ledger_row_survives_the_way_through_the_page(small):
    text, _ = render.render(small)
    row, = page.noted(text, "claim")
    assert row["measured"] == "0.25 -- so" and row["claim"] == 1
    assert "--" not in re.search("<!-- claim: (.*) -->", text)[1]       # it would end the comment
    assert "| 1 | Introduction |" in page.ledger({"99_small": text})
    assert "Nowhere, twice | 1 |" in page.lesson_map({"99_small": text})


def test_writing_removes_pictures_that_are_no_longer_shown(small, tmp_path):
    for name in ("99_old.jpg", "98_other.jpg"):
        (tmp_path / name).write_bytes(b"")
    render.write(small, tmp_path)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"99_small.py", "99_small.md", "99_black.png", "98_other.jpg"}
    assert render.check(small, tmp_path) == []
    small.write_text(small.read_text(encoding="utf-8").replace("value = 0.25", "value = 0.35"), encoding="utf-8")
    assert any("0.35" in line for line in render.check(small, tmp_path))


def test_a_sentence_whose_number_left_it_is_not_written(small):
    small.write_text(SMALL.replace("LEAST", "0.3"), encoding="utf-8")
    with pytest.raises(AssertionError, match="does not support: It is 0.25"):
        render.render(small)


def test_an_error_names_the_line_of_the_script(small, capsys, monkeypatch):
    small.write_text(SMALL.replace("LEAST", "missing_name"), encoding="utf-8")
    monkeypatch.setattr(script, "scripts", lambda wanted: [small])
    monkeypatch.setattr(page, "write_index", lambda pages: None)
    assert render.main(["99", "--out", str(small.parent)]) == 1
    line = SMALL.splitlines().index('seen(f"It is {value:.2f}.", holds=value > LEAST)') + 1
    said = capsys.readouterr().out
    assert "NameError" in said and f"(99_small.py, line {line})" in said
    assert not (small.parent / "99_small.md").exists()


def test_the_same_script_gives_the_same_bytes(small):
    assert render.render(small) == render.render(small)


def test_outside_of_the_renderer_a_lesson_prints_and_saves(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["lessons/98_test.py"])
    figure = Figure(figsize=(2, 1), dpi=50)
    figure.subplots().plot([1, 2])
    tools.show(figure, "line", "a line that goes up")
    tools.seen("It is so.", holds=False, read=rectify)
    out = capsys.readouterr().out
    with Image.open(tmp_path / "minixai-out" / "lessons" / "98_test" / "line.png") as saved:
        assert saved.format == "PNG" and saved.width > 60
    assert "does not hold for them" in out and "It is so." in out and "a line that goes up" in out


def test_a_verdict_of_ones_own_is_refused():
    with pytest.raises(ValueError, match="a verdict is one of"):
        tools.claim(1, "", "", "proven", "", True)


def test_a_large_picture_is_made_small_enough():
    noise = np.random.default_rng(0).integers(0, 256, (250, 400, 3)).astype(np.uint8)
    data, suffix = tools.encode(Image.fromarray(noise))
    assert len(data) <= 150_000 and suffix == ".jpg"
    with pytest.raises(ValueError, match="draw"):
        tools.encode(Image.fromarray(np.tile(noise, (4, 4, 1))))


def test_cells_lines_and_a_notebook():
    source = SMALL.replace("LEAST", "0.2")
    cells = script.cells(source)
    assert [cell.kind for cell in cells] == ["markdown", "code", "markdown", "code", "seen"]
    for cell in cells:
        first = cell.text.splitlines()[0]
        assert source.splitlines()[cell.line - 1].removeprefix("# ") == first
    assert [script.code_lines(cell) for cell in cells if cell.kind == "code"] == [0, 2]
    made = json.loads(script.notebook(source))
    assert [cell["cell_type"] for cell in made["cells"]] == ["markdown", "code", "markdown", "code", "code"]
    assert "".join(made["cells"][3]["source"]) == cells[3].text
    with pytest.raises(ValueError, match="line 1: a cell is marked"):
        script.cells("# %% [raw]\nx\n")


def test_an_unknown_lesson_is_named():
    with pytest.raises(ValueError, match="no lesson 'xx'"):
        script.scripts(["xx"])


def test_a_page_is_not_judged_where_a_network_that_it_shows_is_not_fetched(monkeypatch, tmp_path, capsys):
    """Without DINOv2 the lesson runs and shows less; its page must not lose what it has."""
    monkeypatch.setattr(render, "weights_path", lambda name: tmp_path / name)
    assert render.missing_network(HERE / "11_depth_heads_rollout.py") == "dinov2_small"
    assert render.main(["11", "--check"]) == 0
    assert "left out" in capsys.readouterr().out
    monkeypatch.setattr(render, "weights_path", lambda name: HERE)
    assert render.missing_network(HERE / "11_depth_heads_rollout.py") is None
