"""Whoever has only arrays gets the same heatmap as whoever has the network."""
from itertools import product

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


def test_the_title_names_the_class_or_says_that_it_is_that_of_the_gradients():
    titles = [from_tensors("gradcam", size=SIZE, target=target, **MAPS_OF).title(1) for target in (None, [4, 5])]
    assert titles == ["gradcam at the layer given: what speaks for the class of the gradients given",
                      "gradcam at the layer given: what speaks for class 5"]


def test_a_square_grid_behind_cls_is_found_and_more_prefix_tokens_are_left_out():
    attention = torch.rand(1, 2, 10, 10).softmax(dim=-1)
    assert from_tensors("attention", attention=attention, size=(30, 30))["A5"].shape == (1, 3, 3)
    cut = from_tensors("attention", attention=attention, grid=(2, 4), size=(20, 40))
    assert torch.equal(cut["A5"].flatten(), attention.mean(dim=1)[0, 0, 2:])


MAPS, ATTENTION = torch.ones(2, 3, 4, 5), torch.rand(2, 3, 2, 7, 7).softmax(dim=-1)
MAPS_OF = {"activations": MAPS, "gradients": MAPS}
GRID = {"attention": ATTENTION, "grid": (2, 3)}
CHEFER = {**GRID, "attention_gradients": ATTENTION}


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


def changed(values, value):
    """The same array, with one number of the second image another."""
    values = values.clone()
    values[1].view(-1)[3] = value
    return values


NOT_FINITE = [torch.nan, torch.inf, -torch.inf]
ODD_PAIRS = [3, 3.0, "ab", (3,), (3, 3, 1), (0, 0), (3, 0), (-2, -3), (2.0, 3.0), (True, 3), (torch.tensor(2), 3), [],
             ((2, 3), 1), {}, np.array([2.0, 3.0]), (np.float32(2), 3), torch.nan]
ODD_ARRAYS = {
    "ragged": [[1.0, 2.0], [3.0]], "empty": [], "an empty array": torch.ones(0, 3, 4, 5), "text": "abc", "one": 1.0,
    "objects": np.array([object(), None]), "strings": np.array(["a", "b"]), "a dict": {"a": 1}, "bools": MAPS > 0,
    "numpy bools": np.ones((2, 3, 4, 5), bool), "integers": MAPS.long(), "bytes": np.ones((2, 3, 4, 5), np.uint8),
    "complex": MAPS.to(torch.complex64), "numpy complex": np.ones((2, 3, 4, 5), complex), "sparse": MAPS.to_sparse(),
    "nested": torch.nested.nested_tensor([torch.ones(3, 4, 5), torch.ones(3, 4, 4)]), "without data": MAPS.to("meta"),
    "quantised": torch.quantize_per_tensor(MAPS, 0.1, 0, torch.qint8), "too many dimensions": MAPS[None],
    "too large for float32": np.full((2, 3, 4, 5), 1e300), "a list of vectors": [np.ones(3), np.ones(3)],
    "a list of two shapes": [torch.ones(3, 4, 5), torch.ones(3, 4, 6)], "a function": len}


@pytest.mark.parametrize("name, pair", [("size", None), *product(("size", "grid"), ODD_PAIRS)], ids=str)
def test_a_size_is_two_positive_integers(name, pair):
    with pytest.raises(ValueError, match=rf"{name} is two positive integers \(.*\); got"):
        from_tensors("rollout", **{"size": SIZE, **GRID, name: pair})


@pytest.mark.parametrize("size", [SIZE, list(SIZE), np.array(SIZE), torch.Size(SIZE), (np.int64(32), np.uint8(48))],
                         ids=str)
def test_any_two_integers_are_a_size(size):
    assert from_tensors("rollout", size=size, **GRID).heatmap.shape == (2, *SIZE)


@pytest.mark.parametrize("size", [(10**6, 10**6), (1, 10**30), (64_000_001, 1)])
def test_a_size_that_memory_could_not_hold_is_refused_first(size):
    with pytest.raises(ValueError, match="over 64 megapixels"):
        from_tensors("gradcam", size=size, **MAPS_OF)


ALL, FIRST = slice(None), slice(0, 1)


PARTS = [(FIRST,), (ALL, FIRST), (ALL, ALL, FIRST), (ALL, ALL, ALL, FIRST), (..., FIRST), (0,)]


@pytest.mark.parametrize("part", PARTS, ids=str)
def test_gradients_of_a_part_are_not_spread_over_the_whole(part):
    """They would broadcast: the gradient of one image, layer, head, row or column for all."""
    for method, given, gradients in (("chefer", CHEFER, "attention_gradients"), ("gradcam", MAPS_OF, "gradients")):
        with pytest.raises(ValueError, match=f"{gradients} .* and .* differ"):
            from_tensors(method, size=SIZE, **{**given, gradients: given[gradients][part]})


@pytest.mark.parametrize("value", NOT_FINITE)
@pytest.mark.parametrize("method, given, name", [
    ("gradcam", MAPS_OF, "activations"), ("gradcam", MAPS_OF, "gradients"),
    ("eigencam", {"activations": MAPS}, "activations"), ("rollout", GRID, "attention"),
    ("attention", GRID, "attention"), ("chefer", CHEFER, "attention"), ("chefer", CHEFER, "attention_gradients"),
    ("gradrollout", CHEFER, "attention_gradients")])
def test_what_is_not_finite_is_named(method, given, name, value):
    for values in (changed(given[name], value), changed(given[name], value).numpy()):
        with pytest.raises(ValueError, match=f"^{name} holds NaN or infinity"):
            from_tensors(method, size=SIZE, **{**given, name: values})


@pytest.mark.parametrize("array", ODD_ARRAYS)
@pytest.mark.parametrize("method, given, name", [
    ("gradcam", MAPS_OF, "activations"), ("gradcam", MAPS_OF, "gradients"),
    ("chefer", CHEFER, "attention"), ("chefer", CHEFER, "attention_gradients")])
def test_what_is_no_array_of_floats_of_the_right_shape_is_said_in_one_sentence(method, given, name, array):
    with pytest.raises(ValueError, match=f"^{name} ") as said:
        from_tensors(method, size=SIZE, **{**given, name: ODD_ARRAYS[array]})
    assert "\n" not in str(said.value)


@pytest.mark.parametrize("convert", [
    lambda maps: maps.numpy(), lambda maps: maps.double(), lambda maps: maps.half(), lambda maps: maps.bfloat16(),
    lambda maps: maps.numpy().astype(">f8"), lambda maps: maps.numpy().astype(np.longdouble),
    lambda maps: maps.tolist(), lambda maps: maps.flip(-1).numpy()[..., ::-1], lambda maps: list(maps.numpy()),
    lambda maps: maps.clone().requires_grad_(), lambda maps: tuple(maps)])
def test_floats_of_every_kind_are_read(convert):
    maps = torch.linspace(-1, 1, MAPS.numel()).reshape(MAPS.shape).bfloat16().float()
    expected = from_tensors("gradcam", activations=maps, gradients=maps, size=SIZE).heatmap
    found = from_tensors("gradcam", activations=convert(maps), gradients=convert(maps), size=SIZE).heatmap
    assert torch.equal(found, expected) and found.dtype == torch.float32


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here: two devices need one")
def test_arrays_on_two_devices_are_brought_to_that_of_the_first():
    mixed = from_tensors("gradcam", activations=MAPS.cuda(), gradients=MAPS.numpy(), size=SIZE)
    assert mixed.heatmap.is_cuda
    layers = [layer.cuda() if number else layer for number, layer in enumerate(ATTENTION.unbind(1))]
    assert not from_tensors("rollout", attention=layers, grid=(2, 3), size=SIZE).heatmap.is_cuda


@pytest.mark.parametrize("target", [1.7, "cat", True, -1, [1], [1, 2, 3], [1.0, 2.0], [[1], [2]], 10**30, [None, 1],
                                    1j, []], ids=str)
@pytest.mark.parametrize("method, given", [("gradcam", MAPS_OF), ("chefer", CHEFER)])
def test_a_target_is_an_index_or_one_for_each_image(method, given, target):
    with pytest.raises(ValueError, match="target"):
        from_tensors(method, size=SIZE, target=target, **given)


@pytest.mark.parametrize("target, expected", [(3, [3, 3]), (np.int64(3), [3, 3]), ([3, 0], [3, 0]), (None, [-1, -1]),
                                              (np.array([3, 0]), [3, 0]), (torch.tensor([3, 0]), [3, 0])], ids=str)
def test_targets_that_fit_are_taken(target, expected):
    assert from_tensors("gradcam", size=SIZE, target=target, **MAPS_OF).target.tolist() == expected


@pytest.mark.parametrize("name", ["layer", "head"])
@pytest.mark.parametrize("index", [99, -99, 1.0, "1", True, [0], torch.tensor(1)], ids=str)
def test_a_layer_or_head_is_an_index_in_range(name, index):
    with pytest.raises(ValueError, match=f"{name}s 0 to"):
        from_tensors("rollout", size=SIZE, **GRID, **{name: index})


@pytest.mark.parametrize("method, given, message", [
    ("rollout", {**GRID, "activations": MAPS}, "rollout needs attention .* of a ViT; leave out activations"),
    ("attention", {**GRID, **MAPS_OF}, "leave out activations, gradients"),
    ("gradcam", {**MAPS_OF, **GRID}, "gradcam needs activations .* of a CNN; leave out attention, grid"),
    ("gradcam", {**MAPS_OF, "head": 0, "layer": 1}, "leave out layer, head"),
    ("eigencam", {"activations": MAPS, "attention_gradients": ATTENTION}, "leave out attention_gradients"),
    ("rollout", {"attention": ATTENTION - 0.5, "grid": (2, 3)}, "never negative; got -0.*scores before"),
    ("rollout", {"attention": ATTENTION[..., :1, :1]}, "0 patches behind CLS are no square"),
    (["rollout"], GRID, "no method"), (None, GRID, "no method"), (1, GRID, "no method"),
])
def test_what_is_for_another_method_is_refused(method, given, message):
    with pytest.raises(ValueError, match=message):
        from_tensors(method, size=SIZE, **given)


def test_rows_that_do_not_sum_to_one_are_noticed(recwarn):
    from_tensors("rollout", size=SIZE, **GRID)
    from_tensors("rollout", size=SIZE, **{**GRID, "attention": ATTENTION.bfloat16()})
    assert not recwarn
    with pytest.warns(UserWarning, match="rows sum to one, and these to") as warned:
        from_tensors("rollout", size=SIZE, **{**GRID, "attention": ATTENTION.transpose(-2, -1)})
    assert warned[0].filename == __file__           # it points at the caller


def test_attention_of_zero_and_a_list_of_one_layer_are_taken():
    attention = [torch.eye(7).expand(2, 2, 7, 7)]
    assert from_tensors("attention", size=SIZE, attention=attention, grid=(2, 3)).empty.tolist() == [True, True]


def test_an_object_that_numpy_cannot_read_is_named():
    class Broken:
        def __array__(self, *_, **__):
            raise RuntimeError("the file is closed")
    with pytest.raises(ValueError, match=r"^activations .* got a Broken \(the file is closed"):
        from_tensors("eigencam", activations=Broken(), size=SIZE)


@pytest.mark.parametrize("method", sorted(ASK_AGAIN))
def test_a_method_that_asks_the_network_again_says_so(method):
    with pytest.raises(ValueError, match="reads 'network'"):
        from_tensors(method, activations=MAPS, gradients=MAPS, size=SIZE)


def test_every_method_is_tried_on_arrays():
    assert set(CAMS) | set(ATTENTIONS) == set(METHODS)
