"""A brush for backgrounds, which measures in fractions of the picture."""
import numpy as np
from PIL import Image, ImageDraw

OVERSAMPLE = 2


class Brush:
    """A picture under construction; all lengths are fractions of its side."""

    def __init__(self, size):
        self.side = size * OVERSAMPLE
        self.image = Image.new("RGB", (self.side, self.side))
        self.pen = ImageDraw.Draw(self.image)

    def fill(self, colour, *points):
        flat = (np.array(points, float) * self.side).ravel().tolist()
        self.pen.polygon(flat, fill=_paint(colour))

    def box(self, colour, left, top, right, bottom):
        self.fill(colour, (left, top), (right, top), (right, bottom), (left, bottom))

    def disc(self, colour, x, y, rx, ry=None):
        ry = rx if ry is None else ry
        self.pen.ellipse([v * self.side for v in (x - rx, y - ry, x + rx, y + ry)], fill=_paint(colour))

    def line(self, colour, width, *points):
        flat = (np.array(points, float) * self.side).ravel().tolist()
        self.pen.line(flat, fill=_paint(colour), width=max(1, round(width * self.side)))

    def fade(self, upper, lower, top, bottom):
        """Vertical gradient over the whole width."""
        first, last = round(top * self.side), round(bottom * self.side)
        ramp = np.linspace(0, 1, max(last - first, 1))[:, None]
        column = np.clip(np.asarray(upper) * (1 - ramp) + np.asarray(lower) * ramp, 0, 255).astype(np.uint8)
        self.image.paste(Image.fromarray(column[:, None]).resize((self.side, len(column))), (0, first))


def _paint(colour):
    return tuple(map(int, colour))    # the pen clips to 0..255 itself
