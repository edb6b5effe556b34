"""Many maps against one: first at a few places, whatever M2 may have done to them, then whole.

Letters: N branches, B images, P probes, h x w the coarse map, H x W the image.
"""
import inspect
from collections import defaultdict
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch

from minixai.verification.search import Way, attempt

EXACT = 1e-5            # of the map's span: the same numbers, rounded differently
CLOSE = 1e-3            # the same map; single precision moves values near a ReLU's kink by about this much
PROBES = 96             # places at which maps are compared before they are compared whole
TOGETHER = 2**22        # numbers in the maps that are enlarged together, 16 MB in float32
NEAREST = 40            # of the branches that end at the probes, those that are compared whole to name the nearest
KEPT = 200              # of the maps that are near and not close


class Entry(NamedTuple):
    """A way whose map was compared whole."""
    difference: float
    way: Way


class Comparison:
    """Theirs, and every way that gives a map close to it; of the others, the nearest ones."""
    close, most_mistakes = CLOSE, 2

    def __init__(self, saved):
        """saved: a SavedMap."""
        self.theirs, self.step = saved.values.float(), saved.step
        self.tried, self.fitting = 0, 0     # ways compared, and those among them whose map has theirs' shape
        self.ours, self._best_rank = None, (2,)     # the map without a mistake that theirs is shown beside
        self._near, self._failed, self._matrices = [], [], {}
        self._places = _probes(self.theirs)
        self._at_places = self.theirs.flatten(1)[:, self._places]
        self._span = _span(self.theirs)
        self._on_levels = bool(_on_levels(self.theirs))

    def add(self, branches):
        """Compare the maps of all ways of these branches."""
        for enlarge, group in _by_function(branches, -2).items():
            for alike in grouped(group, lambda entry: _shapes(entry[0].values)).values():
                self.tried += sum(len({way.functions[-1] for way in ways}) for _, ways in alike)
                self._compare(enlarge, alike)
        if self.best() > CLOSE:
            for _, enlarge, branch, ways in sorted(self._failed, key=lambda entry: entry[0])[:NEAREST]:
                self._finish(enlarge, branch, ways)
        self._failed = []
        self._near = sorted(self._near, key=lambda entry: entry.difference)
        close = [entry for entry in self._near if entry.difference <= CLOSE]
        self._near = close + self._near[len(close):][:KEPT]

    def best(self, count=None):
        """The smallest difference yet, of ways with that many mistakes (None: of all)."""
        return min((entry.difference for entry in self._near if count in (None, len(entry.way.mistakes))),
                   default=float("inf"))

    def equals(self):
        """Entries of the ways that give this map, with as few mistakes as can be; where none does, of the nearest.

        More mistakes count for more only where they give the very numbers and fewer just come close.
        """
        for count in sorted({len(entry.way.mistakes) for entry in self._near if entry.difference <= CLOSE}):
            best = self.best(count)
            if best <= EXACT or 10 * self.best() >= best or self.best() > EXACT:
                return self._within(max(EXACT, 3 * best), count)
        return self._within(self.best())

    def near(self):
        """The entries nearest to theirs, best first."""
        return self._near[:NEAREST]

    def _within(self, limit, count=None):
        return [entry for entry in self._near
                if entry.difference <= limit and count in (None, len(entry.way.mistakes))]

    def _compare(self, enlarge, alike):
        """Branches of one shape with one M1: finish those that pass at the probes, note the others."""
        ours = self._probed(enlarge, alike)
        if ours is None:
            return
        tests = {"straight": _off_a_line, "rising": _off_any_rise, "of the size": _off_any_rise_of_size}
        for kind, test in tests.items():
            some = [(index, [way for way in ways if _kind(way.functions[-1]) == kind])
                    for index, (_, ways) in enumerate(alike)]
            some = [(index, ways) for index, ways in some if ways]
            if not some:
                continue
            self.fitting += len(some)
            allowed = 4 * (CLOSE * self._span + self.step)
            off = test(ours[[index for index, _ in some]], self._at_places) / allowed
            for (index, ways), apart in zip(some, off.amax(dim=-1).tolist()):
                if apart <= 1:
                    self._finish(enlarge, alike[index][0], ways)
                elif kind == "straight":
                    self._failed.append((apart, enlarge, alike[index][0], ways))
        for branch, ways in alike:
            self._finish(enlarge, branch, [way for way in ways if _kind(way.functions[-1]) == "any"
                                           or self._on_levels and _kind(way.functions[-1]) == "on levels"])

    def _probed(self, enlarge, alike):
        """What M1 gives at the probes, (N,B,P), for all branches; None if its maps have not the shape of theirs."""
        first = attempt("M1", enlarge, alike[0][0].values)
        if first is None or first.shape != self.theirs.shape:
            return None
        if (matrix := self._matrix(enlarge, alike)) is not None:
            coarse = torch.stack([branch.values["coarse"] for branch, _ in alike])
            return coarse.flatten(-2) @ matrix
        most = max(1, TOGETHER // self.theirs.numel())
        chunks = [alike[start:start + most] for start in range(0, len(alike), most)]
        return torch.cat([_stacked(enlarge, chunk).flatten(-2)[..., self._places] for chunk in chunks])

    def _matrix(self, enlarge, alike):
        """M1 at the probes as a matrix (h·w,P), from what it makes of maps that are one at one place, zero elsewhere.

        None where it is not linear, a stretch to [0,1] apart, or where making the matrix takes longer than running M1.
        """
        values = alike[0][0].values
        h, w = values["coarse"].shape[-2:]
        if "cam" in inspect.signature(enlarge).parameters or len(alike) * values["coarse"].shape[0] < h * w / 2:
            return self._matrices.get((enlarge, h, w))
        if (enlarge, h, w) not in self._matrices:
            ones = torch.eye(h * w, dtype=torch.float32).reshape(-1, h, w)
            chunks = ones.split(max(1, TOGETHER // self.theirs[0].numel()))
            made = [attempt("M1", enlarge, {**values, "coarse": one}).flatten(-2)[:, self._places] for one in chunks]
            matrix = torch.cat(made)
            test = torch.randn(2, h, w, generator=torch.Generator().manual_seed(0), dtype=torch.float32)
            right = attempt("M1", enlarge, {**values, "coarse": test}).flatten(-2)[:, self._places]
            off = _off_a_line((test.flatten(-2) @ matrix)[None], right) / _span(right)
            self._matrices[enlarge, h, w] = matrix if off.max() < 1e-4 else None
        return self._matrices[enlarge, h, w]

    def _rank(self, apart, ways):
        """What is close comes first; of the rest, for a map in [0,1] the paper's own, for others the nearest."""
        in_range = -0.01 <= self.theirs.min() and 0.5 < self.theirs.max() <= 1.01
        return apart > CLOSE, in_range and all(way.profiles[0].name != "the paper" for way in ways), apart

    def _finish(self, enlarge, branch, ways):
        """M1 and M2 on one branch, once for each distinct function, and the whole comparison."""
        if not ways:
            return
        full = attempt("M1", enlarge, branch.values)
        for normalise, group in grouped(ways, lambda way: way.functions[-1]).items():
            ours = attempt("M2", normalise, {"full": full})
            apart = float("inf") if ours is None else difference(self.theirs, ours, self.step)
            if not group[0].mistakes and (rank := self._rank(apart, group)) < self._best_rank:
                self.ours, self._best_rank = ours, rank
            self._near += [Entry(apart, way) for way in group if apart < 1]


def difference(theirs, ours, step=0.0):
    """The largest difference between two maps (B,H,W), as a share of the span of ours, image by image; the worst.

    step: the distance between values that theirs' format can hold. 8 bits hold the nearest level, or the one below;
    what that moves a value by is no difference.
    """
    if ours.shape != theirs.shape or not ours.isfinite().all():
        return float("inf")
    off = (theirs - ours).abs().flatten(1).amax(dim=-1)
    if step:
        cut = (theirs + step / 2 - ours).abs().flatten(1).amax(dim=-1)
        off = (torch.minimum(off, cut) - step / 2).clamp(min=0)
    flat = (theirs.flatten(1) == theirs.flatten(1)[:, :1]).all(dim=-1)
    span = (ours.flatten(1).amax(dim=-1) - ours.flatten(1).amin(dim=-1))
    equal = flat & (off <= EXACT * ours.flatten(1).abs().amax(dim=-1)) & (span == 0)
    return float(torch.where(equal, 0.0, torch.where(span > 0, off / span, torch.inf)).amax())


def _probes(theirs):
    """Places in a flattened map: scattered ones, and where the first few are largest and smallest."""
    scattered = np.random.RandomState(0).randint(0, theirs[0].numel(), PROBES)
    ends = [index for one in theirs[:8] for index in (int(one.argmax()), int(one.argmin()))]
    return torch.tensor([*ends, *scattered])


def _span(maps):
    """(B,…) -> (B,): largest less smallest, 1 where a map is flat."""
    span = maps.flatten(1).amax(dim=-1) - maps.flatten(1).amin(dim=-1)
    return torch.where(span > 0, span, 1)


def _off_a_line(ours, theirs):
    """ours (N,B,P), theirs (B,P) -> (N,B): how far theirs is from the best a·ours + b."""
    centred = ours - ours.mean(dim=-1, keepdim=True)
    theirs = theirs - theirs.mean(dim=-1, keepdim=True)
    scale = centred.abs().amax(dim=-1, keepdim=True).clamp(min=1e-30)
    centred = centred / scale
    slope = (centred * theirs).sum(dim=-1) / (centred ** 2).sum(dim=-1).clamp(min=1e-30)
    return (theirs - slope[..., None] * centred).abs().amax(dim=-1)


def _off_any_rise(ours, theirs):
    """ours (N,B,P), theirs (B,P) -> (N,B): how far theirs falls where ours rises."""
    in_order = theirs.expand_as(ours).gather(-1, ours.argsort(dim=-1, stable=True))
    return (in_order.cummax(dim=-1).values - in_order).amax(dim=-1)


def _off_any_rise_of_size(ours, theirs):
    return _off_any_rise(ours.abs(), theirs)


def _by_function(branches, place):
    """{function at that place of the ways: [(branch, its ways with that function)]}"""
    groups = defaultdict(list)
    for branch in branches:
        for function, ways in grouped(branch.ways, lambda way: way.functions[place]).items():
            groups[function].append((branch, ways))
    return groups


def grouped(items, key):
    groups = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return groups


def _shapes(values):
    return tuple((name, tuple(value.shape)) for name, value in values.items() if isinstance(value, torch.Tensor))


def _stacked(enlarge, alike):
    """M1 of many branches in one call: (N,B,H,W), for leading dimensions pass through."""
    values = [branch.values for branch, _ in alike]
    wanted = [name for name in inspect.signature(enlarge).parameters if name in values[0]]
    stacked = {name: torch.stack([one[name] for one in values]) if isinstance(values[0][name], torch.Tensor)
               else values[0][name] for name in wanted}
    return attempt("M1", enlarge, stacked)


def _on_levels(values):
    """Whether all values are multiples of 1/255."""
    levels = 255 * values
    return ((levels - levels.round()).abs() <= 1e-3).all()


@lru_cache(None)
def _kind(normalise):
    """What M2 does to a map: "straight", a shift and a scale; "rising", brighter stays brighter; "of the size",
    the same of the values' sizes; "on levels", only multiples of 1/255 come out; else "any"."""
    full = torch.randn(1, 9, 11, generator=torch.Generator().manual_seed(0), dtype=torch.float32)
    out = attempt("M2", normalise, {"full": full})
    if out is None:
        return "any"
    x, y = full.reshape(1, 1, -1), out.reshape(1, -1)
    tests = (("straight", _off_a_line), ("rising", _off_any_rise), ("of the size", _off_any_rise_of_size))
    for kind, test in tests:
        if test(x, y).max() <= 1e-5 * y.abs().max():
            return kind
    return "on levels" if _on_levels(out) else "any"
