"""A convolutional network as an ordered list of named stages, and SmallCNN, the one to read first.

Grad-CAM asks two things of a CNN: what are the feature maps at some layer, and which scores follow from them?
A network that is a list of stages answers both by stopping in the middle:

    image ─ stem ─ stage1 ─ stage2 ─ stage3 ─ stage4 ─ head ─► logits
            └───────── until(image, "stage3") ──┘└ after(A, "stage3") ┘

No hook is needed, and nothing in this file knows that it will be explained.
"""
from torch import Tensor, nn
from torch.nn import functional as F


class CNN(nn.Module):
    """Named stages in order. The last one is the head: feature maps in, logits out."""

    def __init__(self, stages: dict[str, nn.Module]):
        """stages: dict name -> module, in order; every stage but the last returns feature maps (B,K,h,w)."""
        super().__init__()
        for name, stage in stages.items():
            self.add_module(name, stage)

    @property
    def layers(self) -> list[str]:
        """Names of the stages that return feature maps, first to last. The last one is Grad-CAM's usual choice."""
        return list(self._modules)[:-1]

    def forward(self, image: Tensor) -> Tensor:
        """image (B,3,H,W) -> logits (B,C): plain scores, no softmax."""
        return self._run(image, self._modules)

    def until(self, image: Tensor, layer: str) -> Tensor:
        """image (B,3,H,W) -> the feature maps (B,K,h,w) that the named stage returns."""
        return self._run(image, self._names_up_to(layer))

    def after(self, activations: Tensor, layer: str) -> Tensor:
        """Feature maps (B,K,h,w) of the named stage -> logits (B,C), so after(until(x, l), l) = forward(x)."""
        done = self._names_up_to(layer)
        return self._run(activations, list(self._modules)[len(done):])

    def _run(self, x, names):
        for name in names:
            x = self._modules[name](x)
        return x

    def _names_up_to(self, layer):
        if layer not in self.layers:
            raise ValueError(f"no stage named {layer!r}; this network has {', '.join(self.layers)}")
        return self.layers[:self.layers.index(layer) + 1]


class Head(nn.Module):
    """Global average pooling, then one linear layer: the score is a weighted mean of the last feature maps.

    This is the head that makes Grad-CAM and the original CAM agree (Zhou et al. 2016, eq. 2).
    """

    def __init__(self, channels, classes):
        super().__init__()
        self.fc = nn.Linear(channels, classes)

    def forward(self, activations: Tensor) -> Tensor:
        """(B,K,h,w) -> logits (B,C)."""
        return self.fc(activations.mean(dim=(-2, -1)))


class ConvNorm(nn.Sequential):
    """A convolution and its batch norm. No bias: the norm subtracts the mean, so a bias would cancel."""

    def __init__(self, channels_in, channels, kernel, stride=1):
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels, kernel, stride, kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(channels)


class Residual(nn.Module):
    """Two 3x3 convolutions with a skip connection around them (He et al. 2015, figure 2)."""

    def __init__(self, channels_in, channels, stride=1):
        super().__init__()
        self.conv1 = ConvNorm(channels_in, channels, 3, stride)
        self.conv2 = ConvNorm(channels, channels, 3)
        # Where the shape changes, the skip must change it too: a 1x1 convolution does no more than that.
        same = stride == 1 and channels_in == channels
        self.skip = nn.Identity() if same else ConvNorm(channels_in, channels, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        # F.relu makes a new tensor. An in-place ReLU would overwrite the activations that Grad-CAM wants to keep.
        inside = self.conv2(F.relu(self.conv1(x)))
        return F.relu(inside + self.skip(x))


def small_cnn(classes: int = 4, widths: tuple[int, ...] = (16, 32, 64, 96)) -> CNN:
    """The CNN of the lessons: a stem and four residual stages, 223 thousand weights at the default sizes.

    (B,3,S,S) -> logits (B,classes). The stem and the stages 2 and 3 halve the side, so a 96-pixel image ends as a
    12x12 map: coarse enough to mean something, fine enough to be a picture.
    """
    stem, *_ = widths
    stages = {"stem": nn.Sequential(ConvNorm(3, stem, 3, stride=2), nn.ReLU())}
    channels = stem
    for number, (width, stride) in enumerate(zip(widths, (1, 2, 2, 1)), start=1):
        stages[f"stage{number}"] = Residual(channels, width, stride)
        channels = width
    stages["head"] = Head(channels, classes)
    return CNN(stages)
