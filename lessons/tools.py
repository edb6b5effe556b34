"""The functions with which a lesson shows pictures, code and results.

    show(figure, name, alt)     a picture: saved in minixai-out/lessons, displayed in a notebook, or put on the page
    quote(function, …)          the source of a library function
    seen(text, holds, read)     an observation, and whether this run's numbers support it
    claim(number, …)            the test of one of the article's claims: a row of the ledger

A lesson runs as a script, as a notebook, or under lessons/render.py, which sets `listener`.
"""
import inspect
import io
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
from contents import CLAIMS, VERDICTS
from matplotlib.figure import Figure
from PIL import Image

LARGEST = 150_000           # bytes of one picture
listener = None             # lessons/render.py sets it to a function of (kind, value)


def one_sentence(kind: type, problem: BaseException, trace: TracebackType | None) -> None:
    """Print a NotImplementedError without a traceback: in the tree for students it names a function to write."""
    if issubclass(kind, NotImplementedError):
        print(problem, file=sys.stderr)
    else:
        sys.__excepthook__(kind, problem, trace)


sys.excepthook = one_sentence


def show(picture: Figure | Image.Image | np.ndarray, name: str, alt: str) -> None:
    """Show a picture: a matplotlib Figure, a PIL image, or uint8 (H,W,3).

    name: its content, in words joined by `_`. alt: a description for readers who cannot see it.
    """
    image = _as_image(picture)
    if listener:
        listener("picture", (name, alt, image))
    elif "ipykernel" in sys.modules:
        from IPython.display import display  # every kernel has it
        display(image)
    else:
        data, suffix = encode(image)
        folder = Path("minixai-out") / "lessons" / Path(sys.argv[0]).stem
        folder.mkdir(parents=True, exist_ok=True)
        (folder / (name + suffix)).write_bytes(data)
        print(f"[picture {folder / name}{suffix}: {alt}]")


def quote(*functions: Callable) -> None:
    """Show the source of functions or classes of minixai."""
    for function in functions:
        where = source_file(function)
        source = textwrap.dedent(inspect.getsource(function))
        _say("quote", f"# {module_path(where)}\n{source.rstrip()}", "\n{}\n")


def seen(text: str, holds: bool, read: Callable | Sequence[Callable] = ()) -> None:
    """State an observation. text: with this run's numbers; holds: whether these numbers support it.

    read: functions of minixai to read on. AssertionError under lessons/render.py if `holds` is false.
    """
    functions = read if isinstance(read, (list, tuple)) else (read,)
    _stand_by(text, holds)
    _say("seen", text)
    if functions:
        _say("read", [(function.__name__, module_path(source_file(function))) for function in functions])


def claim(number: int, experiment: str, measured: str, verdict: str, reach: str, holds: bool) -> None:
    """State the result of a test of claim `number` in contents.CLAIMS.

    experiment: what was done; measured: the numbers; verdict: one of contents.VERDICTS; reach: the limits of the
    result; holds: whether this run's numbers support the verdict. Errors as in `seen`; ValueError for another verdict.
    """
    if verdict not in VERDICTS:
        raise ValueError(f"a verdict is one of {VERDICTS}, got {verdict!r}")
    section, says = CLAIMS[number]
    row = {"claim": number, "section": section, "says": says, "experiment": experiment, "measured": measured,
           "verdict": verdict, "reach": reach}
    _stand_by(f"claim {number}: {verdict} ({measured})", holds)
    _say("claim", row)


def claim_text(row: dict) -> str:
    """A row of the ledger as a paragraph."""
    return (f"**Claim {row['claim']}** ({row['section']}): {row['says']}. *Test:* {row['experiment']}. "
            f"*Measured:* {row['measured']}. *Verdict:* **{row['verdict']}**{_join(row)} {row['reach']}.")


def _join(row):
    return "" if row["verdict"].endswith("but") else ":"


def encode(image: Image.Image) -> tuple[bytes, str]:
    """PIL image -> (bytes, ".png" or ".jpg"), whichever is smaller. ValueError if it needs more than LARGEST bytes."""
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


def source_file(function: Callable) -> str:
    """The path of a function's source file."""
    return inspect.getsourcefile(inspect.unwrap(function))      # in the tree for students, functions are wrapped


def module_path(file: str) -> str:
    """.../minixai/gradcam.py -> minixai/gradcam.py, wherever minixai is installed."""
    parts = Path(file).parts
    return "/".join(parts[len(parts) - 1 - parts[::-1].index("minixai"):])


def _stand_by(text, holds):
    """Stop a page that this run's numbers do not support. In a reader's own experiment only print a warning."""
    if not holds and listener:
        raise AssertionError(f"this run does not support: {text}")
    if not holds:
        print("(this run has other numbers, and the next sentence does not hold for them)")


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
