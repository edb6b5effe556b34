"""Mistakes that students make in functions that are no stage of a recipe, and some more mistakes in stages.

The first line of a function's docstring names the mistake. Students read this name, so it is a few words that fit
behind "this is a known mistake:". The exercises use this table and that of minixai.verification.mistakes.

Letters: H x W the image, h x w the small map, K channels, r x c the squares of occlusion; ... may be a batch.
Overlays: rgb (...,H,W,3), heatmap (...,H,W) -> (...,H,W,3), of 8 bits. Energy: heatmap and mask (...,H,W) -> (...).
Occlusion: lost (...,r,c), rows (r,H), columns (c,W) -> (...,H,W). Stages: the shapes of the right function.
"""
from functools import partial

import numpy as np
import torch
from matplotlib import colormaps
from torch import Tensor

from minixai.attention import positive_evidence
from minixai.cams import activation_weighted_mean
from minixai.evaluation import energy_inside, spread_over_pixels
from minixai.gradcam import channel_weights, weighted_sum
from minixai.heatmap import overlay, upsample
from minixai.rollout import multiply_layers, one_layer
from minixai.verification.mistakes import Mistake
from minixai.verification.mistakes.attentions import LAYERS, ROW
from minixai.verification.mistakes.display import DRAW
from minixai.verification.mistakes.finish import ENLARGE


def weights_exchanged(rgb: np.ndarray, heatmap: np.ndarray, alpha: float) -> np.ndarray:
    """the two weights exchanged: alpha for the picture"""
    return _blend(rgb, heatmap, 1 - alpha)


def always_half(rgb: np.ndarray, heatmap: np.ndarray) -> np.ndarray:
    """0.5 whatever alpha is"""
    return _blend(rgb, heatmap, 0.5)


def the_heatmap_alone(rgb: np.ndarray, heatmap: np.ndarray) -> np.ndarray:
    """the heatmap alone, the picture does not show through"""
    return _blend(rgb, heatmap, 1)


def the_picture_alone(rgb: np.ndarray, heatmap: np.ndarray) -> np.ndarray:
    """the picture alone"""
    return _blend(rgb, heatmap, 0)


def added_and_cut(rgb: np.ndarray, heatmap: np.ndarray) -> np.ndarray:
    """added and cut at white"""
    return _eight_bits((rgb / 255 + _colour(heatmap)).clip(0, 1))


def over_the_largest(rgb: np.ndarray, heatmap: np.ndarray) -> np.ndarray:
    """added and divided by the largest value"""
    blend = rgb / 255 + _colour(heatmap)
    return _eight_bits(blend / blend.max(axis=(-3, -2, -1), keepdims=True))


def weighted_over_the_largest(rgb: np.ndarray, heatmap: np.ndarray, alpha: float) -> np.ndarray:
    """weighted, then divided by the largest value"""
    blend = (1 - alpha) * rgb / 255 + alpha * _colour(heatmap)
    return _eight_bits(blend / blend.max(axis=(-3, -2, -1), keepdims=True))


def jet(rgb: np.ndarray, heatmap: np.ndarray, alpha: float) -> np.ndarray:
    """the colours of jet in place of turbo"""
    return _blend(rgb, heatmap, alpha, "jet")


def viridis(rgb: np.ndarray, heatmap: np.ndarray, alpha: float) -> np.ndarray:
    """the colours of viridis in place of turbo"""
    return _blend(rgb, heatmap, alpha, "viridis")


def truncated(rgb: np.ndarray, heatmap: np.ndarray, alpha: float) -> np.ndarray:
    """truncated in place of rounded"""
    return (255 * ((1 - alpha) * rgb / 255 + alpha * _colour(heatmap))).astype(np.uint8)


def picture_of_255_wrapped(rgb: np.ndarray, heatmap: np.ndarray, alpha: float) -> np.ndarray:
    """the picture taken from 0 to 255, the colours from 0 to 1"""
    return (255 * ((1 - alpha) * rgb + alpha * _colour(heatmap))).round().astype(np.int64).astype(np.uint8)


def blend_of_0_to_1(rgb: np.ndarray, heatmap: np.ndarray, alpha: float) -> np.ndarray:
    """8 bits of numbers from 0 to 1, not multiplied by 255"""
    return ((1 - alpha) * rgb / 255 + alpha * _colour(heatmap)).round().astype(np.uint8)


def floats_taken_for_8_bits(rgb: np.ndarray, heatmap: np.ndarray, alpha: float = 0.5,
                            colors: str = "turbo") -> np.ndarray:
    """a picture of floats in [0,1] divided by 255"""
    return _blend(rgb, heatmap, alpha, colors)


def always_turbo(rgb: np.ndarray, heatmap: np.ndarray, alpha: float = 0.5) -> np.ndarray:
    """the colours of turbo, whatever colors says"""
    largest = 255 if rgb.dtype == np.uint8 else 1
    return _eight_bits((1 - alpha) * rgb / largest + alpha * _colour(heatmap))


def grey(rgb: np.ndarray, heatmap: np.ndarray, alpha: float) -> np.ndarray:
    """the heatmap in grey, without colours"""
    return _eight_bits((1 - alpha) * rgb / 255 + alpha * heatmap[..., None])


def faded_by_the_heatmap(rgb: np.ndarray, heatmap: np.ndarray, alpha: float) -> np.ndarray:
    """faded by the heatmap itself"""
    alpha = alpha * heatmap[..., None]
    return _eight_bits((1 - alpha) * rgb / 255 + alpha * _colour(heatmap))


def _blend(rgb, heatmap, alpha, colors="turbo"):
    return _eight_bits((1 - alpha) * rgb / 255 + alpha * _colour(heatmap, colors))


def _eight_bits(blend):
    return (255 * blend).round().astype(np.uint8)


def _colour(heatmap, colors="turbo"):
    return colormaps[colors](np.asarray(heatmap, float))[..., :3]


def energy(heatmap: Tensor, mask: Tensor) -> Tensor:
    """the sum inside, not divided by the sum of all"""
    return (heatmap * mask).sum(dim=(-2, -1))


def energy_outside(heatmap: Tensor, mask: Tensor) -> Tensor:
    """the share outside: the mask inverted"""
    return (heatmap * ~mask).sum(dim=(-2, -1)) / _sum(heatmap)


def mean_inside(heatmap: Tensor, mask: Tensor) -> Tensor:
    """divided by the pixels of the mask: a mean, not a share"""
    return (heatmap * mask).sum(dim=(-2, -1)) / mask.sum(dim=(-2, -1))


def mean_of_all(heatmap: Tensor, mask: Tensor) -> Tensor:
    """divided by the pixels of the picture: a mean, not a share"""
    return (heatmap * mask).mean(dim=(-2, -1))


def mean_inside_over_mean(heatmap: Tensor, mask: Tensor) -> Tensor:
    """the mean inside over the mean of all"""
    return mean_inside(heatmap, mask) / heatmap.mean(dim=(-2, -1))


def after_min_max(heatmap: Tensor, mask: Tensor) -> Tensor:
    """counted after min-max, which moves the zero"""
    lowest = heatmap.amin(dim=(-2, -1), keepdim=True)
    return (heatmap * mask - lowest * mask).sum(dim=(-2, -1)) / _sum(heatmap - lowest)


def pixels_above_half(heatmap: Tensor, mask: Tensor) -> Tensor:
    """pixels above a threshold counted in place of their values"""
    above = (heatmap > heatmap.amax(dim=(-2, -1), keepdim=True) / 2).float()
    return (above * mask).sum(dim=(-2, -1)) / _sum(above)


def squares(heatmap: Tensor, mask: Tensor) -> Tensor:
    """squares of the values"""
    return energy_inside(heatmap ** 2, mask)


def share_of_the_picture(heatmap: Tensor, mask: Tensor) -> Tensor:
    """the mask's share of the picture, the heatmap not used"""
    return mask.float().mean(dim=(-2, -1)) + 0 * heatmap[..., 0, 0]


def _sum(heatmap):
    total = heatmap.sum(dim=(-2, -1))
    return torch.where(total > 0, total, 1)


def sum_of_squares(lost: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """not divided by the number of squares that cover the pixel"""
    return rows.T @ lost @ columns


def over_all_squares(lost: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """divided by the number of all squares"""
    return rows.T @ lost @ columns / (lost.shape[-2] * lost.shape[-1])


def over_the_rows_alone(lost: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """divided by the cover of the rows alone"""
    return rows.T @ lost @ columns / rows.sum(dim=0)[:, None]


def over_the_columns_alone(lost: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """divided by the cover of the columns alone"""
    return rows.T @ lost @ columns / columns.sum(dim=0)


def sign_turned(lost: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """the sign turned"""
    return -spread_over_pixels(lost, rows, columns)


def largest(lost: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """the largest loss in place of the mean"""
    under = (rows.T[:, None, :, None] * columns.T[None, :, None, :]) > 0        # (H,W,r,c)
    return torch.where(under, lost[..., None, None, :, :], -torch.inf).amax(dim=(-2, -1))


def last_square_only(lost: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """the last square that covers the pixel, in place of the mean"""
    last = [side.shape[0] - 1 - side.flip(0).argmax(dim=0) for side in (rows, columns)]
    return lost[..., last[0], :][..., last[1]]


def first_square_only(lost: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """the first square that covers the pixel, in place of the mean"""
    return lost[..., rows.argmax(dim=0), :][..., columns.argmax(dim=0)]


def squares_upside_down(lost: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """the squares upside down"""
    return spread_over_pixels(lost.flip(-2), rows, columns)


def squares_mirrored(lost: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """the squares mirrored"""
    return spread_over_pixels(lost.flip(-1), rows, columns)


def positive_losses(lost: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """losses clamped at zero"""
    return spread_over_pixels(lost.clamp(min=0), rows, columns)


def rows_and_columns_exchanged(lost: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """rows and columns exchanged

    The result has the shape (W,H).
    """
    return spread_over_pixels(lost, rows, columns).transpose(-2, -1)


def without_weights(activations: Tensor) -> Tensor:
    """the maps added without their weights"""
    return activations.sum(dim=-3)


def mean_of_products(activations: Tensor, gradients: Tensor) -> Tensor:
    """divided by the number of places, not by the sum of the activations"""
    return (activations * gradients).mean(dim=(-2, -1), keepdim=True)


def positive_sum_of_heads(attention: Tensor, attention_gradients: Tensor) -> Tensor:
    """summed over the heads in place of the mean"""
    return (attention * attention_gradients).clamp(min=0).sum(dim=-3)


def nearest_below(coarse: Tensor, size: tuple[int, int]) -> Tensor:
    """nearest neighbour in place of bilinear

    This is the mode "nearest" of F.interpolate, which rounds down.
    """
    h, w = coarse.shape[-2:]
    rows, columns = ((torch.arange(many) * few) // many for few, many in ((h, size[0]), (w, size[1])))
    return coarse[..., rows, :][..., columns]


def from_the_first_layer_up(mixing: Tensor, layer: int) -> Tensor:
    """the lower layers multiplied from the first up

    The product of the last layer's row and the lower layers, in the wrong order.
    """
    cls_attention = mixing[..., layer, :1, :]
    for below in range(layer):
        cls_attention = cls_attention @ mixing[..., below, :, :]
    return cls_attention


ENERGY = "the sum inside the mask, divided by the sum of the whole map: evaluation.energy_inside"
SUM = "each map times its weight, then the sum: gradcam.weighted_sum"
SHARE = "divided by the sum of the channel's activations: cams.activation_weighted_mean"
HEADS = "the positive part in each head, then the mean: attention.positive_evidence"
COVER = "the mean of the squares that cover the pixel: evaluation.spread_over_pixels"


def _in_place_of(right, reread, mistakes, stage=""):
    """A Mistake for each function of the table, made in place of the function `right`.

    A function that is not from this file stands in the table as (name, function).
    """
    named = [one if isinstance(one, tuple) else (one.__doc__.partition("\n")[0], one) for one in mistakes]
    return [Mistake(stage, name, function, reread, (right,)) for name, function in named]


MISTAKES = [
    *_in_place_of(weighted_sum, SUM, [without_weights], "C3"),
    *_in_place_of(activation_weighted_mean, SHARE, [
        ("the mean of the gradients, as in Grad-CAM", channel_weights),
        mean_of_products,
    ], "C2"),
    *_in_place_of(positive_evidence, HEADS, [positive_sum_of_heads], "A2"),
    *_in_place_of(upsample, ENLARGE, [nearest_below], "M1"),
    *_in_place_of(one_layer, ROW, [("the last layer, whichever is asked for", partial(one_layer, layer=-1))],
                  "A4"),
    *_in_place_of(multiply_layers, LAYERS, [
        from_the_first_layer_up,
        ("from the last layer down, whichever is asked for", partial(multiply_layers, layer=-1)),
    ], "A4"),
    *_in_place_of(overlay, DRAW, [
        weights_exchanged,
        always_half,
        the_heatmap_alone,
        the_picture_alone,
        added_and_cut,
        over_the_largest,
        weighted_over_the_largest,
        jet,
        viridis,
        truncated,
        picture_of_255_wrapped,
        floats_taken_for_8_bits,
        always_turbo,
        blend_of_0_to_1,
        grey,
        faded_by_the_heatmap,
    ], "M3"),
    *_in_place_of(energy_inside, ENERGY, [
        energy,
        energy_outside,
        mean_inside,
        mean_of_all,
        mean_inside_over_mean,
        after_min_max,
        pixels_above_half,
        squares,
        share_of_the_picture,
    ]),
    *_in_place_of(spread_over_pixels, COVER, [
        sum_of_squares,
        over_all_squares,
        over_the_rows_alone,
        over_the_columns_alone,
        sign_turned,
        largest,
        last_square_only,
        first_square_only,
        squares_upside_down,
        squares_mirrored,
        positive_losses,
        rows_and_columns_exchanged,
    ]),
]
