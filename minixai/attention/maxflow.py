"""Attention flow: how much can flow from CLS down to each input token, through pipes as wide as the attention?

Abnar and Zuidema 2020 (https://arxiv.org/abs/2005.00928, section on attention flow). Rollout multiplies: it adds up all
ways from CLS to a token, each as strong as the product of its steps. Flow takes the same matrices as the widths of
pipes: a way carries what its narrowest pipe lets through, beside all other ways that share its pipes.

    level N    the tokens, each waiting with what CLS took from it in the block that is read
      │        pipes[N-1] … pipes[1]: token i above -> token j below, as wide as what i took from j
    level 1
      │        pipes[0]: into the one input token that is asked for, the sink

The largest flow is found by pushing (Goldberg and Tarjan 1988): what waits is handed on towards the sink along shortest
open ways. A pipe that is full is closed, but what went through it may come back. When nothing that still waits can
reach the sink, what arrived there is the largest flow, and as much as the narrowest cut between CLS and the sink.
"""
import numpy as np
import torch

from minixai.progress import watched

MOST_TOKENS = 260       # 16x16 patches, CLS and three more
TINY = 1e-12            # what is less has come out of rounding


def max_flow(mixing, layer):
    """A4 maximum flow: mixing (L,T,T), layer -> flow (1,T)

    From CLS behind the given block to each input token; each is a problem of its own, and no token takes from another.
    ValueError for more than MOST_TOKENS tokens: the time grows with their third power.
    """
    blocks, T = layer % mixing.shape[-3] + 1, mixing.shape[-1]
    if T > MOST_TOKENS:
        raise ValueError(f"attention flow is for small grids: {T} tokens would take too long, {MOST_TOKENS} are the "
                         "most; rollout has no such limit")
    images = mixing[..., :blocks, :, :].reshape(-1, blocks, T, T).double().cpu().numpy()
    flows = [list(watched(largest_flows(image[:-1], image[-1, 0]), f"attention flow, image {index + 1}"))
             for index, image in enumerate(images)]
    return torch.tensor(flows).to(mixing).reshape(*mixing.shape[:-3], 1, T)


def largest_flows(pipes, given):
    """Pipes (N,T,T) and what CLS gives (T,) to level N -> how much can reach each token of level 0, one at a time.

    What went to one sink is called back to level 1 for the next: most of it is then on a good way already.
    """
    if len(pipes) == 0:
        yield from given
        return
    room, back = pipes[1:].copy(), np.zeros_like(pipes[1:])     # what a pipe can still take, and what can come back
    waiting = np.zeros(pipes.shape[:2])                         # at the tokens of levels 1 to N
    waiting[-1] = given
    for into_sink in pipes[0].T:
        arrived = _push_all(into_sink, room, back, waiting)
        yield arrived.sum()
        waiting[0] += arrived


def _push_all(into_sink, room, back, waiting):
    """Push until nothing that waits can reach the sink; from which token of level 1 how much arrived (T,)."""
    arrived = np.zeros_like(into_sink)
    while True:
        steps = _steps_to_sink(into_sink - arrived, room, back)
        can_go = (waiting > TINY) & (steps < np.inf)
        if not can_go.any():
            return arrived
        for distance in range(int(steps[can_go].max()), 1, -1):        # the farthest first
            _push(room, back, waiting, steps == distance, steps == distance - 1)
        last = np.minimum(waiting[0], into_sink - arrived)
        arrived += last
        waiting[0] -= last


def _steps_to_sink(into_sink, room, back):
    """(N,T): over how many open pipes each token of each level reaches the sink; infinite where it does not."""
    down, up = (room > TINY).astype(np.float32), (back > TINY).astype(np.float32)
    steps, distance = np.full((len(room) + 1, len(into_sink)), np.inf), 1
    steps[0, into_sink > TINY] = distance
    while (near := steps == distance).any():
        distance += 1
        reach = np.zeros_like(near)
        reach[1:] |= (down @ near[:-1, :, None])[..., 0] > 0
        reach[:-1] |= (near[1:, None, :] @ up)[:, 0] > 0
        steps[reach & np.isinf(steps)] = distance
    return steps


def _push(room, back, waiting, here, there):
    """Hand what waits at the tokens `here` on to the tokens `there`, one level below or, back, one above."""
    for level in np.flatnonzero((here & (waiting > TINY)).any(axis=-1)):
        if level > 0 and there[level - 1].any():
            _share_out(room[level - 1], back[level - 1], waiting[level], waiting[level - 1], here[level],
                       there[level - 1])
        if level < len(room) and there[level + 1].any():
            _share_out(back[level].T, room[level].T, waiting[level], waiting[level + 1], here[level],
                       there[level + 1])


def _share_out(room, back, giving, taking, here, there):
    """Each token shares what it has over its pipes, in proportion to their room, and no pipe takes more than that."""
    open_pipes = room * here[:, None] * there
    share = (giving / np.maximum(open_pipes.sum(axis=1), TINY)).clip(0, 1)
    moved = open_pipes * share[:, None]
    room -= moved
    back += moved
    giving -= moved.sum(axis=1)
    taking += moved.sum(axis=0)
