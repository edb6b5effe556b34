"""The tokens of a ViT as feature maps: each number of a patch's token is one channel at the place of the patch."""
from typing import Any

import torch
from torch import Tensor

ALIKE = 1.25        # height and width are cut alike, up to the rounding of a few cells


def fold(tokens: Tensor, prefix_tokens: int, grid: tuple[int, int]) -> Tensor:
    """Tokens (B,T,D) -> maps (B,D,gh,gw). CLS and other prefix tokens have no place in the image and are dropped."""
    patches = tokens[:, prefix_tokens:]
    return patches.transpose(-2, -1).unflatten(-1, grid)


def unfold(maps: Tensor, tokens: Tensor) -> Tensor:
    """Maps (B,D,gh,gw) -> tokens (B,T,D), with the prefix of the given tokens (B,T,D) or (1,T,D) in front."""
    patches = maps.flatten(-2).transpose(-2, -1)
    prefix = tokens[:, :tokens.shape[1] - patches.shape[1]]
    return torch.cat([prefix, patches], dim=1)


def channels_last(output: Tensor, image: Tensor) -> bool:
    """Whether a layer's output is (B,h,w,K), as in Swin, rather than (B,K,h,w).

    It is if dimensions 1 and 2 have the proportions of the image (B,3,H,W), and more exactly so than 2 and 3.
    """
    middle, end = (_stretch(image, *output.shape[start:start + 2]) for start in (1, 2))
    return middle < end and middle <= ALIKE


def _stretch(image, h, w):
    """The ratio of the longer to the shorter side of a cell, if the image is cut into h x w cells."""
    stretch = (image.shape[-2] / h) / (image.shape[-1] / w)
    return max(stretch, 1 / stretch)


def with_first(output: Any, tokens: Tensor) -> Any:
    """A layer's output with the given tokens in place of its own. Some blocks return a tuple that begins with them."""
    return (tokens, *output[1:]) if isinstance(output, tuple) else tokens
