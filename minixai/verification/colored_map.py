"""A heatmap that was saved as a picture in colours: every known heatmap, drawn in every known way, against it (M3).

    all profiles' heatmaps ─────────► every way to draw, right and with one mistake ─► the picture?
    their heatmaps with one mistake ► every right way to draw ───────────────────────► the picture?

First at a few pixels, then whole. A picture of 8 bits tells less than numbers do: close maps look the same in it.
"""
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from minixai.verification.colormaps import COLOURINGS, OVERLAY, WITHOUT_PHOTO
from minixai.verification.compare import Entry, grouped
from minixai.verification.mistakes.display import MISTAKES
from minixai.verification.saved_map import ColouredMap
from minixai.verification.search import Branch, Traces, attempt, branches_of, candidates_with

SAME = 2 / 255          # the largest difference of a pixel; rounding, or cutting off, twice
LEVEL = 1 / 255
AT_PIXELS = 16 / 255    # the same at the probes, where the maximum that divides a blend is not known exactly
EDGE = 1e-5             # a value this near to a table's next colour may have got that colour
PROBES = 96             # pixels at which pictures are compared before they are compared whole
MOST = 400              # of the pictures that pass at the probes, those that are compared whole
LEFT_OUT = "not tried with a picture: two mistakes at once, other colours; save the map itself before it is coloured"
NO_PHOTO = "; this network has no `preprocess`, so the photo under the colours is unknown and no overlay was tried"


def photo_of(model: torch.nn.Module, image: torch.Tensor) -> np.ndarray | None:
    """uint8 (H,W,3), the pixels of one image (1,3,H,W) that a network of ours saw; None for other networks."""
    preprocess = getattr(model, "preprocess", None)
    return None if preprocess is None else preprocess.undo(image)[0]


def searched(picture: ColouredMap, method: str, traces: Traces, head, photo: np.ndarray | None) -> "PictureComparison":
    """Compare a picture with all candidates, those with the fewest mistakes first.

    head: as for `explain`. photo: uint8 (H,W,3), or None where it is unknown.
    """
    comparison = PictureComparison(picture, photo)
    right = branches_of(candidates_with(0, method, traces, head), traces)
    comparison.add(right, mistaken=False)
    if comparison.best() > SAME:
        comparison.add(right, mistaken=True)
        comparison.add(branches_of(candidates_with(1, method, traces, head), traces), mistaken=False)
    return comparison


class PictureComparison:
    """Their picture, and every way to draw a heatmap that gives it."""
    close, most_mistakes, step = SAME, 1, LEVEL

    def __init__(self, picture: ColouredMap, photo: np.ndarray | None):
        """photo: uint8 (H,W,3)."""
        self.theirs = torch.from_numpy(picture.rgb.astype(np.float32) / 255)[None]
        self.tried, self.fitting, self.ours = 0, 0, None
        H, W = self.theirs.shape[1:3]
        self._photo = photo if photo is not None and photo.shape[:2] == (H, W) else None
        self._under = np.zeros((H, W, 3), np.uint8) if self._photo is None else self._photo
        self._places = torch.from_numpy(np.random.RandomState(0).randint(0, H * W, PROBES))
        self._entries, self._nearest = [], (float("inf"), None)

    @property
    def left_out(self) -> str:
        """What was not tried, in words."""
        return LEFT_OUT + (NO_PHOTO if self._photo is None else "")

    def add(self, branches: list[Branch], mistaken: bool):
        """Draw the heatmaps of these branches in every right way, or in every mistaken one, and compare."""
        known = {}
        for heatmap, remake, candidates in self._heatmaps(branches):
            at_places = heatmap.flatten()[self._places]
            key = (at_places / EDGE).round().to(torch.int64).numpy().tobytes()
            known.setdefault(key, (at_places, remake, []))[2].extend(candidates)
        self.fitting += len(known)
        if known:
            self._draw(list(known.values()), self._ways_to_draw(mistaken))

    def best(self) -> float:
        """The smallest difference yet."""
        return min((entry.difference for entry in self._entries), default=float("inf"))

    def equals(self) -> list[Entry]:
        """Entries of the candidates that give this picture as closely as the closest one."""
        return [entry for entry in self._entries if entry.difference <= self.best() + LEVEL / 2]

    def show_beside(self, heatmap: torch.Tensor):
        """Keep a right heatmap (H,W) as `ours`, drawn in the way that comes nearest to their picture."""
        draw = self._nearest[1] or (OVERLAY if self._photo is not None else WITHOUT_PHOTO[0]).draw
        fits = heatmap.shape == self._under.shape[:2]
        under = self._under if fits else np.zeros((*heatmap.shape, 3), np.uint8)
        self.ours = _floats(draw(under, heatmap.numpy()))[None]

    def _heatmaps(self, branches):
        """Yield (heatmap (H,W), a function that makes it again, its candidates) of all that have the picture's size."""
        for branch in branches:
            for enlarge, alike in grouped(branch.candidates, lambda one: one.functions[-2]).items():
                full = attempt("M1", enlarge, branch.values)
                for normalise, candidates in grouped(alike, lambda one: one.functions[-1]).items():
                    heatmap = _finished(full, normalise)
                    if heatmap is not None and heatmap.shape == self.theirs.shape[1:3]:
                        yield heatmap, partial(_made_again, branch.values, enlarge, normalise), candidates

    def _ways_to_draw(self, mistaken):
        """[(colouring, stage function, mistakes)], those with the photo only where it is known."""
        some = [one for one in COLOURINGS if self._photo is not None or not one.with_photo]
        if not mistaken:
            return [(one, one.draw, ()) for one in some]
        return [(one, mistake.function, ((mistake, ""),)) for one in some for mistake in MISTAKES
                if one.draw in mistake.instead_of]

    def _draw(self, groups, ways_to_draw):
        """Each heatmap in each way: at the probes, and whole where these agree."""
        at_places = torch.stack([values for values, _, _ in groups]).numpy()
        pixels = self.theirs[0].flatten(0, 1)[self._places].numpy()
        under = np.broadcast_to(self._under.reshape(-1, 3)[self._places], (*at_places.shape, 3))
        passed = []
        for colouring, draw, mistakes in ways_to_draw:
            self.tried += len(groups)
            off = _off_up_to_a_factor(draw(under, at_places) / np.float32(255), pixels)
            passed += [(off[index], index, colouring, draw, mistakes) for index in np.flatnonzero(off <= AT_PIXELS)]
        for _, index, colouring, draw, mistakes in sorted(passed, key=lambda one: one[0])[:MOST]:
            self._compare(groups[index], colouring, draw, mistakes)

    def _compare(self, group, colouring, draw, mistakes):
        """The whole picture, each pixel with the colour of its value or, at a table's step, of the next one."""
        heatmap = group[1]()
        drawn = [_floats(draw(self._under, (heatmap + edge).clamp(0, 1).numpy())) for edge in (0, -EDGE, EDGE)]
        off = torch.stack([(one - self.theirs[0]).abs().amax(dim=-1) for one in drawn]).amin(dim=0)
        apart = float(off.max())
        self._nearest = min(self._nearest, (apart, colouring.draw), key=lambda one: one[0])
        self._entries += [Entry(apart, replace(candidate, profiles=_called(candidate, colouring),
                                               mistakes=candidate.mistakes + mistakes)) for candidate in group[2]]


def _finished(full, normalise):
    """M2 of one map, (H,W) in [0,1], or None if it does not fit, or gives values outside [0,1]."""
    heatmap = None if full is None else attempt("M2", normalise, {"full": full})
    if heatmap is None or len(heatmap) != 1 or not (-EDGE <= heatmap.min() and heatmap.max() <= 1 + EDGE):
        return None
    return heatmap[0].float().clamp(0, 1)


def _made_again(values, enlarge, normalise):
    return _finished(attempt("M1", enlarge, values), normalise)


def _called(candidate, colouring):
    """The candidate's profiles, with the way to draw in their names."""
    return tuple(replace(profile, variant=", ".join(filter(None, (profile.variant, colouring.name))))
                 for profile in candidate.profiles)


def _off_up_to_a_factor(drawn, pixels):
    """drawn (N,P,3), pixels (P,3) -> (N): the largest difference, up to the factor that a blend is divided by."""
    factor = (drawn * pixels).sum(axis=(1, 2)) / np.maximum((drawn * drawn).sum(axis=(1, 2)), 1e-12)
    return np.abs(factor[:, None, None] * drawn - pixels).max(axis=(1, 2))


def _floats(rgb):
    """uint8 (H,W,3) -> a tensor in [0,1]."""
    return torch.from_numpy(np.ascontiguousarray(rgb)).float() / 255
