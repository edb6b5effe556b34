"""Mistakes that students make in functions that are no stage of a recipe, and some more mistakes in stages.

The table at the end says what each function does wrong. It has the same form as that of minixai.verification.mistakes,
and the exercises use both.
"""
from functools import partial

import numpy as np
import torch
from matplotlib import colormaps

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


def weights_exchanged(rgb, heatmap, alpha):
    return _blend(rgb, heatmap, 1 - alpha)


def always_half(rgb, heatmap):
    return _blend(rgb, heatmap, 0.5)


def the_heatmap_alone(rgb, heatmap):
    return _blend(rgb, heatmap, 1)


def the_picture_alone(rgb, heatmap):
    return _blend(rgb, heatmap, 0)


def added_and_cut(rgb, heatmap):
    return _eight_bits((rgb / 255 + _colour(heatmap)).clip(0, 1))


def over_the_largest(rgb, heatmap):
    blend = rgb / 255 + _colour(heatmap)
    return _eight_bits(blend / blend.max(axis=(-3, -2, -1), keepdims=True))


def weighted_over_the_largest(rgb, heatmap, alpha):
    blend = (1 - alpha) * rgb / 255 + alpha * _colour(heatmap)
    return _eight_bits(blend / blend.max(axis=(-3, -2, -1), keepdims=True))


def jet(rgb, heatmap, alpha):
    return _blend(rgb, heatmap, alpha, "jet")


def viridis(rgb, heatmap, alpha):
    return _blend(rgb, heatmap, alpha, "viridis")


def truncated(rgb, heatmap, alpha):
    return (255 * ((1 - alpha) * rgb / 255 + alpha * _colour(heatmap))).astype(np.uint8)


def picture_of_255_wrapped(rgb, heatmap, alpha):
    return (255 * ((1 - alpha) * rgb + alpha * _colour(heatmap))).round().astype(np.int64).astype(np.uint8)


def blend_of_0_to_1(rgb, heatmap, alpha):
    return ((1 - alpha) * rgb / 255 + alpha * _colour(heatmap)).round().astype(np.uint8)


def floats_taken_for_8_bits(rgb, heatmap, alpha=0.5, colors="turbo"):
    return _blend(rgb, heatmap, alpha, colors)


def always_turbo(rgb, heatmap, alpha=0.5):
    largest = 255 if rgb.dtype == np.uint8 else 1
    return _eight_bits((1 - alpha) * rgb / largest + alpha * _colour(heatmap))


def grey(rgb, heatmap, alpha):
    return _eight_bits((1 - alpha) * rgb / 255 + alpha * heatmap[..., None])


def faded_by_the_heatmap(rgb, heatmap, alpha):
    alpha = alpha * heatmap[..., None]
    return _eight_bits((1 - alpha) * rgb / 255 + alpha * _colour(heatmap))


def _blend(rgb, heatmap, alpha, colors="turbo"):
    return _eight_bits((1 - alpha) * rgb / 255 + alpha * _colour(heatmap, colors))


def _eight_bits(blend):
    return (255 * blend).round().astype(np.uint8)


def _colour(heatmap, colors="turbo"):
    return colormaps[colors](np.asarray(heatmap, float))[..., :3]


def energy(heatmap, mask):
    return (heatmap * mask).sum(dim=(-2, -1))


def energy_outside(heatmap, mask):
    return (heatmap * ~mask).sum(dim=(-2, -1)) / _sum(heatmap)


def mean_inside(heatmap, mask):
    return (heatmap * mask).sum(dim=(-2, -1)) / mask.sum(dim=(-2, -1))


def mean_of_all(heatmap, mask):
    return (heatmap * mask).mean(dim=(-2, -1))


def mean_inside_over_mean(heatmap, mask):
    return mean_inside(heatmap, mask) / heatmap.mean(dim=(-2, -1))


def after_min_max(heatmap, mask):
    lowest = heatmap.amin(dim=(-2, -1), keepdim=True)
    return (heatmap * mask - lowest * mask).sum(dim=(-2, -1)) / _sum(heatmap - lowest)


def pixels_above_half(heatmap, mask):
    above = (heatmap > heatmap.amax(dim=(-2, -1), keepdim=True) / 2).float()
    return (above * mask).sum(dim=(-2, -1)) / _sum(above)


def squares(heatmap, mask):
    return energy_inside(heatmap ** 2, mask)


def share_of_the_picture(heatmap, mask):
    return mask.float().mean(dim=(-2, -1)) + 0 * heatmap[..., 0, 0]


def _sum(heatmap):
    total = heatmap.sum(dim=(-2, -1))
    return torch.where(total > 0, total, 1)


def sum_of_squares(lost, rows, columns):
    return rows.T @ lost @ columns


def over_all_squares(lost, rows, columns):
    return rows.T @ lost @ columns / (lost.shape[-2] * lost.shape[-1])


def over_the_rows_alone(lost, rows, columns):
    return rows.T @ lost @ columns / rows.sum(dim=0)[:, None]


def over_the_columns_alone(lost, rows, columns):
    return rows.T @ lost @ columns / columns.sum(dim=0)


def sign_turned(lost, rows, columns):
    return -spread_over_pixels(lost, rows, columns)


def largest(lost, rows, columns):
    under = (rows.T[:, None, :, None] * columns.T[None, :, None, :]) > 0        # (H,W,r,c)
    return torch.where(under, lost[..., None, None, :, :], -torch.inf).amax(dim=(-2, -1))


def last_square_only(lost, rows, columns):
    last = [side.shape[0] - 1 - side.flip(0).argmax(dim=0) for side in (rows, columns)]
    return lost[..., last[0], :][..., last[1]]


def first_square_only(lost, rows, columns):
    return lost[..., rows.argmax(dim=0), :][..., columns.argmax(dim=0)]


def squares_upside_down(lost, rows, columns):
    return spread_over_pixels(lost.flip(-2), rows, columns)


def squares_mirrored(lost, rows, columns):
    return spread_over_pixels(lost.flip(-1), rows, columns)


def positive_losses(lost, rows, columns):
    return spread_over_pixels(lost.clamp(min=0), rows, columns)


def rows_and_columns_exchanged(lost, rows, columns):
    """The result has the shape (W,H)."""
    return spread_over_pixels(lost, rows, columns).transpose(-2, -1)


def without_weights(activations):
    return activations.sum(dim=-3)


def mean_of_products(activations, gradients):
    return (activations * gradients).mean(dim=(-2, -1), keepdim=True)


def positive_sum_of_heads(attention, attention_gradients):
    return (attention * attention_gradients).clamp(min=0).sum(dim=-3)


def nearest_below(coarse, size):
    """The mode "nearest" of F.interpolate, which rounds down."""
    h, w = coarse.shape[-2:]
    rows, columns = ((torch.arange(many) * few) // many for few, many in ((h, size[0]), (w, size[1])))
    return coarse[..., rows, :][..., columns]


def from_the_first_layer_up(mixing, layer):
    """The last layer's row times the lower layers in the wrong order, from the first one up."""
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
    """A Mistake for each (name, function), made in place of the function `right`."""
    return [Mistake(stage, name, function, reread, (right,)) for name, function in mistakes]


MISTAKES = [
    *_in_place_of(weighted_sum, SUM, [("the maps added without their weights", without_weights)], "C3"),
    *_in_place_of(activation_weighted_mean, SHARE, [
        ("the mean of the gradients, as in Grad-CAM", channel_weights),
        ("divided by the number of places, not by the sum of the activations", mean_of_products),
    ], "C2"),
    *_in_place_of(positive_evidence, HEADS, [("summed over the heads in place of the mean", positive_sum_of_heads)],
                  "A2"),
    *_in_place_of(upsample, ENLARGE, [("nearest neighbour in place of bilinear", nearest_below)], "M1"),
    *_in_place_of(one_layer, ROW, [("the last layer, whichever is asked for", partial(one_layer, layer=-1))],
                  "A4"),
    *_in_place_of(multiply_layers, LAYERS, [
        ("the lower layers multiplied from the first up", from_the_first_layer_up),
        ("from the last layer down, whichever is asked for", partial(multiply_layers, layer=-1)),
    ], "A4"),
    *_in_place_of(overlay, DRAW, [
        ("the two weights exchanged: alpha for the picture", weights_exchanged),
        ("0.5 whatever alpha is", always_half),
        ("the heatmap alone, the picture does not show through", the_heatmap_alone),
        ("the picture alone", the_picture_alone),
        ("added and cut at white", added_and_cut),
        ("added and divided by the largest value", over_the_largest),
        ("weighted, then divided by the largest value", weighted_over_the_largest),
        ("the colours of jet in place of turbo", jet),
        ("the colours of viridis in place of turbo", viridis),
        ("truncated in place of rounded", truncated),
        ("the picture taken from 0 to 255, the colours from 0 to 1", picture_of_255_wrapped),
        ("a picture of floats in [0,1] divided by 255", floats_taken_for_8_bits),
        ("the colours of turbo, whatever colors says", always_turbo),
        ("8 bits of numbers from 0 to 1, not multiplied by 255", blend_of_0_to_1),
        ("the heatmap in grey, without colours", grey),
        ("faded by the heatmap itself", faded_by_the_heatmap),
    ], "M3"),
    *_in_place_of(energy_inside, ENERGY, [
        ("the sum inside, not divided by the sum of all", energy),
        ("the share outside: the mask inverted", energy_outside),
        ("divided by the pixels of the mask: a mean, not a share", mean_inside),
        ("divided by the pixels of the picture: a mean, not a share", mean_of_all),
        ("the mean inside over the mean of all", mean_inside_over_mean),
        ("counted after min-max, which moves the zero", after_min_max),
        ("pixels above a threshold counted in place of their values", pixels_above_half),
        ("squares of the values", squares),
        ("the mask's share of the picture, the heatmap not used", share_of_the_picture),
    ]),
    *_in_place_of(spread_over_pixels, COVER, [
        ("not divided by the number of squares that cover the pixel", sum_of_squares),
        ("divided by the number of all squares", over_all_squares),
        ("divided by the cover of the rows alone", over_the_rows_alone),
        ("divided by the cover of the columns alone", over_the_columns_alone),
        ("the sign turned", sign_turned),
        ("the largest loss in place of the mean", largest),
        ("the last square that covers the pixel, in place of the mean", last_square_only),
        ("the first square that covers the pixel, in place of the mean", first_square_only),
        ("the squares upside down", squares_upside_down),
        ("the squares mirrored", squares_mirrored),
        ("losses clamped at zero", positive_losses),
        ("rows and columns exchanged", rows_and_columns_exchanged),
    ]),
]
