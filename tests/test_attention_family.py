"""Attention methods that look at a class: the gradients against finite differences, the maps against slow loops."""
import pytest
import torch

import minixai
from minixai import attention as stages
from minixai.networks.vit import Attention, ViT
from minixai.rollout import half_skip
from minixai.trace import record_vit
from tests.conftest import random_vit

L, M, C, STEP = 3, 2, 4, 1e-4


@pytest.fixture
def vit():
    return random_vit(12, 4, 8, depth=L, heads=M, classes=C)


@pytest.fixture
def trace(vit, image):
    return record_vit(vit, image, target=[1, 3], gradients=True)


def test_attention_gradients_are_those_of_finite_differences(vit, image, trace, monkeypatch):
    """Nudge one entry of one attention matrix, after the softmax, and see what the score does."""
    model, image = vit.double(), image.double()
    nudged = {"module": None, "place": None, "by": 0.0}

    def forward(self, tokens):
        B, T, D = tokens.shape
        q, k, v = self.qkv(tokens).reshape(B, T, 3, M, D // M).permute(2, 0, 3, 1, 4)
        attention = (q @ k.transpose(-2, -1) / (D // M) ** 0.5).softmax(dim=-1)
        if self is nudged["module"]:
            attention[nudged["place"]] += nudged["by"]
        return self.out((attention @ v).transpose(1, 2).reshape(B, T, D)), attention

    monkeypatch.setattr(Attention, "forward", forward)
    for layer, place in [(0, (0, 1, 0, 2)), (1, (1, 0, 3, 5)), (2, (0, 0, 0, 6)), (2, (1, 1, 0, 1))]:
        scores = []
        for by in (STEP, -STEP):
            nudged.update(module=model.blocks[layer].attention, place=place, by=by)
            with torch.no_grad():
                scores.append(model(image)[place[0], int(trace.target[place[0]])])
        slope = (scores[0] - scores[1]) / (2 * STEP)
        assert float(trace.attention_gradients[place[0], layer][place[1:]]) == pytest.approx(float(slope), rel=1e-3)


def slow_chefer(attention, gradients):
    """Chefer et al. 2021, eq. 5 and 6, with full matrices: R = I, then R += mean over heads of (g A)+ times R."""
    R = torch.eye(attention.shape[-1])
    for layer in range(L):
        mean = sum((gradients[layer, head] * attention[layer, head]).clamp(min=0) for head in range(M)) / M
        R = R + mean @ R
    return R[0, 1:]


def slow_gradient_rollout(attention, gradients):
    cls_attention = torch.eye(attention.shape[-1])
    for layer in range(L):
        mean = sum(gradients[layer, head] * attention[layer, head] for head in range(M)) / M
        mixing = mean.clamp(min=0) + torch.eye(len(mean))
        cls_attention = torch.stack([row / row.sum() for row in mixing]) @ cls_attention
    return cls_attention[0, 1:]


@pytest.mark.parametrize("method, slow", [("chefer", slow_chefer), ("gradrollout", slow_gradient_rollout)])
def test_the_map_is_that_of_the_slow_loop(method, slow, vit, image, trace):
    result = minixai.explain(vit, image, method, target=[1, 3])
    for index in range(2):
        expected = slow(trace.attention[index], trace.attention_gradients[index]).reshape(2, 3)
        torch.testing.assert_close(result["A5"][index], expected)


def test_the_positive_part_is_taken_in_each_head_or_after_the_mean():
    attention = torch.tensor([0.5, 0.25]).reshape(1, 2, 1, 1)
    gradients = torch.tensor([6.0, -4.0]).reshape(1, 2, 1, 1)
    assert stages.positive_evidence(attention, gradients).item() == 1.5
    assert stages.mean_evidence(attention, gradients).item() == 1.0
    assert [stages.one_head_evidence(attention, gradients, head).item() for head in (0, 1)] == [3, 0]


@pytest.mark.parametrize("skip", [stages.whole_skip, half_skip])
def test_the_skip_connection_is_added_on_the_device_and_in_the_precision_of_the_matrices(skip):
    """The meta device stands for a GPU: it has shapes and no numbers, and mixes with no other device."""
    mixing = skip(torch.empty(2, 3, 3, dtype=torch.float64, device="meta"))
    assert mixing.shape == (2, 3, 3) and mixing.dtype == torch.float64 and mixing.device.type == "meta"


def test_maximum_and_minimum_of_the_heads_enclose_their_mean(trace):
    most, mean, least = (fuse(trace.attention) for fuse in (stages.max_heads, stages.mean_heads, stages.min_heads))
    assert (most >= mean).all() and (mean >= least).all()
    assert (most.sum(dim=-1) > 1).any() and (least.sum(dim=-1) < 1).any()


def test_two_classes_give_two_maps_where_plain_attention_gives_one(vit, image):
    for method, same in (("attention", True), ("rollout", True), ("chefer", False), ("gradattention", False)):
        one, other = (minixai.explain(vit, image, method, target=target).heatmap for target in (0, 1))
        assert torch.equal(one, other) == same, method


def test_frozen_weights_and_a_caller_without_gradients_do_not_matter(vit, image, trace):
    vit.requires_grad_(False)
    with torch.inference_mode():
        frozen = record_vit(vit, image, target=[1, 3], gradients=True)
    torch.testing.assert_close(frozen.attention_gradients, trace.attention_gradients)
    assert not image.requires_grad


def test_only_methods_that_read_gradients_have_them_recorded(vit, image):
    assert minixai.explain(vit, image, "rollout").trace.attention_gradients is None
    assert minixai.explain(vit, image, "chefer").trace.attention_gradients is not None


def test_a_network_without_classes_has_no_score_to_differentiate(image):
    with pytest.raises(ValueError, match="no class head"):
        minixai.explain(ViT(12, 4, 8, depth=1, heads=2, classes=0), image, "chefer")
