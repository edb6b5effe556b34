"""M3 as libraries do it: how a heatmap becomes a picture in colours, with the photo under it or without.

Letters: H x W the image. One picture, no batch.
"""
from functools import partial
from typing import NamedTuple

import numpy as np

from minixai.compat import jet_of_opencv, show_cam_on_image
from minixai.heatmap import overlay


def over_the_largest(rgb, heatmap, alpha=0.5):
    """M3 OpenCV's jet, over the blend's maximum: rgb (H,W,3), heatmap (H,W) -> overlay (H,W,3)

    pytorch-grad-cam's show_cam_on_image. rgb: uint8 or floats in [0,1]; alpha: how much the colours count.
    """
    return show_cam_on_image(in_floats(rgb), np.asarray(heatmap), use_rgb=True, image_weight=1 - alpha)


def blended(rgb, heatmap, alpha=0.5):
    """M3 OpenCV's jet, blended: rgb (H,W,3), heatmap (H,W) -> overlay (H,W,3)"""
    colors = jet_of_opencv()[np.uint8(255 * np.asarray(heatmap))] / 255
    return (255 * ((1 - alpha) * in_floats(rgb) + alpha * colors)).round().astype(np.uint8)


def in_floats(rgb):
    """Pixels of 8 bits, or already in [0,1] -> floats in [0,1]."""
    rgb = np.asarray(rgb)
    return np.float32(rgb) / 255 if rgb.dtype == np.uint8 else rgb


class Colouring(NamedTuple):
    """One way to draw a heatmap."""
    name: str                   # fits behind a library's name and a comma
    draw: object                # a stage function of M3
    with_photo: bool = True


OVERLAY = Colouring("coloured as minixai.overlay does", overlay)
SHOW_CAM = Colouring("coloured as show_cam_on_image does", over_the_largest)
WITHOUT_PHOTO = (
    *(Colouring(f"coloured in matplotlib's {colors} without the photo", partial(overlay, alpha=1, colors=colors), False)
      for colors in ("turbo", "jet", "viridis")),
    Colouring("coloured in OpenCV's jet without the photo", partial(blended, alpha=1), False),
)
COLOURINGS = (OVERLAY, SHOW_CAM, *WITHOUT_PHOTO)
