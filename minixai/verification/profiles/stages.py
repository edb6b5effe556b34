"""Stages that several libraries, or a library and a mistake, share.

Letters: h x w the coarse map, H x W the image, L layers, T tokens. A batch passes through in front.
"""
import torch
from torch import Tensor
from torch.nn import functional as F

from minixai.attention import multiply_layers
from minixai.cams.gradient import not_zero


def no_upsampling(coarse: Tensor) -> Tensor:
    """M1 no upsampling: coarse (h,w) -> full (h,w)

    The map stays at layer size, one number for each position.
    """
    return coarse


def no_relu(cam: Tensor) -> Tensor:
    """C4 no ReLU: cam (h,w) -> coarse (h,w)

    Evidence against the class stays, as negative numbers.
    """
    return cam


def no_normalisation(full: Tensor) -> Tensor:
    """M2 no normalisation: full (H,W) -> heatmap (H,W)

    The numbers are those of the formula, and can be compared between images.
    """
    return full


def divide_by_maximum(full: Tensor) -> Tensor:
    """M2 divide by the maximum: full (H,W) -> heatmap (H,W)

    The smallest value is not subtracted, so zero stays zero. A map of zeros stays zeros.
    """
    return full / not_zero(full.amax(dim=(-2, -1), keepdim=True))


def min_max_over_batch(full: Tensor) -> Tensor:
    """M2 min-max over the whole batch: full (H,W) -> heatmap (H,W)

    One minimum and one maximum for all images, so that a weak map is dark beside a strong one.
    """
    low, high = full.min(), full.max()
    return (full - low) / not_zero(high - low)


def upsample_nearest(coarse: Tensor, size: tuple[int, int]) -> Tensor:
    """M1 nearest neighbour: coarse (h,w), size -> full (H,W)

    mode="nearest" of torch, which rounds down where the sizes do not divide.
    """
    return resized(coarse, size, mode="nearest")


def resized(coarse: Tensor, size: tuple[int, int], **options) -> Tensor:
    """F.interpolate with these options on a map with any leading dimensions: coarse (h,w) -> (H,W)."""
    leading, (h, w) = coarse.shape[:-2], coarse.shape[-2:]
    return F.interpolate(coarse.reshape(-1, 1, h, w), size=tuple(size), **options).reshape(*leading, *size)


def half_skip_columns_normalised(fused: Tensor) -> Tensor:
    """A3 half skip, columns divided by the sums of rows: fused (L,T,T) -> mixing (L,T,T)

    `a / a.sum(-1)` without keepdim divides column j by the sum of row j. No effect where all rows sum to one, as those
    of the heads' mean do.
    """
    mixing = torch.lerp(fused, torch.eye(fused.shape[-1], dtype=fused.dtype, device=fused.device), 0.5)
    return mixing / mixing.sum(dim=-1)[..., None, :]


def multiply_layers_from_second(mixing: Tensor, layer: int) -> Tensor:
    """A4 multiply down to the second layer: mixing (L,T,T), layer -> cls_attention (1,T)

    The first layer is left out, so the map is of tokens behind the first block. ValueError for the first layer.
    """
    if layer % mixing.shape[-3] < 1:
        raise ValueError("a rollout from the second layer on needs two layers or more")
    return multiply_layers(mixing[..., 1:, :, :], layer % mixing.shape[-3] - 1)
