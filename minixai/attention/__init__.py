"""Attention maps and their relatives: each is the recipe of rollout.py with a stage or two replaced.

    rollout.py    attention, rollout        the recipe Attn, stages A2 to A5: read this file first
    variants.py   maximum, minimum          another fusion of the heads
                  discarded rollout         the lowest entries left out before the skip is added
                  value attention           attention times the length of what is taken
                  DINO's mass               the fewest patches that hold most of the attention
    evidence.py   gradient methods, Chefer  attention counts as far as the class score rises with it

A fusion goes with every method: rollout of the maximum of the heads is Attn(A2=max_heads, A3=half_skip,
A4=multiply_layers), or replace(ROLLOUT, A2=max_heads).

Grad-CAM and its relatives (minixai.cams) run on a ViT as they are: its tokens are folded into feature maps.

Left out is the earlier method of Chefer, Gur and Wolf (2021, CVPR), which hands relevance back through every layer
(LRP): it takes a rule of its own for each kind of layer, and a second backward pass written by hand for one network.
The later method of the same authors, `chefer` here, reads the attention and its gradient alone.

Letters: L layers, M heads, T = prefix + gh·gw tokens, of which CLS is the first. A batch passes through in front.
"""
from minixai.attention.evidence import mean_evidence, one_head_evidence, positive_evidence, whole_skip
from minixai.attention.variants import (
    discard_then_half_skip,
    max_heads,
    min_heads,
    one_head_value_norm,
    threshold_by_mass,
    value_norm_weighted,
)
from minixai.rollout import (
    ROLLOUT,
    Attn,
    cls_to_grid,
    half_skip,
    mean_heads,
    multiply_layers,
    no_skip,
    one_head,
    one_layer,
)

ATTENTIONS = {
    "attention": Attn(),
    "rollout": ROLLOUT,
    "valueattention": Attn(A2=value_norm_weighted),
    "dinomass": Attn(A5=threshold_by_mass),
    "discardrollout": Attn(A3=discard_then_half_skip, A4=multiply_layers),
    "gradattention": Attn(A2=positive_evidence),
    "gradrollout": Attn(A2=mean_evidence, A3=half_skip, A4=multiply_layers),
    "chefer": Attn(A2=positive_evidence, A3=whole_skip, A4=multiply_layers),
}

__all__ = ["ATTENTIONS", "ROLLOUT", "Attn", "cls_to_grid", "half_skip", "discard_then_half_skip",
           "value_norm_weighted", "max_heads", "mean_evidence", "mean_heads", "min_heads",
           "multiply_layers", "no_skip", "one_head", "one_head_evidence", "one_head_value_norm", "one_layer",
           "threshold_by_mass", "positive_evidence", "whole_skip"]
