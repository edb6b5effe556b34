"""Attention flow against minimum cuts found by trying all of them, and against graphs whose flow is known."""
from itertools import product

import pytest
import torch

from minixai import explain
from minixai.attention import half_skip, max_flow, multiply_layers
from minixai.attention.maxflow import MOST_TOKENS
from minixai.trace import record_vit
from minixai.vit import ViT


def narrowest_cut(mixing, sink):
    """(L,T,T) -> the least capacity that has to be cut to part CLS at the top from the sink at the bottom.

    Every division of the tokens between into those on the side of CLS and those on the side of the sink is tried.
    """
    L, T, _ = mixing.shape
    sides = [[i == 0 for i in range(T)]]                       # the top: CLS alone is the source
    least = float("inf")
    for chosen in product([False, True], repeat=(L - 1) * T):
        levels = sides + [list(chosen[n * T:(n + 1) * T]) for n in range(L - 1)] + [[j != sink for j in range(T)]]
        cut = sum(float(mixing[L - 1 - n, i, j]) for n in range(L) for i in range(T) for j in range(T)
                  if levels[n][i] and not levels[n + 1][j] and (n > 0 or i == 0))
        least = min(least, cut)
    return least


def some_mixing(L, T, seed, sparse=0.0):
    generator = torch.Generator().manual_seed(seed)
    attention = (4 * torch.randn(L, T, T, generator=generator)).softmax(dim=-1)
    return half_skip(attention) * (torch.rand(L, T, T, generator=generator) >= sparse)


@pytest.mark.parametrize("sparse", [0.0, 0.5])
@pytest.mark.parametrize("L, T", [(1, 4), (2, 6), (3, 4), (4, 3)])
@pytest.mark.parametrize("seed", range(4))
def test_the_largest_flow_is_the_narrowest_cut(L, T, seed, sparse):
    mixing = some_mixing(L, T, seed, sparse)
    expected = torch.tensor([[narrowest_cut(mixing, sink) for sink in range(T)]])
    torch.testing.assert_close(max_flow(mixing, -1), expected, rtol=0, atol=1e-6)


def test_what_went_a_wrong_way_comes_back():
    """Token 1 can be served by 1 and 2, token 2 by 1 alone: who fills 1 from token 1 first has to take it back."""
    mixing = torch.zeros(3, 3, 3)
    mixing[2, 0, 1], mixing[2, 0, 2] = 1, 1             # CLS takes from 1 and 2
    mixing[1, 1, 1], mixing[1, 1, 2], mixing[1, 2, 1] = 1, 1, 1
    mixing[0, 1, 0], mixing[0, 2, 0] = 1, 1
    assert max_flow(mixing, -1).tolist() == [[2, 0, 0]]


def test_a_flow_is_as_wide_as_its_narrowest_pipe():
    mixing = torch.diag_embed(torch.tensor([[0.9, 0.9], [0.25, 0.9], [0.7, 0.9]]))
    torch.testing.assert_close(max_flow(mixing, -1), torch.tensor([[0.25, 0]]))
    torch.testing.assert_close(max_flow(mixing, 0), torch.tensor([[0.9, 0]]))


def test_of_one_block_the_flow_is_the_row_of_CLS():
    mixing = some_mixing(3, 5, 0)
    assert torch.equal(max_flow(mixing, 0), mixing[0, :1])


def test_the_blocks_above_the_one_that_is_read_do_not_matter():
    mixing = some_mixing(4, 5, 0)
    assert torch.equal(max_flow(mixing, 1), max_flow(mixing[:2], -1))
    assert torch.equal(max_flow(mixing, 1), max_flow(mixing, -3))


@pytest.mark.parametrize("prefix_tokens", [1, 2])
def test_on_a_network_it_lies_between_rollout_and_what_CLS_has_and_the_token_gives(prefix_tokens):
    """Rollout sends along every way what that way can carry at once, so the largest flow is at least that."""
    torch.manual_seed(0)
    model = ViT(16, 4, 8, depth=4, heads=2, classes=3, prefix_tokens=prefix_tokens).eval()
    for block in model.blocks:
        torch.nn.init.normal_(block.attention.qkv.weight)
    image = torch.randn(2, 3, 12, 20, generator=torch.Generator().manual_seed(0))
    result = explain(model, image, "flow")
    assert result["A5"].shape == (2, 3, 5) and torch.equal(result["A3"], half_skip(result["A2"]))
    assert (result["A4"] >= multiply_layers(result["A3"], -1) - 1e-6).all()
    assert (result["A4"] <= result["A3"][:, 0].sum(dim=-2, keepdim=True).clamp(max=1) + 1e-6).all()
    assert torch.equal(result["A5"].flatten(1), result["A4"][:, 0, prefix_tokens:])
    for index in range(2):
        torch.testing.assert_close(explain(model, image[index:index + 1], "flow")["A4"][0], result["A4"][index])


def slow_flow(mixing, sink):
    """One augmenting path after another, searched from CLS, on a dict of pipes (Ford and Fulkerson 1956)."""
    L, T, _ = mixing.shape
    room = {}
    for n, i, j in product(range(L), range(T), range(T)):
        room[(n + 1, i), (n, j)] = float(mixing[n, i, j])
        room[(n, j), (n + 1, i)] = 0.0
    ways = {}
    for start, end in room:
        ways.setdefault(start, []).append(end)
    flow = 0.0
    while True:
        came, found = {(L, 0): None}, [(L, 0)]
        for node in found:
            for other in ways[node]:
                if other not in came and room[node, other] > 1e-12:
                    came[other] = node
                    found.append(other)
        if (0, sink) not in came:
            return flow
        path, node = [], (0, sink)
        while came[node]:
            path.append((came[node], node))
            node = came[node]
        amount = min(room[pipe] for pipe in path)
        for start, end in path:
            room[start, end] -= amount
            room[end, start] += amount
        flow += amount


@pytest.mark.parametrize("L, T, sparse", [(3, 9, 0.0), (5, 8, 0.4), (4, 11, 0.7)])
def test_on_larger_graphs_it_is_that_of_augmenting_paths(L, T, sparse):
    mixing = some_mixing(L, T, 7, sparse)
    expected = torch.tensor([[slow_flow(mixing, sink) for sink in range(T)]])
    torch.testing.assert_close(max_flow(mixing, -1), expected, rtol=0, atol=1e-6)


def test_too_many_tokens_are_refused_at_once_with_the_way_out():
    with pytest.raises(ValueError, match=f"small grids: {MOST_TOKENS + 1} tokens .*rollout"):
        max_flow(torch.eye(MOST_TOKENS + 1).expand(2, -1, -1), -1)


def test_the_network_itself_is_run_as_for_rollout():
    torch.manual_seed(0)
    model = ViT(16, 4, 8, depth=2, heads=2, classes=3).eval()
    image = torch.randn(1, 3, 8, 12)
    assert torch.equal(explain(model, image, "flow").trace.attention, record_vit(model, image).attention)
