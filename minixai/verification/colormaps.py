"""M3 as libraries do it: how a heatmap becomes a picture in colours, with the photo under it or without.

Letters: H x W the image. One picture, no batch.
"""
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from minixai.heatmap import overlay

COLORMAP_JET = 2        # the number of cv2.COLORMAP_JET


def show_cam_on_image(img: np.ndarray, mask: np.ndarray, use_rgb: bool = False, colormap: int = COLORMAP_JET,
                      image_weight: float = 0.5) -> np.ndarray:
    """A heatmap laid over a picture: img (H,W,3) floats in [0,1], mask (H,W) in [0,1] -> uint8 (H,W,3).

    use_rgb: set it if img is in the order red, green, blue; otherwise the colours come as blue, green, red.
    image_weight: the weight of the picture, before the blend is divided by its largest value. ValueError for colours
    other than OpenCV's JET, and for values or sizes that do not fit.
    """
    img, mask = np.asarray(img), np.asarray(mask)
    if colormap != COLORMAP_JET:
        raise ValueError(f"only OpenCV's JET ({COLORMAP_JET}) is drawn here, got {colormap}; minixai.overlay draws in "
                         "any of matplotlib's colours")
    if img.dtype == np.uint8 or not (img.min() >= 0 and img.max() <= 1):
        raise ValueError(f"img has to be floats in [0,1], got {img.dtype} from {img.min()} to {img.max()}")
    if img.shape != (*mask.shape, 3) or not (mask.min() >= 0 and mask.max() <= 1):
        raise ValueError(f"mask {mask.shape} has to be as large as img {img.shape}, with values in [0,1]")
    if not 0 <= image_weight <= 1:
        raise ValueError(f"image_weight has to lie in [0,1], got {image_weight}")
    colors = jet_of_opencv()[np.uint8(255 * mask)]
    heat = np.float32(colors if use_rgb else colors[..., ::-1]) / 255
    blend = (1 - image_weight) * heat + image_weight * img
    return np.uint8(255 * (blend / np.max(blend)))


def jet_of_opencv() -> np.ndarray:
    """OpenCV's colour table JET, uint8 (256,3), red green blue: three ramps of slope 4, cut off at 0 and 255.

    matplotlib's table of the same name differs from it by up to 33.
    """
    i = np.arange(256)
    red, green, blue = (4 * i - 382, 1148 - 4 * i), (4 * i - 128, 892 - 4 * i), (4 * i + 128, 638 - 4 * i)
    table = np.stack([np.minimum(*ramps).clip(0, 255) for ramps in (red, green, blue)], axis=-1).astype(np.uint8)
    table[159, 2] = 1       # 2 by the ramp; OpenCV rounds this one entry down
    return table


def over_the_largest(rgb: np.ndarray, heatmap: np.ndarray, alpha: float = 0.5) -> np.ndarray:
    """M3 OpenCV's jet, over the blend's maximum: rgb (H,W,3), heatmap (H,W) -> overlay (H,W,3)

    pytorch-grad-cam's show_cam_on_image. rgb: uint8 or floats in [0,1]; alpha: the weight of the colours.
    """
    return show_cam_on_image(in_floats(rgb), np.asarray(heatmap), use_rgb=True, image_weight=1 - alpha)


def blended(rgb: np.ndarray, heatmap: np.ndarray, alpha: float = 0.5) -> np.ndarray:
    """M3 OpenCV's jet, blended: rgb (H,W,3), heatmap (H,W) -> overlay (H,W,3)"""
    colors = jet_of_opencv()[np.uint8(255 * np.asarray(heatmap))] / 255
    return (255 * ((1 - alpha) * in_floats(rgb) + alpha * colors)).round().astype(np.uint8)


def in_floats(rgb: np.ndarray) -> np.ndarray:
    """Pixels of 8 bits, or already in [0,1] -> floats in [0,1]."""
    rgb = np.asarray(rgb)
    return np.float32(rgb) / 255 if rgb.dtype == np.uint8 else rgb


class Colouring(NamedTuple):
    """One way to draw a heatmap in colours."""
    name: str                   # what a verdict adds to a profile's name, behind a comma
    draw: Callable              # a stage function of M3
    with_photo: bool = True


OVERLAY = Colouring("coloured as minixai.overlay does", overlay)
SHOW_CAM = Colouring("coloured as show_cam_on_image does", over_the_largest)
WITHOUT_PHOTO = (
    *(Colouring(f"coloured in matplotlib's {colors} without the photo", partial(overlay, alpha=1, colors=colors), False)
      for colors in ("turbo", "jet", "viridis")),
    Colouring("coloured in OpenCV's jet without the photo", partial(blended, alpha=1), False),
)
COLOURINGS = (OVERLAY, SHOW_CAM, *WITHOUT_PHOTO)
