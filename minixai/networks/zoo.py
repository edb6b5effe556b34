"""The networks that Grad-CAM is usually shown on, written by hand as named stages.

Each is one table and one short function. `width` multiplies every number of channels: width=1/8 is the same
network, small enough for a test. Convolutions are initialised after He et al. (arXiv:1502.01852). No ReLU works
in place. Dropout and stochastic depth are left out: they act in training only.
"""
from torch import Tensor, nn
from torch.nn import functional as F

from minixai.networks.cnn import CNN, ConvNorm, Head, Residual


class Bottleneck(nn.Module):
    """1x1 down to a quarter of the channels, 3x3, 1x1 back up, and a skip (He et al. 2015, figure 5).

    The stride is on the 3x3 convolution. In the paper it is on the first 1x1, which then skips three positions in
    four. The published weights for torch are for the stride on the 3x3 convolution.
    """

    def __init__(self, channels_in, channels, stride):
        super().__init__()
        narrow = channels // 4
        self.conv1 = ConvNorm(channels_in, narrow, 1)
        self.conv2 = ConvNorm(narrow, narrow, 3, stride)
        self.conv3 = ConvNorm(narrow, channels, 1)
        same = stride == 1 and channels_in == channels
        self.skip = nn.Identity() if same else ConvNorm(channels_in, channels, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(B,K,h,w) -> (B,K',h/stride,w/stride)."""
        inside = self.conv3(F.relu(self.conv2(F.relu(self.conv1(x)))))
        return F.relu(inside + self.skip(x))


RESNETS = {  # He et al. 2015, "Deep residual learning for image recognition", table 1
    # name       block       blocks a stage  channels that each stage returns
    "resnet18": (Residual,   (2, 2, 2, 2),   (64, 128, 256, 512)),
    "resnet34": (Residual,   (3, 4, 6, 3),   (64, 128, 256, 512)),
    "resnet50": (Bottleneck, (3, 4, 6, 3),   (256, 512, 1024, 2048)),
}


def resnet18(classes: int = 1000, width: float = 1.0) -> CNN:
    """ResNet-18, 11.7 million weights: (B,3,H,W) -> logits (B,classes). Stages stem, layer1..layer4, head."""
    return _resnet("resnet18", classes, width)


def resnet34(classes: int = 1000, width: float = 1.0) -> CNN:
    """ResNet-34, 21.8 million weights: (B,3,H,W) -> logits (B,classes). Stages stem, layer1..layer4, head."""
    return _resnet("resnet34", classes, width)


def resnet50(classes: int = 1000, width: float = 1.0) -> CNN:
    """ResNet-50, 25.6 million weights: (B,3,H,W) -> logits (B,classes). Stages stem, layer1..layer4, head."""
    return _resnet("resnet50", classes, width)


def _resnet(name, classes, width):
    block, depths, widths = RESNETS[name]
    channels_in = _scaled(64, width)
    stages = {"stem": nn.Sequential(
        ConvNorm(3, channels_in, 7, stride=2), nn.ReLU(), nn.MaxPool2d(3, stride=2, padding=1))}
    for number, (blocks, channels) in enumerate(zip(depths, widths), start=1):
        channels = _scaled(channels, width)
        stride = 1 if number == 1 else 2
        stages[f"layer{number}"] = _in_a_row(block, blocks, channels_in, channels, stride)
        channels_in = channels
    stages["head"] = Head(channels_in, classes)
    return CNN(stages).apply(_start_as_he)


VGG16 = (  # Simonyan and Zisserman 2014, table 1, column D
    # channels, convolutions
    (64, 2),
    (128, 2),
    (256, 3),
    (512, 3),
    (512, 3),
)


def vgg16(classes: int = 1000, width: float = 1.0) -> CNN:
    """VGG16, 138.4 million weights: (B,3,H,W) -> logits (B,classes). Stages block1..block5, head.

    Each pooling opens the stage that follows it, so block5 ends with the last convolution and not with its
    pooled copy: at 224 pixels that is the 14x14 map on which the Grad-CAM paper explains this network.
    """
    stages, channels_in = {}, 3
    for number, (channels, convolutions) in enumerate(VGG16, start=1):
        channels = _scaled(channels, width)
        pool = [] if number == 1 else [nn.MaxPool2d(2)]
        plain = _plain_convolutions(convolutions, channels_in, channels)
        stages[f"block{number}"] = nn.Sequential(*pool, *plain)
        channels_in = channels
    stages["head"] = VGGHead(channels_in, _scaled(4096, width), classes)
    return CNN(stages).apply(_start_as_he)


class VGGHead(nn.Module):
    """Pool to 7x7, then three linear layers. The score is no weighted mean of the maps, so plain CAM does not apply."""

    def __init__(self, channels, hidden, classes):
        super().__init__()
        self.fc1 = nn.Linear(channels * 7 * 7, hidden)
        self.fc2 = nn.Linear(hidden, hidden)
        self.fc3 = nn.Linear(hidden, classes)

    def forward(self, activations: Tensor) -> Tensor:
        """(B,K,h,w) -> logits (B,C)."""
        # The second pooling changes nothing for a 224-pixel image, whose map is 7x7. Other sizes need it.
        pooled = F.adaptive_avg_pool2d(F.max_pool2d(activations, 2), 7)
        hidden = F.relu(self.fc2(F.relu(self.fc1(pooled.flatten(1)))))
        return self.fc3(hidden)


def _plain_convolutions(count, channels_in, channels):
    for _ in range(count):
        yield nn.Conv2d(channels_in, channels, 3, padding=1)
        yield nn.ReLU()
        channels_in = channels


EFFICIENTNET_LITE0 = (  # Tan and Le 2019, table 1
    # expansion, kernel, stride, channels, blocks
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)


def efficientnet_lite0(classes: int = 1000, width: float = 1.0) -> CNN:
    """EfficientNet-Lite0, 4.65 million weights: (B,3,H,W) -> logits (B,classes).

    Stages stem, stage1..stage7, features, head. It is EfficientNet-B0 (Tan and Le 2019) without squeeze and
    excitation and with ReLU6 for swish: the "Lite" release for phones, of 2020. Its weights were trained in
    TensorFlow, which pads in its own way: see SameConv2d.
    """
    channels_in, last = _scaled(32, width), _scaled(1280, width)
    stages = {"stem": SameConvNorm(3, channels_in, 3, stride=2)}
    for number, (expansion, kernel, stride, channels, blocks) in enumerate(EFFICIENTNET_LITE0, start=1):
        channels = _scaled(channels, width)
        stages[f"stage{number}"] = _in_a_row(
            InvertedResidual, blocks, channels_in, channels, stride, kernel=kernel, expansion=expansion)
        channels_in = channels
    stages["features"] = SameConvNorm(channels_in, last, 1)
    stages["head"] = Head(last, classes)
    return CNN(stages).apply(_start_as_he)


class InvertedResidual(nn.Module):
    """1x1 up, one filter for each channel, 1x1 down, and a skip between the narrow ends.

    Sandler et al. 2018 (MobileNetV2), figure 3. No ReLU follows the last 1x1: it would destroy information in so few
    channels.
    """

    def __init__(self, channels_in, channels, stride, kernel, expansion):
        super().__init__()
        wide = channels_in * expansion
        self.expand = SameConvNorm(channels_in, wide, 1) if expansion > 1 else nn.Identity()
        self.depthwise = SameConvNorm(wide, wide, kernel, stride, groups=wide)
        self.project = SameConvNorm(wide, channels, 1, act=nn.Identity)
        self.skips = stride == 1 and channels_in == channels

    def forward(self, x: Tensor) -> Tensor:
        """(B,K,h,w) -> (B,K',h/stride,w/stride), rounded up."""
        inside = self.project(self.depthwise(self.expand(x)))
        return x + inside if self.skips else inside


class SameConvNorm(nn.Sequential):
    """Convolution, batch norm (epsilon 0.001) and activation, as in TensorFlow's EfficientNets."""

    def __init__(self, channels_in, channels, kernel, stride=1, groups=1, act=nn.ReLU6):
        super().__init__()
        shape = dict(kernel_size=kernel, stride=stride, groups=groups, bias=False)
        # At stride 1 torch pads as TensorFlow does, and without a copy of the maps.
        self.conv = (nn.Conv2d(channels_in, channels, padding=kernel // 2, **shape) if stride == 1
                     else SameConv2d(channels_in, channels, **shape))
        self.norm = nn.BatchNorm2d(channels, eps=1e-3)
        self.act = act()


class SameConv2d(nn.Conv2d):
    """A convolution padded by TensorFlow's rule "SAME": n positions become ceil(n / stride).

    If the number of zeros is odd, the extra one goes to the right and below. torch's padding=1 adds zeros on the left
    and above too: the shape is the same, but the map moves by one pixel and the logits differ.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B,K,h,w) -> (B,K',ceil(h/stride),ceil(w/stride))."""
        (top, bottom), (left, right) = self._zeros(x.shape[-2]), self._zeros(x.shape[-1])
        return super().forward(F.pad(x, (left, right, top, bottom)))

    def _zeros(self, size):
        (kernel, _), (stride, _) = self.kernel_size, self.stride
        positions = -(-size // stride)
        missing = max((positions - 1) * stride + kernel - size, 0)
        return missing // 2, missing - missing // 2


def _in_a_row(block, blocks, channels_in, channels, stride, **shape):
    """A stage of equal blocks. Only its first one changes the number of channels and the size of the map."""
    first = block(channels_in, channels, stride, **shape)
    return nn.Sequential(first, *(block(channels, channels, 1, **shape) for _ in range(blocks - 1)))


def _scaled(channels, width):
    return max(1, round(channels * width))


def _start_as_he(module):
    # With torch's default initialisation each ReLU shrinks the signal: VGG16's thirteen layers reduce it to nothing.
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_uniform_(module.weight, nonlinearity="relu")
