"""Grad-CAM and its relatives on a ViT, its tokens folded into maps: against autograd and slow loops written here."""
import pytest
import torch

from minixai import explain
from minixai.networks.vit import ViT
from minixai.trace import record_cnn
from minixai.trace.foreign.tokens import fold, unfold
from minixai.trace.vit import token_layout
from tests.conftest import random_vit

L, C, D, PREFIX, GRID = 3, 4, 8, 2, (2, 3)
FAMILY = ["gradcam", "hirescam", "layercam", "elementwise", "xgradcam", "gradcampp", "eigencam", "eigengradcam", "fem",
          "ablationcam", "scorecam"]


@pytest.fixture
def vit():
    model = random_vit(12, 4, D, depth=L, heads=2, classes=C, prefix_tokens=PREFIX)
    torch.manual_seed(1)        # with these norms the last block's Grad-CAM has positive evidence in both images
    for block in model.blocks:
        torch.nn.init.normal_(block.norm1.weight)
    return model


def by_hand(vit, image, target, last=L - 1):
    """Activations and gradients (B,T,D) at the norm in front of a block's attention, by plain autograd."""
    tokens = vit.embed(image)
    for block in vit.blocks[:last]:
        tokens = block(tokens)[0]
    normed = vit.blocks[last].norm1(tokens).detach().requires_grad_()
    for number, block in enumerate(vit.blocks[last:]):
        tokens = tokens.detach() if number == 0 else tokens
        tokens = tokens + block.attention(normed if number == 0 else block.norm1(tokens))[0]
        tokens = tokens + block.mlp(block.norm2(tokens))
    score = vit.head(vit.norm(tokens)[:, 0])[range(len(image)), target].sum()
    return normed.detach(), torch.autograd.grad(score, normed)[0]


def slow_gradcam(activations, gradients):
    """One image's tokens (T,D) twice -> the map of Grad-CAM, one number for each patch, row by row."""
    patches = range(PREFIX, len(activations))
    weights = [sum(float(gradients[t, d]) for t in patches) / len(patches) for d in range(D)]
    flat = [max(sum(weights[d] * float(activations[t, d]) for d in range(D)), 0) for t in patches]
    gh, gw = GRID
    return torch.tensor([flat[row * gw:(row + 1) * gw] for row in range(gh)])


@pytest.mark.parametrize("prefix", [1, 3])
@pytest.mark.parametrize("grid", [(2, 4), (5, 3), (1, 6)])
def test_a_token_becomes_a_channel_each_at_its_place(prefix, grid):
    tokens = torch.randn(2, prefix + grid[0] * grid[1], 7)
    maps = fold(tokens, prefix, grid)
    assert maps.shape == (2, 7, *grid)
    for index in range(2):
        for i in range(grid[0]):
            for j in range(grid[1]):
                assert torch.equal(maps[index, :, i, j], tokens[index, prefix + i * grid[1] + j])
    others = torch.randn_like(tokens)
    back = unfold(maps, others)
    assert torch.equal(back[:, prefix:], tokens[:, prefix:]) and torch.equal(back[:, :prefix], others[:, :prefix])


def test_the_layout_is_that_of_the_network(vit, image):
    assert token_layout(vit, image) == (PREFIX, GRID)
    assert token_layout(ViT(16, 4, 8, 1, 2, C), torch.zeros(1, 3, 20, 8)) == (1, (5, 2))


@pytest.mark.parametrize("last", [0, 1, L - 1])
def test_gradcam_on_tokens_is_that_of_autograd_written_here(last, vit, image):
    activations, gradients = by_hand(vit, image, [1, 3], last)
    result = explain(vit, image, "gradcam", target=[1, 3], layer=last)
    assert result.layer == f"blocks.{last}.norm1"
    torch.testing.assert_close(result.trace.activations, activations[:, PREFIX:].transpose(1, 2).unflatten(-1, GRID))
    torch.testing.assert_close(result.trace.gradients, gradients[:, PREFIX:].transpose(1, 2).unflatten(-1, GRID))
    assert gradients.abs().max() > 1e-4
    for index in range(2):
        torch.testing.assert_close(result["C4"][index], slow_gradcam(activations[index], gradients[index]))


def test_the_norm_before_the_last_attention_is_the_default_by_any_name(vit, image):
    expected = explain(vit, image, "gradcam", target=1)
    assert expected.layer == f"blocks.{L - 1}.norm1" and not expected.empty.any()
    for layer in (L - 1, -1, "blocks.2.norm1", vit.blocks[-1].norm1):
        assert torch.equal(explain(vit, image, "gradcam", target=1, layer=layer).heatmap, expected.heatmap)


def test_a_block_returns_its_attention_too_and_its_tokens_are_read(vit, image):
    trace = record_cnn(vit, image, [1, 3], "blocks.1")
    kept = vit.embed(image)
    for block in vit.blocks[:2]:
        kept = block(kept)[0]
    kept = kept.detach().requires_grad_()
    score = vit.head(vit.norm(vit.blocks[2](kept)[0])[:, 0])[[0, 1], [1, 3]].sum()
    gradients, = torch.autograd.grad(score, kept)
    torch.testing.assert_close(trace.activations, fold(kept.detach(), PREFIX, GRID))
    torch.testing.assert_close(trace.gradients, fold(gradients, PREFIX, GRID))


@pytest.mark.parametrize("layer", ["blocks.2", "blocks.2.norm2", "blocks.2.attention", "norm"])
def test_behind_the_last_attention_patches_have_no_gradient_and_the_map_says_so(layer, vit, image):
    result = explain(vit, image, "gradcam", target=1, layer=layer)
    assert not result.heatmap.any() and not result.trace.gradients.any()
    assert "depends on CLS alone, not on the patches: take layer 'blocks.2.norm1'" in result.why_empty[1]


def test_where_patches_have_a_gradient_nothing_is_said_of_CLS(vit, image):
    torch.nn.init.zeros_(vit.head.weight)
    assert "CLS" not in explain(vit, image, "gradcam", target=1).why_empty[0]


@pytest.mark.parametrize("method", FAMILY)
def test_a_batch_is_its_images_one_by_one(method, vit, image):
    together = explain(vit, image, method, target=[1, 3])
    assert together["C4"].shape == (2, *GRID) and together.heatmap.shape == (2, 8, 12)
    for index, target in enumerate([1, 3]):
        alone = explain(vit, image[index:index + 1], method, target=target)
        torch.testing.assert_close(alone["C4"][0], together["C4"][index], rtol=1e-3, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("last", [1, L - 1])
def test_ablation_takes_a_channel_from_the_patches_and_leaves_the_prefix(last, vit, image):
    weights = explain(vit, image, "ablationcam", target=[1, 3], layer=f"blocks.{last}.norm1")["C2"]
    for index, target in enumerate([1, 3]):
        for channel in range(D):
            scores = []
            for without in (False, True):
                tokens = vit.embed(image[index:index + 1])
                for number, block in enumerate(vit.blocks):
                    normed = block.norm1(tokens)
                    if number == last and without:
                        normed[:, PREFIX:, channel] = 0
                    tokens = tokens + block.attention(normed)[0]
                    tokens = tokens + block.mlp(block.norm2(tokens))
                scores.append(float(vit.head(vit.norm(tokens)[:, 0])[0, target]))
            expected = (scores[0] - scores[1]) / abs(scores[0])
            assert float(weights[index, channel]) == pytest.approx(expected, rel=1e-2, abs=1e-4)


@pytest.mark.parametrize("layer", ["blocks.0", "blocks.1", "blocks.1.norm1", "blocks.2.mlp"])
def test_a_layers_own_tokens_put_back_give_the_logits_again(layer, vit, image):
    """Also those of a block, which returns its attention too."""
    trace = record_cnn(vit, image, [1, 3], layer)
    for index in range(2):
        logits = trace.network.after(trace.activations[index:index + 1], index)
        torch.testing.assert_close(logits, trace.logits[index:index + 1])


def test_what_is_no_token_of_a_patch_is_refused(vit, image):
    vit.head = torch.nn.Sequential(torch.nn.Unflatten(1, (2, 4)), torch.nn.Flatten(), torch.nn.Linear(D, C))
    with pytest.raises(ValueError, match=r"'head.0' returns \(2, 2, 4\), not tokens .* T = 2 \+ 2x3 patches"):
        explain(vit, image, "gradcam", layer="head.0")
    with pytest.raises(ValueError, match=r"'head.1' returns \(2, 8\), not feature maps .* or tokens"):
        explain(vit, image, "gradcam", layer="head.1")
    with pytest.raises(ValueError, match=f"layers 0 to {L - 1}; got {L}"):
        explain(vit, image, "gradcam", layer=L)


def test_a_network_without_a_class_head_is_refused(image):
    with pytest.raises(ValueError, match="no class head"):
        explain(ViT(12, 4, 8, depth=1, heads=2, classes=0), image, "gradcam")


def test_nothing_stays_behind_in_the_network(vit, image):
    explain(vit, image, "ablationcam")
    assert not any(module._forward_hooks for module in vit.modules())
    assert all(weight.grad is None and weight.requires_grad for weight in vit.parameters())
