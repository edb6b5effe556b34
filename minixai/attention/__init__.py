"""Attention maps and their relatives: each is the recipe of rollout.py with one or two stages replaced.

    rollout.py    attention, rollout        the recipe Attn, stages A2 to A5: read this file first
    variants.py   maximum, minimum          another fusion of the heads
                  discarded rollout         the lowest entries set to zero before the skip is added
                  value attention           attention times the norm of the value vectors
                  DINO's mask               the fewest patches that hold most of the attention
    evidence.py   gradient methods, Chefer  attention times its gradient: class-specific

A fusion can be combined with every method: rollout of the maximum of the heads is Attn(A2=max_heads, A3=half_skip,
A4=multiply_layers), or replace(ROLLOUT, A2=max_heads).

Grad-CAM and its relatives (minixai.cams) also run on a ViT: its tokens are folded into feature maps.

Not included is the earlier method of Chefer, Gur and Wolf (2021, CVPR), which propagates relevance back through every
layer (LRP). It needs a propagation rule for each kind of layer, and so a second backward pass written for one network.
The later method of the same authors, `chefer` here, needs the attention and its gradient alone.

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
