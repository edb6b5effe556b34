"""Attention maps: from which patches did the CLS token take? Read from one layer, or followed through all layers.

    A1  A     = softmax(q k^T) of every layer and head; row i: how much token i took from each token        (trace/)
    A2  F_l   = one matrix per layer: the mean of its heads, or one head
    A3  R_l   = add what the skip connection carries past the attention: half itself, half attention
    A4  r     = the CLS row of one layer, or of the product R_L ··· R_1: what CLS holds of each input token
    A5  map   = drop CLS's own column, fold the patches back into their grid

The plain attention map leaves A3 out and reads one layer. Attention rollout (Abnar and Zuidema 2020,
https://arxiv.org/abs/2005.00928, equation 1) uses all five. Neither reads a class: they say where information
came from, not what it was used for. Methods that read a class multiply the attention in A2 by its gradient
(attention/evidence.py).

Letters: L layers, M heads, T = prefix + gh·gw tokens, of which CLS is the first. A batch passes through in front.
"""
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from minixai import heatmap, recipe
from minixai.score import class_score


def mean_heads(attention: Tensor) -> Tensor:
    """A2 mean of the heads: attention (L,M,T,T) -> fused (L,T,T)

    The rows of each head sum to one, and so do the rows of the mean. Differences between heads are lost here.
    """
    return attention.mean(dim=-3)


def one_head(attention: Tensor, head: int) -> Tensor:
    """A2 one head: attention (L,M,T,T), head -> fused (L,T,T)"""
    return attention[..., head, :, :]


def no_skip(fused: Tensor) -> Tensor:
    """A3 leave the skip out: fused (L,T,T) -> mixing (L,T,T)

    The map of one layer shows its attention alone, without the residual connection.
    """
    return fused


def half_skip(fused: Tensor) -> Tensor:
    """A3 half skip, half attention: fused (L,T,T) -> mixing (L,T,T)

    A block adds the output of its attention to the token, so half of a token counts as itself: 0.5 A + 0.5 I.
    Rows are divided by their sum. It is one already, except after a fusion such as the maximum of the heads.
    """
    identity = torch.eye(fused.shape[-1], dtype=fused.dtype, device=fused.device)
    mixing = torch.lerp(fused, identity, 0.5)       # their mean, in one pass over memory
    return mixing / mixing.sum(dim=-1, keepdim=True)


def one_layer(mixing: Tensor, layer: int) -> Tensor:
    """A4 one layer's CLS row: mixing (L,T,T), layer -> cls_attention (1,T)"""
    return mixing[..., layer, :1, :]


def multiply_layers(mixing: Tensor, layer: int) -> Tensor:
    """A4 multiply down to the input: mixing (L,T,T), layer -> cls_attention (1,T)

    The row of CLS at the given layer times the matrix of the layer below, and so on down to the first. That is the
    first row of the T x T product of all layers. A5 reads no other row.
    """
    last = layer % mixing.shape[-3]
    cls_attention = mixing[..., last, :1, :]
    for below in reversed(range(last)):
        cls_attention = cls_attention @ mixing[..., below, :, :]
    return cls_attention


def cls_to_grid(cls_attention: Tensor, prefix_tokens: int, grid: tuple) -> Tensor:
    """A5 CLS row to grid: cls_attention (1,T), prefix_tokens, grid -> coarse (gh,gw)

    CLS and the other prefix tokens have no place in the image, so their columns are dropped.
    """
    patches = cls_attention[..., 0, prefix_tokens:]
    return patches.reshape(*patches.shape[:-1], *grid)


@dataclass(frozen=True)
class Attn:
    """The ViT recipe. As it stands it is the plain attention map of one layer."""
    A1: Callable = recipe.stage("score", class_score, recorded=True)
    A2: Callable = recipe.stage("fused", mean_heads)
    A3: Callable = recipe.stage("mixing", no_skip)
    A4: Callable = recipe.stage("cls_attention", one_layer)
    A5: Callable = recipe.stage("coarse", cls_to_grid)
    M1: Callable = recipe.stage("full", heatmap.upsample)
    M2: Callable = recipe.stage("heatmap", heatmap.min_max)

    def steps(self, trace) -> list[recipe.Step]:
        """A VitTrace -> [Step A1 … M2]. Every value keeps the batch in front."""
        recorded = recipe.Step("A1", "attention of every layer and head", trace.attention)
        if trace.attention_gradients is not None:
            both = (trace.attention, trace.attention_gradients)
            recorded = recipe.Step("A1", "attention and its gradients", both)
        return [recorded, *recipe.run(self, vars(trace))]


ROLLOUT = Attn(A3=half_skip, A4=multiply_layers)
