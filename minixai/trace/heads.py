"""What a head works with before and beside its softmax: scores and values, for stages that read more than attention.

Queries, keys and values are each (B,M,T,D/M), as a network's own projection gave them, nothing scaled yet.
"""
import math
from contextlib import contextmanager

from minixai.trace.common import hooked


def scores_of(queries, keys):
    """(B,M,T,T): q·k / sqrt(D/M), what the softmax makes the attention of."""
    return (queries / math.sqrt(queries.shape[-1])) @ keys.transpose(-2, -1)


def value_norms_of(values, out):
    """(B,M,T): how long the vector is that a head adds for each token it takes from whole (Kobayashi et al. 2020).

    out: (D,D), the output projection as a linear layer holds it, row by row what it makes. Each head has D/M columns of
    it. The projection's bias belongs to no token and is left out.
    """
    heads = values.shape[-3]
    of_each_head = out.unflatten(-1, (heads, -1)).permute(1, 2, 0)       # (M,D/M,D)
    return (values @ of_each_head).norm(dim=-1)


def score_gradients_of(attention, attention_gradients):
    """The gradient with respect to the scores, from that with respect to the attention: the softmax's own derivative.

    Both (…,T,T). To raise one score of a row is to take from all others of the row, so the row's mean is subtracted.
    """
    mean = (attention * attention_gradients).sum(dim=-1, keepdim=True)
    return attention * (attention_gradients - mean)


@contextmanager
def outputs_of(modules):
    """A list that fills, while the network runs, with what each of the modules returns."""
    outputs = []
    with hooked([(module.register_forward_hook, lambda module, inputs, output: outputs.append(output))
                 for module in modules]):
        yield outputs
