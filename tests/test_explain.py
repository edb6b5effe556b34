"""From a name to a heatmap: every method, every choice, and a sentence where there is nothing to show."""
from contextlib import contextmanager
from dataclasses import FrozenInstanceError
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from minixai import METHODS, explain, from_tensors, verify
from minixai.attention import Attn
from minixai.explain import without_autocast
from minixai.gradcam import Cam
from minixai.networks.cnn import CNN, Head, small_cnn
from minixai.networks.vit import ViT
from tests.conftest import random_images, random_vit
from tests.test_trace import alive

pytestmark = pytest.mark.filterwarnings("error")

C, M, L, SIZE = 4, 2, 3, (48, 32)
CAMS = [name for name, recipe in METHODS.items() if isinstance(recipe, Cam)]
CLASSLESS = {"eigencam", "kpcacam", "fem", "randomcam", "attention", "rollout", "valueattention",
             "dinomass", "discardrollout"}
ATTENTIONS = [name for name, recipe in METHODS.items() if isinstance(recipe, Attn)]


images = partial(random_images, H=SIZE[0], W=SIZE[1])


def cnn():
    torch.manual_seed(0)
    return small_cnn(C, (3, 4, 6, 7)).eval()


def vit():
    return random_vit(16, 8, 8, depth=L, heads=M, classes=C)


def network_for(method):
    return cnn() if method in CAMS else vit()


class Features(nn.Module):
    """Returns the same feature maps (K,h,w) for every image, plus whatever the image's first pixel says."""
    def __init__(self, maps):
        super().__init__()
        self.maps = nn.Parameter(torch.tensor(maps))

    def forward(self, image):
        return self.maps + 0 * image[:, :1, :1, :1]


def linear(maps, weights):
    """A CNN of one class: feature maps that are given, and what each counts for."""
    model = CNN({"features": Features(maps), "head": Head(len(maps), 1)})
    model.head.fc.weight.data = torch.tensor([weights])
    return model


def uniform_vit():
    model = vit()
    for block in model.blocks:
        nn.init.zeros_(block.attention.qkv.weight)          # all scores 0: every token takes equally from every token
    return model


# ------------------------------------------------------------------------------------------------------ every method

def test_the_methods_of_the_articles_core_are_there():
    assert {"gradcam", "attention", "rollout"} <= set(METHODS) and set(CAMS) | set(ATTENTIONS) == set(METHODS)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gives_a_heatmap_for_every_image(method):
    result = explain(network_for(method), images(), method)
    assert result.heatmap.shape == (2, *SIZE) and result.heatmap.dtype == torch.float32
    assert result.heatmap.amin(dim=(1, 2)).tolist() == [0, 0] and result.heatmap.amax(dim=(1, 2)).tolist() == [1, 1]
    assert result.target.shape == (2,) and result.target.dtype == torch.int64
    assert result.empty.tolist() == [False, False] and result.why_empty == [None, None]


@pytest.mark.parametrize("method", METHODS)
def test_every_step_can_be_asked_for_by_its_number(method):
    result = explain(network_for(method), images(), method)
    ids = [step.id for step in result.steps]
    assert ids[0] == ("C1" if method in CAMS else "A1") and ids[-2:] == ["M1", "M2"] and len(set(ids)) == len(ids)
    assert all(step.title and result[step.id] is step.value for step in result.steps)
    assert result["M2"] is result.heatmap
    with pytest.raises(KeyError, match="no step 'C9'; there are .*M2"):
        result["C9"]


@pytest.mark.parametrize("method", METHODS)
def test_the_same_call_gives_the_same_heatmap(method):
    model = network_for(method)
    first = explain(model, images(), method).heatmap
    torch.manual_seed(999)
    assert torch.equal(first, explain(model, images(), method).heatmap)


@pytest.mark.parametrize("method", METHODS)
def test_an_image_does_not_know_its_neighbours_in_the_batch(method):
    model = network_for(method)
    together = explain(model, images(B=3), method, target=[0, 1, 2])
    for index in range(3):
        alone = explain(model, images(B=3)[[index]], method, target=index)
        torch.testing.assert_close(together.heatmap[[index]], alone.heatmap, rtol=0, atol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_the_title_says_what_one_looks_at(method):
    model = network_for(method)
    model.labels = ["cat", "dog", "wolf", "cow"]
    title = explain(model, images(), method, target=[1, 2]).title(1)
    assert title.startswith(f"{method} at ") and ("class 2 (wolf)" in title) == (method not in CLASSLESS)


# ------------------------------------------------------------------------------------------------------- every choice

def test_without_a_target_it_is_the_top_class():
    model = cnn()
    result = explain(model, images())
    assert result.method == "gradcam" and torch.equal(result.target, model(images()).argmax(dim=-1))
    assert torch.equal(result.heatmap, explain(model, images(), target=result.target).heatmap)


def test_another_target_is_another_map():
    maps = [explain(cnn(), images(), target=target)["C3"] for target in range(C)]
    assert all((a - b).abs().max() > 1e-4 for index, a in enumerate(maps) for b in maps[:index])


@pytest.mark.parametrize("layer", ["stem", "stage2", "stage2.conv1"])
def test_a_layer_by_name_or_module(layer):
    model = cnn()
    named, given = (explain(model, images(), layer=wanted) for wanted in (layer, model.get_submodule(layer)))
    assert named.layer == given.layer == layer and torch.equal(named["C4"], given["C4"])
    assert not torch.equal(named.heatmap, explain(model, images()).heatmap)


@pytest.mark.parametrize("method", ATTENTIONS)
def test_a_block_counts_from_either_end_and_the_last_is_the_default(method):
    model = vit()
    maps = [explain(model, images(), method, layer=layer)["A5"] for layer in range(L)]
    assert torch.equal(maps[-1], explain(model, images(), method)["A5"])
    assert torch.equal(maps[1], explain(model, images(), method, layer=1 - L)["A5"])
    assert all((a - b).abs().max() > 1e-3 * a.max() for index, a in enumerate(maps) for b in maps[:index])


@pytest.mark.parametrize("method", ATTENTIONS)
def test_a_head_alone_and_all_heads_from_one_trace(method):
    model = vit()
    fused, alone = explain(model, images(), method), [explain(model, images(), method, head=head) for head in range(M)]
    assert (alone[0]["A5"] - alone[1]["A5"]).abs().max() > 1e-3
    assert all(torch.equal(a.heatmap, b.heatmap) for a, b in zip(alone, fused.heads()))
    if method == "attention":
        torch.testing.assert_close(fused["A5"], (alone[0]["A5"] + alone[1]["A5"]) / 2)


def test_a_head_of_all_says_which_it_is():
    fused = explain(vit(), images(), "attention", layer=1)
    assert fused.title() == "attention at block 1, mean of the heads: the same for every class"
    for number, alone in enumerate(fused.heads()):
        assert alone.title() == f"attention at block 1, head {number}: the same for every class"
        assert alone.recipe == explain(vit(), images(), "attention", head=number).recipe != fused.recipe
        assert alone.trace.head == number and fused.trace.head is None


def test_an_explanation_cannot_be_changed():
    result = explain(cnn(), images())
    with pytest.raises(FrozenInstanceError):
        result.method = "hirescam"


def test_weights_that_overflow_are_named_at_the_stage_where_they_are_first_seen():
    """The last stages may hide it: the ReLU makes zeros of minus infinity."""
    def divided_by_zero(gradients):
        """C2 divided by zero: gradients (K,h,w) -> weights (K,1,1)"""
        return -torch.ones_like(gradients[..., :1, :1]) / 0
    with pytest.raises(ValueError, match="first seen in C2, divided by zero"):
        explain(cnn(), images().abs(), Cam(C2=divided_by_zero, C3=lambda weights: weights[..., 0, :, :]))


def test_a_recipe_of_ones_own_is_a_method_too():
    def no_relu(cam):
        return cam
    result = explain(cnn(), images(), Cam(C4=no_relu), target=0)
    assert result.method == "Cam(C4=no_relu)"
    assert torch.equal(result["C4"], explain(cnn(), images(), target=0)["C3"])
    assert explain(cnn(), images(), Cam(C4=partial(no_relu))).method == "Cam(C4=partial)"


def test_a_foreign_network_says_its_layer():
    model = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(inplace=True), Head(5, C))
    result = explain(model, images(), layer="0")
    assert result.layer == "0" and result.heatmap.shape == (2, *SIZE)
    with pytest.raises(ValueError, match="say which layer"):
        explain(model, images())


@pytest.mark.parametrize("model, options, kind, message", [
    (cnn, {"method": "gradcan"}, ValueError, "no method 'gradcan'; there are gradcam, .*attention, rollout"),
    (cnn, {"method": "rollout"}, TypeError, "attention methods read a ViT, .*; a CNN is not built like one, "
     "for a CNN use gradcam"),
    (cnn, {"head": 0}, ValueError, "gradcam has no heads"),
    (cnn, {"target": C}, ValueError, "classes 0 to 3; got target 4"),
    (cnn, {"layer": "stage9"}, ValueError, "no layer named 'stage9'"),
    (vit, {"method": "attention", "head": M}, ValueError, "heads 0 to 1; got 2"),
    (vit, {"method": "rollout", "layer": L}, ValueError, "layers 0 to 2; got 3"),
    (vit, {"method": "attention", "target": C}, ValueError, "classes 0 to 3; got target 4"),
], ids=str)
def test_a_choice_that_does_not_fit_says_what_would(model, options, kind, message):
    with pytest.raises(kind, match=message):
        explain(model(), images(), **options)


def test_a_cnn_has_no_heads():
    with pytest.raises(TypeError, match="gradcam has no heads"):
        explain(cnn(), images()).heads()


def test_an_image_that_cannot_be_cut_into_patches_says_so():
    with pytest.raises(ValueError, match="47x32 pixels cannot be cut into patches of 8x8"):
        explain(vit(), images()[:, :, 1:], "attention")


# -------------------------------------------------------------------------------------------------- nothing to show

PLACES = [[1.0, 2.0, 0.5], [3.0, 0.25, 1.5]]
FLAT = [[0.1] * 3] * 2
EMPTY = {   # name -> (model, method, what the sentence says)
    "negative evidence": (lambda: linear([PLACES], [-1.0]), "gradcam",
                          r"no place at features speaks for class 0 \(negative evidence only\)"),
    "zero gradient": (lambda: linear([PLACES], [0.0]), "gradcam", "gradient of class 0's score is zero .*saturated"),
    "flat features": (lambda: linear([FLAT], [3.0]), "gradcam", "every place at features counts the same for class 0"),
    "no features": (lambda: linear([[[0.0] * 3] * 2], [1.0]), "gradcam", "no feature is active at features"),
    "one place": (lambda: linear([[[2.0]]], [1.0]), "gradcam", "counts the same"),
    "uniform attention": (uniform_vit, "attention", "CLS took equally from every patch"),
    "uniform rollout": (uniform_vit, "rollout", "CLS took equally from every patch"),
}


@pytest.mark.parametrize("name", EMPTY)
def test_an_empty_heatmap_is_zeros_and_says_why(name):
    make, method, sentence = EMPTY[name]
    result = explain(make(), images()[..., :24, :16], method, target=0)
    assert result.heatmap.shape == (2, 24, 16) and not result.heatmap.any()
    assert result.empty.tolist() == [True, True]
    for why in result.why_empty:
        with pytest.raises(ValueError, match=sentence):
            raise ValueError(why)


def test_arrays_that_show_nothing_say_why():
    against = {"attention": torch.full((1, 2, M, 5, 5), 0.2), "attention_gradients": -torch.ones(1, 2, M, 5, 5)}
    cancelled = {"activations": torch.tensor([[[1.0, 2.0]]]), "gradients": torch.tensor([[[1.0, -1.0]]])}
    assert from_tensors("chefer", **against, size=SIZE, target=2).why_empty == [
        "no attention of CLS to a patch raises the score of class 2 (negative evidence only)"]
    assert from_tensors("gradcam", **cancelled, size=SIZE, target=2).why_empty == [
        "the weighted sum is zero everywhere at the layer given: no channel has a weight"]
    nowhere = {"activations": torch.tensor([[[1.0, 0.0]]]), "gradients": torch.tensor([[[-1.0, -1.0]]])}
    assert "no place at the layer given speaks for class 2" in from_tensors(
        "gradcam", **nowhere, size=SIZE, target=2).why_empty[0]


def test_in_a_batch_each_image_is_empty_or_not_by_itself():
    class Signed(nn.Module):
        def forward(self, image):
            return image[:, :1]
    model = CNN({"signed": Signed(), "head": Head(1, 1)})
    nn.init.ones_(model.head.fc.weight)
    image = torch.stack([images()[0].abs(), -images()[0].abs()])
    result = explain(model, image, target=0)
    assert result.empty.tolist() == [False, True] and result.why_empty[0] is None
    assert "negative evidence only" in result.why_empty[1] and result.heatmap[0].max() == 1


# ---------------------------------------------------------------------------------------------- numbers that are none

def poisoned(model, name, value):
    model.get_parameter(name).data.view(-1)[0] = value
    return model


NOT_FINITE = {
    "NaN in an early layer": lambda: (poisoned(cnn(), "stem.0.conv.weight", torch.nan), "gradcam"),
    "infinite feature": lambda: (linear([[[torch.inf, 1.0]]], [1.0]), "gradcam"),
    "infinity against the class": lambda: (linear([[[torch.inf, 1.0]], [[2.0, 1.0]]], [-1.0, 3.0]), "gradcam"),
    "NaN in the scores only": lambda: (poisoned(cnn(), "head.fc.bias", torch.nan), "gradcam"),
    "NaN in a patch": lambda: (poisoned(vit(), "patches.weight", torch.nan), "attention"),
    "NaN in the last block": lambda: (poisoned(vit(), f"blocks.{L - 1}.attention.qkv.weight", torch.nan), "rollout"),
    "NaN in the class head": lambda: (poisoned(vit(), "head.bias", torch.nan), "attention"),
}


@pytest.mark.parametrize("name", NOT_FINITE)
def test_a_network_that_is_not_finite_gets_no_map(name):
    model, method = NOT_FINITE[name]()
    with pytest.raises(ValueError, match="NaN|finite"):
        explain(model, images(), method, target=0)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("poison", ["NaN weight", "infinite weight", "NaN bias of the head", "NaN pixel", "inf pixel",
                                    "-inf pixel", "image too large"])
def test_every_method_says_in_one_sentence_what_holds_the_nan(method, poison):
    early, late = ("stem.0.conv.weight", "head.fc.bias") if method in CAMS else ("patches.weight", "head.bias")
    model, image = network_for(method), images()
    holder = {"NaN weight": early, "infinite weight": early, "NaN bias of the head": late}.get(poison)
    if holder:
        poisoned(model, holder, torch.inf if "infinite" in poison else torch.nan)
    elif poison == "image too large":
        image = image.sign() * 3e38
    else:
        image[1, 2, 3, 4] = {"NaN": torch.nan, "inf": torch.inf, "-inf": -torch.inf}[poison.split()[0]]
    reason = ("the image holds NaN or infinity" if "pixel" in poison else f"the network's .*its weights.*{holder}"
              if holder else r"the network's .* its weights are finite, and the image goes up to 3e\+38")
    with pytest.raises(ValueError, match=reason) as said:
        explain(model, image, method, target=1)
    assert "\n" not in str(said.value)
    with pytest.raises(ValueError, match=reason):
        verify(torch.rand(2, *SIZE), model, image, method, target=1)


def test_a_gradient_that_is_not_finite_is_named():
    class Root(nn.Module):
        """The square root, whose slope at zero is infinite."""
        def forward(self, features):
            return (0 * features).sqrt()
    with pytest.raises(ValueError, match="first seen in its gradients"):
        explain(nn.Sequential(nn.Conv2d(3, 5, 3), Root(), Head(5, C)), images(), target=0, layer="0")


LARGE = [[[1e30, 2e30, -3e30]], [[-2e30, 1e30, 1e30]]]      # of the first two places' product, one half is +, one -


@pytest.mark.parametrize("method", ["gradcam", "gradcampp", "eigengradcam", "kpcacam"])
def test_a_method_whose_own_arithmetic_overflows_says_so(method):
    """What was recorded is finite; its products are not."""
    maps = torch.tensor(LARGE)
    with pytest.raises(ValueError, match="the method's numbers hold NaN|no map can be made of these numbers"):
        from_tensors(method, activations=maps, gradients=maps, size=SIZE)


def test_half_precision_that_overflows_is_named():
    with pytest.raises(ValueError, match="the image goes up to 1e.05, more than the network's torch.float16 can hold"):
        explain(cnn().half(), torch.full((1, 3, *SIZE), 1e5))


def test_a_verdict_on_numbers_that_the_method_cannot_take_is_none():
    """Every way to compute the map breaks down; that is no reason to call theirs wrong."""
    with pytest.raises(ValueError, match="no map can be made"):
        verify(torch.rand(1, *SIZE), linear(LARGE, [1e-30, 1e-30]), images(B=1), "kpcacam")
    with pytest.raises(ValueError, match="the method's numbers hold NaN or infinity"):      # of a gradient's square
        verify(torch.rand(1, *SIZE), linear([[[1e-30, 2e-30]]], [1e30]), images(B=1), "gradcampp")


# ------------------------------------------------------------------------------------------ in whatever surroundings

@contextmanager
def default_dtype(dtype):
    usual = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(usual)


@contextmanager
def deterministic():
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


SURROUNDINGS = {        # what is switched on around the call, and how much that may move the map
    "autocast to bfloat16": (partial(torch.autocast, "cpu", torch.bfloat16), None),
    "autocast to float16": (partial(torch.autocast, "cpu", torch.float16), None),
    "no_grad": (torch.no_grad, 0), "inference_mode": (torch.inference_mode, 0), "deterministic": (deterministic, 0),
    "float64 by default": (partial(default_dtype, torch.float64), 0),
}


def values(result):
    """The tensors of all steps."""
    return [value for step in result.steps for value in (step.value if isinstance(step.value, tuple) else [step.value])]


@pytest.mark.parametrize("around", SURROUNDINGS)
@pytest.mark.parametrize("method", METHODS)
def test_every_step_is_float32_in_whatever_surroundings(method, around):
    model, image = network_for(method), images()
    expected = explain(model, image, method, target=1)
    switched_on, moves = SURROUNDINGS[around]
    with switched_on():
        found = explain(model, image, method, target=1)
    assert {value.dtype for value in [*values(found), found.heatmap, found.trace.logits]} == {torch.float32}
    if moves is not None:
        torch.testing.assert_close(found.heatmap, expected.heatmap, rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("method", METHODS)
def test_every_step_is_float32_whatever_the_network_computes_in(method, dtype):
    model = network_for(method).to(dtype)
    with torch.autocast("cpu", torch.float16 if dtype == torch.float16 else torch.bfloat16):
        cast = explain(model, images(), method, target=1)
    for result in (cast, explain(model, images(), method, target=1)):
        assert {value.dtype for value in values(result)} == {torch.float32}


@pytest.mark.parametrize("method", [name for name in ATTENTIONS if name not in ("dinomass", "valueattention")])
def test_autocast_does_not_round_the_arithmetic_of_arrays(method):
    trace = explain(vit(), images(), method, target=1).trace
    arrays = {"attention": trace.attention, "attention_gradients": trace.attention_gradients}
    expected = from_tensors(method, **arrays, grid=trace.grid, size=SIZE)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(from_tensors(method, **arrays, grid=trace.grid, size=SIZE).heatmap, expected.heatmap)


def test_where_there_is_no_autocast_there_is_none_to_switch_off():
    with torch.autocast("cpu", torch.bfloat16), without_autocast("meta"):
        assert torch.is_autocast_enabled("cpu") and not torch.amp.is_autocast_available("meta")


@pytest.mark.parametrize("around", SURROUNDINGS)
def test_a_verdict_is_the_same_in_whatever_surroundings(around):
    model, image = alive(cnn()), images(B=1)
    right = explain(model, image, "gradcam", 1, "stage2").heatmap
    wrong = torch.rand(right.shape, generator=torch.Generator().manual_seed(0))
    with SURROUNDINGS[around][0]():
        # The network itself runs as the caller has it, so under autocast its own numbers are rounded.
        assert verify(right, model, image, "gradcam", 1, "stage2").agrees or "autocast" in around
        assert not verify(wrong, model, image, "gradcam", 1, "stage2").explained


# --------------------------------------------------------------------------------------------------- of a wrong kind

ODD = [True, 1.5, "x", "", [], [None], [[0], [1]], {"a": 1}, {1}, object, b"x", 1j, np.array([object()]),
       np.array(["a"]), torch.tensor([1.0, 0.0]), torch.tensor(1j), torch.eye(2).to_sparse(),
       torch.zeros(2, dtype=torch.long, device="meta")]


@pytest.mark.parametrize("given", ODD, ids=lambda given: f"{type(given).__name__} {' '.join(str(given).split())[:30]}")
@pytest.mark.parametrize("name", ["target", "layer", "head", "method"])
@pytest.mark.parametrize("method", ["gradcam", "rollout"])
def test_a_choice_of_a_wrong_kind_is_one_sentence(method, name, given):
    question = {"method": method, name: given}
    for ask in (partial(explain, network_for(method), images()),
                partial(verify, torch.rand(2, *SIZE), network_for(method), images())):
        with pytest.raises(ValueError) as said:
            ask(**question)
        assert str(said.value).isprintable() and len(str(said.value)) < 600


IMAGES = {
    "None": None, "a path": "cat.png", "a list": [images()], "an array": images().numpy(), "no batch": images()[0],
    "too many dimensions": images()[None], "no images": images()[:0], "no pixels": images()[..., :0],
    "bytes": images().to(torch.uint8), "integers": images().long(), "bools": images().bool(),
    "complex": images().to(torch.complex64), "sparse": images().to_sparse(), "without data": images().to("meta"),
    "one channel": images()[:, :1], "two channels": images()[:, :2], "four channels": torch.ones(2, 4, *SIZE)}


@pytest.mark.parametrize("image", IMAGES)
@pytest.mark.parametrize("method", ["gradcam", "rollout", "eigencam"])
def test_an_image_of_a_wrong_kind_is_one_sentence(method, image):
    for ask in (explain, partial(verify, torch.rand(2, *SIZE))):
        with pytest.raises(ValueError) as said:
            ask(network_for(method), IMAGES[image], method)
        assert str(said.value).isprintable() and ("channel" in image) == ("channels" in str(said.value))


@pytest.mark.parametrize("model", [None, "small_cnn", nn.Conv2d, torch.ones(2), len], ids=str)
@pytest.mark.parametrize("method", ["gradcam", "rollout"])
def test_what_is_no_network_is_said(method, model):
    with pytest.raises(TypeError, match=r"a network is an nn.Module; got"):
        explain(model, images(), method)


def test_a_stage_without_parameter_names_is_refused_with_the_way_out():
    with pytest.raises(ValueError, match="stage C4 has to be a Python function.*wrap"):
        explain(cnn(), images(), Cam(C4=torch.relu))


def test_a_network_without_classes_takes_no_target():
    with pytest.raises(ValueError, match="no class head"):
        explain(ViT(16, 4, 8, depth=1, heads=2, classes=0), images(), "attention", target=5)


def test_pixels_that_are_not_preprocessed_are_refused():
    with pytest.raises(ValueError, match="preprocessed floats.*uint8"):
        explain(cnn(), torch.zeros(1, 3, 48, 32, dtype=torch.uint8))


def test_two_results_can_be_compared_and_printed():
    one, other = explain(cnn(), images()), explain(cnn(), images())
    assert one == one and one != other and len({one, other}) == 2
    assert repr(one).startswith("<gradcam at stage4") and len(repr(one)) < 200
