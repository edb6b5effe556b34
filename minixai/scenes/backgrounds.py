"""Four places.  Each has a horizon in its upper part, clutter along it, and varies in colour and light."""
import numpy as np
from PIL import Image

from .brush import OVERSAMPLE, Brush
from .indoors import room
from .outdoors import beach, grass, snow

BACKGROUNDS = ("room", "beach", "snow", "grass")     # in the order of CLASSES: who is at home where
DRAW = {"room": room, "beach": beach, "snow": snow, "grass": grass}


def _mottle(rng, picture, top, cells, strength):
    """Smooth brightness noise below `top`: grass, sand and snow are never one flat colour."""
    size = len(picture)
    first = round(top * size)
    grid = Image.fromarray(rng.integers(0, 256, (cells, cells)).astype(np.uint8))
    smooth = np.asarray(grid.resize((size, size), Image.Resampling.BICUBIC), np.float32)[first:, :, None]
    picture[first:] = np.clip(picture[first:] * (1 + strength * (smooth / 127.5 - 1)), 0, 255)
    return picture


def paint_background(rng, size, kind):
    """A place of this kind, uint8 (size,size,3)."""
    brush = Brush(size)
    top, cells, strength = DRAW[kind](brush, rng)
    picture = np.asarray(brush.image.reduce(OVERSAMPLE), np.float32)
    picture = _mottle(rng, picture.copy(), top, cells, strength)
    light = rng.uniform(.86, 1.03) * rng.uniform(.97, 1.03, 3).astype(np.float32)
    return np.clip(picture * light, 0, 255).astype(np.uint8)
