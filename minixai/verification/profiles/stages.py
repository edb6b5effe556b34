"""Stages that several libraries share: where they stop earlier than minixai, or finish a map another way.

Letters: h x w the coarse map, H x W the image. A batch passes through in front.
"""
from torch.nn import functional as F


def no_upsampling(coarse):
    """M1 stay at layer size: coarse (h,w) -> full (h,w)

    The map is handed out as it is, one number for each place of the layer; who wants a picture enlarges it.
    """
    return coarse


def no_relu(cam):
    """C4 keep the sign: cam (h,w) -> coarse (h,w)

    No ReLU: what speaks against the class stays, as negative numbers.
    """
    return cam


def no_normalisation(full):
    """M2 keep the values: full (H,W) -> heatmap (H,W)

    Not brought to [0,1]: the numbers are those of the formula, and can be compared between images.
    """
    return full


def divide_by_maximum(full):
    """M2 divide by the maximum: full (H,W) -> heatmap (H,W)

    The smallest value is not subtracted, so zero stays zero. A map without anything positive becomes zeros.
    """
    highest = full.amax(dim=(-2, -1), keepdim=True)
    return full / highest.masked_fill(highest <= 0, 1) * (highest > 0)


def upsample_nearest(coarse, size):
    """M1 repeat each cell: coarse (h,w), size -> full (H,W)

    Nearest neighbour: the blocks show how coarse the map is.
    """
    leading, (h, w) = coarse.shape[:-2], coarse.shape[-2:]
    return F.interpolate(coarse.reshape(-1, 1, h, w), size=tuple(size), mode="nearest").reshape(*leading, *size)
