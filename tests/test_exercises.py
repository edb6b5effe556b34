"""What an exercise asks for is what its passes judge: a function that leaves out one sentence of the docstring fails,
and every right way passes, on the passes that students have and on hidden ones.
"""
import inspect

import numpy as np
import pytest
import torch
from matplotlib import colormaps
from torch.nn import functional as F

from minixai.course import fixtures, record
from minixai.course.check import FAILED, PASSED
from minixai.course.exercises import EXERCISES
from tests.test_course import judged, student_of

TASKS = {task.name: (exercise, task) for exercise in EXERCISES.values() for task in exercise.tasks}
HIDDEN = (range(1001, 1005), range(4_000_001, 4_000_005))      # the seeds of two gradings, four passes each


def passes_of(name, seeds):
    return [record.fixture(TASKS[name][0], seed) for seed in seeds]


@pytest.fixture(scope="module")
def passes():
    """passes(name): the public passes of a function, then those of each hidden grading."""
    made = {}

    def of(name):
        exercise = TASKS[name][0]
        if exercise.number not in made:
            made[exercise.number] = [fixtures.public(exercise), *(passes_of(name, seeds) for seeds in HIDDEN)]
        return made[exercise.number]
    return of


def verdict(name, function, run):
    return judged(name, function, run)


# ---- right ways, none of them the library's

def by_loops(gradients):
    flat = gradients.reshape(-1, *gradients.shape[-2:])
    means = [sum(sum(row) for row in one.tolist()) / one.numel() for one in flat]
    return torch.tensor(means).reshape(*gradients.shape[:-2], 1, 1)


def channel_after_channel(activations, weights):
    cam = torch.zeros_like(activations[..., 0, :, :])
    for k in reversed(range(activations.shape[-3])):
        cam = cam + weights[..., k, :, :] * activations[..., k, :, :]
    return cam


def by_two_matrices(coarse, size):
    def between(few, many):
        place = ((torch.arange(many) + 0.5) * few / many - 0.5).clamp(0, few - 1)
        return (1 - (place[:, None] - torch.arange(few)).abs()).clamp(min=0)
    return between(coarse.shape[-2], size[0]) @ coarse @ between(coarse.shape[-1], size[1]).T


def one_after_the_other(coarse, size):
    each = coarse.reshape(-1, 1, 1, *coarse.shape[-2:])
    return torch.stack([F.interpolate(one, size, mode="bilinear") for one in each]).reshape(*coarse.shape[:-2], *size)


def with_a_small_number(full):
    low, high = full.amin((-2, -1), keepdim=True), full.amax((-2, -1), keepdim=True)
    return (full - low) / (high - low + 1e-8)


def zeros_where_nan(full):
    full = full - full.flatten(-2).min(-1)[0][..., None, None]
    return (full / full.flatten(-2).max(-1)[0][..., None, None]).nan_to_num(nan=0.0)


def map_after_map(full):
    out = torch.zeros_like(full)
    for one, new in zip(full.reshape(-1, *full.shape[-2:]), out.view(-1, *full.shape[-2:])):
        if one.max() > one.min():
            new.copy_((one - one.min()) / (one.max() - one.min()))
    return out


def blend_of_255(rgb, heatmap, alpha=0.5, colors="turbo"):
    picture = rgb if rgb.dtype == np.uint8 else 255 * rgb
    return np.rint((1 - alpha) * picture + alpha * 255 * colormaps[colors](heatmap)[..., :3]).astype("uint8")


def blend_in_float32(rgb, heatmap, alpha=0.5, colors="turbo"):
    picture = rgb.astype(np.float32) / (255 if rgb.max() > 1 else 1)
    blend = picture + np.float32(alpha) * (colormaps[colors](heatmap)[..., :3].astype(np.float32) - picture)
    return (255 * blend + 0.5).clip(0, 255).astype(np.uint8)


def energy_where(heatmap, mask):
    inside = torch.where(mask, heatmap, 0).flatten(-2).sum(-1)
    return torch.nan_to_num(inside / heatmap.flatten(-2).sum(-1))


def energy_of_means(heatmap, mask):
    return torch.einsum("...hw,...hw->...", heatmap, mask.float()) / (heatmap.sum(-1).sum(-1) + 1e-8)


def xgrad_by_shares(activations, gradients):
    total = activations.sum((-2, -1), keepdim=True)
    return torch.nan_to_num(activations / total * gradients).sum((-2, -1), keepdim=True)


def xgrad_with_a_small_number(activations, gradients):
    total = activations.flatten(-2).sum(-1) + 1e-7
    return (torch.einsum("...hw,...hw->...", activations, gradients) / total)[..., None, None]


def attention_row_shares(fused):
    summed = fused + torch.eye(fused.shape[-1])
    return summed / summed.sum(-1, keepdim=True)


def half_skip_by_diagonal(fused):
    mixing = 0.5 * fused
    mixing.diagonal(dim1=-2, dim2=-1).add_(0.5)
    return torch.einsum("...ij,...i->...ij", mixing, 1 / mixing.sum(-1))


def whole_product(mixing, layer):
    product = mixing[..., 0, :, :]
    for above in range(1, layer + 1):
        product = mixing[..., above, :, :] @ product
    return product[..., :1, :]


def one_vector(mixing, layer):
    row = mixing[..., layer, 0, :]
    while layer:
        layer -= 1
        row = torch.einsum("...i,...ij->...j", row, mixing[..., layer, :, :])
    return row.unsqueeze(-2)


def square_after_square(lost, rows, columns):
    total, count = 0, 0
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            square = row[:, None] * column
            total, count = total + lost[..., i, j, None, None] * square, count + square
    return total / count


def grid_by_unflatten(cls_attention, prefix_tokens, grid):
    return cls_attention[..., prefix_tokens:].unflatten(-1, grid).squeeze(-3)


def grid_by_reshape(cls_attention, prefix_tokens, grid):
    return cls_attention.squeeze(-2)[..., -grid[0] * grid[1]:].reshape(cls_attention.shape[:-2] + tuple(grid))


RIGHT = {
    "channel_weights": [by_loops, lambda gradients: gradients.flatten(-2).mean(-1)[..., None, None],
                        lambda gradients: torch.einsum("...hw->...", gradients)[..., None, None] /
                        gradients[0, 0].numel() if gradients.dim() == 4 else gradients.mean((1, 2), True)],
    "weighted_sum": [channel_after_channel,
                     lambda activations, weights: torch.einsum("...khw,...kij->...hw", activations, weights),
                     lambda activations, weights: (weights.flatten(-3).unsqueeze(-2) @ activations.flatten(-2)).reshape(
                         *activations.shape[:-3], *activations.shape[-2:])],
    "rectify": [torch.nn.ReLU(), lambda cam: cam * (cam > 0), lambda cam: (cam + cam.abs()) / 2],
    "upsample": [by_two_matrices, one_after_the_other],
    "min_max": [with_a_small_number, zeros_where_nan, map_after_map],
    "overlay": [blend_of_255, blend_in_float32],
    "energy_inside": [energy_where, energy_of_means],
    "positive_gradients": [torch.nn.ReLU(), lambda gradients: torch.where(gradients > 0, gradients, 0.0)],
    "activation_weighted_mean": [xgrad_by_shares, xgrad_with_a_small_number],
    "mean_heads": [lambda attention: sum(attention.unbind(-3)) / attention.shape[-3],
                   lambda attention: torch.einsum("...mij->...ij", attention) / attention.size(-3)],
    "one_layer": [lambda mixing, layer: mixing.unbind(-3)[layer][..., 0, :].unsqueeze(-2),
                  lambda mixing, layer: mixing.narrow(-3, layer, 1)[..., 0, :1, :]],
    "cls_to_grid": [grid_by_unflatten, grid_by_reshape],
    "half_skip": [attention_row_shares, half_skip_by_diagonal],
    "multiply_layers": [whole_product, one_vector],
    "positive_evidence": [lambda attention, attention_gradients: F.relu(attention * attention_gradients).mean(-3),
                          lambda attention, attention_gradients: sum(
                              (one * other).clamp(0) for one, other in
                              zip(attention.unbind(-3), attention_gradients.unbind(-3))) / attention.shape[-3]],
    "whole_skip": [lambda fused: torch.eye(fused.shape[-1]).expand_as(fused) + fused,
                   lambda fused: fused + torch.diag_embed(torch.ones(fused.shape[:-1]))],
    "spread_over_pixels": [square_after_square,
                           lambda lost, rows, columns: torch.einsum("...ij,iy,jx->...yx", lost, rows / rows.sum(0),
                                                                    columns / columns.sum(0))],
}


def test_every_function_has_other_right_ways_and_shortcuts():
    assert set(RIGHT) == set(SHORTCUTS) == set(TASKS)
    assert min(map(len, RIGHT.values())) >= 2 and min(map(len, SHORTCUTS.values())) >= 3


def as_asked(name, function):
    """The function under the exercise's own head."""
    return student_of(function, TASKS[name][1]) if not isinstance(function, torch.nn.Module) else \
        lambda **inputs: function(*inputs.values())


@pytest.mark.parametrize("name, number", [(name, number) for name in RIGHT for number in range(len(RIGHT[name]))])
def test_every_right_way_passes(name, number, passes):
    for run in passes(name):
        outcome = verdict(name, as_asked(name, RIGHT[name][number]), run)
        assert outcome.status == PASSED, (outcome.sentence, outcome.details)


# ---- ways that leave out one thing that is asked for: {function: [(what is left out, it, what has to be said)]}

def blend(rgb, heatmap, alpha=0.5, colors="turbo"):
    picture = rgb / 255 if rgb.dtype == np.uint8 else rgb
    return 255 * ((1 - alpha) * picture + alpha * colormaps[colors](heatmap)[..., :3])


def rounded(values):
    return values.round().astype(np.uint8)


def low_of(full):
    return full.amin(dim=(-2, -1), keepdim=True)


def high_of(full):
    return full.amax(dim=(-2, -1), keepdim=True)


def bilinear(coarse, size, **how):
    how = {"mode": "bilinear", "align_corners": False} | how
    full = F.interpolate(coarse.reshape(-1, 1, *coarse.shape[-2:]), size=size, **how)
    return full.reshape(*coarse.shape[:-2], *full.shape[-2:])


def one_prefix_token(cls_attention, prefix_tokens, grid):
    return cls_attention[..., 0, 1:1 + grid[0] * grid[1]].reshape(*cls_attention.shape[:-2], *grid)


def no_prefix_token(cls_attention, prefix_tokens, grid):
    return cls_attention[..., 0, :grid[0] * grid[1]].reshape(*cls_attention.shape[:-2], *grid)


def squares_only(cls_attention, prefix_tokens, grid):
    side = int((cls_attention.shape[-1] - prefix_tokens) ** 0.5)
    patches = cls_attention[..., 0, prefix_tokens:prefix_tokens + side * side]
    return patches.reshape(*cls_attention.shape[:-2], side, side)


def from_the_first_up(mixing, layer):
    row = mixing[..., 0, :1, :]
    for above in range(1, layer + 1):
        row = row @ mixing[..., above, :, :]
    return row


def every_layer(mixing):
    return whole_product(mixing, mixing.shape[-3] - 1)


def rows_shared(fused):
    return fused / fused.sum(-1, keepdim=True)


BATCH, STOPS = "every tensor has a batch dimension in front", "it stops with"
SHAPE, VALUES = "wrong shape", "wrong values"
SHORTCUTS = {
    "channel_weights": [
        ("a sum", lambda gradients: gradients.sum((-2, -1), keepdim=True), "known mistake"),
        ("no batch", lambda gradients: gradients.mean((1, 2), keepdim=True), BATCH),
        ("no keepdim", lambda gradients: gradients.mean((-2, -1)), "the numbers themselves are right"),
        ("rows alone", lambda gradients: gradients.mean(-1, keepdim=True), SHAPE),
        ("the largest", lambda gradients: gradients.amax((-2, -1), keepdim=True), "known mistake"),
        ("magnitudes", lambda gradients: gradients.abs().mean((-2, -1), keepdim=True), "known mistake"),
        ("one for all channels", lambda gradients: 0 * gradients[..., :1, :1] + gradients.mean(), VALUES),
    ],
    "weighted_sum": [
        ("no batch", lambda activations, weights: (weights * activations).sum(0), BATCH),
        ("no weights", lambda activations, weights: activations.sum(-3), "known mistake"),
        ("a mean", lambda activations, weights: (weights * activations).mean(-3), "known mistake"),
        ("magnitudes", lambda activations, weights: (weights * activations).abs().sum(-3), VALUES),
        ("rectified already", lambda activations, weights: (weights * activations).sum(-3).clamp(min=0), VALUES),
        ("first image's weights", lambda activations, weights: torch.einsum(
            "...khw,k->...hw", activations, weights.reshape(-1, activations.shape[-3])[0]), BATCH),
    ],
    "rectify": [
        ("nothing", lambda cam: cam + 0, "no ReLU"),
        ("magnitudes", lambda cam: cam.abs(), "known mistake"),
        ("cut at 1", lambda cam: cam.clamp(0, 1), VALUES),
        ("above the mean", lambda cam: cam * (cam > 0.05), VALUES),
        ("in place", lambda cam: cam.clamp_(min=0), "it writes into its input cam"),
        ("the other sign", lambda cam: (-cam).clamp(min=0), "known mistake"),
    ],
    "upsample": [
        ("nearest", lambda coarse, size: bilinear(coarse, size, mode="nearest", align_corners=None), "known mistake"),
        ("bicubic", lambda coarse, size: bilinear(coarse, size, mode="bicubic"), "known mistake"),
        ("corners aligned", lambda coarse, size: bilinear(coarse, size, align_corners=True), "known mistake"),
        ("width first", lambda coarse, size: bilinear(coarse, size[::-1]), SHAPE),
        ("squares only", lambda coarse, size: bilinear(coarse, (size[0], size[0])), SHAPE),
        ("whole factors", lambda coarse, size: bilinear(
            coarse, None, scale_factor=(size[0] // coarse.shape[-2], size[1] // coarse.shape[-1])), SHAPE),
        ("no batch", lambda coarse, size: F.interpolate(coarse[None, None], size, mode="bilinear")[0, 0], STOPS),
    ],
    "min_max": [
        ("the minimum", lambda full: full / high_of(full), "known mistake"),
        ("flat maps", lambda full: (full - low_of(full)) / (high_of(full) - low_of(full)), "NaN or infinite"),
        ("flat maps that are not zero", lambda full: torch.where(
            full.abs().amax((-2, -1), keepdim=True) > 0, (full - low_of(full)) / (high_of(full) - low_of(full)), 0),
         "The map of image 4 has the same number everywhere"),
        ("flat maps stay", lambda full: torch.where(
            high_of(full) > low_of(full), (full - low_of(full)) / (high_of(full) - low_of(full)), full),
         "The map of image 4 has the same number everywhere"),
        ("each image by itself", lambda full: (full - full.min()) / (full.max() - full.min()),
         "normalised over the whole batch"),
        ("the scale", lambda full: full.clamp(0, 1), "known mistake"),
        ("a large number under the line", lambda full: (full - low_of(full)) / (high_of(full) - low_of(full) + 1e-3),
         VALUES),
    ],
    "overlay": [
        ("alpha", lambda rgb, heatmap, colors: rounded(blend(rgb, heatmap, 0.5, colors)), "0.5 whatever alpha is"),
        ("colors", lambda rgb, heatmap, alpha: rounded(blend(rgb, heatmap, alpha)),
         "the colours of turbo, whatever colors says"),
        ("floats", lambda rgb, heatmap, alpha, colors: rounded(blend((rgb * 1.0) / 255, heatmap, alpha, colors)),
         "a picture of floats in [0,1] divided by 255"),
        ("floats that are cut", lambda rgb, heatmap, alpha, colors: rounded(
            blend(rgb.astype(np.uint8), heatmap, alpha, colors)), "Here the picture has floats in [0,1]"),
        ("8 bits", lambda rgb, heatmap, alpha, colors: blend(rgb, heatmap, alpha, colors) / 255,
         "wrong dtype"),
        ("rounding", lambda rgb, heatmap, alpha, colors: blend(rgb, heatmap, alpha, colors).astype(np.uint8),
         "truncated in place of rounded"),
        ("the picture", lambda rgb, heatmap: rounded(blend(rgb, heatmap, 1)), "the heatmap alone"),
        ("the order of the weights", lambda rgb, heatmap, alpha, colors: rounded(
            blend(rgb, heatmap, 1 - alpha, colors)), "the two weights exchanged"),
        ("alpha and the colours of red", lambda rgb, heatmap, alpha, colors: rounded(
            blend(rgb, 1 - heatmap, alpha, colors)), VALUES),
    ],
    "energy_inside": [
        ("empty maps", lambda heatmap, mask: (heatmap * mask).sum((-2, -1)) / heatmap.sum((-2, -1)), "NaN or infinite"),
        ("the whole", lambda heatmap, mask: (heatmap * mask).sum((-2, -1)), "known mistake"),
        ("the values", lambda heatmap, mask: mask.float().mean((-2, -1)), "known mistake"),
        ("each image by itself", lambda heatmap, mask: heatmap[mask].sum() / heatmap.sum(), SHAPE),
        ("the size of the mask", lambda heatmap, mask: (heatmap * mask).sum((-2, -1)) / mask.sum((-2, -1)),
         "known mistake"),
        ("the outside", lambda heatmap, mask: (heatmap * ~mask).sum((-2, -1)) / (heatmap.sum((-2, -1)) + 1e-9),
         "known mistake"),
    ],
    "positive_gradients": [
        ("the sign", lambda gradients: gradients + 0, "known mistake"),
        ("negative ones", lambda gradients: gradients.abs(), VALUES),
        ("places", lambda gradients: gradients.clamp(min=0).mean((-2, -1), keepdim=True), SHAPE),
        ("places, by their mean", lambda gradients: gradients.clamp(min=0).mean(
            (-2, -1), keepdim=True).expand_as(gradients), VALUES),
        ("the size", lambda gradients: (gradients > 0).float(), VALUES),
    ],
    "activation_weighted_mean": [
        ("activations", lambda activations, gradients: gradients.mean((-2, -1), keepdim=True), "known mistake"),
        ("channels that are nowhere on", lambda activations, gradients: (activations * gradients).sum(
            (-2, -1), keepdim=True) / activations.sum((-2, -1), keepdim=True), "NaN or infinite"),
        ("the sum of the activations", lambda activations, gradients: (activations * gradients).sum(
            (-2, -1), keepdim=True), "known mistake"),
        ("the sum, for a mean", lambda activations, gradients: (activations * gradients).mean(
            (-2, -1), keepdim=True), "known mistake"),
        ("signs of activations", lambda activations, gradients: xgrad_by_shares(activations.abs(), gradients), VALUES),
        ("each channel by itself", lambda activations, gradients: (activations * gradients).sum(
            (-2, -1), keepdim=True) / activations.sum(), VALUES),
    ],
    "mean_heads": [
        ("the mean", lambda attention: attention.sum(-3), "known mistake"),
        ("all heads", lambda attention: attention[..., 0, :, :], "known mistake"),
        ("no batch", lambda attention: attention.mean(1), BATCH),
        ("the mean, for the largest", lambda attention: attention.amax(-3), "known mistake"),
        ("heads, for layers", lambda attention: attention.mean(-4), SHAPE),
    ],
    "one_layer": [
        ("layer", lambda mixing: mixing[..., -1, :1, :], "the last layer, whichever is asked for"),
        ("the row", lambda mixing, layer: mixing[..., layer, :, :1].transpose(-2, -1), "known mistake"),
        ("the shape", lambda mixing, layer: mixing[..., layer, 0, :], "the numbers themselves are right"),
        ("no batch", lambda mixing, layer: mixing[layer, :1], BATCH),
        ("one layer", lambda mixing, layer: mixing[..., :1, :].mean(-3), VALUES),
    ],
    "cls_to_grid": [
        ("prefix tokens", one_prefix_token, VALUES),
        ("prefix tokens, by the last ones", no_prefix_token, "known mistake"),
        ("grids that are not square", squares_only, SHAPE),
        ("rows and columns", lambda cls_attention, prefix_tokens, grid: cls_attention[..., 0, prefix_tokens:].reshape(
            *cls_attention.shape[:-2], *grid[::-1]).transpose(-2, -1), VALUES),
        ("no batch", lambda cls_attention, prefix_tokens, grid: cls_attention[0, prefix_tokens:].reshape(grid), STOPS),
    ],
    "half_skip": [
        ("rows", lambda fused: 0.5 * fused + 0.5 * torch.eye(fused.shape[-1]), "known mistake"),
        ("the skip", rows_shared, VALUES),
        ("the half", lambda fused: rows_shared(0.1 * fused + 0.9 * torch.eye(fused.shape[-1])), VALUES),
        ("rows brought back before", lambda fused: 0.5 * rows_shared(fused) + 0.5 * torch.eye(fused.shape[-1]), VALUES),
        ("columns, for rows", lambda fused: (fused + torch.eye(fused.shape[-1])) /
         (fused + torch.eye(fused.shape[-1])).sum(-2, keepdim=True), VALUES),
        ("in place", lambda fused: rows_shared(fused.add_(torch.eye(fused.shape[-1]))), "it writes into its input"),
    ],
    "multiply_layers": [
        ("the order", from_the_first_up, VALUES),
        ("layer", every_layer, "from the last layer down, whichever is asked for"),
        ("the layers below", lambda mixing, layer: mixing[..., layer, :1, :], "known mistake"),
        ("the row", lambda mixing, layer: torch.stack([mixing[..., at, :, :] for at in range(layer + 1)]).sum(0)[
            ..., :1, :], "known mistake"),
        ("the shape", lambda mixing, layer: one_vector(mixing, layer)[..., 0, :], "the numbers themselves are right"),
        ("the first layer", lambda mixing, layer: one_vector(mixing[..., 1:, :, :], layer - 1), "known mistake"),
    ],
    "positive_evidence": [
        ("before the mean", lambda attention, attention_gradients: (attention * attention_gradients).mean(-3).clamp(
            min=0), "known mistake"),
        ("the positive part", lambda attention, attention_gradients: (attention * attention_gradients).mean(-3),
         "known mistake"),
        ("attention", lambda attention, attention_gradients: attention_gradients.clamp(min=0).mean(-3),
         "known mistake"),
        ("gradients", lambda attention, attention_gradients: attention.mean(-3), "known mistake"),
        ("negative ones", lambda attention, attention_gradients: (attention * attention_gradients).abs().mean(-3),
         "known mistake"),
        ("a mean", lambda attention, attention_gradients: (attention * attention_gradients).clamp(min=0).sum(-3),
         "known mistake"),
    ],
    "whole_skip": [
        ("the whole", lambda fused: 0.5 * fused + 0.5 * torch.eye(fused.shape[-1]), "known mistake"),
        ("not renormalised", lambda fused: rows_shared(fused + torch.eye(fused.shape[-1])), "known mistake"),
        ("the skip", lambda fused: fused + 0, "known mistake"),
        ("the diagonal", lambda fused: fused + 1, VALUES),
        ("in place", lambda fused: fused.add_(torch.eye(fused.shape[-1])), "it writes into its input fused"),
    ],
    "spread_over_pixels": [
        ("the mean", lambda lost, rows, columns: rows.T @ lost @ columns, "known mistake"),
        ("the cover of each pixel", lambda lost, rows, columns: rows.T @ lost @ columns / lost[..., 0, 0].numel() / 24,
         "known mistake"),
        ("the sign", lambda lost, rows, columns: square_after_square(lost.clamp(min=0), rows, columns),
         "known mistake"),
        ("overlapping squares", lambda lost, rows, columns: lost[..., rows.argmax(0), :][..., columns.argmax(0)],
         "known mistake"),
        ("cover along one side", lambda lost, rows, columns: rows.T @ lost @ columns / rows.sum(0)[:, None],
         "known mistake"),
    ],
}


@pytest.mark.parametrize("name, number", [(name, at) for name in SHORTCUTS for at in range(len(SHORTCUTS[name]))])
def test_what_leaves_out_a_thing_that_is_asked_for_fails_with_a_sentence(name, number, passes):
    what, function, said = SHORTCUTS[name][number]
    for run in passes(name):
        outcome = verdict(name, as_asked(name, function), run)
        assert outcome.status == FAILED, what
        assert said in "\n".join([outcome.sentence, *outcome.hints]), (what, outcome)


# ---- the passes

def test_no_pass_is_empty_by_chance():
    """Of one image, of both signs, with a map to upsample: what a pass is for must not depend on its seed."""
    for seed in [*range(1, 41), 1002, 1153, 8_000_993]:
        values = record.pass_of(seed)
        image = {name: value[0] if seed % 2 == 0 and hasattr(value, "shape") else value
                 for name, value in values.items()}
        cam, full = image["rectify.cam"], image["min_max.full"]
        assert cam.min() < 0 and cam.max() > 1 and image["coarse"].any() and image["overlay.heatmap"].max() == 1
        assert full.min() < 0 < full.sum() and full.max() - full.min() > 0.1
        total = image["activation_weighted_mean.activations"].sum((-2, -1))
        assert (total[total != 0] > 1e-3).all() and (image["activation_weighted_mean.activations"] < 0).any()


@pytest.mark.parametrize("name", TASKS)
def test_every_parameter_is_given_in_one_kind_of_pass_and_each_default_left_to_itself_in_the_other(name):
    parameters = inspect.signature(TASKS[name][1].function).parameters
    given = [set(about["tasks"][name]["inputs"]) for about, _ in fixtures.public(TASKS[name][0])]
    assert set.union(*given) == set(parameters)
    defaults = {key for key, parameter in parameters.items() if parameter.default is not parameter.empty}
    assert not set.intersection(*given) & defaults


def test_what_is_not_asked_for_is_not_in_the_passes_either():
    """Errors are the library's affair; its docstrings say so to who writes the exercise."""
    for name, (_, task) in TASKS.items():
        words = " ".join(task.function.__doc__.split())
        assert "ValueError" not in words or "in the exercise" in words.partition("ValueError")[2], name
