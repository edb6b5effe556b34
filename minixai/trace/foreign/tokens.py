"""The tokens of a ViT as feature maps: every number of a patch's token is one channel at the patch's place."""
import torch

ALIKE = 1.25        # height and width are cut alike, up to the rounding of a few cells


def fold(tokens, prefix_tokens, grid):
    """Tokens (B,T,D) -> maps (B,D,gh,gw); CLS and other prefix tokens have no place in the image and are dropped."""
    patches = tokens[:, prefix_tokens:]
    return patches.transpose(-2, -1).unflatten(-1, grid)


def unfold(maps, tokens):
    """Maps (B,D,gh,gw) -> tokens (B,T,D), behind the prefix of the tokens given."""
    patches = maps.flatten(-2).transpose(-2, -1)
    prefix = tokens[:, :tokens.shape[1] - patches.shape[1]]
    return torch.cat([prefix, patches], dim=1)


def channels_last(output, image):
    """Whether a layer returns (B,h,w,K), as those of Swin do: its middle looks more like the image than its end."""
    middle, end = (_stretch(image, *output.shape[start:start + 2]) for start in (1, 2))
    return middle < end and middle <= ALIKE


def _stretch(image, h, w):
    """By what factor the image is cut finer one way than the other into h x w cells; 1 if both ways alike."""
    stretch = (image.shape[-2] / h) / (image.shape[-1] / w)
    return max(stretch, 1 / stretch)


def with_first(output, tokens):
    """What a layer returns, the tokens given in place of its own: blocks return a tuple that they lead."""
    return (tokens, *output[1:]) if isinstance(output, tuple) else tokens
