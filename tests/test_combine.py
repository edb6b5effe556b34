"""Several heatmaps become one, all for the class that the image as it is was given."""
import pytest
import torch
from torch import nn

import minixai
from minixai.cnn import CNN, Head, small_cnn
from minixai.combine import VIEWS, View, over_layers, over_views
from minixai.vit import ViT

SIZE = (40, 56)
LAYERS = ["stem", "stage2", "stage4"]


def image(B=2):
    return torch.randn(B, 3, *SIZE, generator=torch.Generator().manual_seed(0))


def cnn():
    torch.manual_seed(0)
    return small_cnn(4, (3, 4, 6, 7)).eval()


def stretched(values):
    low, high = values.amin(dim=(1, 2), keepdim=True), values.amax(dim=(1, 2), keepdim=True)
    return (values - low) / (high - low)


@pytest.mark.parametrize("method", ["gradcam", "eigencam"])
def test_layers_are_averaged_or_the_strongest_wins(method):
    model = cnn()
    single = [minixai.explain(model, image(), method, target=1, layer=layer).heatmap for layer in LAYERS]
    mean, strongest = (over_layers(model, image(), method, LAYERS, target=1, combine=how) for how in ("mean", "max"))
    torch.testing.assert_close(mean.heatmap, stretched((single[0] + single[1] + single[2]) / 3))
    torch.testing.assert_close(strongest.heatmap, stretched(torch.maximum(torch.maximum(*single[:2]), single[2])))
    assert list(mean.parts) == LAYERS and all(torch.equal(a, b) for a, b in zip(mean.parts.values(), single))
    assert mean.name == "mean of 3 layers" and [part.layer for part in mean.explanations] == LAYERS


def test_a_function_of_ones_own_combines_too():
    def first_only(maps):
        return maps[:, 0]
    combined = over_layers(cnn(), image(), layers=LAYERS, target=1, combine=first_only)
    torch.testing.assert_close(combined.heatmap, combined.parts["stem"])
    assert combined.name == "first_only of 3 layers"


def test_our_cnns_are_looked_at_in_every_stage_and_others_where_one_says():
    model = cnn()
    assert list(over_layers(model, image()).parts) == model.layers
    foreign = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Conv2d(5, 6, 3), Head(6, 4))
    assert list(over_layers(foreign, image(), layers=["0", foreign[2]]).parts) == ["0", "2"]
    for layers in (None, []):
        with pytest.raises(ValueError, match="say which layers"):
            over_layers(foreign, image(), layers=layers)


def test_layers_of_a_vit_are_blocks():
    torch.manual_seed(0)
    model = ViT(16, 4, 8, depth=3, heads=2, classes=0).eval()       # no classes to settle on
    combined = over_layers(model, image()[..., :48], "attention", layers=[0, 2], head=1)
    single = [minixai.explain(model, image()[..., :48], "attention", layer=layer, head=1).heatmap for layer in (0, 2)]
    torch.testing.assert_close(combined.heatmap, stretched(single[0] + single[1]))


def test_views_are_flips_times_scales_and_their_maps_are_brought_back():
    model, single = cnn(), []
    for factor in (1, 0.9, 1.1):
        single.append(minixai.explain(model, image() * factor, target=[3, 0], layer="stage2").heatmap)
        mirrored = minixai.explain(model, image().flip(-1) * factor, target=[3, 0], layer="stage2").heatmap
        single.append(mirrored.flip(-1))
    combined = over_views(model, image(), target=[3, 0], layer="stage2")
    for name, expected in zip(("1 x", "1 x, mirrored", "0.9 x", "0.9 x, mirrored", "1.1 x", "1.1 x, mirrored"), single):
        torch.testing.assert_close(combined.parts[name], expected)
    torch.testing.assert_close(combined.heatmap, stretched(sum(single) / 6))
    assert len(VIEWS) == 6 and combined.target.tolist() == [3, 0]


class LeftOrRight(nn.Module):
    """Two maps: what is bright in the left half, and in the right; so a mirrored image is of the other class."""
    def forward(self, image):
        bright = image[:, :1].clamp(min=0)
        left = torch.zeros_like(bright)
        left[..., :bright.shape[-1] // 2] = 1
        return torch.cat([bright * left, bright * (1 - left)], dim=1)


def left_or_right():
    model = CNN({"halves": LeftOrRight(), "head": Head(2, 2)})
    model.head.fc.weight.data = torch.eye(2)
    nn.init.zeros_(model.head.fc.bias)
    return model


def test_the_class_is_settled_on_the_image_as_it_is():
    pictures = image().abs()
    pictures[0, ..., 28:] /= 10                                     # bright on the left
    pictures[1, ..., :28] /= 10                                     # bright on the right
    model = left_or_right()
    assert model(pictures).argmax(-1).tolist() == [0, 1] and model(pictures.flip(-1)).argmax(-1).tolist() == [1, 0]
    combined = over_views(model, pictures)
    assert all(part.target.tolist() == [0, 1] for part in combined.explanations)

    only_mirrored = [View("mirror", lambda image: image.flip(-1), lambda heatmap: heatmap.flip(-1))]
    assert over_views(model, pictures, views=only_mirrored).target.tolist() == [0, 1]


def test_over_layers_the_class_is_settled_once():
    combined = over_layers(cnn(), image(), layers=LAYERS)
    assert all(torch.equal(part.target, combined.target) for part in combined.explanations)


def test_what_cannot_be_combined_says_so():
    with pytest.raises(ValueError, match="mean or max, or a function of heatmaps.*'median'"):
        over_layers(cnn(), image(), layers=LAYERS, combine="median")


def test_the_parts_and_what_came_of_them_are_drawn():
    torch.manual_seed(0)
    model = minixai.build("small_cnn")
    combined = over_layers(model, torch.randn(1, 3, 96, 96), layers=LAYERS)
    figure = combined.figure()
    names = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert names == ["input", *LAYERS, "mean of 3 layers"]
    assert figure._suptitle.get_text() == "gradcam, mean of 3 layers"
