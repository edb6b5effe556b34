"""Changes to an image: a part of it masked, or the same animal on another background.

The result depends on the fill. Black and the mean colour add an edge, which may itself change the score. A blur adds
none, but coarse shapes stay visible. So the fill is always a parameter.

Letters: H x W the image, gh x gw a coarser grid whose cells divide the image. A batch passes through in front.
"""
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from minixai.images import Preprocess

# Standard deviation of the blur, as a share of the image's shorter side. On the photos and scenes of this package it
# brings the networks close to chance. At 1/48 EfficientNet-Lite0 still gives a cat half of its probability.
BLUR = 1 / 12


def black(image: Tensor, model: nn.Module | Preprocess | None) -> Tensor:
    """Black after the network's own preprocessing: image (B,3,H,W) -> (3,1,1).

    This is not zero, which after normalisation stands for the mean colour that was subtracted. ValueError if neither
    the model's `preprocess` nor a Preprocess in place of the model says how images are normalised.
    """
    preprocess = model if isinstance(model, Preprocess) else getattr(model, "preprocess", None)
    if preprocess is None:
        raise ValueError("what black is depends on how images are normalised: give a network of minixai, or a "
                         "minixai.images.Preprocess(size, mean, std), or set model.preprocess to one; or use 'mean'")
    return preprocess(Image.new("RGB", (8, 8)))[..., :1, :1].reshape(-1, 1, 1)


def mean_colour(image: Tensor, model: nn.Module | Preprocess | None = None) -> Tensor:
    """The image's own mean colour: image (B,3,H,W) -> (B,3,1,1)."""
    return F.adaptive_avg_pool2d(image, 1)


def blurred(image: Tensor, model: nn.Module | Preprocess | None = None) -> Tensor:
    """The image after a wide Gaussian blur: image (B,3,H,W) -> (B,3,H,W).

    The image is mirrored at its border, so that its mean colour stays the same.
    """
    H, W = image.shape[-2:]
    width = BLUR * min(H, W)
    return _gaussian(H, width, image) @ image @ _gaussian(W, width, image).T


FILLS = {"black": black, "mean": mean_colour, "blur": blurred}


def hide(image: Tensor, mask: Tensor, fill: str = "black", model: nn.Module | Preprocess | None = None) -> Tensor:
    """The image with the fill where the mask is True: image (B,3,H,W), mask (B,H,W) -> (B,3,H,W).

    mask: bool, one for each image or (H,W) for all; or (gh,gw), each cell of which is a block of pixels.
    fill: "black" (black pixels, which needs the model or a Preprocess, since the image is normalised), "mean" (the
    image's own mean colour) or "blur". ValueError for another fill, or for a mask that does not fit.
    """
    check_image(image)
    mask = one_each(_boolean(mask), image)
    mask = to_pixels(mask, image.shape[-2:]).to(image.device)
    return torch.where(mask[..., None, :, :], fill_of(image, fill, model), image)


def hide_top(image: Tensor, heatmap: Tensor, share: float, fill: str = "black",
             model: nn.Module | Preprocess | None = None, seed: int = 0) -> Tensor:
    """Mask the given share of the image where the heatmap is highest: image (B,3,H,W), heatmap (B,H,W) -> (B,3,H,W).

    The lowest share is hide_top(image, -heatmap, …). A random share is hide_top(image, torch.zeros(gh, gw), …): ties
    are broken at random, separately for each image. heatmap and seed: as in `ranking`; fill and model: as in `hide`.
    ValueError for a share outside [0,1].
    """
    if not 0 <= share <= 1:
        raise ValueError(f"a share lies between 0 and 1, got {share}")
    check_image(image)
    ranks = ranking(one_each(as_map(heatmap), image), seed)
    cells = ranks.shape[-2] * ranks.shape[-1]
    return hide(image, ranks < round(share * cells), fill, model)


def ranking(heatmap: Tensor, seed: int = 0) -> Tensor:
    """The rank of each cell from highest to lowest: heatmap (gh,gw) -> int64 (gh,gw), 0 for the highest.

    Ties are broken at random, from the seed. Most of a map after a ReLU ties at zero, and reading order would rank the
    top of the image first. Use the coarse map ("A5" or "C4") to mask whole cells: single random pixels are noise over
    the whole image, which is another experiment than a few masked blocks.
    """
    values = as_map(heatmap).flatten(-2)
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.rand(values.shape, generator=generator, dtype=torch.float32).argsort(dim=-1).to(values.device)
    order = drawn.gather(-1, values.gather(-1, drawn).argsort(dim=-1, descending=True, stable=True))
    places = torch.arange(values.shape[-1], device=values.device).expand_as(order)
    return torch.empty_like(order).scatter(-1, order, places).reshape(heatmap.shape)


def on_every_background(seed: int, size: int = 96, **knobs) -> dict:
    """The same animal on every background: {"room": Scene, "beach": Scene, …}, with the same mask in each.

    knobs: the parameters of minixai.scenes.draw_scene, except for the background.
    """
    from minixai.scenes import BACKGROUNDS, draw_scene  # late: photos need no scenes
    return {kind: draw_scene(seed, size, background=kind, **knobs) for kind in BACKGROUNDS}


def fill_of(image: Tensor, fill: str, model: nn.Module | Preprocess | None) -> Tensor:
    """The replacement for masked pixels, (B,3,H,W) like the image. ValueError for an unknown fill."""
    if fill not in tuple(FILLS):
        raise ValueError(f"no fill {fill!r}; there are {', '.join(FILLS)}")
    return FILLS[fill](image, model).to(image).expand_as(image)


def to_pixels(cells: Tensor, size: tuple[int, int]) -> Tensor:
    """Cells (gh,gw) -> pixels (H,W): each cell becomes its block of pixels.

    ValueError if the grid does not divide the image.
    """
    (gh, gw), (H, W) = cells.shape[-2:], size
    if H % gh or W % gw:
        raise ValueError(f"a map or mask of {gh}x{gw} does not fit an image of {H}x{W}: give one of the image's size, "
                         "or of a grid that divides it")
    return cells.repeat_interleave(H // gh, dim=-2).repeat_interleave(W // gw, dim=-1)


def one_each(maps: Tensor, image: Tensor) -> Tensor:
    """Maps or masks, (gh,gw) for all images or (B,gh,gw), and images (B,3,H,W) -> (B,gh,gw).

    ValueError for another number of maps.
    """
    try:
        return maps.expand(*image.shape[:-3], -1, -1)
    except RuntimeError:
        raise ValueError(f"{tuple(maps.shape)} is not one map or mask for each image of {tuple(image.shape)}, "
                         "nor one for all") from None


def check_image(image: Tensor) -> None:
    """ValueError if this is no tensor of floats (B,3,H,W)."""
    if not isinstance(image, torch.Tensor) or image.dim() < 3 or 0 in image.shape or not image.is_floating_point():
        shape = (image.dtype, tuple(image.shape)) if isinstance(image, torch.Tensor) else type(image).__name__
        raise ValueError(f"an image is a tensor of floats (B,3,H,W), as open_image gives it; got {shape}")


def as_map(heatmap: Tensor) -> Tensor:
    """A tensor or array (…,H,W), as a float tensor. ValueError for another shape, NaN or infinity."""
    heatmap = torch.as_tensor(heatmap).detach()
    if heatmap.dim() < 2 or 0 in heatmap.shape:
        raise ValueError(f"a heatmap has the shape (H,W) or (B,H,W), got {tuple(heatmap.shape)}")
    if not heatmap.isfinite().all():
        raise ValueError("the heatmap holds NaN or infinity")
    return heatmap if heatmap.is_floating_point() else heatmap.float()


def _boolean(mask):
    mask = torch.as_tensor(mask)
    if mask.dtype != torch.bool or mask.dim() < 2:
        raise ValueError(f"a mask is boolean, (H,W) or (B,H,W), True where to hide; got {mask.dtype} "
                         f"{tuple(mask.shape)}. A heatmap becomes one by a threshold: heatmap > 0.5")
    return mask


def _gaussian(side, width, like):
    """(side,side): row i holds the weights of all pixels of a line in pixel i of the blurred line."""
    here, there = torch.arange(side)[:, None], torch.arange(side)
    mirrored = -1 - there, 2 * side - 1 - there         # the positions of a pixel's mirror images beyond both borders
    weights = sum(torch.exp(-((here - place) / width) ** 2 / 2) for place in (there, *mirrored))
    return (weights / weights.sum(dim=-1, keepdim=True)).to(like)
