"""vit-explain (https://github.com/jacobgil/vit-explain): rollout and gradient rollout, with the faults in them.

It has no versions. Its map is a square at layer size, divided by its largest value. For an overlay it is upsampled
(cv2.resize, linear), and the largest value may then lie below 1. It takes one image; here each image of a batch is
treated like a single one.
"""
from torch import Tensor

from minixai import heatmap
from minixai.attention import max_heads, mean_heads, min_heads, multiply_layers
from minixai.verification.profiles.profile import Profile
from minixai.verification.profiles.stages import (
    divide_by_maximum,
    half_skip_columns_normalised,
    no_normalisation,
    no_upsampling,
)

LIBRARY = "vit-explain"


def mean_of_mismatched_evidence(attention: Tensor, score_gradients: Tensor) -> Tensor:
    """A2 mean of mismatched evidence: attention (L,M,T,T), score_gradients (L,M,T,T) -> fused (L,T,T)

    Two faults. The backward hook on the dropout behind the softmax gets the gradient in front of the softmax, because
    an inactive dropout adds no node to the graph. And backward hooks run from the last layer to the first, so the list
    of gradients is in reversed order of the list of attentions.
    """
    return (attention * score_gradients.flip(-4)).mean(dim=-3).clamp(min=0)


def discard_lowest_but_first(fused: Tensor, ratio: float = 0.9) -> Tensor:
    """A3 discard the lowest except entry 0, half skip by columns: fused (L,T,T) -> mixing (L,T,T)

    The lowest 90 % of all entries of the whole matrix become zero, so a row may become zero. A fault: the comment says
    that the class token is kept, but the code keeps only entry 0, the attention of CLS to itself.
    """
    without = _without_lowest(fused, ratio)
    without[..., 0, 0] = fused[..., 0, 0]
    return half_skip_columns_normalised(without)


def discard_lowest(fused: Tensor, ratio: float = 0.9) -> Tensor:
    """A3 discard the lowest, half skip by columns: fused (L,T,T) -> mixing (L,T,T)

    In gradient rollout the line that would keep entry 0 is commented out.
    """
    return half_skip_columns_normalised(_without_lowest(fused, ratio))


def _without_lowest(fused, ratio):
    entries = fused.flatten(-2)
    lowest = entries.topk(int(ratio * entries.shape[-1]), largest=False, sorted=False).indices
    return entries.scatter(-1, lowest, 0).reshape(fused.shape)


def divide_by_maximum_then_upsample(coarse: Tensor, size: tuple[int, int]) -> Tensor:
    """M1 divide by the maximum, then upsample: coarse (h,w), size -> full (H,W)

    If each cell becomes an even number of pixels, no pixel lies on the centre of a cell, so the maximum drops below 1.
    """
    return heatmap.upsample(divide_by_maximum(coarse), size)


FUSIONS = {"": mean_heads, "head_fusion max": max_heads, "head_fusion min": min_heads}
FINISHES = {"": {"M1": no_upsampling, "M2": divide_by_maximum},
            "resized": {"M1": divide_by_maximum_then_upsample, "M2": no_normalisation},
            "resized, min-max by hand": {"M1": heatmap.upsample, "M2": heatmap.min_max}}
AS_IT_COMES = ("", "resized")
NOTHING_OUT = "discard_ratio 0"         # the default is 0.9
MISMATCHED = {"A2": mean_of_mismatched_evidence}
BY_COLUMNS = "Columns are divided by the sums of rows (keepdim is missing)."
ENTRY_0 = "90 % of each matrix is set to zero but for entry 0, then columns are divided by the sums of rows."
TWO_LISTS = "Gradients are those before the softmax and of the layers in reverse, and columns are normalised."


def _rollout(method, fusion, discards, finish):
    variant = ", ".join(filter(None, (fusion, "" if discards else NOTHING_OUT, finish)))
    departs = ENTRY_0 if discards else BY_COLUMNS if fusion else ""
    stages = {"A2": FUSIONS[fusion], "A3": discard_lowest_but_first if discards else half_skip_columns_normalised,
              "A4": multiply_layers, **FINISHES[finish]}
    return Profile(LIBRARY, method, stages, variant, departs=departs, usual=variant in AS_IT_COMES)


def _gradrollout(discards, finish):
    variant = ", ".join(filter(None, ("" if discards else NOTHING_OUT, finish)))
    stages = {**MISMATCHED, "A3": discard_lowest if discards else half_skip_columns_normalised, **FINISHES[finish]}
    return Profile(LIBRARY, "gradrollout", stages, variant, departs=TWO_LISTS, usual=variant in AS_IT_COMES)


PROFILES = (
    *(_rollout("rollout", fusion, discards, finish)
      for fusion in FUSIONS for discards in (True, False) for finish in FINISHES),
    *(_rollout("discardrollout", fusion, True, finish) for fusion in FUSIONS for finish in FINISHES),
    *(_gradrollout(discards, finish) for discards in (True, False) for finish in FINISHES),
)
