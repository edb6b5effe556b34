"""A heatmap that was saved as a picture in colours: compared as pictures, drawn in every way that is known (M3).

    all profiles' heatmaps ─────────────► every way to draw, right and with one mistake ─► the picture?
    heatmaps with one mistake of theirs ► every right way to draw ───────────────────────► the picture?

First at a few pixels, then whole. Colours tell less than numbers: what is drawn in 8 bits cannot be told closer.
"""
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from minixai.verification.colormaps import COLOURINGS, OVERLAY, WITHOUT_PHOTO
from minixai.verification.compare import Entry, grouped
from minixai.verification.mistakes.display import MISTAKES
from minixai.verification.search import attempt, branches_of, ways_with

SAME = 2 / 255          # the largest difference of a pixel; rounding, or cutting off, twice
LEVEL = 1 / 255
AT_PIXELS = 16 / 255    # at the probes, which are drawn without what a picture's maximum does exactly
EDGE = 1e-5             # a value that is as near as this to the next colour of a table may have got that one
PROBES = 96
MOST = 400              # of the pictures that pass at the probes, those that are compared whole
LEFT_OUT = "not tried with a picture: two mistakes at once, other colours; save the map itself before it is coloured"
NO_PHOTO = "; this network has no `preprocess`, so the photo under the colours is unknown and no overlay was tried"


def photo_of(model, image):
    """The pixels (H,W,3) that a network of ours saw, or None; ValueError for more than one image."""
    if len(image) != 1:
        raise ValueError(f"a picture in colours is compared with one image, got {len(image)}; save the maps themselves")
    preprocess = getattr(model, "preprocess", None)
    return None if preprocess is None else preprocess.undo(image)[0]


def searched(picture, method, traces, head, photo):
    """The PictureComparison of a ColouredMap with all ways: fewest mistakes first."""
    comparison = PictureComparison(picture, photo)
    comparison.add(branches_of(ways_with(0, method, traces, head), traces), mistaken=False)
    if comparison.best() > SAME:
        comparison.add(branches_of(ways_with(0, method, traces, head), traces), mistaken=True)
        comparison.add(branches_of(ways_with(1, method, traces, head), traces), mistaken=False)
    return comparison


class PictureComparison:
    """Their picture, and every way to draw a heatmap that gives it."""
    close, most_mistakes = SAME, 1

    def __init__(self, picture, photo):
        """picture: a ColouredMap. photo: uint8 (H,W,3) or None."""
        self.theirs = torch.from_numpy(picture.rgb.astype(np.float32) / 255)[None]
        self.tried, self.fitting, self.ours = 0, 0, None
        H, W = self.theirs.shape[1:3]
        self._photo = photo if photo is not None and photo.shape[:2] == (H, W) else None
        self._under = np.zeros((H, W, 3), np.uint8) if self._photo is None else self._photo
        self._places = torch.from_numpy(np.random.RandomState(0).randint(0, H * W, PROBES))
        self._entries, self._nearest = [], (float("inf"), None)

    @property
    def left_out(self):
        """What was not tried, in words."""
        return LEFT_OUT + (NO_PHOTO if self._photo is None else "")

    def add(self, branches, mistaken):
        """Compare every way to draw the heatmaps of these branches; mistaken: the wrong ways in place of the right."""
        known = {}
        for heatmap, remake, ways in self._heatmaps(branches):
            at_places = heatmap.flatten()[self._places]
            key = (at_places / EDGE).round().to(torch.int64).numpy().tobytes()
            known.setdefault(key, (at_places, remake, []))[2].extend(ways)
        self.fitting += len(known)
        if known:
            self._draw(list(known.values()), self._ways_to_draw(mistaken))

    def best(self):
        """The smallest difference yet."""
        return min((entry.difference for entry in self._entries), default=float("inf"))

    def equals(self):
        """Entries of the ways that give this picture, as closely as the closest does."""
        return [entry for entry in self._entries if entry.difference <= self.best() + LEVEL / 2]

    def show_beside(self, heatmap):
        """Keep, as ours, a right heatmap (H,W), drawn in the way that theirs seems to be drawn in."""
        draw = self._nearest[1] or (OVERLAY if self._photo is not None else WITHOUT_PHOTO[0]).draw
        fits = heatmap.shape == self._under.shape[:2]
        under = self._under if fits else np.zeros((*heatmap.shape, 3), np.uint8)
        self.ours = _floats(draw(under, heatmap.numpy()))[None]

    def _heatmaps(self, branches):
        """Yield (heatmap (H,W), a function that makes it again, its ways) if it has the picture's size, in [0,1]."""
        for branch in branches:
            for enlarge, alike in grouped(branch.ways, lambda way: way.functions[-2]).items():
                full = attempt("M1", enlarge, branch.values)
                for normalise, ways in grouped(alike, lambda way: way.functions[-1]).items():
                    heatmap = _finished(full, normalise)
                    if heatmap is not None and heatmap.shape == self.theirs.shape[1:3]:
                        yield heatmap, partial(_made_again, branch.values, enlarge, normalise), ways

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
        self._entries += [Entry(apart, replace(way, profiles=_called(way, colouring),
                                               mistakes=way.mistakes + mistakes)) for way in group[2]]


def _finished(full, normalise):
    """M2 of one map, (H,W) in [0,1], or None if it does not fit, or gives other numbers."""
    heatmap = None if full is None else attempt("M2", normalise, {"full": full})
    if heatmap is None or len(heatmap) != 1 or not (-EDGE <= heatmap.min() and heatmap.max() <= 1 + EDGE):
        return None
    return heatmap[0].float().clamp(0, 1)


def _made_again(values, enlarge, normalise):
    return _finished(attempt("M1", enlarge, values), normalise)


def _called(way, colouring):
    """The way's profiles, called by how their map is drawn too."""
    return tuple(replace(profile, variant=", ".join(filter(None, (profile.variant, colouring.name))))
                 for profile in way.profiles)


def _off_up_to_a_factor(drawn, pixels):
    """drawn (N,P,3), pixels (P,3) -> (N): the largest difference. The maximum that divides a blend lies elsewhere."""
    factor = (drawn * pixels).sum(axis=(1, 2)) / np.maximum((drawn * drawn).sum(axis=(1, 2)), 1e-12)
    return np.abs(factor[:, None, None] * drawn - pixels).max(axis=(1, 2))


def _floats(rgb):
    """uint8 (H,W,3) -> a tensor in [0,1]."""
    return torch.from_numpy(np.ascontiguousarray(rgb)).float() / 255
