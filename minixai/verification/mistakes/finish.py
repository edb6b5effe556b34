"""M1 and M2 done wrong, after any method.

Letters: h x w the coarse map, H x W the image. Leading dimensions (a batch) pass through.
"""
import torch
from torch import Tensor

from minixai.cams.gradient import not_zero
from minixai.heatmap import min_max, upsample
from minixai.verification.mistakes import Mistake
from minixai.verification.profiles.stages import (
    divide_by_maximum,
    min_max_over_batch,
    no_normalisation,
    no_upsampling,
    resized,
)


def transposed(coarse: Tensor, size: tuple[int, int]) -> Tensor:
    """M1 map transposed: coarse (h,w), size -> full (H,W)"""
    return upsample(coarse.transpose(-2, -1), size)


def mirrored(coarse: Tensor, size: tuple[int, int]) -> Tensor:
    """M1 map mirrored: coarse (h,w), size -> full (H,W)"""
    return upsample(coarse.flip(-1), size)


def upside_down(coarse: Tensor, size: tuple[int, int]) -> Tensor:
    """M1 map upside down: coarse (h,w), size -> full (H,W)"""
    return upsample(coarse.flip(-2), size)


def rotated_by_180(coarse: Tensor, size: tuple[int, int]) -> Tensor:
    """M1 map turned by 180 degrees: coarse (h,w), size -> full (H,W)"""
    return upsample(coarse.flip((-2, -1)), size)


def width_before_height(coarse: Tensor, size: tuple[int, int]) -> Tensor:
    """M1 height and width swapped: coarse (h,w), size -> full (W,H)"""
    return upsample(coarse, size[::-1])


def rows_read_as_columns(coarse: Tensor, size: tuple[int, int]) -> Tensor:
    """M1 folded with height and width swapped: coarse (h,w), size -> full (H,W)"""
    h, w = coarse.shape[-2:]
    return upsample(coarse.reshape(*coarse.shape[:-2], w, h), size)


def transposed_at_layer_size(coarse: Tensor) -> Tensor:
    """M1 map transposed, not enlarged: coarse (h,w) -> full (w,h)"""
    return coarse.transpose(-2, -1)


def mirrored_at_layer_size(coarse: Tensor) -> Tensor:
    """M1 map mirrored, not enlarged: coarse (h,w) -> full (h,w)"""
    return coarse.flip(-1)


def upside_down_at_layer_size(coarse: Tensor) -> Tensor:
    """M1 map upside down, not enlarged: coarse (h,w) -> full (h,w)"""
    return coarse.flip(-2)


def rotated_by_180_at_layer_size(coarse: Tensor) -> Tensor:
    """M1 map turned by 180 degrees, not enlarged: coarse (h,w) -> full (h,w)"""
    return coarse.flip((-2, -1))


def nearest_exact(coarse: Tensor, size: tuple[int, int]) -> Tensor:
    """M1 nearest neighbour, centres aligned: coarse (h,w), size -> full (H,W)

    As Pillow and scikit-image do it; torch's "nearest" is stages.upsample_nearest.
    """
    return resized(coarse, size, mode="nearest-exact")


def align_corners(coarse: Tensor, size: tuple[int, int]) -> Tensor:
    """M1 corners aligned: coarse (h,w), size -> full (H,W)"""
    return resized(coarse, size, mode="bilinear", align_corners=True)


def bicubic(coarse: Tensor, size: tuple[int, int]) -> Tensor:
    """M1 bicubic: coarse (h,w), size -> full (H,W)

    Cubic interpolation overshoots: values leave the range of the coarse map.
    """
    return resized(coarse, size, mode="bicubic", align_corners=False)


def rectify_after_upsampling(cam: Tensor, size: tuple[int, int]) -> Tensor:
    """M1 ReLU a stage late, after the upsampling: cam (h,w), size -> full (H,W)"""
    return upsample(cam, size).clamp(min=0)


def divide_by_largest_magnitude(full: Tensor) -> Tensor:
    """M2 divided by the largest magnitude: full (H,W) -> heatmap (H,W)"""
    return full / not_zero(full.abs().amax(dim=(-2, -1), keepdim=True))


def divide_by_sum(full: Tensor) -> Tensor:
    """M2 divided by the sum: full (H,W) -> heatmap (H,W)"""
    return full / not_zero(full.sum(dim=(-2, -1), keepdim=True))


def inverted(full: Tensor) -> Tensor:
    """M2 inverted: full (H,W) -> heatmap (H,W)"""
    return 1 - min_max(full)


def squared(full: Tensor) -> Tensor:
    """M2 squared after min-max: full (H,W) -> heatmap (H,W)"""
    return min_max(full) ** 2


def clipped(full: Tensor) -> Tensor:
    """M2 cut to [0,1] without scaling: full (H,W) -> heatmap (H,W)"""
    return full.clamp(0, 1)


def sigmoid(full: Tensor) -> Tensor:
    """M2 sigmoid: full (H,W) -> heatmap (H,W)"""
    return full.sigmoid()


def wrapped_to_eight_bits(full: Tensor) -> Tensor:
    """M2 255 times the unnormalised map, as 8 bits: full (H,W) -> heatmap (H,W)

    Values outside 0 to 255 wrap around: 256 becomes 0, and -1 becomes 255.
    """
    return torch.trunc(255 * full).to(torch.int64).remainder(256).to(full.dtype) / 255


def white_wraps_to_black(full: Tensor) -> Tensor:
    """M2 256 times the heatmap, as 8 bits: full (H,W) -> heatmap (H,W)

    The maximum, 256, wraps around to 0.
    """
    return torch.trunc(256 * min_max(full)).remainder(256) / 255


ENLARGE = "each cell over its own share of the image: heatmap.upsample"
PLACES = "row i, column j of the map stays row i, column j: profiles.stages.no_upsampling"
SCALE = "each map to [0,1] by itself: heatmap.min_max"
OF_LAYER_SIZE = (no_upsampling,)

MISTAKES = [
    Mistake("M1", "the map transposed", transposed, ENLARGE),
    Mistake("M1", "the map mirrored", mirrored, ENLARGE),
    Mistake("M1", "the map upside down", upside_down, ENLARGE),
    Mistake("M1", "the map turned by 180 degrees", rotated_by_180, ENLARGE),
    Mistake("M1", "the map transposed", transposed_at_layer_size, PLACES, OF_LAYER_SIZE),
    Mistake("M1", "the map mirrored", mirrored_at_layer_size, PLACES, OF_LAYER_SIZE),
    Mistake("M1", "the map upside down", upside_down_at_layer_size, PLACES, OF_LAYER_SIZE),
    Mistake("M1", "the map turned by 180 degrees", rotated_by_180_at_layer_size, PLACES, OF_LAYER_SIZE),
    Mistake("M1", "height and width of the image swapped", width_before_height, ENLARGE),
    Mistake("M1", "the map folded with height and width swapped", rows_read_as_columns, ENLARGE),
    Mistake("M1", "nearest neighbour in place of bilinear", nearest_exact, ENLARGE),
    Mistake("M1", "corners aligned (align_corners=True)", align_corners, ENLARGE),
    Mistake("M1", "bicubic in place of bilinear", bicubic, ENLARGE),
    Mistake("M1", "ReLU a stage late, after the upsampling", rectify_after_upsampling, "gradcam.rectify, before M1"),
    Mistake("M2", "not normalised", no_normalisation, SCALE),
    Mistake("M2", "divided by the maximum, the minimum not taken off", divide_by_maximum, SCALE),
    Mistake("M2", "divided by the largest magnitude, signs kept", divide_by_largest_magnitude, SCALE),
    Mistake("M2", "divided by the sum", divide_by_sum, SCALE),
    Mistake("M2", "normalised over the whole batch", min_max_over_batch, SCALE, of_batch=True),
    Mistake("M2", "inverted", inverted, SCALE),
    Mistake("M2", "squared", squared, SCALE),
    Mistake("M2", "cut to [0,1] without scaling", clipped, SCALE),
    Mistake("M2", "a sigmoid in place of min-max", sigmoid, SCALE),
    Mistake("M2", "8 bits of the unnormalised map, wrapped round", wrapped_to_eight_bits, SCALE),
    Mistake("M2", "8 bits of 256 levels: white wraps to black", white_wraps_to_black, SCALE),
]
