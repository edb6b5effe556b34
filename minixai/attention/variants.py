"""Attention and rollout with one stage replaced: other fusions, discarded entries, value norms, DINO's masks.

Letters: L layers, M heads, T = prefix + gh·gw tokens. A batch passes through in front.
"""
import torch
from torch import Tensor

from minixai.rollout import cls_to_grid, half_skip


def max_heads(attention: Tensor) -> Tensor:
    """A2 maximum of the heads: attention (L,M,T,T) -> fused (L,T,T)

    The largest weight that any head has. The rows then sum to more than one.
    """
    return attention.amax(dim=-3)


def min_heads(attention: Tensor) -> Tensor:
    """A2 minimum of the heads: attention (L,M,T,T) -> fused (L,T,T)

    The weight that every head has at least. The rows then sum to less than one.
    """
    return attention.amin(dim=-3)


def value_norm_weighted(attention: Tensor, value_norms: Tensor) -> Tensor:
    """A2 attention times value norm: attention (L,M,T,T), value_norms (L,M,T) -> fused (L,T,T)

    Kobayashi et al. 2020 (https://arxiv.org/abs/2004.10102): the output of a head is the sum of a_ij f(x_j), where
    f(x_j) is the value of token j after the output projection. The contribution of token j is measured by the norm of
    a_ij f(x_j): a large a_ij may multiply a short vector. Mean of the heads; rows do not sum to one.
    """
    return (attention * value_norms[..., None, :]).mean(dim=-3)


def one_head_value_norm(attention: Tensor, value_norms: Tensor, head: int) -> Tensor:
    """A2 one head times its value norm: attention (L,M,T,T), value_norms (L,M,T), head -> fused (L,T,T)"""
    return attention[..., head, :, :] * value_norms[..., head, None, :]


def discard_then_half_skip(fused: Tensor, prefix_tokens: int, discard_ratio: float = 0.9) -> Tensor:
    """A3 discard the lowest, then half skip: fused (L,T,T), prefix_tokens -> mixing (L,T,T)

    After Gildenblat 2020 (in the repository vit-explain): of all entries of a layer's matrix, the lowest share is set
    to zero as noise, before the skip connection is added. What a prefix token takes from itself is kept. Rows are then
    renormalised to a sum of one. Equal entries are discarded or kept together.
    discard_ratio: the share to discard, 0 or more and below 1. ValueError for any other.
    """
    if not 0 <= discard_ratio < 1:
        raise ValueError(f"the share to leave out lies between 0 and 1, 1 excluded; got {discard_ratio}")
    entries = fused.flatten(-2)
    lowest_kept = entries.kthvalue(1 + int(discard_ratio * entries.shape[-1])).values[..., None, None]
    low = fused < lowest_kept
    low.diagonal(dim1=-2, dim2=-1)[..., :prefix_tokens] = False
    return half_skip(torch.where(low, 0, fused))


def threshold_by_mass(cls_attention: Tensor, prefix_tokens: int, grid: tuple[int, int], share: float = 0.6) -> Tensor:
    """A5 mask that keeps most of the mass: cls_attention (1,T), prefix_tokens, grid -> coarse (gh,gw)

    Caron et al. 2021 (DINO, https://arxiv.org/abs/2104.14294): a mask, 1 for the patches of the smallest set that holds
    the share (60 % there) of the CLS token's attention to all patches, 0 for the others. DINO shows it for each head:
    head=0, head=1 and so on. Without a head, it is the set of their mean.
    share: above 0, at most 1. ValueError for any other.
    """
    if not 0 < share <= 1:
        raise ValueError(f"the share of the mass to keep lies between 0 and 1, 0 excluded; got {share}")
    patches = cls_to_grid(cls_attention, prefix_tokens, grid).flatten(-2)
    mass, order = patches.sort(dim=-1, descending=True, stable=True)
    mass_of_larger = mass.cumsum(dim=-1) - mass
    kept = (mass_of_larger < share * mass.sum(dim=-1, keepdim=True)).to(patches.dtype)
    return torch.zeros_like(patches).scatter(-1, order, kept).unflatten(-1, grid)
