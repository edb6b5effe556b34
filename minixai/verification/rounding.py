"""How far does a map move by rounding alone?

A ReLU opens or closes at zero. Where its input is nearly zero, the last digit decides, and with it a whole part of the
gradient. So a right map from another machine, or another version of torch, may differ by more than its digits suggest:
hardly ever in trained networks, by per cents in deep ones with random weights. Here the same map is computed twice
more, in double precision and of an image changed in its last digit; what that moves is what nobody can tell apart.
"""
from functools import partial
from typing import NamedTuple

import torch

from minixai.trace.common import copy_of
from minixai.verification.compare import CLOSE, difference
from minixai.verification.search import NOT_FIT, Traces, Way, map_of, the_same_way

MULTIPLE = 3        # of what rounding moved here: it may move more there
MOST = 0.1          # of the map's span; a map that rounding moves more tells nothing
FEW = 10            # ways that are computed again
NEARER = 10         # times nearer has to be what needs more mistakes


class Moved(NamedTuple):
    """A way whose map is theirs, up to rounding."""
    difference: float
    way: Way
    rounding: float     # how far rounding moves this map here


def within_rounding(comparison, model, image, record):
    """[Moved] of the nearest ways, with as few mistakes as can be. record(model, image) -> a function for Traces."""
    near = [entry for entry in comparison.near() if entry.difference <= MULTIPLE * MOST and len(entry.way.mistakes) < 2
            and not {"scorecam", "ablationcam"} & {profile.method for profile in entry.way.profiles}]
    if not near or bool((comparison.theirs == comparison.theirs.flatten()[0]).all()):
        return []
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(image.shape, generator=generator, dtype=torch.float32).to(image)
    nudged = image * (1 + 1e-7 * noise)
    others = [(copy_of(model, torch.float64), image.double()), (model, nudged)]
    traces = [Traces(*other, partial(record, *other)) for other in others]
    moved = [_moved(entry.way, comparison, traces) for entry in near[:FEW]]
    accepted = [one for one in moved if one is not None and CLOSE / MULTIPLE < one.rounding <= MOST
                and one.difference <= MULTIPLE * one.rounding]
    return _fewest(accepted)


def _moved(way, comparison, traces):
    try:
        maps = [map_of(way), *(map_of(the_same_way(way, others)) for others in traces)]
    except NOT_FIT:
        return None
    if any(one is None for one in maps):
        return None
    apart = min(difference(comparison.theirs, one, comparison.step) for one in maps)
    return Moved(apart, way, max(difference(one, maps[0]) for one in maps[1:]))


def _fewest(accepted):
    for count in (0, 1):
        own = [one for one in accepted if len(one.way.mistakes) == count]
        best = min((one.difference for one in own), default=float("inf"))
        if own and not any(one.difference * NEARER < best for one in accepted if len(one.way.mistakes) > count):
            return sorted((one for one in own if one.difference <= 2 * best), key=lambda one: one.difference)
    return []
