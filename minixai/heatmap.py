"""M1 to M3: from a coarse map to a picture. The same three stages finish every method, for CNNs and ViTs alike.

Letters: h x w the coarse map, H x W the image. Leading dimensions (a batch) pass through.
"""
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


def upsample(coarse: Tensor, size: tuple[int, int]) -> Tensor:
    """M1 upsample: coarse (h,w), size -> full (H,W)

    Bilinear, with the corners of the outer cells on the corners of the image (align_corners=False): each cell of the
    map lies over its own share of the image. The smoothness that you see is made here; the network knew h x w cells.
    """
    leading, (h, w) = coarse.shape[:-2], coarse.shape[-2:]
    full = F.interpolate(coarse.reshape(-1, 1, h, w), size=tuple(size), mode="bilinear", align_corners=False)
    return full.reshape(*leading, *size)


def min_max(full: Tensor) -> Tensor:
    """M2 min-max: full (H,W) -> heatmap (H,W)

    To [0,1], each image by itself, so brightness cannot be compared between two heatmaps. A flat map has no brightest
    place: it becomes zeros rather than 0/0.
    """
    low, high = full.amin(dim=(-2, -1), keepdim=True), full.amax(dim=(-2, -1), keepdim=True)
    span = high - low
    # M1 leaves rounding errors on a flat map. They too must count as flat, or they would be blown up to [0,1].
    rounding = 16 * torch.finfo(full.dtype).eps
    flat = span / torch.maximum(low.abs(), high.abs()) <= rounding      # never true for NaN: it must stay visible
    return torch.where(flat, 0, (full - low) / torch.where(span > 0, span, 1))


def overlay(rgb: np.ndarray, heatmap: Tensor | np.ndarray, alpha: float = 0.5, colors: str = "turbo") -> np.ndarray:
    """M3 overlay: rgb (H,W,3), heatmap (H,W) -> overlay (H,W,3)

    The heatmap in colour, laid over the picture: (1 - alpha) * rgb + alpha * color. Blue is 0, red is 1.
    rgb: uint8 or floats in [0,1]; heatmap: floats in [0,1]; colors: a colour map of matplotlib; returns uint8, rounded.
    ValueError if sizes or ranges do not fit; in the exercise they always do.
    """
    from matplotlib import colormaps  # late: a program that draws nothing need not wait for matplotlib
    rgb, heatmap = _array(rgb), _array(heatmap)
    _check_overlay(rgb, heatmap, alpha)
    picture = rgb / 255 if rgb.dtype == np.uint8 else rgb
    color = colormaps[colors](heatmap.astype(float))[..., :3]   # matplotlib takes integers for rows of its table
    blend = (1 - alpha) * picture + alpha * color
    return (255 * blend).round().astype(np.uint8)


def _check_overlay(rgb, heatmap, alpha):
    if rgb.shape != (*heatmap.shape, 3):
        raise ValueError(f"a heatmap of shape {heatmap.shape} needs a picture of shape {(*heatmap.shape, 3)}, got "
                         f"{rgb.shape}; M1 (upsample) brings a heatmap to a picture's size")
    for name, values in (("picture", rgb if rgb.dtype != np.uint8 else rgb / 255), ("heatmap", heatmap)):
        if not (values.min() >= 0 and values.max() <= 1):
            raise ValueError(f"the {name}'s values must lie in [0,1], got {values.min():.3g} to {values.max():.3g}")
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha must lie in [0,1], got {alpha}")


def _array(values):
    return values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)
