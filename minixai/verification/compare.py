"""Compare many maps with one: first at a few probes, where any M2 is allowed for, then whole.

Letters: N branches, B images, P probes, h x w the coarse map, H x W the image.
"""
import inspect
from collections import defaultdict
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch

from minixai.recipe import run_stage
from minixai.verification.saved_map import SavedMap
from minixai.verification.search import Branch, Candidate, attempt

EXACT = 1e-5            # of the map's span: the same numbers, rounded differently
CLOSE = 1e-3            # the same map; single precision moves values near a ReLU's kink by about this much
PROBES = 96             # places at which maps are compared before they are compared whole
TOGETHER = 2**22        # numbers in the maps that are enlarged together, 16 MB in float32
NEAREST = 40            # of the branches that end at the probes, those that are compared whole to name the nearest
KEPT = 200              # of the maps that are near and not close


class Entry(NamedTuple):
    """A candidate whose map was compared whole."""
    difference: float
    candidate: Candidate


class Comparison:
    """Their map, and every candidate whose map is close to it; of the others, the nearest ones."""
    close, most_mistakes = CLOSE, 2

    def __init__(self, saved: SavedMap):
        self.theirs, self.step = saved.values.float(), saved.step
        self.tried, self.fitting = 0, 0     # candidates compared; those among them whose map has the shape of theirs
        self.ours, self._best_rank = None, (2,)     # the map without a mistake that theirs is shown beside
        self._near, self._failed, self._matrices = [], [], {}
        self._places = _probes(self.theirs)
        self._at_places = self.theirs.flatten(1)[:, self._places]
        self._span = _span(self.theirs)
        self._on_levels = bool(_on_levels(self.theirs))

    def add(self, branches: list[Branch]):
        """Compare the maps of all candidates of these branches."""
        for enlarge, group in _by_function(branches, -2).items():
            for alike in grouped(group, lambda entry: _shapes(entry[0].values)).values():
                self.tried += sum(len({one.functions[-1] for one in candidates}) for _, candidates in alike)
                self._compare(enlarge, alike)
        if self.best() > CLOSE:
            for _, enlarge, branch, candidates in sorted(self._failed, key=lambda entry: entry[0])[:NEAREST]:
                self._finish(enlarge, branch, candidates)
        self._failed = []
        self._near = sorted(self._near, key=lambda entry: entry.difference)
        close = [entry for entry in self._near if entry.difference <= CLOSE]
        self._near = close + self._near[len(close):][:KEPT]

    def best(self, count: int | None = None) -> float:
        """The smallest difference yet, of candidates with that many mistakes (None: of all)."""
        return min((entry.difference for entry in self._near if count in (None, len(entry.candidate.mistakes))),
                   default=float("inf"))

    def equals(self) -> list[Entry]:
        """Entries of the candidates that give this map with the fewest mistakes; if none does, of the nearest.

        More mistakes are preferred only where they give these very numbers and fewer mistakes merely come close.
        """
        for count in sorted({len(entry.candidate.mistakes) for entry in self._near if entry.difference <= CLOSE}):
            best = self.best(count)
            if best <= EXACT or 10 * self.best() >= best or self.best() > EXACT:
                return self._within(max(EXACT, 3 * best), count)
        return self._within(self.best())

    def near(self) -> list[Entry]:
        """The entries nearest to theirs, best first."""
        return self._near[:NEAREST]

    def _within(self, limit, count=None):
        return [entry for entry in self._near
                if entry.difference <= limit and count in (None, len(entry.candidate.mistakes))]

    def _compare(self, enlarge, alike):
        """Branches of one shape with one M1: finish those that pass at the probes, and keep the others in a list."""
        ours = self._probed(enlarge, alike)
        if ours is None:
            return
        tests = {"straight": _off_a_line, "rising": _off_any_rise, "of the size": _off_any_rise_of_size}
        for kind, test in tests.items():
            some = [(index, [one for one in candidates if _kind(one.functions[-1]) == kind])
                    for index, (_, candidates) in enumerate(alike)]
            some = [(index, candidates) for index, candidates in some if candidates]
            if not some:
                continue
            self.fitting += len(some)
            allowed = 4 * (CLOSE * self._span + self.step)
            off = test(ours[[index for index, _ in some]], self._at_places) / allowed
            for (index, candidates), apart in zip(some, off.amax(dim=-1).tolist()):
                if apart <= 1:
                    self._finish(enlarge, alike[index][0], candidates)
                elif kind == "straight":
                    self._failed.append((apart, enlarge, alike[index][0], candidates))
        for branch, candidates in alike:
            whole = ("any", "on levels") if self._on_levels else ("any",)
            self._finish(enlarge, branch, [one for one in candidates if _kind(one.functions[-1]) in whole])

    def _probed(self, enlarge, alike):
        """M1 of all branches at the probes, (N,B,P); None if these maps do not have the shape of theirs."""
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
        """M1 at the probes as a matrix (h·w,P): its results on the unit maps, which are 1 in one cell and 0 elsewhere.

        None if M1 is not linear up to a shift and a scale, or if the matrix takes longer to make than M1 to run.
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

    def _rank(self, apart, candidates):
        """Sort key: close maps first; of the rest, the paper's own if theirs lies in [0,1], else the nearest."""
        in_range = -0.01 <= self.theirs.min() and 0.5 < self.theirs.max() <= 1.01
        papers_own = any(candidate.profiles[0].name == "the paper" for candidate in candidates)
        return apart > CLOSE, in_range and not papers_own, apart

    def _finish(self, enlarge, branch, candidates):
        """M1 and M2 on one branch, once for each distinct function, and the whole comparison."""
        if not candidates:
            return
        full = attempt("M1", enlarge, branch.values)
        for normalise, group in grouped(candidates, lambda one: one.functions[-1]).items():
            ours = attempt("M2", normalise, {"full": full})
            apart = float("inf") if ours is None else difference(self.theirs, ours, self.step)
            if not group[0].mistakes and (rank := self._rank(apart, group)) < self._best_rank:
                self.ours, self._best_rank = ours, rank
            self._near += [Entry(apart, candidate) for candidate in group if apart < 1]


def difference(theirs: torch.Tensor, ours: torch.Tensor, step: float = 0.0) -> float:
    """The largest difference between two maps (B,H,W), as a share of the span of ours, image by image; the worst.

    step: the distance between neighbouring values that the format of theirs can hold. A value may have been rounded to
    the nearest level, or down to the one below; neither counts as a difference.
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
    """Indices into a flattened map: random ones, and the largest and smallest value of the first few images."""
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
    """{function at this index of the candidates' functions: [(branch, its candidates with this function)]}"""
    groups = defaultdict(list)
    for branch in branches:
        for function, candidates in grouped(branch.candidates, lambda one: one.functions[place]).items():
            groups[function].append((branch, candidates))
    return groups


def grouped(items, key):
    """{key(item): [the items with this key]}, in the order of their first item."""
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
    """What M2 does to a map.

    "straight": a shift and a scale. "rising": it keeps the order of the values. "of the size": it keeps the order of
    their absolute values. "on levels": it gives multiples of 1/255. Otherwise "any".
    """
    full = torch.randn(1, 9, 11, generator=torch.Generator().manual_seed(0), dtype=torch.float32)
    out = run_stage("M2", normalise, {"full": full})
    x, y = full.reshape(1, 1, -1), out.reshape(1, -1)
    tests = (("straight", _off_a_line), ("rising", _off_any_rise), ("of the size", _off_any_rise_of_size))
    for kind, test in tests:
        if test(x, y).max() <= 1e-5 * y.abs().max():
            return kind
    return "on levels" if _on_levels(out) else "any"
