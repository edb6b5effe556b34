"""The overlay of a folder run: what figures.on_photo draws, in 8 bits throughout, in a third of the time."""
from functools import cache

import numpy as np
from PIL import Image
from torch import Tensor

from minixai.heatmap import overlay
from minixai.images import Preprocess


def quick_overlay(photo: Image.Image, heatmap: Tensor, preprocess: Preprocess) -> Image.Image:
    """A PIL photo and the heatmap (H,W) of what was cut from it -> a PIL image of the photo's size.

    It differs from on_photo by at most 4 of 255 levels, where the colours change fastest.
    """
    seen = _onto_photo(Image.new("L", heatmap.shape[::-1], 255), photo.size, preprocess, Image.Resampling.NEAREST)
    picture = photo
    if heatmap.any():
        levels = Image.fromarray((255 * heatmap).round().byte().numpy())
        heat = _onto_photo(levels, photo.size, preprocess, Image.Resampling.BILINEAR)
        heat.putpalette(_palette())
        picture = Image.blend(photo, heat.convert("RGB"), 0.5)
    return Image.composite(picture, photo.point([level // 3 for level in range(256)] * 3), seen)


def _onto_photo(image, photo_size, preprocess, resampling):
    """As Preprocess.onto_photo, for 8 bits: 0 where the network did not look."""
    left, top, right, bottom = preprocess.box(photo_size)
    x, y = image.width / (right - left), image.height / (bottom - top)
    return image.transform(photo_size, Image.Transform.AFFINE, (x, 0, -left * x, 0, y, -top * y), resampling)


@cache
def _palette():
    """The colours of the levels 0 to 255, as PIL wants them."""
    black = np.zeros((1, 256, 3), np.uint8)
    return overlay(black, np.arange(256)[None] / 255, alpha=1.0).tobytes()
