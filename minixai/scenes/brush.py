"""A brush that draws backgrounds. All lengths are fractions of the picture's side."""
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

OVERSAMPLE = 2
Colour = Sequence[float] | np.ndarray       # red, green, blue, from 0 to 255; values outside are clipped


class Ground(NamedTuple):
    """The ground of a background: where it begins, and the noise in its brightness."""
    top: float          # as a fraction of the picture
    cells: int          # of the noise, along each side of the picture
    strength: float     # largest relative change of brightness


class Brush:
    """A square picture in progress."""

    def __init__(self, size: int):
        self.side = size * OVERSAMPLE
        self.image = Image.new("RGB", (self.side, self.side))
        self.pen = ImageDraw.Draw(self.image)

    def fill(self, colour: Colour, *points: tuple[float, float]) -> None:
        """Draw a filled polygon with the corners (x, y)."""
        flat = (np.array(points, float) * self.side).ravel().tolist()
        self.pen.polygon(flat, fill=_paint(colour))

    def box(self, colour: Colour, left: float, top: float, right: float, bottom: float) -> None:
        """Draw a filled rectangle."""
        self.fill(colour, (left, top), (right, top), (right, bottom), (left, bottom))

    def disc(self, colour: Colour, x: float, y: float, rx: float, ry: float | None = None) -> None:
        """Draw a filled ellipse, or a circle without `ry`."""
        ry = rx if ry is None else ry
        self.pen.ellipse([v * self.side for v in (x - rx, y - ry, x + rx, y + ry)], fill=_paint(colour))

    def line(self, colour: Colour, width: float, *points: tuple[float, float]) -> None:
        """Draw a line through the points (x, y)."""
        flat = (np.array(points, float) * self.side).ravel().tolist()
        self.pen.line(flat, fill=_paint(colour), width=max(1, round(width * self.side)))

    def fade(self, upper: Colour, lower: Colour, top: float, bottom: float) -> None:
        """Draw a vertical colour gradient over the whole width, from `upper` at `top` to `lower` at `bottom`."""
        first, last = round(top * self.side), round(bottom * self.side)
        ramp = np.linspace(0, 1, max(last - first, 1))[:, None]
        column = np.clip(np.asarray(upper) * (1 - ramp) + np.asarray(lower) * ramp, 0, 255).astype(np.uint8)
        self.image.paste(Image.fromarray(column[:, None]).resize((self.side, len(column))), (0, first))


def _paint(colour):
    return tuple(map(int, colour))    # PIL clips to 0..255
