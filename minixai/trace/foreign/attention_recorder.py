"""Attention recorded where torch computes it, for networks of any library.

Three functions of torch make attention: `scaled_dot_product_attention`, which is fast because it never builds the
matrix; `multi_head_attention_forward`, which nn.MultiheadAttention calls; and a `softmax` whose result multiplies
values. While a network is recorded, the first two are replaced by code that builds the matrix, and the network's output
is computed from that matrix. So no setting of the network is changed.
"""
from inspect import signature
from typing import NamedTuple

import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

SOFTMAX = (torch.softmax, F.softmax, torch.Tensor.softmax)
SAME_NUMBERS = {"dropout", "to", "type_as", "float", "contiguous", "clone", "view", "reshape"}      # in eval mode
MULTIPLY = {"matmul", "bmm", "einsum"}


class RecordedAttention(NamedTuple):
    """One attention of a pass: B images, M heads, T tokens."""
    scores: torch.Tensor        # (B,M,T,T), before the softmax
    attention: torch.Tensor     # (B,M,T,T), part of the graph, if there is one


class StopForward(Exception):
    """Raised by an AttentionRecorder when it has recorded the last attention that it needs."""


class AttentionRecorder(TorchFunctionMode):
    """Inside `with AttentionRecorder() as recorder:` every attention is built and kept in `recorder.layers`.

    leaf: the index of the layer at which the graph begins, with the attention as its leaf; None for no such layer.
    last: the index of the layer after which the pass ends by StopForward; None to run the whole network.
    """

    def __init__(self, leaf=None, last=None):
        super().__init__()
        self.leaf, self.last = leaf, last
        self.layers = []        # [RecordedAttention], in the order in which they ran
        self.grid = None        # (gh,gw), the output size of the last convolution before the first attention
        self.open = None        # a softmax that has not multiplied values yet: (RecordedAttention, its current tensor)

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function is F.scaled_dot_product_attention:
            return self._written_out(*args, **kwargs)
        if function is F.multi_head_attention_forward:
            given = signature(function).bind(*args, **kwargs)
            given.apply_defaults()
            return self._multi_head(**given.arguments)
        result = function(*args, **kwargs)
        if function in SOFTMAX and result.dim() > 2 and _over_the_last(result, *args[1:], **kwargs):
            return self._softmax(args[0] if args else kwargs["input"], result)
        self._follow(function.__name__, args, result)
        return result

    @property
    def attentions(self) -> list[torch.Tensor]:
        """L tensors (B,M,T,T)."""
        return [seen.attention for seen in self.layers]

    def close(self) -> None:
        """ValueError if there is a softmax that did not multiply values."""
        if self.open:
            raise ValueError("this network changes its attention between the softmax and the values (as talking heads "
                             "do), so no matrix of the softmax says what a token took")

    def _softmax(self, scores, attention):
        self.close()
        attention = self._leaf(attention)
        self.open = RecordedAttention(scores, attention), attention
        return attention

    def _follow(self, name, args, result):
        """A softmax is attention if its unchanged result multiplies something. A convolution gives the grid."""
        operands = args[1:] if name == "einsum" else args
        if self.open and operands and operands[0] is self.open[1]:
            if name in SAME_NUMBERS:
                self.open = self.open[0], result
            elif name in MULTIPLY:
                self._note(self.open[0])
                self.open = None
        elif name == "conv2d" and not self.layers and result.dim() == 4:
            self.grid = tuple(result.shape[-2:])

    def _written_out(self, query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None,
                     enable_gqa=False):
        """scaled_dot_product_attention in eval mode, step by step."""
        if is_causal or enable_gqa:
            raise ValueError("this network's attention is causal, or heads share keys: made for text, not a ViT's")
        scores = (query * (query.shape[-1] ** -0.5 if scale is None else scale)) @ key.transpose(-2, -1)
        if attn_mask is not None and attn_mask.dtype == torch.bool:
            scores = scores.masked_fill(~attn_mask, -torch.inf)
        elif attn_mask is not None:         # a bias, as for relative positions
            scores = scores + attn_mask
        attention = self._leaf(scores.softmax(dim=-1))
        self._note(RecordedAttention(scores, attention))
        return attention @ value

    def _multi_head(self, query, key, num_heads, in_proj_weight, in_proj_bias, out_proj_weight, out_proj_bias,
                    bias_k, add_zero_attn, key_padding_mask, attn_mask, need_weights, average_attn_weights, **rest):
        """nn.MultiheadAttention on tokens (T,B,D), step by step."""
        unusual = (bias_k, key_padding_mask, attn_mask, add_zero_attn or None)
        if query is not key or in_proj_weight is None or any(value is not None for value in unusual):
            raise ValueError("this network's nn.MultiheadAttention masks or adds tokens, or looks elsewhere than at "
                             "its own; only plain self-attention can be recorded")
        T, B, D = query.shape
        qkv = F.linear(query, in_proj_weight, in_proj_bias).reshape(T, B, 3, num_heads, D // num_heads)
        mixed = self._written_out(*qkv.permute(2, 1, 3, 0, 4))                              # (B,M,T,D/M)
        tokens = F.linear(mixed.permute(2, 0, 1, 3).reshape(T, B, D), out_proj_weight, out_proj_bias)
        weights = self.layers[-1].attention
        return tokens, (weights.mean(dim=1) if average_attn_weights else weights) if need_weights else None

    def _note(self, recorded):
        self.layers.append(recorded)
        if len(self.layers) - 1 == self.last:
            raise StopForward

    def _leaf(self, attention):
        if len(self.layers) != self.leaf:
            return attention
        torch.set_grad_enabled(True)        # until the caller's `with` ends
        return attention.detach().requires_grad_()


def _over_the_last(result, dim=None, *rest, **others):
    """Whether a softmax goes over the last dimension, as attention's does."""
    return dim in (-1, result.dim() - 1)
