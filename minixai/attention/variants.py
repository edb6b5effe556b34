"""Attention and rollout with one stage replaced: other fusions, the lowest entries left out, the length of the values.

Letters: L layers, M heads, T = prefix + gh·gw tokens. A batch passes through in front.
"""
import torch
from torch import Tensor

from minixai.rollout import cls_to_grid, half_skip


def max_heads(attention: Tensor) -> Tensor:
    """A2 maximum of the heads: attention (L,M,T,T) -> fused (L,T,T)

    What any head looked at. The rows then sum to more than one.
    """
    return attention.amax(dim=-3)


def min_heads(attention: Tensor) -> Tensor:
    """A2 minimum of the heads: attention (L,M,T,T) -> fused (L,T,T)

    What all heads looked at. The rows then sum to less than one.
    """
    return attention.amin(dim=-3)


def value_norm_weighted(attention: Tensor, value_norms: Tensor) -> Tensor:
    """A2 attention times value norm: attention (L,M,T,T), value_norms (L,M,T) -> fused (L,T,T)

    Kobayashi et al. 2020 (https://arxiv.org/abs/2004.10102): a head adds the sum of a_ij f(x_j), with f(x_j) the value
    of token j after the output projection. A large share a_ij of a short vector is little, so what counts is the length
    of a_ij f(x_j). Mean of the heads; rows do not sum to one.
    """
    return (attention * value_norms[..., None, :]).mean(dim=-3)


def one_head_value_norm(attention: Tensor, value_norms: Tensor, head: int) -> Tensor:
    """A2 one head times its value norm: attention (L,M,T,T), value_norms (L,M,T), head -> fused (L,T,T)"""
    return attention[..., head, :, :] * value_norms[..., head, None, :]


def discard_then_half_skip(fused: Tensor, prefix_tokens: int, ratio: float = 0.9) -> Tensor:
    """A3 without the lowest, half skip: fused (L,T,T), prefix_tokens -> mixing (L,T,T)

    The idea is that of Gildenblat 2020 (in the repository vit-explain): of all entries of a layer, the lowest share is
    noise, and set to zero before the skip is added. What a prefix token takes from itself stays. Each row is brought
    back to a sum of one, so what is left of it counts less against the skip. Equal entries go or stay together.
    """
    if not 0 <= ratio < 1:
        raise ValueError(f"the share to leave out lies between 0 and 1, 1 excluded; got {ratio}")
    entries = fused.flatten(-2)
    lowest_kept = entries.kthvalue(1 + int(ratio * entries.shape[-1])).values[..., None, None]
    low = fused < lowest_kept
    low.diagonal(dim1=-2, dim2=-1)[..., :prefix_tokens] = False
    return half_skip(torch.where(low, 0, fused))


def threshold_by_mass(cls_attention: Tensor, prefix_tokens: int, grid: tuple[int, int], share: float = 0.6) -> Tensor:
    """A5 patches that hold the mass: cls_attention (1,T), prefix_tokens, grid -> coarse (gh,gw)

    Caron et al. 2021 (DINO, https://arxiv.org/abs/2104.14294): a mask, one for each patch of the smallest set that
    holds the share (60 % there) of what CLS took from all patches, zero for the others. DINO shows it for each head:
    head=0, head=1 and so on. Without a head, it is the set of their mean.
    """
    if not 0 < share <= 1:
        raise ValueError(f"the share of the mass to keep lies between 0 and 1, 0 excluded; got {share}")
    patches = cls_to_grid(cls_attention, prefix_tokens, grid).flatten(-2)
    mass, order = patches.sort(dim=-1, descending=True, stable=True)
    held_by_larger = mass.cumsum(dim=-1) - mass
    needed = (held_by_larger < share * mass.sum(dim=-1, keepdim=True)).to(patches.dtype)
    return torch.zeros_like(patches).scatter(-1, order, needed).unflatten(-1, grid)
