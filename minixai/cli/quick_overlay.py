"""The overlay of a folder run: what figures.on_photo draws, in 8 bits throughout, in a tenth of the time."""
import math
from functools import cache

import numpy as np
from PIL import Image

from minixai.heatmap import overlay
from minixai.images import Preprocess


def quick_overlay(photo: Image.Image, heatmap: np.ndarray, preprocess: Preprocess) -> Image.Image:
    """A PIL photo and the heatmap (H,W) of what was cut from it -> a PIL image of the photo's size.

    The heatmap is off by at most half a pixel of the photo: its edges are rounded to whole pixels.
    """
    left, top, right, bottom = preprocess.box(photo.size)
    left, top = math.ceil(left - 0.5), math.ceil(top - 0.5)             # the pixels whose centres are in the box
    right, bottom = math.floor(right + 0.5), math.floor(bottom + 0.5)
    picture = photo.point([level // 3 for level in range(256)] * 3)
    seen = photo.crop((left, top, right, bottom))
    if heatmap.any():
        levels = Image.fromarray(np.rint(255 * heatmap).astype(np.uint8))
        levels = levels.resize((right - left, bottom - top), Image.Resampling.BILINEAR)
        levels.putpalette(_palette())
        seen = Image.blend(seen, levels.convert("RGB"), 0.5)
    picture.paste(seen, (left, top))
    return picture


@cache
def _palette():
    """The colours of the levels 0 to 255, as PIL wants them."""
    black = np.zeros((1, 256, 3), np.uint8)
    return overlay(black, np.arange(256)[None] / 255, alpha=1.0).tobytes()
