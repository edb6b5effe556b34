"""M3 done wrong: the heatmap is right, its picture is not. Each function's first line says what it does.

Letters: H x W the image. One picture, no batch. draw: the function that draws it right; alpha: the weight of the
colours, None for that of `draw`.
"""
from functools import partial

import numpy as np

from minixai.heatmap import overlay
from minixai.verification.colormaps import COLOURINGS, OVERLAY, SHOW_CAM, blended, in_floats
from minixai.verification.mistakes import Mistake


def red_and_blue_exchanged(rgb, heatmap, alpha=None, draw=overlay) -> np.ndarray:
    """M3 red and blue exchanged: rgb (H,W,3), heatmap (H,W) -> overlay (H,W,3)"""
    return _drawn(draw, rgb, heatmap, alpha)[..., ::-1]


def colours_exchanged(rgb, heatmap, alpha=None, draw=overlay) -> np.ndarray:
    """M3 red and blue of the colours exchanged: rgb (H,W,3), heatmap (H,W) -> overlay (H,W,3)

    The photo is in the order red, green, blue; the colours are in OpenCV's.
    """
    return _drawn(draw, np.asarray(rgb)[..., ::-1], heatmap, alpha)[..., ::-1]


def photo_exchanged(rgb, heatmap, alpha=None, draw=overlay) -> np.ndarray:
    """M3 red and blue of the photo exchanged: rgb (H,W,3), heatmap (H,W) -> overlay (H,W,3)"""
    return _drawn(draw, np.asarray(rgb)[..., ::-1], heatmap, alpha)


def inverted(rgb, heatmap, alpha=None, draw=overlay) -> np.ndarray:
    """M3 heatmap inverted: rgb (H,W,3), heatmap (H,W) -> overlay (H,W,3)"""
    return _drawn(draw, rgb, 1 - np.asarray(heatmap), alpha)


def _drawn(draw, rgb, heatmap, alpha):
    return draw(rgb, heatmap) if alpha is None else draw(rgb, heatmap, alpha=alpha)


def other_jet(rgb, heatmap) -> np.ndarray:
    """M3 matplotlib's jet, over the blend's maximum: rgb (H,W,3), heatmap (H,W) -> overlay (H,W,3)"""
    from matplotlib import colormaps  # late: a program that draws nothing need not wait for matplotlib
    colors = colormaps["jet"](np.asarray(heatmap, dtype=float))[..., :3]
    blend = 0.5 * in_floats(rgb) + 0.5 * colors
    return np.uint8(255 * (blend / blend.max()))


DRAW = "(1 - alpha) of the picture, alpha of the colour, rounded to 8 bits: heatmap.overlay"
AS_THERE = "the colours, their weight, and the division by the largest value: compat.show_cam_on_image"
ORDER = "red, green, blue: heatmap.overlay; OpenCV's arrays begin with blue"


def _of(colouring):
    """The mistakes that can be made with one colouring."""
    made = [("red and blue exchanged (BGR)", red_and_blue_exchanged, ORDER), ("the heatmap inverted", inverted, DRAW)]
    if colouring.with_photo:
        made += [("red and blue of the colours exchanged, not of the photo", colours_exchanged, ORDER),
                 ("red and blue of the photo exchanged, not of the colours", photo_exchanged, ORDER)]
    return [Mistake("M3", name, partial(function, draw=colouring.draw), reread, (colouring.draw,))
            for name, function, reread in made]


def _weights(colouring, reread):
    """The colours weigh more or less than the usual half."""
    return [Mistake("M3", f"the colours count {alpha}, the photo {round(1 - alpha, 1)} (the usual is half and half)",
                    partial(colouring.draw, alpha=alpha), reread, (colouring.draw,)) for alpha in (0.3, 0.4, 0.6, 0.7)]


MISTAKES = [
    *(mistake for colouring in COLOURINGS for mistake in _of(colouring)),
    *_weights(OVERLAY, DRAW), *_weights(SHOW_CAM, AS_THERE),
    Mistake("M3", "not divided by the blend's maximum", blended, AS_THERE, (SHOW_CAM.draw,)),
    Mistake("M3", "matplotlib's jet in place of OpenCV's", other_jet, AS_THERE, (SHOW_CAM.draw,)),
]
