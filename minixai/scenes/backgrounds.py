"""Four backgrounds. Each has a horizon in the upper half with objects along it, and varies in colour and light."""
import numpy as np
from PIL import Image

from .brush import OVERSAMPLE, Brush
from .indoors import room
from .outdoors import beach, grass, snow

BACKGROUNDS = ("room", "beach", "snow", "grass")     # in the order of CLASSES: the home of each class
DRAW = {"room": room, "beach": beach, "snow": snow, "grass": grass}


def _mottle(rng, picture, top, cells, strength):
    """Add smooth noise to the brightness below `top`, so that grass, sand and snow are not flat."""
    size = len(picture)
    first = round(top * size)
    grid = Image.fromarray(rng.integers(0, 256, (cells, cells)).astype(np.uint8))
    smooth = np.asarray(grid.resize((size, size), Image.Resampling.BICUBIC), np.float32)[first:, :, None]
    picture[first:] = np.clip(picture[first:] * (1 + strength * (smooth / 127.5 - 1)), 0, 255)
    return picture


def paint_background(rng: np.random.Generator, size: int, kind: str) -> np.ndarray:
    """A random background, uint8 (size,size,3). kind: a name from BACKGROUNDS."""
    brush = Brush(size)
    top, cells, strength = DRAW[kind](brush, rng)
    picture = np.asarray(brush.image.reduce(OVERSAMPLE), np.float32)
    picture = _mottle(rng, picture.copy(), top, cells, strength)
    light = rng.uniform(.86, 1.03) * rng.uniform(.97, 1.03, 3).astype(np.float32)
    return np.clip(picture * light, 0, 255).astype(np.uint8)
