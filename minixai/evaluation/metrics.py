"""Heatmaps compared with masks, and with each other. No network is needed.

A heatmap is (H,W) with any leading dimensions, such as the (B,H,W) of `explain`, and gets one number. A mask is bool of
the same size, True on the object. Both may be tensors or numpy arrays. ValueError if two sizes differ, if a mask is
empty or not bool, or for NaN or infinity.
"""
import math

import torch
from torch import Tensor

from minixai.evaluation.masking import as_map

TIE = 1e-5              # as a share of the highest value: closer values tie


def peak(heatmap: Tensor) -> Tensor:
    """Row and column of the highest pixel: heatmap (H,W) -> int64 (2,), the first in reading order if several tie."""
    heatmap = as_map(heatmap)
    highest = _first_of_the_highest(heatmap)
    return torch.stack([highest // heatmap.shape[-1], highest % heatmap.shape[-1]], dim=-1)


def points_at(heatmap: Tensor, mask: Tensor) -> Tensor:
    """Pointing game, true if the highest pixel is on the object: heatmap (H,W), mask (H,W) -> bool ()

    Zhang et al. 2016 (https://arxiv.org/abs/1608.00507), without the margin that the paper allows around the object.
    A flat map counts as a miss. Chance: the mask's share of the image (mask.mean()) for a random pixel, and more for
    the centre of the image, since most objects are there.
    """
    heatmap, mask = _with_mask(heatmap, mask)
    highest = _first_of_the_highest(heatmap)[..., None]
    return mask.flatten(-2).gather(-1, highest)[..., 0] & ~_flat(heatmap)


def energy_inside(heatmap: Tensor, mask: Tensor) -> Tensor:
    """The share of the heatmap's sum on the object: heatmap (H,W) >= 0, mask (H,W) -> () in [0,1]

    The energy-based pointing game of Wang et al. 2020 (Score-CAM, https://arxiv.org/abs/1910.01279). Chance: the mask's
    share of the image, for a flat map. A map of zeros scores 0. Use the map before min-max (step "M1"), since min-max
    subtracts the minimum and so changes the shares. ValueError for negative values: clamp(min=0) first; in the exercise
    there are none.
    """
    heatmap, mask = _with_mask(heatmap, mask)
    if heatmap.min() < 0:
        raise ValueError(f"energy is counted from zero, and this heatmap goes down to {heatmap.min():.3g}; "
                         "keep what speaks for the class: heatmap.clamp(min=0)")
    total = heatmap.sum(dim=(-2, -1))
    return (heatmap * mask).sum(dim=(-2, -1)) / torch.where(total > 0, total, 1)


def correlation(one: Tensor, other: Tensor) -> Tensor:
    """Pearson's correlation of two maps: one (H,W), other (H,W) -> () in [-1,1]; NaN where a map is flat."""
    one, other = _pair(one, other)
    return _correlation(one.flatten(-2).double(), other.flatten(-2).double()).float()


def rank_correlation(one: Tensor, other: Tensor) -> Tensor:
    """Spearman's rank correlation of two maps: one (H,W), other (H,W) -> () in [-1,1]; NaN where a map is flat.

    Only the order of the pixels counts, so M2 (min-max) changes nothing. Ties get the mean of their ranks. After a
    ReLU most pixels tie at zero, and two such maps correlate where both are zero.
    """
    one, other = _pair(one, other)
    return _correlation(_mean_ranks(one.flatten(-2)), _mean_ranks(other.flatten(-2))).float()


def top_overlap(one: Tensor, other: Tensor, share: float = 0.1) -> Tensor:
    """Intersection over union of the highest share of two maps: one (H,W), other (H,W) -> () in [0,1]

    Pixels that tie with the lowest of the share are included. Pixels at the map's minimum never are: after a ReLU they
    hold no evidence, and two maps do not agree because both are zero there. NaN where a map is flat. Chance for two
    independent maps: share / (2 - share). ValueError for a share outside (0,1).
    """
    if not 0 < share < 1:
        raise ValueError(f"share is a part of the map, more than 0 and less than 1; got {share}")
    one, other = (_highest(heatmap.flatten(-2), share) for heatmap in _pair(one, other))
    union = (one | other).sum(dim=-1)
    both_have_a_top = one.any(dim=-1) & other.any(dim=-1)
    return torch.where(both_have_a_top, (one & other).sum(dim=-1) / union, torch.nan)


def entropy(attention: Tensor) -> Tensor:
    """Shannon entropy of a map: attention (h,w) >= 0 -> () in bits; NaN for a map of zeros.

    The map is divided by its sum. 2 ** entropy is the effective number of cells: 0 bits is one cell, log2(h·w) bits is
    a uniform map. ValueError for negative values.
    """
    attention = as_map(attention)
    if attention.min() < 0:
        raise ValueError(f"entropy needs shares, and this map goes down to {attention.min():.3g}; "
                         "attention is never negative, a heatmap is not after clamp(min=0)")
    shares = attention / attention.sum(dim=(-2, -1), keepdim=True)
    return torch.special.entr(shares).sum(dim=(-2, -1)) / math.log(2)


def _correlation(one, other):
    """Pearson's correlation along the last dimension, in double precision; NaN where one is constant."""
    flat = (one.amax(dim=-1) == one.amin(dim=-1)) | (other.amax(dim=-1) == other.amin(dim=-1))
    one, other = (values - values.mean(dim=-1, keepdim=True) for values in (one, other))
    together = (one * other).sum(dim=-1)
    alone = one.square().sum(dim=-1).sqrt() * other.square().sum(dim=-1).sqrt()
    return torch.where(flat, torch.nan, together / alone)


def _mean_ranks(values):
    """The rank of each number along the last dimension, from 0; those that tie share the mean of their ranks."""
    ordered = values.sort(dim=-1).values
    smaller = torch.searchsorted(ordered, values)
    up_to_it = torch.searchsorted(ordered, values, right=True)
    return (smaller + up_to_it - 1).double() / 2


def _highest(values, share):
    """bool, along the last dimension: the highest share with its ties, without the lowest value."""
    count = max(1, round(share * values.shape[-1]))
    last = values.topk(count, dim=-1).values[..., -1:]
    return (values >= last) & (values > values.amin(dim=-1, keepdim=True))


def _first_of_the_highest(heatmap):
    """The first of the highest pixels in reading order, up to TIE.

    An upsampled map repeats its outermost cells, so many pixels tie, and rounding differs between processors.
    """
    values = heatmap.flatten(-2)
    top = values.amax(dim=-1, keepdim=True)
    return (values >= top - TIE * top.abs()).byte().argmax(dim=-1)


def _flat(heatmap):
    return heatmap.amax(dim=(-2, -1)) == heatmap.amin(dim=(-2, -1))


def _with_mask(heatmap, mask):
    heatmap, mask = as_map(heatmap), torch.as_tensor(mask)
    if mask.dtype != torch.bool:
        raise ValueError(f"a mask is boolean, True on the object; got {mask.dtype}")
    if mask.shape[-2:] != heatmap.shape[-2:]:
        raise ValueError(f"a heatmap of {_size(heatmap)} and a mask of {_size(mask)} do not lie over one another; "
                         "M1 (upsample) brings a heatmap to a picture's size")
    if not mask.flatten(-2).any(dim=-1).all():
        raise ValueError("a mask is empty: there is nothing to find in that picture; leave it out")
    return _broadcast(heatmap, mask.to(heatmap.device))


def _pair(one, other):
    one, other = as_map(one), as_map(other)
    if one.shape[-2:] != other.shape[-2:]:
        raise ValueError(f"maps of {_size(one)} and {_size(other)} cannot be compared pixel by pixel; "
                         "M1 (upsample) brings both to one size")
    return _broadcast(one, other.to(one.device))


def _broadcast(one, other):
    try:
        one, other = torch.broadcast_tensors(one, other)
    except RuntimeError:
        raise ValueError(f"as many of one as of the other: {tuple(one.shape)} and {tuple(other.shape)} "
                         "do not belong together") from None
    return one.contiguous(), other.contiguous()


def _size(maps):
    return "x".join(str(side) for side in maps.shape[-2:])
