"""A head's scores and values, for stages that read more than its attention.

Queries, keys and values are each (B,M,T,D/M), as the network's projection gives them, before any scaling.
"""
import math
from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from minixai.trace.common import hooked


def scores_of(queries: Tensor, keys: Tensor) -> Tensor:
    """(B,M,T,T): q·k / sqrt(D/M). Their softmax is the attention."""
    return (queries / math.sqrt(queries.shape[-1])) @ keys.transpose(-2, -1)


def value_norms_of(values: Tensor, out: Tensor) -> Tensor:
    """(B,M,T): the length of each token's value after the output projection (Kobayashi et al. 2020).

    That is the length of the vector that a head adds where its attention to the token is 1.
    out: (D,D), the weight of the output projection, as nn.Linear holds it. Each head has D/M of its columns. The
    projection's bias belongs to no token and is left out.
    """
    heads = values.shape[-3]
    of_each_head = out.unflatten(-1, (heads, -1)).permute(1, 2, 0)       # (M,D/M,D)
    return (values @ of_each_head).norm(dim=-1)


def score_gradients_of(attention: Tensor, attention_gradients: Tensor) -> Tensor:
    """The gradient with respect to the scores, by the derivative of the softmax: a (g - sum of a g over the row).

    Both arguments, and the result, are (…,T,T). A score that rises lowers all other attention of its row, so the row's
    mean is subtracted.
    """
    mean = (attention * attention_gradients).sum(dim=-1, keepdim=True)
    return attention * (attention_gradients - mean)


@contextmanager
def outputs_of(modules: list[nn.Module]) -> Iterator[list[Tensor]]:
    """A list to which each of the modules adds its output when the network runs inside."""
    outputs = []
    with hooked([(module.register_forward_hook, lambda module, inputs, output: outputs.append(output))
                 for module in modules]):
        yield outputs
