"""FullGrad leaves no part of the score unexplained, and its map follows the paper's formula."""
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import minixai
from minixai.cams import CAMS, full_gradient_maps, sum_of_layers
from minixai.gradcam import Cam
from minixai.networks import zoo
from minixai.networks.cnn import Head, small_cnn
from minixai.networks.vit import ViT
from minixai.score import class_score
from minixai.trace import CaptureMode
from minixai.trace.bias_terms import bias_term
from minixai.trace.network import Network
from tests.conftest import random_images

C, SIZE = 4, (48, 40)


images = partial(random_images, H=SIZE[0], W=SIZE[1], dtype=torch.float64)


def lively(model):
    """Biases, and statistics of the norms, that are not the zeros and ones they start as."""
    torch.manual_seed(1)
    for module in model.modules():
        if getattr(module, "bias", None) is not None:
            nn.init.normal_(module.bias, std=0.3)
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1, 0.2)
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return model.double().eval()


class NormAct(nn.BatchNorm2d):
    """A batch norm with its activation inside, as timm has them."""
    def __init__(self, channels, act):
        super().__init__(channels)
        self.act = act

    def forward(self, x):
        return self.act(super().forward(x))


class ConvAct(nn.Conv2d):
    """A convolution that is not affine."""
    def forward(self, x):
        return F.silu(super().forward(x))


class Twice(nn.Module):
    """Modules that run twice, and a ReLU that is no module."""
    def __init__(self):
        super().__init__()
        self.first, self.conv, self.act = nn.Conv2d(3, 5, 3), nn.Conv2d(5, 5, 3, padding=1), nn.SiLU()

    def forward(self, x):
        return self.act(self.conv(F.relu(self.conv(self.act(self.first(x))))))


class TwoInputs(nn.Module):
    """A module without parts that takes two tensors, as an addition written as a module does."""
    def forward(self, x, y):
        return x + y


class Skip(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.add = nn.Conv2d(3, 3, 3, padding=1), TwoInputs()

    def forward(self, x):
        return self.add(x, self.conv(x))


class DeadEnd(nn.Module):
    """A part that runs and that no score depends on, as a head for training only."""
    def __init__(self):
        super().__init__()
        self.conv, self.unread = nn.Conv2d(3, 5, 3), nn.Conv2d(5, 2, 1)

    def forward(self, x):
        x = self.conv(x)
        self.unread(x)
        return x


class AndItsSize(nn.Module):
    """Returns more than one tensor."""
    def forward(self, x):
        return x, x.shape


class WithoutGradient(nn.Module):
    def forward(self, x):
        return x.detach() / 3


class Plus(nn.Module):
    def __init__(self, constant):
        super().__init__()
        self.constant = constant

    def forward(self, x):
        return x + self.constant


FOREIGN = {
    "biases and in-place ReLUs": lambda: [nn.Conv2d(3, 5, 3), nn.ReLU(inplace=True), nn.Conv2d(5, 7, 3, stride=2),
                                          nn.ReLU(inplace=True), nn.MaxPool2d(2)],
    "norms": lambda: [nn.Conv2d(3, 5, 3, bias=False), nn.BatchNorm2d(5), nn.LeakyReLU(0.1, inplace=True)],
    "norm with its activation": lambda: [nn.Conv2d(3, 5, 3, bias=False), NormAct(5, nn.ReLU6(inplace=True)),
                                         nn.Conv2d(5, 5, 3), NormAct(5, nn.Identity())],
    "reflected borders": lambda: [nn.Conv2d(3, 5, 3, padding=1, padding_mode="reflect"), nn.ReLU()],
    "curves": lambda: [nn.Conv2d(3, 5, 3), nn.SiLU(inplace=True), ConvAct(5, 6, 3), nn.GELU(), nn.Hardswish()],
    "a module twice": lambda: [Twice()],
    "two inputs": lambda: [Skip(), nn.ReLU()],
    "a dead end": lambda: [DeadEnd(), nn.ReLU()],
    "group norm": lambda: [nn.Conv2d(3, 6, 3), nn.GroupNorm(2, 6), nn.ReLU()],
}
OURS = {
    "small_cnn": lambda: small_cnn(C, (3, 4, 6, 7)),
    "resnet50": lambda: zoo.resnet50(C, 1 / 16),
    "vgg16": lambda: zoo.vgg16(C, 1 / 16),
    "efficientnet_lite0": lambda: zoo.efficientnet_lite0(C, 1 / 8),
}


def foreign(name):
    torch.manual_seed(0)
    parts = FOREIGN[name]()
    with torch.no_grad():
        channels = nn.Sequential(*parts).eval()(torch.zeros(1, 3, *SIZE)).shape[1]
    return lively(nn.Sequential(*parts, Head(channels, C)))


def network(name):
    torch.manual_seed(0)
    return foreign(name) if name in FOREIGN else lively(OURS[name]())


def recorded(model, target=None, recipe="fullgrad"):
    layer = None if hasattr(model, "layers") else "0"
    return minixai.explain(model, images(), recipe, target, layer)


def total(terms):
    return sum(term.flatten(1).sum(dim=1) for _, term in terms)


@pytest.mark.parametrize("name", [*OURS, *FOREIGN])
def test_its_terms_add_up_to_the_score(name):
    model = network(name)
    result = recorded(model, target=[1, 3])
    terms = result.trace.network.full_gradient()
    assert terms[0][0] == "image" and len(terms) > 1
    score = model(images()).gather(1, torch.tensor([[1], [3]]))[:, 0].detach().float()
    without = total(terms[:1])
    assert ((without - score).abs() > 0.01).all(), "nothing but gradient times image: this network tests nothing"
    torch.testing.assert_close(total(terms), score, rtol=1e-5, atol=1e-5)


def test_where_relu6_cuts_the_6_is_part_of_the_score():
    """Without it EfficientNet-Lite0's sum would be wrong by about half."""
    model = minixai.load("efficientnet_lite0")
    image = minixai.open_image(Path(minixai.__file__).parent / "photos" / "cat.png", model)
    result = minixai.explain(model, image)
    terms = result.trace.network.full_gradient()
    score = result.trace.logits[0, result.target[0]]
    cuts = [term for term in terms if term[0].endswith(".act")]
    torch.testing.assert_close(total(terms), score[None], rtol=1e-5, atol=1e-4)
    assert len(cuts) > 20 and abs(float(total(cuts))) > 0.3 * abs(float(score))


def test_a_term_is_gradient_times_what_was_added():
    """Summed over places, that is the score's derivative along the weight itself, which autograd gives another way."""
    model = foreign("norms")
    terms = dict(recorded(model, target=2).trace.network.full_gradient())
    slope, = torch.autograd.grad(model(images())[0, 2], model[1].bias)
    norm = model[1]
    added = norm.bias - norm.weight * norm.running_mean / (norm.running_var + norm.eps).sqrt()
    torch.testing.assert_close(terms["1"][0].sum(dim=(-2, -1)), (slope * added).detach().float())
    assert set(terms) == {"image", "1", "3.fc"}
    one_hot = F.one_hot(torch.tensor([2, 2]), C)
    torch.testing.assert_close(terms["3.fc"], (one_hot * model[3].fc.bias).detach().float())
    image = images().requires_grad_()
    slope, = torch.autograd.grad(model(image)[:, 2].sum(), image)
    torch.testing.assert_close(terms["image"], (slope * image).detach().float())


def test_what_only_rounding_adds_is_no_bias_term():
    x = torch.full((2, 3, 4, 4), 100.0)                         # of 100, a hundred-thousandth is 1e-3
    assert bias_term(Plus(1e-4), x) is None and bias_term(AndItsSize(), x) is None
    assert bias_term(nn.Hardshrink(150), x) is None             # 0 here, and 200 for twice as much
    torch.testing.assert_close(bias_term(Plus(1e-2), x), torch.full_like(x, 1e-2), rtol=1e-2, atol=0)


def test_what_is_proportional_has_no_bias_term_though_it_has_no_gradient():
    assert bias_term(WithoutGradient(), images()) is None


def test_in_half_precision_a_layer_without_a_bias_has_no_bias_term():
    """There rounding is larger than a hundred-thousandth."""
    x = images(dtype=torch.bfloat16)
    torch.manual_seed(0)
    for module in (nn.Conv2d(3, 4, 3, bias=False), nn.AvgPool2d(3), nn.Conv2d(3, 4, 3)):
        module.to(torch.bfloat16)
        found, bias = bias_term(module, x), getattr(module, "bias", None)
        assert found is None if bias is None else torch.equal(found, bias[:, None, None].expand_as(module(x)))


@pytest.mark.parametrize("name", ["small_cnn", "norms"])
def test_the_map_follows_the_formula(name):
    """|.|, stretched to [0,1] over the channels of a layer, enlarged, summed over channels and layers."""
    result = recorded(network(name), target=1)
    expected = torch.zeros(2, *SIZE)
    for _, term in result.trace.network.full_gradient():
        if term.dim() == 4:                                 # the head's bias belongs to no place
            for index in range(2):
                values = term[index].abs()
                values = (values - values.min()) / (values.max() - values.min())
                for channel in values:
                    expected[index] += F.interpolate(channel[None, None], SIZE, mode="bilinear")[0, 0]
    torch.testing.assert_close(result["C3"], expected, rtol=1e-4, atol=1e-4)
    assert result["C2"].shape[-2:] == SIZE and torch.equal(sum_of_layers(result["C2"]), result["C3"])
    low, high = expected.amin(dim=(1, 2), keepdim=True), expected.amax(dim=(1, 2), keepdim=True)
    torch.testing.assert_close(result.heatmap, (expected - low) / (high - low), rtol=0, atol=1e-5)


def test_the_layer_that_is_named_makes_no_difference_and_the_class_does():
    model = network("small_cnn")
    maps = [minixai.explain(model, images(), "fullgrad", 1, layer).heatmap for layer in ("stem", "stage4")]
    assert torch.equal(*maps)
    assert (recorded(model, target=0).heatmap - maps[0]).abs().max() > 0.01
    assert recorded(model).title().startswith("fullgrad at every layer: what speaks for class")


def test_the_score_that_is_taken_apart_is_that_of_c1():
    def half(logits, target):
        return logits.gather(-1, target) / 2
    model = network("small_cnn")
    whole = recorded(model, target=1).trace.network.full_gradient()
    parts = recorded(model, 1, Cam(C1=half, C2=full_gradient_maps, C3=sum_of_layers)).trace.network.full_gradient()
    for (name, term), (_, part) in zip(whole, parts):
        torch.testing.assert_close(term / 2, part, msg=name)


def test_the_model_is_left_as_it_was():
    model = foreign("biases and in-place ReLUs").train()
    model[1].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    recorded(model)
    assert model.training and not model[1].training
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_frozen_weights_and_no_grad_around_it_change_nothing():
    model = network("small_cnn")
    expected = recorded(model, target=1).heatmap
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    with torch.inference_mode():
        assert torch.equal(recorded(model, target=1).heatmap, expected)


def test_hooks_are_gone_after_an_error():
    model = network("small_cnn")
    two_channels = images()[:, :2]                              # not what the first convolution takes
    again = Network(model, two_channels, "stage4", torch.tensor([0, 0]), class_score, CaptureMode())
    with pytest.raises(RuntimeError):
        again.full_gradient()
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_a_vit_is_refused_with_the_reason():
    torch.manual_seed(0)
    model = ViT(16, 4, 8, depth=2, heads=2, classes=C).eval()
    with pytest.raises(ValueError, match="attention multiplies numbers"):
        minixai.explain(model, images().float(), "fullgrad")
    assert CAMS["fullgrad"].C2 is full_gradient_maps
