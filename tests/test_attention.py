"""A2 to A5 and the two recipes against slow loops written from Abnar and Zuidema 2020 (arXiv:2005.00928, section 3)."""
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
import torch

from minixai.attention import (
    ROLLOUT,
    Attn,
    cls_to_grid,
    half_skip,
    mean_heads,
    multiply_layers,
    no_skip,
    one_head,
    one_layer,
)
from minixai.networks.vit import ViT
from minixai.trace import VitTrace, record_vit

L, M, GRID, SIZE = 5, 3, (2, 4), (14, 28)
IDS = ["A1", "A2", "A3", "A4", "A5", "M1", "M2"]


def some_attention(prefix=1, B=2, grid=GRID):
    """(B,L,M,T,T), rows sum to one, and no two tokens, heads or layers alike."""
    T = prefix + grid[0] * grid[1]
    return (3 * torch.randn(B, L, M, T, T, generator=torch.Generator().manual_seed(0))).softmax(dim=-1)


def a_trace(layer=L - 1, head=None, prefix=1, grid=GRID, B=2):
    logits, target = torch.zeros(B, 4), torch.zeros(B).long()
    return VitTrace(some_attention(prefix, B, grid), None, logits, target, layer, head, prefix, grid, SIZE)


def values_of(recipe, trace):
    return {step.id: step.value for step in recipe.steps(trace)}


def close(value, expected, atol=1e-6):
    np.testing.assert_allclose(np.asarray(value), np.asarray(expected), atol=atol)


def slow_product(a, b):
    T = len(a)
    return [[sum(a[i][k] * b[k][j] for k in range(T)) for j in range(T)] for i in range(T)]


def slow_rollout(attention, layer):
    """One image's (L,M,T,T) -> T x T: R_1 = A_1, R_l = A_l R_(l-1), with A = 0.5 W_attention + 0.5 I."""
    T, rollout = attention.shape[-1], None
    for number in range(layer + 1):
        fused = [[sum(float(attention[number, m, i, j]) for m in range(M)) / M for j in range(T)] for i in range(T)]
        mixing = [[0.5 * fused[i][j] + 0.5 * (i == j) for j in range(T)] for i in range(T)]
        rollout = mixing if rollout is None else slow_product(mixing, rollout)
    return rollout


def test_A2_is_the_mean_of_the_heads_or_one_of_them():
    attention = some_attention()
    for place in np.ndindex(2, L, 9, 9):
        image, layer, i, j = place
        heads = [float(attention[image, layer, m, i, j]) for m in range(M)]
        assert float(mean_heads(attention)[place]) == pytest.approx(sum(heads) / M, abs=1e-6)
        assert [float(one_head(attention, head)[place]) for head in (0, 2, -1)] == [heads[0], heads[2], heads[2]]


def test_A3_adds_half_the_identity():
    fused = mean_heads(some_attention())
    mixing = half_skip(fused)
    for place in np.ndindex(fused.shape):
        itself = place[-1] == place[-2]
        assert float(mixing[place]) == pytest.approx(0.5 * float(fused[place]) + 0.5 * itself, abs=1e-6)
    assert torch.equal(no_skip(fused), fused)


def test_A3_brings_rows_of_another_sum_back_to_one():
    fused = some_attention().amax(dim=-3)
    assert (fused.sum(dim=-1) > 1.1).all()
    expected = (fused + torch.eye(9)) / (1 + fused.sum(dim=-1, keepdim=True))
    close(half_skip(fused), expected)


def test_A3_stays_on_the_device_and_in_the_precision_of_the_attention():
    there = torch.zeros(2, 3, 3, device="meta")
    assert half_skip(there).device == there.device
    assert half_skip(mean_heads(some_attention().double())).dtype == torch.float64


@pytest.mark.parametrize("stage", [mean_heads, lambda a: one_head(a, 1), lambda a: half_skip(mean_heads(a)),
                                   lambda a: multiply_layers(half_skip(mean_heads(a)), 3)],
                         ids=["mean", "head", "skip", "product"])
def test_rows_stay_shares_of_one(stage):
    value = stage(some_attention())
    assert (value >= 0).all()
    close(value.sum(dim=-1), torch.ones(value.shape[:-1]))


@pytest.mark.parametrize("layer", [0, 1, L - 1, -1, -L])
def test_A4_reads_the_row_of_CLS_at_the_layer(layer):
    mixing = mean_heads(some_attention())
    close(one_layer(mixing, layer)[1, 0], mixing[1, range(L)[layer], 0], atol=0)


@pytest.mark.parametrize("layer", [0, 1, L - 1, -1, -L])
def test_A4_multiplies_from_the_layer_down_to_the_first(layer):
    attention = some_attention()
    mixing = half_skip(mean_heads(attention))
    full = slow_rollout(attention[1], range(L)[layer])
    close(multiply_layers(mixing, layer)[1], full[:1])


def test_A4_the_order_of_the_layers_matters():
    mixing = half_skip(mean_heads(some_attention()))
    assert (multiply_layers(mixing, -1) - multiply_layers(mixing.flip(1), -1)).abs().max() > 0.01


def test_A4_one_row_never_makes_a_product_of_matrices(monkeypatch):
    shapes, product = [], torch.Tensor.__matmul__
    monkeypatch.setattr(torch.Tensor, "__matmul__", lambda a, b: shapes.append(tuple(a.shape)) or product(a, b))
    multiply_layers(half_skip(mean_heads(some_attention())), -1)
    assert shapes == [(2, 1, 9)] * (L - 1)


@pytest.mark.parametrize("prefix", [1, 3])
@pytest.mark.parametrize("grid", [(2, 4), (5, 3), (1, 7)])
def test_A5_drops_the_prefix_and_folds_row_by_row(prefix, grid):
    gh, gw = grid
    cls_attention = torch.rand(2, 1, prefix + gh * gw)
    coarse = cls_to_grid(cls_attention, prefix, grid)
    assert coarse.shape == (2, gh, gw)
    for image, i, j in np.ndindex(coarse.shape):
        assert coarse[image, i, j] == cls_attention[image, 0, prefix + i * gw + j]


@pytest.mark.parametrize("prefix", [1, 3])
@pytest.mark.parametrize("layer", [0, 2, L - 1])
def test_rollout_is_the_paper_for_every_image(layer, prefix):
    trace = a_trace(layer, prefix=prefix)
    coarse = values_of(ROLLOUT, trace)["A5"]
    for image in range(2):
        row = slow_rollout(trace.attention[image], layer)[0]
        close(coarse[image].flatten(), row[prefix:])


@pytest.mark.parametrize("recipe", [Attn(), ROLLOUT], ids=["attention", "rollout"])
@pytest.mark.parametrize("head", [0, M - 1])
def test_one_head_is_the_same_as_a_network_with_that_head_alone(recipe, head):
    trace = a_trace(head=head)
    alone = replace(trace, attention=trace.attention[:, :, [head]], head=0)
    chosen = replace(recipe, A2=one_head)
    close(values_of(chosen, trace)["A5"], values_of(recipe, alone)["A5"])
    assert (values_of(chosen, trace)["A5"] - values_of(recipe, trace)["A5"]).abs().max() > 0.01


def test_the_plain_map_is_the_mean_row_of_one_layer():
    trace = a_trace(layer=2, prefix=3)
    row = trace.attention[1, 2, :, 0, 3:].mean(dim=0)
    close(values_of(Attn(), trace)["A5"][1].flatten(), row)


@pytest.mark.parametrize("recipe, titles", [
    (Attn(), ["mean of the heads", "leave the skip out", "one layer's CLS row"]),
    (ROLLOUT, ["mean of the heads", "half skip, half attention", "multiply down to the input"]),
], ids=["attention", "rollout"])
def test_the_steps_are_numbered_titled_and_in_order(recipe, titles):
    steps = recipe.steps(a_trace())
    assert [step.id for step in steps] == IDS
    assert [step.title for step in steps] == [
        "attention of every layer and head", *titles, "CLS row to grid", "upsample", "min-max"]
    assert steps[-1].value.shape == (2, *SIZE)


@pytest.mark.parametrize("prefix", [1, 3])
def test_from_a_network_to_a_map_on_an_image_that_is_not_square(prefix):
    """The patch that CLS is made to look at is the bright place: rows and columns are not exchanged on the way."""
    torch.manual_seed(0)
    model = ViT(image_size=16, patch_size=4, width=8, depth=1, heads=2, classes=3, prefix_tokens=prefix).eval()
    with torch.no_grad():
        model.patches.weight.zero_()
        model.patches.weight[0] = 1                                 # channel 0 of a patch: how bright it is
        model.blocks[0].attention.qkv.weight.zero_()
        model.blocks[0].attention.qkv.weight[8:16, 0] = 50          # keys read channel 0
        model.blocks[0].attention.qkv.bias[:8] = 1                  # every query asks for it
    image = torch.zeros(1, 3, 12, 20)
    image[..., 8:12, 4:8] = 9                                       # the patch in row 2, column 1
    values = values_of(Attn(), record_vit(model, image))
    assert values["A5"].shape == (1, 3, 5) and divmod(int(values["A5"].argmax()), 5) == (2, 1)
    row, column = divmod(int(values["M2"].argmax()), 20)
    assert values["M2"].shape == (1, 12, 20) and (row // 4, column // 4) == (2, 1)


def test_a_recipe_cannot_be_changed():
    """METHODS holds one recipe for all callers."""
    with pytest.raises(FrozenInstanceError):
        ROLLOUT.A3 = no_skip
