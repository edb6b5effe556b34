"""Whoever has only arrays gets the same heatmap as whoever has the network."""
import numpy as np
import pytest
import torch

import minixai
from minixai import METHODS, explain, from_tensors
from minixai.attention import ATTENTIONS
from minixai.cams import CAMS
from minixai.recipe import reads

SIZE = (32, 48)
ASK_AGAIN = {method for method, recipe in CAMS.items() if reads(recipe, "network")}     # they need the network itself
MORE_ARRAYS = {"valueattention"}                      # reads what only a recording gives


@pytest.fixture(scope="module")
def image():
    return torch.randn(2, 3, *SIZE, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def cnn():
    torch.manual_seed(0)
    return minixai.build("small_cnn")


@pytest.fixture(scope="module")
def vit():
    torch.manual_seed(0)
    return minixai.build("small_vit")


@pytest.mark.parametrize("method", sorted(set(CAMS) - ASK_AGAIN))
def test_a_cam_from_arrays_is_that_of_the_network(method, cnn, image):
    expected = explain(cnn, image, method, layer="stage2")
    arrays = {"activations": expected.trace.activations.numpy(), "gradients": expected.trace.gradients.numpy()}
    assert torch.equal(from_tensors(method, size=SIZE, **arrays).heatmap, expected.heatmap)
    alone = from_tensors(method, size=SIZE, **{name: array[1] for name, array in arrays.items()})
    torch.testing.assert_close(alone.heatmap, expected.heatmap[1:], rtol=0, atol=1e-4)


@pytest.mark.parametrize("method", sorted(set(ATTENTIONS) - MORE_ARRAYS))
def test_an_attention_map_from_arrays_is_that_of_the_network(method, vit, image):
    expected = explain(vit, image, method, layer=3)
    slopes = expected.trace.attention_gradients
    stacked = from_tensors(method, size=SIZE, attention=expected.trace.attention, attention_gradients=slopes,
                           grid=(4, 6), layer=3)
    assert torch.equal(stacked.heatmap, expected.heatmap)
    as_a_list = from_tensors(method, size=SIZE, attention=list(expected.trace.attention.unbind(1)), grid=(4, 6),
                             attention_gradients=None if slopes is None else tuple(slopes.unbind(1)), layer=3, head=1)
    assert torch.equal(as_a_list.heatmap, explain(vit, image, method, layer=3, head=1).heatmap)


def test_classless_methods_need_no_gradients_and_can_be_drawn(cnn, image):
    activations = explain(cnn, image).trace.activations
    result = from_tensors("eigencam", activations=activations, size=SIZE)
    assert [step.title for step in result.steps][0] == "activations"
    assert result.figure(rgb=np.zeros((*SIZE, 3), np.uint8)) is not None and "every class" in result.title()


def test_a_square_grid_behind_cls_is_found_and_more_prefix_tokens_are_left_out():
    attention = torch.rand(1, 2, 10, 10).softmax(dim=-1)
    assert from_tensors("attention", attention=attention, size=(30, 30))["A5"].shape == (1, 3, 3)
    cut = from_tensors("attention", attention=attention, grid=(2, 4), size=(20, 40))
    assert torch.equal(cut["A5"].flatten(), attention.mean(dim=1)[0, 0, 2:])


MAPS, ATTENTION = torch.ones(2, 3, 4, 5), torch.ones(1, 3, 2, 7, 7)


@pytest.mark.parametrize("method, given, message", [
    ("gradcam", {}, "needs activations"),
    ("gradcam", {"activations": MAPS}, "reads 'gradients'"),
    ("gradcam", {"activations": MAPS, "gradients": MAPS[..., :4]}, "differ"),
    ("gradcam", {"activations": MAPS[0, 0]}, r"has to be \(B,K,h,w\)"),
    ("gradcam", {"activations": MAPS, "gradients": MAPS * torch.nan}, "NaN"),
    ("rollout", {"activations": MAPS}, "needs attention"),
    ("rollout", {"attention": ATTENTION}, "no square; give grid"),
    ("rollout", {"attention": ATTENTION, "grid": (1, 7)}, "at most 6 patches"),
    ("rollout", {"attention": ATTENTION, "grid": (2, 3), "layer": 3}, "layers 0 to 2"),
    ("rollout", {"attention": ATTENTION, "grid": (2, 3), "head": 2}, "heads 0 to 1"),
    ("rollout", {"attention": ATTENTION[..., :6], "grid": (2, 3)}, "square"),
    ("chefer", {"attention": ATTENTION, "grid": (2, 3)}, "reads 'attention_gradients'"),
    ("magic", {}, "there are gradcam"),
])
def test_what_is_missing_or_does_not_fit_is_named(method, given, message):
    with pytest.raises(ValueError, match=message):
        from_tensors(method, size=SIZE, **given)


@pytest.mark.parametrize("method", sorted(ASK_AGAIN))
def test_a_method_that_asks_the_network_again_says_so(method):
    with pytest.raises(ValueError, match="reads 'network'"):
        from_tensors(method, activations=MAPS, gradients=MAPS, size=SIZE)


def test_every_method_is_tried_on_arrays():
    assert set(CAMS) | set(ATTENTIONS) == set(METHODS)
