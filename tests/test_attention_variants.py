"""Variants of attention and rollout, and what they read beside attention, against slow loops."""
from dataclasses import replace

import pytest
import torch

from minixai import explain
from minixai.attention import (
    ATTENTIONS,
    ROLLOUT,
    Attn,
    discard_then_half_skip,
    max_heads,
    min_heads,
    one_layer,
    threshold_by_mass,
)
from minixai.networks.vit import Attention
from minixai.trace import record_vit
from tests.conftest import random_vit

L, M, C, D, PREFIX, GRID = 3, 2, 4, 8, 2, (2, 3)
T, STEP = PREFIX + 6, 1e-4


@pytest.fixture
def vit():
    model = random_vit(12, 4, D, depth=L, heads=M, classes=C, prefix_tokens=PREFIX, layer_scale=0.5)
    for block in model.blocks:
        torch.nn.init.normal_(block.attention.qkv.bias)
        torch.nn.init.normal_(block.scale1.factor)
    return model


def normed(vit, image, layer):
    """What the attention of a block is given: (B,T,D)."""
    tokens = vit.embed(image)
    for block in vit.blocks[:layer]:
        tokens = block(tokens)[0]
    return vit.blocks[layer].norm1(tokens)


def some_fused(B=2):
    return torch.rand(B, L, T, T, generator=torch.Generator().manual_seed(1)).softmax(dim=-1)


# ----------------------------------------------------------------------------------------------- what a head works with

def test_scores_are_what_the_softmax_makes_the_attention_of(vit, image):
    trace = record_vit(vit, image, also=("scores",))
    assert trace.scores.shape == (2, L, M, T, T) and trace.value_norms is None and trace.score_gradients is None
    torch.testing.assert_close(trace.scores.softmax(dim=-1), trace.attention)
    tokens, qkv = normed(vit, image, 1)[1], vit.blocks[1].attention.qkv
    for head, i, j in [(0, 0, 3), (1, 5, 0), (1, 2, 7)]:
        rows = slice(head * D // M, (head + 1) * D // M)
        query = qkv.weight[:D][rows] @ tokens[i] + qkv.bias[:D][rows]
        key = qkv.weight[D:2 * D][rows] @ tokens[j] + qkv.bias[D:2 * D][rows]
        expected = float((query @ key).detach()) / (D // M) ** 0.5
        assert float(trace.scores[1, 1, head, i, j]) == pytest.approx(expected, rel=1e-4)


def test_score_gradients_are_those_of_finite_differences(vit, image, monkeypatch):
    """Nudge one score, before the softmax, and see what the class score does."""
    model, image = vit.double(), image.double()
    trace = record_vit(model, image, target=[1, 3], also=("score_gradients",))
    assert trace.attention_gradients is None
    nudged = {"module": None, "place": None, "by": 0.0}

    def forward(self, tokens):
        q, k, v = self.split(self.qkv(tokens))
        scores = q @ k.transpose(-2, -1) / (D // M) ** 0.5
        if self is nudged["module"]:
            scores[nudged["place"]] += nudged["by"]
        attention = scores.softmax(dim=-1)
        return self.out((attention @ v).transpose(1, 2).reshape(tokens.shape)), attention

    monkeypatch.setattr(Attention, "forward", forward)
    for layer, place in [(0, (0, 1, 0, 2)), (1, (1, 0, 3, 5)), (2, (0, 0, 0, 6)), (2, (1, 1, 0, 1))]:
        scores = []
        for by in (STEP, -STEP):
            nudged.update(module=model.blocks[layer].attention, place=place, by=by)
            with torch.no_grad():
                scores.append(model(image)[place[0], int(trace.target[place[0]])])
        slope = float(scores[0] - scores[1]) / (2 * STEP)
        assert float(trace.score_gradients[place[0], layer][place[1:]]) == pytest.approx(slope, rel=1e-3, abs=1e-7)


def slow_value_lengths(vit, tokens, attention, layer):
    """One image: [head][i][j] the length of a_ij f(x_j), and (T,D) the sum of all a_ij f(x_j)."""
    block, total = vit.blocks[layer], torch.zeros(T, D)
    weight, bias = block.attention.qkv.weight[2 * D:], block.attention.qkv.bias[2 * D:]
    lengths = torch.zeros(M, T, T)
    for head in range(M):
        columns = slice(head * D // M, (head + 1) * D // M)
        for j in range(T):
            value = weight[columns] @ tokens[j] + bias[columns]
            transformed = block.scale1.factor * (block.attention.out.weight[:, columns] @ value)
            for i in range(T):
                share = attention[layer, head, i, j]
                lengths[head, i, j] = (share * transformed).norm()
                total[i] += share * transformed
    return lengths, total


@torch.no_grad()
def test_value_attention_is_the_length_of_what_each_head_adds(vit, image):
    fused = explain(vit, image, "valueattention")
    heads = fused.heads()
    for index in range(2):
        for layer in range(L):
            tokens = normed(vit, image, layer)
            lengths, total = slow_value_lengths(vit, tokens[index], fused.trace.attention[index], layer)
            torch.testing.assert_close(fused["A2"][index, layer], lengths.mean(dim=0))
            for head in range(M):
                torch.testing.assert_close(heads[head]["A2"][index, layer], lengths[head])
            block = vit.blocks[layer]           # the slow loop itself: its sum is what the block adds, but for the bias
            added = block.scale1(block.attention(tokens)[0][index] - block.attention.out.bias)
            torch.testing.assert_close(total, added, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(fused["A5"], fused["A2"][:, -1, 0, PREFIX:].unflatten(-1, GRID))
    shares = explain(vit, image, "attention")["A5"]
    assert not torch.equal(fused["A5"].flatten(1).argsort(), shares.flatten(1).argsort())


def test_only_what_a_stage_reads_is_recorded(vit, image):
    def raw(scores):
        return scores.mean(dim=-3)

    def pushed(score_gradients):
        return score_gradients.abs().mean(dim=-3)

    plain, values = explain(vit, image, "rollout").trace, explain(vit, image, "valueattention").trace
    assert plain.scores is plain.score_gradients is plain.value_norms is None and values.scores is None
    assert values.value_norms.shape == (2, L, M, T)
    own = explain(vit, image, Attn(A2=raw))
    torch.testing.assert_close(own["A2"], own.trace.scores.mean(dim=-3))
    of_a_class = explain(vit, image, Attn(A2=pushed), target=1)
    assert of_a_class.trace.score_gradients.abs().max() > 0
    assert of_a_class.knows_classes and not own.knows_classes and not plain.attention_gradients
    assert not any(module._forward_hooks for module in vit.modules())


# ---------------------------------------------------------------------------------------------------------- the stages

@pytest.mark.parametrize("ratio", [0, 0.3, 0.9])
def test_discarding_zeroes_the_lowest_entries_of_each_layer_but_never_what_a_prefix_token_takes_from_itself(ratio):
    fused = some_fused()
    fused[..., 0, 0] = fused[..., 1, 1] = 0.01          # the lowest of all
    expected = torch.zeros_like(fused)
    for index in range(2):
        for layer in range(L):
            places = sorted((float(fused[index, layer, i, j]), i, j) for i in range(T) for j in range(T))
            gone = {(i, j) for _, i, j in places[:int(ratio * T * T)]} - {(0, 0), (1, 1)}
            for i in range(T):
                row = [0.0 if (i, j) in gone else float(fused[index, layer, i, j]) for j in range(T)]
                row = [value / 2 + (0.5 if i == j else 0) for j, value in enumerate(row)]
                expected[index, layer, i] = torch.tensor([value / sum(row) for value in row])
    torch.testing.assert_close(discard_then_half_skip(fused, PREFIX, ratio), expected)


def test_equal_entries_are_discarded_together_or_not_at_all():
    fused = torch.full((1, T, T), 1 / T)
    torch.testing.assert_close(discard_then_half_skip(fused, PREFIX), (fused + torch.eye(T)) / 2)


@pytest.mark.parametrize("ratio", [1, -0.1, 1.5])
def test_a_ratio_that_leaves_nothing_is_refused(ratio):
    with pytest.raises(ValueError, match="between 0 and 1, 1 excluded"):
        discard_then_half_skip(some_fused(), PREFIX, ratio)


@pytest.mark.parametrize("share", [0.01, 0.6, 0.9, 1])
@pytest.mark.parametrize("prefix", [1, 3])
def test_DINO_keeps_the_fewest_patches_that_hold_the_mass(share, prefix):
    cls_attention = torch.rand(4, 1, prefix + 15, generator=torch.Generator().manual_seed(2)) ** 3
    cls_attention[:, 0, :prefix] = 9                              # what CLS takes from the prefix does not count
    mask = threshold_by_mass(cls_attention, prefix, (3, 5), share)
    for index in range(4):
        patches = cls_attention[index, 0, prefix:].tolist()
        kept, held = set(), 0.0
        for value, place in sorted(((value, place) for place, value in enumerate(patches)), reverse=True):
            if held >= share * sum(patches):
                break
            kept.add(place)
            held += value
        assert set(mask[index].flatten().nonzero().flatten().tolist()) == kept
    assert set(mask.unique().tolist()) <= {0.0, 1.0} and mask.shape == (4, 3, 5)


def test_DINO_keeps_no_patch_more_where_the_share_is_reached_exactly():
    cls_attention = torch.tensor([[0.0, 0.25, 0.5, 0.25]])
    assert threshold_by_mass(cls_attention, 1, (1, 3), share=0.5).tolist() == [[0, 1, 0]]
    assert threshold_by_mass(cls_attention, 1, (1, 3), share=0.75).tolist() == [[1, 1, 0]]       # the first of two


def test_DINO_shows_a_mask_for_each_head(vit, image):
    heads, plain = explain(vit, image, "dinomass").heads(), record_vit(vit, image).attention
    for head in range(M):
        row = plain[:, -1, head, :1]
        torch.testing.assert_close(heads[head]["A5"], threshold_by_mass(row, PREFIX, GRID))
    assert not torch.equal(heads[0]["A5"], heads[1]["A5"])


@pytest.mark.parametrize("share", [0, -1, 1.1])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(ValueError, match="0 excluded"):
        threshold_by_mass(torch.ones(1, 8), PREFIX, GRID, share)


# ---------------------------------------------------------------------------------------------------------- the recipes

@pytest.mark.parametrize("fuse, of", [(max_heads, max), (min_heads, min)], ids=["max", "min"])
def test_rollout_of_the_maximum_or_minimum_is_one_stage_replaced(fuse, of, vit, image):
    result = explain(vit, image, replace(ROLLOUT, A2=fuse))
    for index in range(2):
        rollout = torch.eye(T)
        for attention in result.trace.attention[index]:
            fused = [[of(float(attention[m, i, j]) for m in range(M)) for j in range(T)] for i in range(T)]
            rows = [[value / 2 + (0.5 if i == j else 0) for j, value in enumerate(row)] for i, row in enumerate(fused)]
            rollout = torch.tensor([[value / sum(row) for value in row] for row in rows]) @ rollout
        torch.testing.assert_close(result["A5"][index].flatten(), rollout[0, PREFIX:])


@pytest.mark.parametrize("recipe", [ROLLOUT, replace(ROLLOUT, A2=max_heads), replace(ROLLOUT, A2=min_heads),
                                    ATTENTIONS["discardrollout"], ATTENTIONS["gradrollout"]],
                         ids=["mean", "max", "min", "discard", "gradient"])
def test_rows_of_every_rollout_sum_to_one(recipe, vit, image):
    result = explain(vit, image, recipe)
    torch.testing.assert_close(result["A3"].sum(dim=-1), torch.ones(2, L, T))
    torch.testing.assert_close(result["A4"].sum(dim=-1), torch.ones(2, 1))


def test_a_discard_ratio_of_ones_own_is_a_stage_too(vit, image):
    def keep_half(fused, prefix_tokens):
        return discard_then_half_skip(fused, prefix_tokens, discard_ratio=0.5)
    maps = [explain(vit, image, replace(ROLLOUT, A3=stage))["A5"] for stage in (keep_half, discard_then_half_skip)]
    assert (maps[0] - maps[1]).abs().max() > 1e-3


def test_discarded_rollout_is_rollout_of_what_is_left(vit, image):
    result = explain(vit, image, "discardrollout")
    assert ((result["A3"] == 0).sum(dim=(-2, -1)) >= int(0.9 * T * T) - T).all()
    first, second, third = discard_then_half_skip(result.trace.attention.mean(dim=2), PREFIX).unbind(1)
    torch.testing.assert_close(result["A5"].flatten(1), (third @ second @ first)[:, 0, PREFIX:])


@pytest.mark.parametrize("method", ATTENTIONS)
def test_a_batch_is_its_images_one_by_one(method, vit, image):
    together = explain(vit, image, method, target=1)
    assert together["A5"].shape == (2, *GRID) and together.heatmap.shape == (2, 8, 12)
    for index in range(2):
        alone = explain(vit, image[index:index + 1], method, target=1)
        torch.testing.assert_close(alone["A5"][0], together["A5"][index], rtol=1e-4, atol=1e-6)


def test_one_layer_of_values_can_be_read_at_any_block(vit, image):
    result = explain(vit, image, "valueattention", layer=0)
    torch.testing.assert_close(result["A4"], one_layer(result["A2"], 0))
