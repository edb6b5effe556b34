"""Which layers a network has to offer, in the order in which they run, and which of them are compared first."""
import pytest
import torch
from torch import nn

from minixai.networks.cnn import small_cnn
from minixai.trace.foreign.layers import feature_layers, layers_to_compare
from tests.conftest import random_images


class Both(nn.Module):
    """Returns its maps in a tuple."""
    def forward(self, maps):
        return maps, maps


class Odd(nn.Module):
    """Someone else's network, with outputs of many kinds, and layers that run twice, late, or not at all."""

    def __init__(self):
        super().__init__()
        self.late, self.unused, self.both = nn.Conv2d(4, 4, 1), nn.Conv2d(3, 4, 1), Both()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.ReLU())
        self.two_cells, self.one_cell = nn.AdaptiveAvgPool2d((1, 2)), nn.AdaptiveAvgPool2d(1)
        self.rows, self.volume = nn.Flatten(2), nn.Unflatten(1, (2, 2))
        self.fc = nn.Linear(4, 5)

    def forward(self, image):
        maps, _ = self.both(self.stem(image))
        maps = self.late(self.late(maps))
        self.volume(self.two_cells(maps))
        return self.fc(self.rows(self.one_cell(maps)).mean(dim=-1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_layers_that_return_maps_of_more_than_one_cell_are_listed_in_the_order_of_their_runs(dtype):
    model, image = Odd().to(dtype), random_images()
    assert feature_layers(model, image) == ["stem.0", "stem.1", "stem", "late", "two_cells"]
    assert all(module.training and not module._forward_hooks for module in model.modules())


def test_the_network_runs_once_in_eval_mode_and_without_a_graph():
    log, model = [], nn.Sequential(nn.Conv2d(3, 4, 3), nn.Dropout(0.5))
    model[1].register_forward_hook(lambda module, inputs, output: log.append((module.training, output.requires_grad)))
    assert feature_layers(model.train(), random_images()) == ["0", "1"]
    assert log == [(False, False)]


def test_of_a_network_of_ours_the_stages_come_first_and_then_what_is_inside_the_named_one():
    model, image = small_cnn(3, (3, 4, 4, 4)), random_images()
    assert layers_to_compare(model, image, "stage1") == [
        "stage4", "stage3", "stage2", "stem",
        "stage1.skip", "stage1.conv2", "stage1.conv2.norm", "stage1.conv2.conv",
        "stage1.conv1", "stage1.conv1.norm", "stage1.conv1.conv"]
    assert layers_to_compare(model, image, "stem.1") == ["stage4", "stage3", "stage2", "stage1", "stem", "stem.0",
                                                         "stem.0.norm", "stem.0.conv"]


class Block(nn.Module):
    def __init__(self, channels_in):
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(channels_in, 3, 1), nn.ReLU())
        self.act = nn.ReLU()

    def forward(self, maps):
        return self.act(self.conv(maps))


def blocks(count):
    """A network with the parts 0 to count-1, each with conv.0, conv.1, conv, act, and a head."""
    return nn.Sequential(*(Block(3) for _ in range(count)), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))


def test_of_another_network_the_layers_around_the_named_one_come_first_and_then_its_outer_parts():
    names = layers_to_compare(blocks(2), random_images(), "1.conv")
    assert names == ["1", "1.act", "1.conv.1", "1.conv.0", "0", "0.act", "0.conv"]
    assert layers_to_compare(blocks(2), random_images(), "1.conv.0")[:3] == ["1", "1.conv", "1.conv.1"]


def test_sixteen_are_compared_at_most():
    outer = [f"{number}{part}" for number in (5, 4, 3, 2, 1) for part in ("", ".act", ".conv")]
    names = layers_to_compare(blocks(6), random_images(), "0.act")
    assert names == ["0", "0.conv", *outer][:16]
    stages = layers_to_compare(small_cnn(3, (3, 4, 5, 6)), random_images(), "stage2", most=3)
    assert stages == ["stage4", "stage3", "stage1"]
