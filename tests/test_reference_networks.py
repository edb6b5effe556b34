"""Our networks equal torchvision's, timm's and transformers': same weights, same image, same numbers in every layer.

The libraries' numbers were recorded by tests/reference/record.py. The weights are made from their names and shapes,
as they were there, and go through weights_scripts/convert_*.py like real ones.
"""
import pytest
import torch

from minixai.networks import zoo
from minixai.networks.vit import SIZES, ViT
from tests.reference.near import SINGLE, relative_difference
from tests.reference.seeded import (
    LITE0_GAIN,
    filled,
    norm_eps,
    pick,
    recorded,
    recorded_image,
    seeded_state,
)
from weights_scripts import convert_cnn, convert_vit

NARROW = {"width": 48, "depth": 2, "heads": 3}
CNNS = {
    "torchvision_resnet18": (zoo.resnet18, convert_cnn.from_torchvision_resnet, 1.0, {}),
    "torchvision_resnet50": (zoo.resnet50, convert_cnn.from_torchvision_resnet, 1.0, {}),
    "torchvision_vgg16": (zoo.vgg16, convert_cnn.from_torchvision_vgg16, 1.0, {"width": 1 / 8}),
    "timm_efficientnet_lite0": (zoo.efficientnet_lite0, convert_cnn.from_timm_efficientnet_lite0, LITE0_GAIN, {}),
}
VITS = {
    "timm_deit_tiny": ("deit_tiny", convert_vit.from_timm_vit, {"depth": 4, "classes": 10}),
    "timm_vit_small": ("vit_small", convert_vit.from_timm_vit, {"depth": 3, "classes": 10}),
    "transformers_dinov2_small": ("dinov2_small", convert_vit.from_transformers_dinov2, {"depth": 3}),
    # These were recorded narrow. DINO's and DINOv2's files went into timm's networks through timm's own converter.
    "torchvision_vit": ("vit_base", convert_vit.from_torchvision_vit, NARROW | {
        "image_size": 96, "depth": 3, "classes": 10}),
    "timm_dino": ("dino_small8", convert_vit.from_timm_vit, NARROW | {"image_size": 56}),
    "timm_dinov2": ("dinov2_small", convert_vit.from_timm_vit, NARROW | {"image_size": 98}),
    "timm_dinov2_reg": ("dinov2_small_reg", convert_vit.from_timm_vit, NARROW | {"image_size": 98}),
    "transformers_vit": ("vit_small", convert_vit.from_transformers_vit, NARROW | {"image_size": 96, "classes": 10}),
}
CASES = [(name, key.removeprefix("image ")) for name in VITS for key in recorded(f"network_{name}")
         if key.startswith("image ")]


@pytest.mark.parametrize("name", CNNS)
@torch.no_grad()
def test_every_stage_of_a_cnn_equals_the_librarys(name):
    make, convert, gain, arguments = CNNS[name]
    record = recorded(f"network_{name}")
    model = filled(make(classes=10, **arguments), record, convert, gain)
    assert norm_eps(model) == record["norm eps"].tolist()
    maps = recorded_image(record)
    for stage in model.layers:
        maps = getattr(model, stage)(maps)
        assert relative_difference(pick(maps), record[f"stage {stage}"]) <= SINGLE, stage
    assert relative_difference(model.head(maps), record["logits"]) <= SINGLE


@pytest.mark.parametrize("name, case", CASES)
@torch.no_grad()
def test_features_and_attention_of_a_vit_equal_the_librarys(name, case):
    size, convert, changes = VITS[name]
    record = recorded(f"network_{name}")
    model = filled(ViT(**{**SIZES[size], **changes}), record, convert)
    assert norm_eps(model) == record["norm eps"].tolist()
    features, attentions = model.forward_with_attention(recorded_image(record, f" {case}"))
    for layer, attention in enumerate(attentions):
        assert relative_difference(pick(attention), record[f"attention {layer} {case}"]) <= SINGLE, f"block {layer}"
    cls_rows = torch.stack([attention[:, :, 0] for attention in attentions], dim=1)
    assert relative_difference(cls_rows, record[f"cls rows {case}"]) <= SINGLE
    assert relative_difference(features, record[f"features {case}"]) <= SINGLE


def test_all_recorded_images_are_compared():
    assert len(CASES) == 12 and {name for name, _ in CASES} == set(VITS)


def test_registers_and_positions_without_a_prefix_are_converted():
    D, prefix_tokens, side = 8, 3, 5
    shapes = {"cls_token": (1, 1, D), "reg_token": (1, 2, D), "pos_embed": (1, side * side, D)}
    state = seeded_state(shapes)
    ours = convert_vit.from_timm_vit(state)
    assert ours["prefix"].shape == (prefix_tokens, D)
    assert torch.equal(ours["prefix"][0], state["cls_token"][0, 0])
    assert torch.equal(ours["positions"][:, 2, 4], state["pos_embed"][0, 2 * side + 4])


def test_positions_that_are_no_square_are_refused():
    state = {"cls_token": torch.zeros(1, 1, 8), "pos_embed": torch.zeros(1, 1 + 4 * 7, 8)}
    with pytest.raises(ValueError, match="no square is left"):
        convert_vit.from_timm_vit(state)
