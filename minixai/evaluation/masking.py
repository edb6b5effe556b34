"""Changes to a picture: a part of it hidden, or the same animal in another place.

What is put over the hidden part matters. Black and the mean colour draw a new edge, which a network may take for
something; a blur draws none, and leaves the coarse shapes to be guessed. So the fill is always a choice to be named.

Letters: H x W the image, gh x gw a coarser grid whose cells fill the image exactly. A batch passes through in front.
"""
import torch
from PIL import Image
from torch.nn import functional as F

from minixai.images import Preprocess

# Standard deviation of the blur, in shorter sides of the image. Measured on photos and scenes of this package: behind
# it the networks that come with it are close to chance; at 1/48 EfficientNet-Lite0 still knows a cat half as well.
BLUR = 1 / 12


def black(image, model):
    """Black pixels, as the network's own preprocessing hands them on: image (3,H,W) -> (3,1,1).

    Not zero: after normalisation a zero is the mean colour that was subtracted, most often a grey.
    """
    preprocess = model if isinstance(model, Preprocess) else getattr(model, "preprocess", None)
    if preprocess is None:
        raise ValueError("what black is depends on how images are normalised: give a network of minixai, or a "
                         "minixai.images.Preprocess(size, mean, std), or set model.preprocess to one; or use 'mean'")
    return preprocess(Image.new("RGB", (8, 8)))[..., :1, :1].reshape(-1, 1, 1)


def mean_colour(image, model):
    """The image's own mean colour, everywhere: image (3,H,W) -> (3,1,1)."""
    return F.adaptive_avg_pool2d(image, 1)


def blurred(image, model):
    """The image behind a wide Gaussian blur: image (3,H,W) -> (3,H,W). Beyond its border the image is mirrored, so
    that the blur moves colour about but neither adds nor loses any."""
    H, W = image.shape[-2:]
    width = BLUR * min(H, W)
    return _gaussian(H, width, image) @ image @ _gaussian(W, width, image).T


FILLS = {"black": black, "mean": mean_colour, "blur": blurred}


def hide(image, mask, fill="black", model=None):
    """The image with something else where the mask is True: image (B,3,H,W), mask (B,H,W) -> (B,3,H,W).

    mask: bool, one for each image or (H,W) for all; or (gh,gw), whose cells then stand for blocks of pixels.
    fill: "black" (of pixels; needs the model or a Preprocess, since the image is normalised), "mean" (the image's own
    mean colour) or "blur". Raises ValueError for a fill, or a mask, that does not fit.
    """
    check_image(image)
    mask = one_each(_boolean(mask), image)
    mask = to_pixels(mask, image.shape[-2:]).to(image.device)
    return torch.where(mask[..., None, :, :], fill_of(image, fill, model), image)


def hide_top(image, heatmap, share, fill="black", model=None, seed=0):
    """Hide the given share of the image where the heatmap is highest: image (B,3,H,W), heatmap (B,H,W) -> (B,3,H,W).

    The least share is hide_top(image, -heatmap, …). A random one is hide_top(image, torch.zeros(gh, gw), …): where
    the heatmap ties, the seed decides, anew for each image. heatmap: as in `ranking`; fill and model: as in `hide`.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"a share lies between 0 and 1, got {share}")
    check_image(image)
    ranks = ranking(one_each(as_map(heatmap), image), seed)
    cells = ranks.shape[-2] * ranks.shape[-1]
    return hide(image, ranks < round(share * cells), fill, model)


def ranking(heatmap, seed=0):
    """The place of each cell in the order from highest to lowest: heatmap (gh,gw) -> int64 (gh,gw), 0 for the highest.

    Cells that tie come in an order drawn from the seed. In reading order they would favour the top of the picture, and
    most of a map after a ReLU ties at zero. Give the coarse map ("A5" or "C4") to hide whole cells: a random share of
    single pixels is a fine noise all over the picture, and another question than a few blocks.
    """
    values = as_map(heatmap).flatten(-2)
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.rand(values.shape, generator=generator, dtype=torch.float32).argsort(dim=-1).to(values.device)
    order = drawn.gather(-1, values.gather(-1, drawn).argsort(dim=-1, descending=True, stable=True))
    places = torch.arange(values.shape[-1], device=values.device).expand_as(order)
    return torch.empty_like(order).scatter(-1, order, places).reshape(heatmap.shape)


def on_every_background(seed, size=96, **knobs):
    """The same animal on every background: {"room": Scene, "beach": Scene, …}, with the same mask in each.

    knobs: those of minixai.scenes.draw_scene, but for the background.
    """
    from minixai.scenes import BACKGROUNDS, draw_scene  # late: who hides parts of a photo draws no scenes
    return {kind: draw_scene(seed, size, background=kind, **knobs) for kind in BACKGROUNDS}


def fill_of(image, fill, model):
    """What is shown instead of the image, (B,3,H,W) like the image."""
    if fill not in tuple(FILLS):
        raise ValueError(f"no fill {fill!r}; there are {', '.join(FILLS)}")
    return FILLS[fill](image, model).to(image).expand_as(image)


def to_pixels(cells, size):
    """Cells (gh,gw) -> pixels (H,W): every cell becomes the block of pixels that it lies over."""
    high, wide = cell_size(cells, size)
    return cells.repeat_interleave(high, dim=-2).repeat_interleave(wide, dim=-1)


def cell_size(cells, size):
    """How many pixels high and wide one of (gh,gw) cells is on an image (H,W). ValueError if not a whole number."""
    (gh, gw), (H, W) = cells.shape[-2:], size
    if H % gh or W % gw:
        raise ValueError(f"a map or mask of {gh}x{gw} does not fit an image of {H}x{W}: give one of the image's size, "
                         "or of a grid that divides it")
    return H // gh, W // gw


def one_each(maps, image):
    """Maps or masks (gh,gw) or (B,gh,gw), that fit the image (B,3,H,W) -> one for each image, (B,gh,gw)."""
    cell_size(maps, image.shape[-2:])
    try:
        return maps.expand(*image.shape[:-3], -1, -1)
    except RuntimeError:
        raise ValueError(f"{tuple(maps.shape)} is not one map or mask for each image of {tuple(image.shape)}, "
                         "nor one for all") from None


def check_image(image):
    if not isinstance(image, torch.Tensor) or image.dim() < 3 or 0 in image.shape or not image.is_floating_point():
        shape = (image.dtype, tuple(image.shape)) if isinstance(image, torch.Tensor) else type(image).__name__
        raise ValueError(f"an image is a tensor of floats (B,3,H,W), as open_image gives it; got {shape}")


def as_map(heatmap):
    """A tensor or array (…,H,W) of finite numbers, as a float tensor."""
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
    """(side,side): row i says how much pixel i of the blurred image takes from each pixel of the image."""
    here, there = torch.arange(side)[:, None], torch.arange(side)
    mirrored = -1 - there, 2 * side - 1 - there         # where a pixel's mirror images lie, beyond either border
    weights = sum(torch.exp(-((here - place) / width) ** 2 / 2) for place in (there, *mirrored))
    return (weights / weights.sum(dim=-1, keepdim=True)).to(like)
