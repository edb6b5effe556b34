"""The networks and images of the cases: made without any library, with weights that every machine makes alike.

Two are minixai's own, where every layer's output stays as it was returned. Two are written as many networks are: a ReLU
that works in place, an addition that does, and a module that runs more than once in a pass. There the libraries keep
different tensors. The last is smooth, so that second derivatives are not zero.
"""
import torch
from torch import nn

from minixai import load, open_image
from minixai.networks import zoo
from minixai.networks.cnn import small_cnn
from minixai.networks.registry import load_into
from minixai.networks.vit import ViT
from tests.reference.seeded import CAT, seeded_image, seeded_state


def seeded(model, gain=1.0):
    """The model with seeded weights, in eval mode."""
    load_into(model, seeded_state({name: tuple(value.shape) for name, value in model.state_dict().items()}, gain))
    return model.eval()


def small():
    """stem, stage1 … stage4: feature maps that are never negative, and a head of GAP and one linear layer."""
    return seeded(small_cnn(classes=5, widths=(8, 12, 20, 24)))


def narrow_resnet():
    """stem, layer1 … layer4 of a ResNet-18 with an eighth of the channels."""
    return seeded(zoo.resnet18(classes=4, width=1 / 8))


class InPlace(nn.Module):
    """conv1, norm1, conv2, norm2: each norm's output is overwritten by a ReLU, conv2's is not."""

    def __init__(self, classes=5):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(3, 10, 3, stride=2, padding=1), nn.BatchNorm2d(10)
        self.conv2, self.norm2 = nn.Conv2d(10, 14, 3, stride=2, padding=1), nn.BatchNorm2d(14)
        self.relu = nn.ReLU(inplace=True)                       # also a module that runs twice
        self.conv3, self.fc = nn.Conv2d(14, 12, 3), nn.Linear(12, classes)

    def forward(self, image):
        features = self.relu(self.norm1(self.conv1(image)))
        features = self.relu(self.norm2(self.conv2(features)))
        return self.fc(torch.tanh(self.conv3(features)).mean(dim=(-2, -1)))


class Block(nn.Module):
    """As torchvision's BasicBlock: one ReLU module for both places, and a sum that overwrites the second norm."""

    def __init__(self, channels):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2, self.bn2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)

    def forward(self, features):
        out = self.relu(self.bn1(self.conv1(features)))
        out = self.bn2(self.conv2(out))
        out += features
        return self.relu(out)


class Twice(nn.Module):
    """stem, block1, block2 and their parts: block1.relu and block2.relu run twice, block2.bn2 is overwritten twice."""

    def __init__(self, classes=5, width=12):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 5, stride=4, padding=2)
        self.block1, self.block2 = Block(width), Block(width)
        self.squeeze, self.fc = nn.Conv2d(width, 9, 3, stride=2, padding=1), nn.Linear(9, classes)

    def forward(self, image):
        features = self.block2(self.block1(torch.relu(self.stem(image))))
        return self.fc(torch.relu(self.squeeze(features)).mean(dim=(-2, -1)))


class Smooth(nn.Module):
    """conv1, act1, conv2, act2: no kink anywhere, activations of both signs, and biases in every convolution."""

    def __init__(self, classes=5):
        super().__init__()
        self.conv1, self.act1 = nn.Conv2d(3, 9, 3, stride=2, padding=1), nn.SiLU()
        self.conv2, self.act2 = nn.Conv2d(9, 13, 3, stride=2, padding=1), nn.GELU()
        self.conv3, self.fc = nn.Conv2d(13, 11, 3, padding=1), nn.Linear(11, classes)

    def forward(self, image):
        features = self.act2(self.conv2(self.act1(self.conv1(image))))
        return self.fc(nn.functional.softplus(self.conv3(features)).mean(dim=(-2, -1)))


def in_place():
    return seeded(InPlace())


def twice():
    return seeded(Twice())


def smooth():
    return seeded(Smooth())


def tiny_vit():
    """4 blocks of 3 heads on patches of 8 x 8; takes images that are not square."""
    return seeded(ViT(image_size=48, patch_size=8, width=48, depth=4, heads=3, classes=5))


def lite0():
    """EfficientNet-Lite0 with its ImageNet weights: stem, stage1 … stage7, features."""
    return load("efficientnet_lite0")


def images():
    """(3,3,40,56): not square, and 7 x 5 patches of 8."""
    return seeded_image(3, 3, 40, 56)


def wide_images():
    """(2,3,97,130): odd and even sides, and no multiple of any stride."""
    return seeded_image(2, 3, 97, 130)


def cat():
    """(2,3,224,224): the cat of minixai/photos twice, preprocessed as EfficientNet-Lite0 wants it."""
    return open_image(CAT, lite0()).repeat(2, 1, 1, 1)
