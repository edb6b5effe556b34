"""index.html of a folder run: a thumbnail of each overlay, with class and score, and what could not be explained."""
import os
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from urllib.parse import quote

from minixai.files import shown

# What the files of an image are called, beside the page.
OVERLAY, RECORD, THUMBNAIL = "{}_overlay.jpg", "{}.npz", "thumbnails/{}.jpg"

STYLE = """
body { font: 16px/1.45 system-ui, sans-serif; margin: 0 auto; max-width: 1240px; padding: 16px; color: #222; }
h1 { font-size: 1.5rem; margin: 8px 0; }
h2 { font-size: 1.2rem; margin: 32px 0 8px; }
p { max-width: 45rem; margin: 8px 0; }
a { color: #0b57a4; }
.images { list-style: none; padding: 0; display: grid; gap: 12px;
          grid-template-columns: repeat(auto-fill, minmax(min(180px, 45%), 1fr)); }
.images li { border: 1px solid #d5d5d5; border-radius: 6px; overflow: hidden; min-width: 0; }
.images img { display: block; width: 100%; aspect-ratio: 4 / 3; object-fit: contain; background: #eee; }
.images li > div { padding: 6px 10px 10px; font-size: 0.875rem; overflow-wrap: anywhere; }
.class { display: flex; justify-content: space-between; gap: 8px; font-weight: 600; }
.class span:last-child { font-variant-numeric: tabular-nums; }
.photo { color: #555; }
.empty, .failed { color: #a12; }
.failed li { overflow-wrap: anywhere; margin: 4px 0; }
"""


@dataclass(frozen=True)
class Card:
    """One image on the page."""
    name: str           # what the names of its files begin with
    photo: str          # the file that was explained, as text that can be printed
    label: str          # the class explained
    score: str          # its probability; "" for a network without classes
    empty: str          # why the heatmap is empty, or ""
    further: list       # the names of the pictures of its stages


def page(title: str, cards: Iterable[Card], failed: Iterable[str]) -> str:
    """The HTML of the whole page. failed: for each file that was not explained, a line with its name and the reason."""
    cards, failed = list(cards), list(failed)
    count = f"{len(cards)} image{'' if len(cards) == 1 else 's'} explained"
    lines = [
        "<!doctype html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{_text(title)}: {count}</title>",
        f"<style>{STYLE}</style>",
        "</head>",
        "<body>",
        f"<h1>{count}</h1>",
        f"<p>{_text(title)}.</p>",
        "<p>Blue is the lowest value of a heatmap, red the highest. Each heatmap has its own scale, so colours cannot",
        "be compared between images. The network did not see the darkened parts. The number is the softmax",
        "probability of the class.</p>",
        '<ul class="images">',
        *map(_card, cards),
        "</ul>"]
    if failed:
        lines += [f"<h2>{len(failed)} not explained</h2>", '<ul class="failed">',
                  *(f"<li>{_text(line)}</li>" for line in failed), "</ul>"]
    return "\n".join([*lines, "</body>", "</html>", ""])


def _card(card):
    overlay, record, thumbnail = (_link(kind.format(card.name)) for kind in (OVERLAY, RECORD, THUMBNAIL))
    links = [f'<a href="{_link(name)}">{Path(name).stem.rpartition("_")[2]}</a>' for name in card.further]
    links.append(f'<a href="{record}">numbers</a>')
    photo, name = _text(card.photo), _text(Path(*Path(card.photo).parts[-2:]))
    return "".join((
        f'<li><a href="{overlay}"><img loading="lazy" src="{thumbnail}" alt="overlay of {photo}"></a><div>',
        f'<div class="class"><span>{_text(card.label)}</span><span>{card.score}</span></div>',
        f'<div class="photo" title="{photo}">{name}</div>',
        f'<div class="empty">empty: {_text(card.empty)}</div>' if card.empty else "",
        f'<div>{" · ".join(links)}</div></div></li>'))


def _text(text):
    return escape(shown(text))


def _link(name):
    """A relative link to a file whose name may hold any bytes."""
    return "./" + quote(os.fsencode(name))
