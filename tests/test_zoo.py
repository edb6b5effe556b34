"""The networks of the zoo have the published sizes, fold from their stages, and see what is in the photos."""
from pathlib import Path

import pytest
import torch
from torch import nn

import minixai
from minixai.images import open_image
from minixai.networks import zoo
from minixai.networks.cnn import ConvNorm, Residual, small_cnn
from minixai.networks.vit import SIZES, ViT
from weights_scripts.convert_cnn import from_torchvision_resnet

ROOT = Path(__file__).parents[1]
PHOTOS = Path(minixai.__file__).parent / "photos"
PUBLISHED = {       # numbers of weights, from the libraries' documentation
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "vgg16": 138_357_544,
    "efficientnet_lite0": 4_652_008,
}
# name: weights, heads, image size, patch size, antialias, as the published models have them. A prefix token and its
# position count once, and DINOv2's mask token, which only training uses, does not.
PUBLISHED_VITS = {
    "deit_tiny": (5_717_224, 3, 224, 16, True),
    "vit_small": (22_050_280, 6, 224, 16, True),
    "vit_base": (86_566_888, 12, 224, 16, True),
    "dino_small": (21_665_280, 6, 224, 16, False),
    "dino_small8": (21_669_888, 6, 224, 8, False),
    "dino_base": (85_797_888, 12, 224, 16, False),
    "dinov2_small": (22_055_808, 6, 518, 14, False),
    "dinov2_base": (86_578_944, 12, 518, 14, False),
    "dinov2_small_reg": (22_057_344, 6, 518, 14, True),
    "dinov2_base_reg": (86_582_016, 12, 518, 14, True),
}
# Channels at width 1/8, and how much smaller than the image the map is.
STAGES = {
    "resnet18": dict(stem=(8, 4), layer1=(8, 4), layer2=(16, 8), layer3=(32, 16), layer4=(64, 32)),
    "resnet34": dict(stem=(8, 4), layer1=(8, 4), layer2=(16, 8), layer3=(32, 16), layer4=(64, 32)),
    "resnet50": dict(stem=(8, 4), layer1=(32, 4), layer2=(64, 8), layer3=(128, 16), layer4=(256, 32)),
    "vgg16": dict(block1=(8, 1), block2=(16, 2), block3=(32, 4), block4=(64, 8), block5=(64, 16)),
    "efficientnet_lite0": dict(stem=(4, 2), stage1=(2, 2), stage2=(3, 4), stage3=(5, 8), stage4=(10, 16),
                               stage5=(14, 16), stage6=(24, 32), stage7=(40, 32), features=(160, 32)),
}


def narrow(name, classes=7):
    """The named network with an eighth of its channels and norms that are not idle, in eval mode."""
    torch.manual_seed(0)
    model = getattr(zoo, name)(classes=classes, width=1 / 8)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.normal_(module.running_mean, std=0.2)
    return model.eval()


@pytest.fixture(scope="module")
def lite0():
    return minixai.load("efficientnet_lite0")


@pytest.mark.parametrize("name", PUBLISHED)
def test_number_of_weights_is_the_published_one(name):
    with torch.device("meta"):      # shapes without memory
        model = getattr(zoo, name)()
    assert sum(weights.numel() for weights in model.parameters()) == PUBLISHED[name]


@pytest.mark.parametrize("name", PUBLISHED_VITS)
def test_a_vit_has_the_published_number_of_weights_heads_and_patches(name):
    with torch.device("meta"):
        model = minixai.build(name)
    weights, heads, image_size, patch_size, antialias = PUBLISHED_VITS[name]
    assert sum(parameter.numel() for parameter in model.parameters()) == weights
    assert {block.attention.heads for block in model.blocks} == {heads}
    assert model.grid(torch.zeros(1, 3, image_size, image_size)) == model.positions.shape[-2:] == (
        image_size // patch_size, image_size // patch_size)
    assert model.antialias == antialias


def test_a_width_that_the_heads_do_not_divide_is_refused():
    with pytest.raises(ValueError, match="3 heads do not divide a width of 8"):
        ViT(16, 4, width=8, depth=1, heads=3, classes=2)


def test_prefix_tokens_and_positions_start_small():
    torch.manual_seed(0)
    model = ViT(64, 4, width=32, depth=1, heads=2, classes=2, prefix_tokens=8)
    assert model.prefix.std().item() == pytest.approx(0.02, rel=0.2)
    assert model.positions.std().item() == pytest.approx(0.02, rel=0.2)


@pytest.mark.parametrize("name", [name for name in SIZES if name.startswith("dinov2")])
def test_the_factors_of_dinov2_start_at_one(name):
    narrow = ViT(**SIZES[name] | dict(image_size=28, width=8, depth=2, heads=2))
    assert all((scale.factor == 1).all() for block in narrow.blocks for scale in (block.scale1, block.scale2))


@pytest.mark.parametrize("name", STAGES)
@torch.no_grad()
def test_each_stage_returns_the_shape_of_its_table(name):
    model, image = narrow(name), torch.rand(2, 3, 64, 96)
    assert model.layers == list(STAGES[name])
    for layer, (channels, factor) in STAGES[name].items():
        assert model.until(image, layer).shape == (2, channels, 64 // factor, 96 // factor), layer
    assert model(image).shape == (2, 7)


@pytest.mark.parametrize("name", STAGES)
@torch.no_grad()
def test_stopping_at_any_stage_and_going_on_is_the_forward_pass(name):
    model, image = narrow(name), torch.rand(2, 3, 64, 96)
    logits = model(image)
    assert logits.std() > 0
    for layer in model.layers:
        assert torch.equal(model.after(model.until(image, layer), layer), logits), layer


@pytest.mark.parametrize("name", STAGES)
@torch.no_grad()
def test_no_stage_overwrites_what_it_is_given(name):
    model, maps = narrow(name), torch.rand(2, 3, 64, 96) - 0.5
    for layer in [*model.layers, "head"]:
        before = maps.clone()
        given, maps = maps, getattr(model, layer)(maps)
        assert torch.equal(given, before), layer
    assert not [module for module in model.modules() if getattr(module, "inplace", False)]


@pytest.mark.parametrize("size", range(1, 12))
@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
@torch.no_grad()
def test_same_padding_gives_ceil_of_a_share_with_the_odd_zero_at_the_end(stride, kernel, size):
    """The rule is TensorFlow's; the loop below is written from its documentation."""
    torch.manual_seed(0)
    conv, image = zoo.SameConv2d(1, 1, kernel, stride=stride, bias=False), torch.rand(1, 1, size, size)
    positions = (size + stride - 1) // stride
    zeros = max((positions - 1) * stride + kernel - size, 0)
    expected = torch.zeros(positions, positions)
    for y in range(positions):
        for x in range(positions):
            for i in range(kernel):
                for j in range(kernel):
                    at_y, at_x = stride * y + i - zeros // 2, stride * x + j - zeros // 2
                    if 0 <= at_y < size and 0 <= at_x < size:
                        expected[y, x] += conv.weight[0, 0, i, j].item() * image[0, 0, at_y, at_x]
    assert conv(image)[0, 0].shape == expected.shape
    assert torch.allclose(conv(image)[0, 0], expected, atol=1e-6)


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "vgg16", "efficientnet_lite0"])
@torch.no_grad()
def test_random_weights_still_tell_images_apart(name):
    """torch's own start leaves VGG16 blind: its logits would be the same for any two images."""
    logits = narrow(name)(torch.rand(2, 3, 64, 64))
    assert (logits[0] - logits[1]).abs().max() > 1e-3


@torch.no_grad()
def test_the_cat_photo_is_an_egyptian_cat(lite0):
    # Expected: the same weights, in full precision, in timm's network, on the same crop of the photo.
    chances = lite0(open_image(PHOTOS / "cat.png", lite0)).softmax(1)[0]
    assert chances.argmax() == 285
    assert chances[285].item() == pytest.approx(0.3837, abs=0.005)
    assert lite0.labels[285] == "Egyptian cat"


@pytest.mark.parametrize("photo, label, chance", [("coffee.png", "espresso", 0.940), ("rocket.jpg", "missile", 0.270),
                                                  ("astronaut.jpg", "bobsled", 0.187)])
@torch.no_grad()
def test_the_other_photos_get_the_classes_that_timm_gives(lite0, photo, label, chance):
    # There is no class for people: what the network makes of the astronaut is for an explanation to find out.
    chances = lite0(open_image(PHOTOS / photo, lite0)).softmax(1)[0]
    assert lite0.labels[chances.argmax()] == label
    assert chances.max().item() == pytest.approx(chance, abs=0.01)


def test_a_tensor_without_a_place_is_named_and_refused():
    """Silently dropped, it would leave a layer with random weights."""
    state = {"conv1.weight": torch.zeros(64, 3, 7, 7), "layer1.0.se.weight": torch.zeros(8, 64)}
    with pytest.raises(ValueError, match=r"layer1\.0\.se\.weight \(8, 64\)"):
        from_torchvision_resnet(state)
    assert list(from_torchvision_resnet({"layer1.0.downsample.1.bias": torch.zeros(64)})) == ["layer1.0.skip.norm.bias"]


def test_classes_have_a_thousand_different_names():
    labels = minixai.build("resnet18").labels
    assert len(labels) == len(set(labels)) == 1000
    assert all(label and label == label.strip() for label in labels)
    assert (labels[0], labels[207], labels[999]) == ("tench", "golden retriever", "toilet tissue")


def test_notice_names_all_that_is_not_ours():
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    for name in ["efficientnet_lite0.pt", "imagenet_classes.txt", *(photo.name for photo in PHOTOS.iterdir())]:
        assert name in notice, name
    assert "Apache License" in (PHOTOS.parent / "weights" / "LICENSE-APACHE-2.0.txt").read_text(encoding="utf-8")


def test_a_stage_that_is_not_there_is_named_with_those_that_are():
    model = small_cnn()
    message = "no stage named 'stage9'; this network has stem, stage1, stage2, stage3, stage4$"
    with pytest.raises(ValueError, match=message):
        model.until(torch.zeros(1, 3, 16, 16), "stage9")


@torch.no_grad()
def test_the_small_cnn_ends_in_a_map_of_an_eighth_of_the_image():
    model, image = small_cnn(), torch.rand(1, 3, 96, 64)
    shapes = {layer: tuple(model.until(image, layer).shape[1:]) for layer in model.layers}
    assert shapes == {"stem": (16, 48, 32), "stage1": (16, 48, 32), "stage2": (32, 24, 16), "stage3": (64, 12, 8),
                      "stage4": (96, 12, 8)}
    assert model(image).shape == (1, 4)
    assert round(sum(parameter.numel() for parameter in model.parameters()), -3) == 223_000


@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
def test_a_convolution_with_its_norm_keeps_the_size_of_its_maps(kernel):
    assert ConvNorm(3, 4, kernel)(torch.zeros(1, 3, 9, 11)).shape == (1, 4, 9, 11)


def test_a_residual_block_keeps_the_size_of_its_maps_unless_told_otherwise():
    assert Residual(4, 4)(torch.zeros(1, 4, 6, 10)).shape == (1, 4, 6, 10)
