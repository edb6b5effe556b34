"""Attention methods that look at a class: attention counts as far as the class score rises with it.

Letters: L layers, M heads, T tokens. A batch passes through in front.
"""
import torch
from torch import Tensor


def positive_evidence(attention: Tensor, attention_gradients: Tensor) -> Tensor:
    """A2 positive part, then mean: attention (L,M,T,T), attention_gradients (L,M,T,T) -> fused (L,T,T)

    Chefer et al. 2021 (https://arxiv.org/abs/2103.15679, eq. 5): attention counts as far as the class score rises with
    it. The positive part is taken in each head, before the mean, so that no head cancels another.
    """
    return (attention_gradients * attention).clamp(min=0).mean(dim=-3)


def one_head_evidence(attention: Tensor, attention_gradients: Tensor, head: int) -> Tensor:
    """A2 one head's positive part: attention (L,M,T,T), attention_gradients (L,M,T,T), head -> fused (L,T,T)"""
    return (attention_gradients * attention)[..., head, :, :].clamp(min=0)


def mean_evidence(attention: Tensor, attention_gradients: Tensor) -> Tensor:
    """A2 mean, then positive part: attention (L,M,T,T), attention_gradients (L,M,T,T) -> fused (L,T,T)

    Gradient rollout (Gildenblat 2020, in the repository vit-explain): heads for and against the class cancel.
    """
    return (attention_gradients * attention).mean(dim=-3).clamp(min=0)


def whole_skip(fused: Tensor) -> Tensor:
    """A3 add the whole skip: fused (L,T,T) -> mixing (L,T,T)

    Chefer et al. 2021, eq. 6: relevance R becomes R + A R in every block, which is (I + A) R. Not renormalised: the
    evidence of a block may be small against what passes beside it, and stays so.
    """
    return fused + torch.eye(fused.shape[-1], dtype=fused.dtype, device=fused.device)
