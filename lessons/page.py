"""Make a lesson's page from its events, and the map, the ledger and index.html from all pages.

Comments in a page hold its script's hash, facts and claims. So the map, the ledger and index.html can be made from the
pages alone.
"""
import base64
import hashlib
import html
import json
import re
from pathlib import Path

import script
from contents import LESSONS
from tools import claim_text

HERE = Path(__file__).parent
README = HERE / "README.md"
SOURCE = "../../"                   # path from a page to the root of the checkout


def markdown(path: Path, ran: list[tuple[script.Cell, list[tuple]]], pictures: dict[str, str]) -> str:
    """The text of a page. path: the lesson's script; ran: [(cell, events)]; pictures: {name: file name}."""
    source = path.read_text(encoding="utf-8")
    claims = [value for _, events in ran for kind, value in events if kind == "claim"]
    read = [function for _, events in ran for kind, value in events if kind == "read" for function in value]
    facts = {**script.facts(source), "functions": list(dict.fromkeys(read))}
    head = [f"<!-- made by python -m lessons.render from {path.name}; change that, not this -->",
            _comment("sha256", script.sha256(path)), _comment("facts", facts), *(_comment("claim", c) for c in claims)]
    body = []
    for number, (cell, events) in enumerate(ran):
        if cell.kind == "markdown":
            body.append(_without_bullets(cell.text) if number == 0 else cell.text)
        if number == 0:
            body.append(_about(path, facts))
        if cell.kind == "code":
            body.append(f"```python\n{cell.text}\n```")
        body += [_event(kind, value, pictures) for kind, value in events]
    return "\n".join(head) + "\n\n" + "\n\n".join([*filter(None, body), _footer(path)]) + "\n"


def _event(kind, value, pictures):
    if kind == "picture":
        name, alt, _ = value
        return f"![{alt}]({pictures[name]})"
    if kind == "read":
        return "*Read on:* " + ", ".join(f"[`{name}`]({SOURCE}{path})" for name, path in value)
    if kind == "print":
        return f"```text\n{value.rstrip()}\n```" if value.strip() else ""
    if kind == "quote":
        return f"```python\n{value}\n```"
    return f"**Seen.** {value}" if kind == "seen" else f"> {claim_text(value)}"


def _about(path, facts):
    return (f"*Article:* {facts['Article']} · *about {facts['Minutes']} minutes* · *script:* "
            f"[lessons/{path.name}](../{path.name})")


def _without_bullets(text):
    for name in script.FACTS:
        text = re.sub(rf"^- {name}: .+\n?(?:  .+\n?)*", "", text, flags=re.MULTILINE)
    return text.strip()


def _footer(path):
    before, after = _neighbours(path.stem)
    links = [f"[← {before}]({before}.md)"] if before else []
    links += ["[all lessons](../README.md)"] + ([f"[{after} →]({after}.md)"] if after else [])
    return "---\n\n" + " · ".join(links)


def _neighbours(stem):
    names = [None, *LESSONS, None]
    place = names.index(stem)
    return names[place - 1], names[place + 1]


def _comment(name, value):
    """A comment, which is not shown. Two hyphens would end it, so they are escaped."""
    text = json.dumps(value, ensure_ascii=False).replace("--", "\\u002d-")
    return f"<!-- {name}: {text} -->"


def noted(text: str, name: str) -> list:
    """The values of all comments of this name in a page's text."""
    return [json.loads(value) for value in re.findall(rf"^<!-- {name}: (.+) -->$", text, re.MULTILINE)]


def written(pages: Path) -> dict[str, str]:
    """{stem: text} of the lessons' pages in a folder, in order."""
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted(pages.glob("[0-9][0-9]_*.md"))}


def lesson_map(texts: dict[str, str]) -> str:
    """The table of lessons: section of the article, minutes, functions, and exercise."""
    rows = ["| lesson | article | minutes | functions | exercise |", "|---|---|---|---|---|"]
    for stem, text in texts.items():
        facts, = noted(text, "facts")
        functions = " ".join(f"[`{name}`](../{path})" for name, path in facts["functions"])
        rows.append(f"| [{facts['title']}](pages/{stem}.md) | {facts['Article']} | {facts['Minutes']} | {functions} | "
                    f"{facts['Exercise']} |")
    return "\n".join(rows)


def ledger(texts: dict[str, str]) -> str:
    """The table of the article's claims, with the results of their tests."""
    found = [(row, stem) for stem, text in texts.items() for row in noted(text, "claim")]
    rows = ["| # | section | claim | test | measured | verdict | lesson |", "|---|---|---|---|---|---|---|"]
    for row, stem in sorted(found, key=lambda one: (one[0]["claim"], one[1])):
        cells = [str(row["claim"]), row["section"], row["says"], row["experiment"], row["measured"],
                 f"**{row['verdict']}**{'' if row['verdict'].endswith('but') else ':'} {row['reach']}",
                 f"[{stem[:2]}](pages/{stem}.md)"]
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows)


def readme(text: str, texts: dict[str, str]) -> str:
    """The text of lessons/README.md with a new map and a new ledger."""
    for name, table in (("map", lesson_map(texts)), ("ledger", ledger(texts))):
        between = re.compile(rf"(?<=<!-- {name}: made by python -m lessons.render -->\n).*?(?=<!-- end of {name} -->)",
                             re.DOTALL)
        text = between.sub(lambda _, table=table: table + "\n", text)
    return text


def write_readme(pages: Path) -> None:
    """Write the map and the ledger into lessons/README.md, unless `pages` is another folder than lessons/pages."""
    if pages.resolve() == (HERE / "pages").resolve():
        README.write_text(readme(README.read_text(encoding="utf-8"), written(pages)), encoding="utf-8")


def write_index(pages: Path) -> None:
    """Write index.html: all pages with their pictures in one file. It needs the packages markdown and pygments."""
    try:
        (pages / "index.html").write_text(index(pages), encoding="utf-8")
    except ImportError as error:
        print(f"index.html stays as it was: {error.name} is not installed (pip install -e '.[pages]')")


def fingerprint(text: str) -> str:
    """16 digits of a page's hash. index.html lists them, which shows whether it is up to date."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def index(pages: Path) -> str:
    """The text of index.html."""
    texts = written(pages)
    made = [fingerprint(text) for text in texts.values()]
    contents = "\n".join(f'<li><a href="#{stem}">{html.escape(noted(text, "facts")[0]["title"])}</a></li>'
                         for stem, text in texts.items())
    lessons = "\n".join(f'<section id="{stem}">\n{_html(text, pages)}\n</section>' for stem, text in texts.items())
    table = _to_html(re.sub(r"\]\(\.\./[^)]*\)", "]()", ledger(texts)))
    return (HERE / "index_frame.html").read_text(encoding="utf-8").format(
        style=_style(), contents=contents, lessons=lessons, made=" ".join(made),
        ledger=_links_inside(f'<div class="wide">{table}</div>'))


def _html(text, pages):
    text = re.sub(r"^<!-- .* -->\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"^```text\n(.*?)\n```$", lambda said: f'<pre class="said">{html.escape(said[1])}</pre>', text,
                  flags=re.MULTILINE | re.DOTALL)
    body = _to_html(text.rpartition("\n---\n")[0])

    def embed(match):
        data = (pages / match[1]).read_bytes()
        kind = "png" if match[1].endswith("png") else "jpeg"
        return f'src="data:image/{kind};base64,{base64.b64encode(data).decode()}" loading="lazy"'

    return _links_inside(re.sub(r'src="([^":]+)"', embed, body))


def _to_html(text):
    from markdown import Markdown  # late: only maintainers have it
    return Markdown(extensions=["fenced_code", "tables", "codehilite", "sane_lists"],
                    extension_configs={"codehilite": {"guess_lang": False}}).convert(text)


def _links_inside(body):
    """Turn links to lessons into links inside the file, and remove links to source files."""
    body = re.sub(r'href="(?:pages/)?(\d\d_\w+)\.md"', r'href="#\1"', body)
    return re.sub(r'<a href="(?:\.\./[^"]*)?">(.*?)</a>', r"\1", body)


def _style():
    from pygments.formatters import HtmlFormatter
    light, dark = (HtmlFormatter(style=style).get_style_defs(".codehilite") for style in ("friendly", "github-dark"))
    return f"{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}"
