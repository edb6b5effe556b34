"""How far does a map move by rounding alone?

A ReLU switches at zero. Where its input is nearly zero, rounding decides whether a part of the gradient passes. So
a right map from another machine, or another version of torch, may differ by more than rounding its values would:
hardly ever in trained networks, by per cents in deep ones with random weights. Here the same map is computed twice
more, in double precision and for an image changed in its last digit. Differences of that size count as rounding.
"""
from functools import partial
from typing import NamedTuple

import torch

from minixai.trace.common import copy_of
from minixai.verification.compare import CLOSE, Comparison, difference
from minixai.verification.search import NOT_FIT, Candidate, Traces, map_of, on_other_recordings

MULTIPLE = 3        # theirs may be off by this many times what rounding moved here
MOST = 0.1          # of the map's span; a map that rounding moves more tells nothing
FEW = 10            # candidates that are computed again
NEARER = 10         # a candidate with more mistakes is preferred if it is this many times nearer


class Moved(NamedTuple):
    """A candidate whose map is theirs, up to rounding."""
    difference: float
    candidate: Candidate
    rounding: float     # how far rounding moves this map here


def within_rounding(comparison: Comparison, model: torch.nn.Module, image: torch.Tensor, record) -> list[Moved]:
    """[Moved] of the nearest candidates, with the fewest mistakes; at most one each.

    comparison: a Comparison that has compared all candidates. record(model, image, …): the `record` of Traces, but for
    the model and the image, which come first.
    """
    near = [entry for entry in comparison.near() if entry.difference <= MULTIPLE * MOST
            and len(entry.candidate.mistakes) < 2
            and not {"scorecam", "ablationcam"} & {profile.method for profile in entry.candidate.profiles}]
    if not near or bool((comparison.theirs == comparison.theirs.flatten()[0]).all()):
        return []
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(image.shape, generator=generator, dtype=torch.float32).to(image)
    nudged = image * (1 + 1e-7 * noise)
    others = [(copy_of(model, torch.float64), image.double()), (model, nudged)]
    traces = [Traces(*other, partial(record, *other)) for other in others]
    moved = [_moved(entry.candidate, comparison, traces) for entry in near[:FEW]]
    accepted = [one for one in moved if one is not None and CLOSE / MULTIPLE < one.rounding <= MOST
                and one.difference <= MULTIPLE * one.rounding]
    return _fewest(accepted)


def _moved(candidate, comparison, traces):
    try:
        maps = [map_of(candidate), *(map_of(on_other_recordings(candidate, others)) for others in traces)]
    except NOT_FIT:
        return None
    if any(one is None for one in maps):
        return None
    apart = min(difference(comparison.theirs, one, comparison.step) for one in maps)
    return Moved(apart, candidate, max(difference(one, maps[0]) for one in maps[1:]))


def _fewest(accepted):
    """Those with the fewest mistakes, unless more mistakes come much nearer."""
    for count in (0, 1):
        own = [one for one in accepted if len(one.candidate.mistakes) == count]
        best = min((one.difference for one in own), default=float("inf"))
        if own and not any(one.difference * NEARER < best for one in accepted if len(one.candidate.mistakes) > count):
            return sorted((one for one in own if one.difference <= 2 * best), key=lambda one: one.difference)
    return []
