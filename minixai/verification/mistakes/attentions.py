"""A2 to A5 done wrong. Each function is the mistake, and its first line says which.

Letters: L layers, M heads, T = prefix + gh·gw tokens. A batch passes through in front.
"""
from functools import partial, reduce

import torch
from torch import Tensor

from minixai.attention import (
    cls_to_grid,
    half_skip,
    max_heads,
    mean_evidence,
    mean_heads,
    min_heads,
    multiply_layers,
    no_skip,
    one_head,
    one_layer,
    positive_evidence,
    whole_skip,
)
from minixai.verification.mistakes import Mistake
from minixai.verification.profiles.stages import half_skip_columns_normalised, multiply_layers_from_second

MOST_HEADS = 16


def sum_of_heads(attention: Tensor) -> Tensor:
    """A2 sum of the heads: attention (L,M,T,T) -> fused (L,T,T)"""
    return attention.sum(dim=-3)


def signed_evidence(attention: Tensor, attention_gradients: Tensor) -> Tensor:
    """A2 mean without the positive part: attention (L,M,T,T), attention_gradients (L,M,T,T) -> fused (L,T,T)"""
    return (attention_gradients * attention).mean(dim=-3)


def absolute_evidence(attention: Tensor, attention_gradients: Tensor) -> Tensor:
    """A2 mean of absolute values: attention (L,M,T,T), attention_gradients (L,M,T,T) -> fused (L,T,T)"""
    return (attention_gradients * attention).abs().mean(dim=-3)


def positive_gradients_alone(attention_gradients: Tensor) -> Tensor:
    """A2 attention not multiplied: attention_gradients (L,M,T,T) -> fused (L,T,T)"""
    return attention_gradients.clamp(min=0).mean(dim=-3)


def strongest_evidence(attention: Tensor, attention_gradients: Tensor) -> Tensor:
    """A2 maximum of the heads' evidence: attention (L,M,T,T), attention_gradients (L,M,T,T) -> fused (L,T,T)"""
    return (attention_gradients * attention).clamp(min=0).amax(dim=-3)


def evidence_with_gradients_reversed(attention: Tensor, attention_gradients: Tensor) -> Tensor:
    """A2 gradients in reversed order: attention (L,M,T,T), attention_gradients (L,M,T,T) -> fused (L,T,T)

    Backward hooks run from the last layer to the first, so gradients appended to a list are in that order.
    """
    return positive_evidence(attention, attention_gradients.flip(-4))


def mean_evidence_with_gradients_reversed(attention: Tensor, attention_gradients: Tensor) -> Tensor:
    """A2 gradients reversed, mean first: attention (L,M,T,T), attention_gradients (L,M,T,T) -> fused (L,T,T)"""
    return mean_evidence(attention, attention_gradients.flip(-4))


def skip_without_normalising(fused: Tensor) -> Tensor:
    """A3 half the skip, rows not brought back to one: fused (L,T,T) -> mixing (L,T,T)"""
    return torch.lerp(fused, _identity(fused), 0.5)


def skip_after_normalising(fused: Tensor) -> Tensor:
    """A3 rows normalised first, then the skip: fused (L,T,T) -> mixing (L,T,T)"""
    return fused / fused.sum(dim=-1, keepdim=True) + _identity(fused)


def rows_normalised_without_skip(fused: Tensor) -> Tensor:
    """A3 rows normalised, no skip: fused (L,T,T) -> mixing (L,T,T)"""
    return fused / fused.sum(dim=-1, keepdim=True)


def mostly_skip(fused: Tensor) -> Tensor:
    """A3 nine tenths skip: fused (L,T,T) -> mixing (L,T,T)"""
    return torch.lerp(fused, _identity(fused), 0.9)


def _identity(fused):
    return torch.eye(fused.shape[-1], dtype=fused.dtype, device=fused.device)


def layers_reversed(mixing: Tensor, layer: int) -> Tensor:
    """A4 layers multiplied in reverse: mixing (L,T,T), layer -> cls_attention (1,T)"""
    down = mixing[..., :layer + 1, :, :]
    return multiply_layers(down.flip(-3), layer)


def sum_of_layers(mixing: Tensor, layer: int) -> Tensor:
    """A4 layers added instead of multiplied: mixing (L,T,T), layer -> cls_attention (1,T)"""
    return mixing[..., :layer + 1, :1, :].sum(dim=-3)


def product_of_cells(mixing: Tensor, layer: int) -> Tensor:
    """A4 layers multiplied cell by cell: mixing (L,T,T), layer -> cls_attention (1,T)"""
    return mixing[..., :layer + 1, :1, :].prod(dim=-3)


def last_layer_skipped(mixing: Tensor, layer: int) -> Tensor:
    """A4 the last layer left out: mixing (L,T,T), layer -> cls_attention (1,T)"""
    return multiply_layers(mixing, layer - 1)


def column_of_one_layer(mixing: Tensor, layer: int) -> Tensor:
    """A4 CLS column of one layer: mixing (L,T,T), layer -> cls_attention (1,T)

    The attention of each token to CLS, in place of the attention of CLS to each.
    """
    return mixing[..., layer, :, 0][..., None, :]


def column_of_the_product(mixing: Tensor, layer: int) -> Tensor:
    """A4 CLS column of the product: mixing (L,T,T), layer -> cls_attention (1,T)"""
    return _whole_product(mixing, layer)[..., :, 0][..., None, :]


def all_rows_of_one_layer(mixing: Tensor, layer: int) -> Tensor:
    """A4 mean over all rows of one layer: mixing (L,T,T), layer -> cls_attention (1,T)"""
    return mixing[..., layer, :, :].mean(dim=-2, keepdim=True)


def all_rows_of_the_product(mixing: Tensor, layer: int) -> Tensor:
    """A4 mean over all rows of the product: mixing (L,T,T), layer -> cls_attention (1,T)"""
    return _whole_product(mixing, layer).mean(dim=-2, keepdim=True)


def _whole_product(mixing, layer):
    """All rows of the product down to the input: mixing (L,T,T), layer -> (T,T)"""
    from_last_to_first = mixing[..., :layer + 1, :, :].flip(-3).unbind(dim=-3)
    return reduce(torch.matmul, from_last_to_first)


def second_row(mixing: Tensor, layer: int) -> Tensor:
    """A4 the row after that of CLS: mixing (L,T,T), layer -> cls_attention (1,T)"""
    return mixing[..., layer, 1:2, :]


def cls_not_dropped(cls_attention: Tensor, grid: tuple[int, int]) -> Tensor:
    """A5 CLS's own column kept, the last token dropped: cls_attention (1,T), grid -> coarse (gh,gw)

    Every patch is shifted by one position.
    """
    return _fold(cls_attention[..., 0, :grid[0] * grid[1]], grid)


def one_prefix_token_only(cls_attention: Tensor, grid: tuple[int, int]) -> Tensor:
    """A5 one prefix token dropped where there are more: cls_attention (1,T), grid -> coarse (gh,gw)"""
    return _fold(cls_attention[..., 0, 1:1 + grid[0] * grid[1]], grid)


def folded_by_columns(cls_attention: Tensor, prefix_tokens: int, grid: tuple[int, int]) -> Tensor:
    """A5 patches folded column by column: cls_attention (1,T), prefix_tokens, grid -> coarse (gh,gw)"""
    gh, gw = grid
    patches = cls_attention[..., 0, prefix_tokens:]
    return patches.reshape(*patches.shape[:-1], gw, gh).transpose(-2, -1)


def grid_transposed(cls_attention: Tensor, prefix_tokens: int, grid: tuple[int, int]) -> Tensor:
    """A5 grid transposed: cls_attention (1,T), prefix_tokens, grid -> coarse (gw,gh)"""
    return cls_to_grid(cls_attention, prefix_tokens, grid).transpose(-2, -1)


def _fold(patches, grid):
    return patches.reshape(*patches.shape[:-1], *grid)


HEADS = "how the heads become one matrix: rollout.mean_heads"
EVIDENCE = "the positive part in each head, before the mean: attention.positive_evidence, eq. 5"
SKIP = "what the skip connection carries past: rollout.half_skip, attention.whole_skip"
LAYERS = "the CLS row times the layer below, down to the first: rollout.multiply_layers"
ROW = "row i says what token i took: the row of CLS, rollout.one_layer, rollout.multiply_layers"
GRID = "the prefix tokens dropped, the patches folded row by row: rollout.cls_to_grid"
OF_MEAN, OF_EVIDENCE, OF_BOTH = (mean_heads,), (positive_evidence,), (positive_evidence, mean_evidence)
OF_PRODUCT, OF_LAYER = (multiply_layers,), (one_layer,)

MISTAKES = [
    Mistake("A2", "the heads' maximum in place of their mean", max_heads, HEADS, OF_MEAN),
    Mistake("A2", "the heads' minimum in place of their mean", min_heads, HEADS, OF_MEAN),
    Mistake("A2", "the heads' sum in place of their mean", sum_of_heads, HEADS, OF_MEAN),
    *(Mistake("A2", f"head {head} alone in place of the mean", partial(one_head, head=head), HEADS, OF_MEAN)
      for head in range(MOST_HEADS)),
    Mistake("A2", "the mean of all heads in place of one", mean_heads, HEADS, (one_head,)),
    Mistake("A2", "clamped after the mean over heads", mean_evidence, EVIDENCE, OF_EVIDENCE),
    Mistake("A2", "clamped before the mean over heads", positive_evidence,
            "the mean of the heads, then the positive part: attention.mean_evidence", (mean_evidence,)),
    Mistake("A2", "not clamped", signed_evidence, EVIDENCE, OF_BOTH),
    Mistake("A2", "absolute values", absolute_evidence, EVIDENCE, OF_BOTH),
    Mistake("A2", "attention not multiplied", positive_gradients_alone, EVIDENCE, OF_BOTH),
    Mistake("A2", "gradients not multiplied", mean_heads, EVIDENCE, OF_BOTH),
    Mistake("A2", "the heads' maximum in place of their mean", strongest_evidence, EVIDENCE, OF_EVIDENCE),
    Mistake("A2", "gradients in reversed order of the layers", evidence_with_gradients_reversed, EVIDENCE, OF_EVIDENCE),
    Mistake("A2", "gradients in reversed order of the layers", mean_evidence_with_gradients_reversed, EVIDENCE,
            (mean_evidence,)),
    Mistake("A3", "no skip (no identity)", no_skip, SKIP, (half_skip, whole_skip)),
    Mistake("A3", "half the skip, rows not brought back to one", skip_without_normalising, SKIP,
            (half_skip, whole_skip)),
    Mistake("A3", "half the skip in place of the whole", half_skip, SKIP, (whole_skip,)),
    Mistake("A3", "the whole skip, rows not brought back to one", whole_skip, SKIP, (half_skip,)),
    Mistake("A3", "the skip added after normalising", skip_after_normalising, SKIP, (half_skip, whole_skip)),
    Mistake("A3", "columns normalised in place of rows", half_skip_columns_normalised, SKIP, (half_skip, whole_skip)),
    Mistake("A3", "rows normalised, no skip", rows_normalised_without_skip, SKIP, (half_skip, whole_skip)),
    Mistake("A3", "nine tenths skip in place of half", mostly_skip, SKIP, (half_skip,)),
    Mistake("A4", "layers in reversed order", layers_reversed, LAYERS, OF_PRODUCT),
    Mistake("A4", "layers added in place of multiplied", sum_of_layers, LAYERS, OF_PRODUCT),
    Mistake("A4", "layers multiplied cell by cell", product_of_cells, LAYERS, OF_PRODUCT),
    Mistake("A4", "the first layer left out", multiply_layers_from_second, LAYERS, OF_PRODUCT),
    Mistake("A4", "the last layer left out", last_layer_skipped, LAYERS, OF_PRODUCT),
    Mistake("A4", "one layer in place of the product", one_layer, LAYERS, OF_PRODUCT),
    Mistake("A4", "the product of all layers in place of one", multiply_layers, ROW, OF_LAYER),
    Mistake("A4", "the column of CLS in place of its row", column_of_one_layer, ROW, OF_LAYER),
    Mistake("A4", "the column of CLS in place of its row", column_of_the_product, ROW, OF_PRODUCT),
    Mistake("A4", "the mean over all rows in place of CLS's", all_rows_of_one_layer, ROW, OF_LAYER),
    Mistake("A4", "the mean over all rows in place of CLS's", all_rows_of_the_product, ROW, OF_PRODUCT),
    Mistake("A4", "the row behind CLS in place of its own", second_row, ROW, OF_LAYER),
    Mistake("A5", "CLS not dropped, the last token dropped", cls_not_dropped, GRID),
    Mistake("A5", "one prefix token dropped where there are more", one_prefix_token_only, GRID),
    Mistake("A5", "patches folded column by column", folded_by_columns, GRID),
    Mistake("A5", "the grid transposed", grid_transposed, GRID),
]
