"""What a lesson says and shows, besides its own lines.

    show(figure, name, alt)     a picture: saved in minixai-out/lessons, displayed in a notebook, put on the page
    quote(function, …)          the library's own source
    seen(text, holds, read)     what was seen, and the fact that the sentence rests on
    claim(number, …)            a row of the ledger: a claim of the article put to the test

A lesson runs as a script, as a notebook, or under lessons/render.py, which listens to all four.
"""
import inspect
import io
import sys
import textwrap
from pathlib import Path

import numpy as np
from contents import CLAIMS, VERDICTS
from PIL import Image

LARGEST = 150_000           # bytes of one picture: a page holds about six
listener = None             # lessons/render.py puts a function (kind, value) here
bodies = True               # False: quote leaves out what students are to write


def one_sentence(kind, problem, trace):
    """In the tree for students: which function is not written yet, without all the lines that led to it."""
    if issubclass(kind, NotImplementedError):
        print(problem, file=sys.stderr)
    else:
        sys.__excepthook__(kind, problem, trace)


sys.excepthook = one_sentence


def show(picture, name, alt):
    """picture: a matplotlib Figure, a PIL image, or uint8 (H,W,3). name: what it shows, words joined by `_`.
    alt: what there is to see, for who cannot see it."""
    image = _as_image(picture)
    if listener:
        listener("picture", (name, alt, image))
    elif "ipykernel" in sys.modules:
        from IPython.display import display  # there if the kernel is
        display(image)
    else:
        data, suffix = encode(image)
        folder = Path("minixai-out") / "lessons" / Path(sys.argv[0]).stem
        folder.mkdir(parents=True, exist_ok=True)
        (folder / (name + suffix)).write_bytes(data)
        print(f"[picture {folder / name}{suffix}: {alt}]")


def quote(*functions):
    """The source of functions or classes of minixai, as it stands in the file."""
    for function in functions:
        where = source_file(function)
        source = textwrap.dedent(inspect.getsource(function))
        if not bodies:
            source = without_body(source)
        _say("quote", f"# {module_path(where)}\n{source.rstrip()}", "\n{}\n")


def seen(text, holds, read=()):
    """What was seen: text, with the numbers of this run in it. holds: whether these numbers still support the text.
    read: the functions of minixai where one can read on."""
    functions = read if isinstance(read, (list, tuple)) else (read,)
    _stand_by(text, holds)
    _say("seen", text)
    if functions:
        _say("read", [(function.__name__, module_path(source_file(function))) for function in functions])


def claim(number, experiment, measured, verdict, reach, holds):
    """Row `number` of contents.CLAIMS put to the test.

    experiment: what was done; measured: the number; verdict: one of contents.VERDICTS; reach: how far the number
    reaches, or what speaks against; holds: whether this run's number still supports the verdict.
    """
    if verdict not in VERDICTS:
        raise ValueError(f"a verdict is one of {VERDICTS}, got {verdict!r}")
    section, says = CLAIMS[number]
    row = {"claim": number, "section": section, "says": says, "experiment": experiment, "measured": measured,
           "verdict": verdict, "reach": reach}
    _stand_by(f"claim {number}: {verdict} ({measured})", holds)
    _say("claim", row)


def claim_text(row):
    """A row of the ledger as a paragraph."""
    return (f"**Claim {row['claim']}** ({row['section']}): {row['says']}. *Test:* {row['experiment']}. "
            f"*Measured:* {row['measured']}. *Verdict:* **{row['verdict']}**{_join(row)} {row['reach']}.")


def _join(row):
    return "" if row["verdict"].endswith("but") else ":"


def encode(image):
    """PIL image -> (bytes, ".png" or ".jpg"): whichever is smaller, and never more than LARGEST."""
    png = io.BytesIO()
    image.save(png, "PNG", optimize=True)
    for quality in (88, 80, 70, 60):
        jpg = io.BytesIO()
        image.save(jpg, "JPEG", quality=quality, subsampling=0)
        if png.tell() <= min(jpg.tell(), LARGEST):
            return png.getvalue(), ".png"
        if jpg.tell() <= LARGEST:
            return jpg.getvalue(), ".jpg"
    raise ValueError(f"{jpg.tell()} bytes at the lowest quality, {LARGEST} allowed: draw {image.size} pixels smaller")


def source_file(function):
    return inspect.getsourcefile(inspect.unwrap(function))      # the tree for students wraps what is to be written


def module_path(file):
    """.../minixai/gradcam.py -> minixai/gradcam.py, wherever minixai is installed."""
    parts = Path(file).parts
    return "/".join(parts[len(parts) - 1 - parts[::-1].index("minixai"):])


def without_body(source):
    """The signature and docstring of a function, for readers who are to write the rest."""
    head, quotes, rest = source.partition('"""')
    docstring, closing, _ = rest.partition('"""')
    if not closing:
        return source.splitlines()[0] + "\n    ..."
    return f"{head}{quotes}{docstring}{closing}\n    ..."


def _stand_by(text, holds):
    """A sentence whose number has left it must not go on a page; a reader's own experiment may do that, and is told."""
    if not holds and listener:
        raise AssertionError(f"this run does not support: {text}")
    if not holds:
        print("(the numbers of this run are others, and the next sentence does not hold for them)")


def _say(kind, value, layout="{}"):
    if listener:
        listener(kind, value)
        return
    if kind == "read":
        value = "Read on: " + ", ".join(f"{name} in {path}" for name, path in value)
    text = claim_text(value) if kind == "claim" else value
    if "ipykernel" in sys.modules and kind != "quote":
        from IPython.display import Markdown, display
        display(Markdown(text))
    else:
        print(layout.format(text if kind == "quote" else textwrap.fill(text, 100)))


def _as_image(picture):
    if isinstance(picture, Image.Image):
        return picture.convert("RGB")
    if isinstance(picture, np.ndarray):
        return Image.fromarray(picture).convert("RGB")
    drawn = io.BytesIO()
    picture.savefig(drawn, format="png", bbox_inches="tight", pad_inches=0.06)
    return Image.open(drawn).convert("RGB")
