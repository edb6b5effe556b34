"""Which of several tensors C1 captures, on networks so small that every answer is worked out by hand beside them."""
from itertools import product

import pytest
import torch
from torch import nn

from minixai.gradcam import Cam
from minixai.networks.cnn import CNN
from minixai.trace import CaptureMode, record_cnn
from minixai.verification.profiles import Profile, heatmap_as

WEIGHTS = torch.tensor([[1.0, -2.0, 3.0], [-4.0, 5.0, 0.5]])        # (C,K): what a class's score makes of each channel
TARGET = [1, 0]


def x():
    """(2,3,4,5) image, both signs, no value twice."""
    return torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(3))


def w(target=TARGET):
    """(2,3,1,1): the weights of the classes asked for. They are the gradient with respect to what the head is given."""
    return WEIGHTS[target][:, :, None, None]


class Times(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, features):
        return features * self.factor


class Head(nn.Module):
    """A class's score is the sum over all places, each channel times its weight."""

    def forward(self, features):
        return features.sum(dim=(-2, -1)) @ WEIGHTS.T.to(features)


class Rectified(nn.Module):
    """layer doubles, and a ReLU in place overwrites what it returned: as conv or norm before ReLU(inplace=True)."""

    def __init__(self):
        super().__init__()
        self.layer, self.relu, self.head = Times(2), nn.ReLU(inplace=True), Head()

    def forward(self, image):
        return self.head(self.relu(self.layer(image)) * 5)

    last = first = {"before": (lambda x: 2 * x, lambda x: 5 * w() * (x > 0)),
                    "after": (lambda x: (2 * x).clamp(min=0), lambda x: 5 * w().expand_as(x))}


class Added(nn.Module):
    """As the end of a residual block: `out += identity`, then a ReLU in place, both on what layer returned."""

    def __init__(self):
        super().__init__()
        self.layer, self.relu, self.head = Times(-2), nn.ReLU(inplace=True), Head()

    def forward(self, image):
        out = self.layer(image)
        out += 5 * image
        return self.head(self.relu(out))

    last = first = {"before": (lambda x: -2 * x, lambda x: w() * (x > 0)),
                    "after": (lambda x: (3 * x).clamp(min=0), lambda x: w().expand_as(x))}


class Twice(nn.Module):
    """layer runs twice, and what it returned is tripled in place the first time, squared in place the second."""

    def __init__(self):
        super().__init__()
        self.layer, self.head = Times(2), Head()

    def forward(self, image):
        once = self.layer(image)
        once *= 3                               # 6x
        twice = self.layer(once)                # 12x
        return self.head(twice.square_())       # 144 x^2

    # score = w (2 · 3a)^2 of the first output a = 2x, w (2b)^2 of b = 3a, w c^2 of the second output c = 12x
    first = {"before": (lambda x: 2 * x, lambda x: 144 * w() * x), "after": (lambda x: 6 * x, lambda x: 48 * w() * x)}
    last = {"before": (lambda x: 12 * x, lambda x: 24 * w() * x),
            "after": (lambda x: 144 * x ** 2, lambda x: w().expand_as(x))}


ALL = [CaptureMode(*choice) for choice in product(("last", "first"), ("before", "after"), ("before", "after"))]


@pytest.mark.parametrize("capture", ALL, ids=str)
@pytest.mark.parametrize("network", [Rectified, Added, Twice])
def test_what_is_kept_is_what_was_asked_for(network, capture):
    trace = record_cnn(network(), x(), TARGET, "layer", capture=capture)
    run = getattr(network, capture.run)
    activations, _ = run[capture.activations]
    _, gradients = run[capture.gradients]
    torch.testing.assert_close(trace.activations, activations(x()))
    torch.testing.assert_close(trace.gradients, gradients(x()))
    torch.testing.assert_close(trace.logits, network()(x()))


def test_by_default_it_is_what_the_layer_returned_in_its_last_run():
    for network in (Rectified, Added, Twice):
        default = record_cnn(network(), x(), TARGET, "layer")
        asked = record_cnn(network(), x(), TARGET, "layer", capture=CaptureMode("last", "before", "before"))
        assert torch.equal(default.activations, asked.activations) and torch.equal(default.gradients, asked.gradients)


@pytest.mark.parametrize("capture", ALL, ids=str)
def test_in_a_network_of_ours_a_stage_that_works_in_place_is_seen_too(capture):
    model = CNN({"layer": Times(2), "relu": nn.ReLU(inplace=True), "times": Times(5), "head": Head()})
    trace = record_cnn(model, x(), TARGET, "layer", capture=capture)
    torch.testing.assert_close(trace.activations, Rectified.last[capture.activations][0](x()))
    torch.testing.assert_close(trace.gradients, Rectified.last[capture.gradients][1](x()))


@pytest.mark.parametrize("capture", ALL, ids=str)
def test_without_in_place_operations_and_second_runs_all_are_equal(capture):
    model = nn.Sequential(nn.Conv2d(3, 3, 3), nn.ReLU(), Head())
    plain, asked = (record_cnn(model, x(), TARGET, "0", capture=which) for which in (CaptureMode(), capture))
    assert torch.equal(plain.activations, asked.activations) and torch.equal(plain.gradients, asked.gradients)


@pytest.mark.parametrize("capture", ALL, ids=str)
def test_the_model_is_left_without_hooks_and_nothing_hangs_on_a_graph(capture):
    model, image = Twice(), x()
    trace = record_cnn(model, image, TARGET, "layer", capture=capture)
    assert not model.layer._forward_hooks and torch.equal(image, x()) and not image.requires_grad
    assert not trace.activations.requires_grad and not trace.gradients.requires_grad


def half_of_it(logits, target):
    """C1 half the score: logits (C), target (1) -> score (1)"""
    return logits.gather(-1, target) / 2


def test_recording_once_more_keeps_the_same_unless_told_otherwise():
    trace = record_cnn(Twice(), x(), TARGET, "layer", half_of_it, CaptureMode("first", "after"))
    same, other = trace.network.again(), trace.network.again(target=[0, 1], capture=CaptureMode())
    assert torch.equal(same.activations, trace.activations) and torch.equal(same.gradients, trace.gradients)
    torch.testing.assert_close(same.gradients, 72 * w() * x())                  # half of 144 w x
    torch.testing.assert_close(other.activations, 12 * x())
    torch.testing.assert_close(other.gradients, 12 * w([0, 1]) * x())


@pytest.mark.parametrize("capture", ALL, ids=str)
def test_a_profile_says_what_is_kept(capture):
    def as_it_is(cam):
        """M2 leave it: cam (h,w) -> heatmap (h,w)"""
        return cam

    profile = Profile("somebody 1.0", "gradcam", {"M2": as_it_is}, capture=capture)
    activations, gradients = (getattr(Twice, capture.run)[when][index](x().double())
                              for index, when in enumerate((capture.activations, capture.gradients)))
    expected = torch.zeros(2, 4, 5, dtype=torch.float64)
    for b, k, i, j in product(range(2), range(3), range(4), range(5)):
        expected[b, i, j] += gradients[b, k].mean() * activations[b, k, i, j]
    heatmap = heatmap_as(profile, Twice(), x(), TARGET, "layer")
    torch.testing.assert_close(heatmap.double(), expected, rtol=1e-5, atol=1e-6 * expected.abs().max().item())
    assert isinstance(profile.recipe, Cam)


@pytest.mark.parametrize("wrong, message", [
    ({"run": "second"}, "run is last or first; got 'second'"),
    ({"activations": "own"}, "activations is before or after; got 'own'"),
    ({"gradients": None}, "gradients is before or after; got None")], ids=str)
def test_a_word_that_is_none_of_them_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        CaptureMode(**wrong)
