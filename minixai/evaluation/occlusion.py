"""What the network says when part of the image is hidden: occlusion maps, deletion and insertion curves.

Every one is many forward passes of one image with something over it. They run in chunks, so memory stays bounded.
Threads may share the model, as in `explain`.

Letters: B images of H x W, N steps of a curve.
"""
from numbers import Integral
from typing import NamedTuple

import torch

from minixai.evaluation.masking import as_map, check_image, fill_of, one_each, ranking, to_pixels
from minixai.progress import watched
from minixai.trace import logits_of
from minixai.trace.common import pick_target

AT_ONCE = 2**24         # numbers that a network may hold at once, 64 MB in float32, if it holds
TIMES_ITS_IMAGE = 20    # as many times the numbers of what it is shown
SCORES = {"probability": lambda logits: logits.softmax(dim=-1), "logit": lambda logits: logits}


class Curve(NamedTuple):
    """A score while more and more is hidden or shown."""
    shares: torch.Tensor        # (N,) share of the image hidden or shown, from 0 to 1
    scores: torch.Tensor        # (B,N) what the class scores then


def occlusion_map(model, image, target=None, patch=16, stride=8, fill="mean", score="probability"):
    """How much the class loses when a patch is hidden there: image (B,3,H,W) -> (B,H,W), positive where it loses.

    Zeiler and Fergus 2014 (https://arxiv.org/abs/1311.2901): a square wanders over the image, and the score is noted.
    A pixel's value is the mean of score(image) - score(image with the square) over the squares that cover it, so the
    map has a sign and a unit. patch: side of the square in pixels; stride: how far it moves. The last square of a row
    lies flush with the border. target: None (each image's top class), one class, or one for each image.
    score: "probability" or "logit". Takes one forward pass for each place of the square: (side / stride) squared.
    """
    check_image(image)
    _check_patch(patch, stride, image)
    rows, columns = (_windows(side, patch, stride) for side in image.shape[-2:])
    places = torch.cartesian_prod(torch.arange(len(rows)), torch.arange(len(columns)))

    def square(_, which):
        row, column = places[which].T
        return rows[row][:, :, None] & columns[column][:, None, :]

    question = _Question(model, image, target, fill, score)
    lost = question.plain[:, None] - question.behind(square, len(places), "occlusion map")
    return spread_over_pixels(lost.reshape(-1, len(rows), len(columns)), rows.to(lost), columns.to(lost))


def spread_over_pixels(lost, rows, columns):
    """The mean of what was lost behind the squares that cover a pixel: lost (r,c), rows (r,H), columns (c,W) -> (H,W)

    Square (i,j) covers pixel (y,x) where rows[i,y] and columns[j,x] are both 1; every pixel is covered by some square.
    """
    covered = rows.sum(dim=0)[:, None] * columns.sum(dim=0)
    return rows.T @ lost @ columns / covered


def deletion_curve(model, image, heatmap, target=None, steps=50, fill="black", score="probability", seed=0):
    """The class score while the image is hidden, highest of the heatmap first -> Curve with shares (N,), scores (B,N).

    Petsiuk et al. 2018 (RISE, https://arxiv.org/abs/1806.07421): if the map knows what counts, the score falls early
    and the area under the curve is small. Compare with -heatmap (least first) and torch.zeros_like(heatmap) (a random
    order): most scores fall under any order. heatmap: (B,H,W) or (H,W); or a coarse one (gh,gw) that divides the image,
    of which whole cells are hidden (see `ranking`, also for ties and the seed). N = steps + 1, or less for few cells.
    """
    return _curve(model, image, heatmap, target, steps, fill, score, seed, shown=False)


def insertion_curve(model, image, heatmap, target=None, steps=50, fill="blur", score="probability", seed=0):
    """The class score while the image appears, highest of the heatmap first -> Curve with shares (N,), scores (B,N).

    The other half of Petsiuk et al. 2018: if the map knows what suffices, the score rises early and the area is large.
    It begins with a blur, as in the paper: shapes appear on it without drawing edges. The rest as in `deletion_curve`.
    """
    return _curve(model, image, heatmap, target, steps, fill, score, seed, shown=True)


def area(curve):
    """The area under a curve: Curve -> (B,), the mean score over all shares. Trapezoids between the steps."""
    return torch.trapezoid(curve.scores, curve.shares)


def curve_figure(curves, title=None):
    """Curves over one another: {"most first": Curve, …} -> Figure, each the mean of its images with the mean area."""
    from matplotlib.figure import Figure  # late: matplotlib takes longer to import than a curve to compute
    figure = Figure(figsize=(5.4, 4.2), layout="constrained", dpi=110)
    axes = figure.subplots()
    for name, curve in curves.items():
        scores = curve.scores.mean(dim=0).cpu()
        axes.plot(curve.shares.cpu(), scores, label=f"{name} (area {area(curve).mean():.2f})")
    axes.set(title=title, xlabel="share of the image hidden or shown", ylabel="score of the class", xlim=(0, 1))
    if min(curve.scores.min() for curve in curves.values()) >= 0:
        axes.set_ylim(bottom=0)             # from zero, or small differences look large
    figure.legend(loc="outside lower center", frameon=False, fontsize=9)     # over no curve
    return figure


def _curve(model, image, heatmap, target, steps, fill, score, seed, shown):
    if not isinstance(steps, Integral) or steps < 1:
        raise ValueError(f"steps is how often the score is asked for, an integer from 1 on; got {steps!r}")
    question = _Question(model, image, target, fill, score)
    image = question.image
    ranks = ranking(one_each(as_map(heatmap), image), seed).to(image.device)
    cells = ranks[0].numel()
    counts = torch.linspace(0, cells, min(steps, cells) + 1, dtype=torch.float64).round().long().to(image.device)

    def mask(index, which):
        first = ranks[index] < counts[which][:, None, None]
        return to_pixels(~first if shown else first, image.shape[-2:])

    scores = question.behind(mask, len(counts), "insertion curve" if shown else "deletion curve")
    return Curve((counts / cells).to(scores), scores)


class _Question:
    """One image or a batch, one class each, and what to hide it behind: ready to be asked with any masks."""

    def __init__(self, model, image, target, fill, score):
        if score not in tuple(SCORES):
            raise ValueError(f"no score {score!r}; there are {', '.join(SCORES)}")
        check_image(image)
        if getattr(model, "classes", None) == 0:
            raise ValueError("this network has no class head: there is no score to ask for")
        self.model, self.score = model, SCORES[score]
        self.at_once = max(1, AT_ONCE // (TIMES_ITS_IMAGE * max(1, image[:1].numel())))
        logits = torch.cat([logits_of(model, part) for part in image.split(self.at_once)])
        self.target = pick_target(logits, target)
        self.plain = self._of_class(logits, slice(None))            # (B,) nothing hidden
        self.image = image.detach().to(logits.device)
        self.fill = fill_of(self.image, fill, model)

    def behind(self, masks, count, what):
        """(B,count): the class score behind each of `count` masks; masks(image index, mask index) -> (n,H,W)."""
        pairs = torch.cartesian_prod(torch.arange(len(self.image)), torch.arange(count))
        parts = pairs.split(self.at_once)
        answers = (self._part(masks, *part.T) for part in parts)
        return torch.cat(list(watched(answers, f"{what} in {len(parts)} parts"))).reshape(-1, count)

    def _part(self, masks, index, which):
        mask = masks(index, which).to(self.image.device)
        images = torch.where(mask[:, None], self.fill[index], self.image[index])
        return self._of_class(logits_of(self.model, images), index)

    def _of_class(self, logits, index):
        return self.score(logits).gather(-1, self.target[index][:, None])[:, 0]


def _windows(side, patch, stride):
    """bool (n,side): which pixels of a row each of the n squares covers."""
    starts = torch.tensor([*range(0, side - patch, stride), side - patch])[:, None]
    places = torch.arange(side)
    return (starts <= places) & (places < starts + patch)


def _check_patch(patch, stride, image):
    shorter = min(image.shape[-2:])
    if not isinstance(patch, Integral) or not 1 <= patch <= shorter:
        raise ValueError(f"patch is the side of the square in pixels, from 1 to {shorter} here; got {patch!r}")
    if not isinstance(stride, Integral) or not 1 <= stride <= patch:
        raise ValueError(f"stride is how far the square moves in pixels, an integer from 1 to {patch}, the patch, or "
                         f"places between would never be hidden; got {stride!r}")
