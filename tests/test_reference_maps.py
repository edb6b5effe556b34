"""minixai.explain gives the heatmaps of pytorch-grad-cam and of vit-explain's rollout, to 1e-5 of the largest value.

They were recorded by tests/reference/record.py, on the libraries' networks and on ours.
"""
import pytest

from minixai import explain, load, open_image
from minixai.networks import zoo
from minixai.networks.cnn import small_cnn
from minixai.networks.vit import SIZES, ViT
from tests.reference.near import DOUBLE, relative_difference
from tests.reference.seeded import CAT, LITE0_GAIN, filled, pick, recorded, recorded_image
from weights_scripts import convert_cnn, convert_vit

TINY_DINOV2 = dict(image_size=140, patch_size=14, width=48, depth=6, heads=3, classes=0, layer_scale=1.0)


def unchanged(state):
    return state


# file: our network, the recorded state dict's way to it, gain of the seeded weights
CNNS = {
    "torchvision_resnet18": (lambda: zoo.resnet18(10), convert_cnn.from_torchvision_resnet, 1.0),
    "torchvision_vgg16": (lambda: zoo.vgg16(10, 1 / 8), convert_cnn.from_torchvision_vgg16, 1.0),
    "timm_efficientnet_lite0": (lambda: zoo.efficientnet_lite0(10), convert_cnn.from_timm_efficientnet_lite0,
                                LITE0_GAIN),
    "our_small_cnn": (small_cnn, unchanged, 1.0),
    "our_resnet18": (lambda: zoo.resnet18(4, 1 / 8), unchanged, 1.0),
}
VITS = {
    "timm_small_vit": (lambda: ViT(**SIZES["small_vit"]), convert_vit.from_timm_vit),
    "transformers_tiny_dinov2": (lambda: ViT(**TINY_DINOV2), convert_vit.from_transformers_dinov2),
}


def heatmaps(record):
    """(what was explained, recorded pixels) of each heatmap in a file."""
    return [(name.removeprefix("heatmap "), record[name]) for name in record if name.startswith("heatmap ")]


def in_double(model, image):
    """In single precision rounding flips ReLUs, another way on another machine."""
    return model.double(), image.double()


def difference(result, pixels):
    return relative_difference(pick(result.heatmap, len(pixels)), pixels)


@pytest.mark.parametrize("name", CNNS)
def test_gradcam_equals_pytorch_grad_cam(name):
    make, convert, gain = CNNS[name]
    record = recorded(f"maps_{name}")
    model, image = in_double(filled(make(), record, convert, gain), recorded_image(record))
    for layer, pixels in heatmaps(record):
        result = explain(model, image, target=record["targets"].tolist(), layer=layer)
        assert difference(result, pixels) <= DOUBLE, layer


def test_gradcam_through_a_hook_equals_pytorch_grad_cam():
    """The way of any other network: the layer is given as a module, and its output is caught."""
    record = recorded("maps_our_small_cnn")
    model, image = in_double(filled(small_cnn(), record, unchanged), recorded_image(record))
    for layer, pixels in heatmaps(record):
        result = explain(model, image, target=record["targets"].tolist(), layer=getattr(model, layer))
        assert difference(result, pixels) <= DOUBLE, layer


def test_gradcam_of_a_real_network_on_a_real_photo_equals_pytorch_grad_cam():
    record, model = recorded("maps_real_efficientnet_lite0"), load("efficientnet_lite0")
    image = open_image(CAT, model).repeat(2, 1, 1, 1)
    assert relative_difference(pick(image), record["image pixels"]) <= DOUBLE, "opened differently: record again"
    model, image = in_double(model, image)
    for layer, pixels in heatmaps(record):
        result = explain(model, image, target=record["targets"].tolist(), layer=layer)
        assert difference(result, pixels) <= DOUBLE, layer


@pytest.mark.parametrize("name", VITS)
def test_rollout_and_attention_equal_vit_explain(name):
    make, convert = VITS[name]
    record = recorded(f"maps_{name}")
    model, image = in_double(filled(make(), record, convert), recorded_image(record))
    for what, pixels in heatmaps(record):
        method, _, head = what.partition(" head ")
        result = explain(model, image, method=method, head=int(head) if head else None)
        assert difference(result, pixels) <= DOUBLE, what
    coarse = explain(model, image, method="rollout")["A5"][0]
    assert relative_difference(coarse / coarse.max(), record["coarse rollout"]) <= DOUBLE
