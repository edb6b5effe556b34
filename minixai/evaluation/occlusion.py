"""The class score of masked images: occlusion maps, deletion and insertion curves.

Each takes many forward passes of one image. They run in chunks, so memory stays bounded. Threads may share the model,
as in `explain`.

Letters: B images of H x W, N steps of a curve.
"""
from numbers import Integral
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from minixai.evaluation.masking import as_map, check_image, fill_of, one_each, ranking, to_pixels
from minixai.progress import watched
from minixai.trace import logits_of
from minixai.trace.common import Target, pick_target

if TYPE_CHECKING:
    from matplotlib.figure import Figure

AT_ONCE = 2**24         # numbers in all activations of one forward pass, 64 MB in float32
TIMES_ITS_IMAGE = 20    # numbers in all activations for each number of the image, a rough guess
SCORES = {"probability": lambda logits: logits.softmax(dim=-1), "logit": lambda logits: logits}


class Curve(NamedTuple):
    """The class score as a function of the share of the image that is masked or shown."""
    shares: Tensor              # (N,), from 0 to 1
    scores: Tensor              # (B,N)


def occlusion_map(model: nn.Module, image: Tensor, target: Target = None, patch: int = 16, stride: int = 8,
                  fill: str = "mean", score: str = "probability") -> Tensor:
    """The drop of the class score when a patch is masked: image (B,3,H,W) -> (B,H,W), positive where the score drops.

    Zeiler and Fergus 2014 (https://arxiv.org/abs/1311.2901): a square slides over the image. The value of a pixel is
    the mean of score(image) - score(masked image) over the squares that cover it, in the unit of the score.
    target: None (each image's top class), one class, or one for each image. patch: the side of the square in pixels.
    stride: its step in pixels, at most `patch`; the last square of a row ends at the border. fill: as in
    `masking.hide`. score: "probability" or "logit". It takes one forward pass for each position of the square, about
    (side / stride) squared. ValueError if an argument does not fit.
    """
    check_image(image)
    _check_patch(patch, stride, image)
    rows, columns = (_windows(side, patch, stride) for side in image.shape[-2:])
    places = torch.cartesian_prod(torch.arange(len(rows)), torch.arange(len(columns)))

    def square(_, which):
        row, column = places[which].T
        return rows[row][:, :, None] & columns[column][:, None, :]

    scoring = _MaskedScores(model, image, target, fill, score)
    lost = scoring.unmasked[:, None] - scoring.behind(square, len(places), "occlusion map")
    return spread_over_pixels(lost.reshape(-1, len(rows), len(columns)), rows.to(lost), columns.to(lost))


def spread_over_pixels(lost: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The mean drop over the squares that cover a pixel: lost (r,c), rows (r,H), columns (c,W) -> (H,W)

    Square (i,j) covers pixel (y,x) where rows[i,y] and columns[j,x] are both 1; every pixel is covered by some square.
    """
    covered = rows.sum(dim=0)[:, None] * columns.sum(dim=0)
    return rows.T @ lost @ columns / covered


def deletion_curve(model: nn.Module, image: Tensor, heatmap: Tensor, target: Target = None, steps: int = 50,
                   fill: str = "black", score: str = "probability", seed: int = 0) -> Curve:
    """The class score while the image is masked in steps, highest of the heatmap first: shares (N,), scores (B,N).

    Petsiuk et al. 2018 (RISE, https://arxiv.org/abs/1806.07421): a small area under the curve means that the score
    drops early. Compare with -heatmap (lowest first) and torch.zeros_like(heatmap) (a random order), since most scores
    drop in any order.
    heatmap: (B,H,W) or (H,W), or a coarse one (gh,gw) that divides the image, whose whole cells are masked (see
    `ranking`, also for ties and the seed). steps: N = steps + 1, or fewer if there are fewer cells. target, fill,
    score: as in `occlusion_map`. ValueError if an argument does not fit.
    """
    return _curve(model, image, heatmap, target, steps, fill, score, seed, shown=False)


def insertion_curve(model: nn.Module, image: Tensor, heatmap: Tensor, target: Target = None, steps: int = 50,
                    fill: str = "blur", score: str = "probability", seed: int = 0) -> Curve:
    """The class score while the image is shown in steps, highest of the heatmap first: shares (N,), scores (B,N).

    Petsiuk et al. 2018 as well: a large area means that the score rises early. As in the paper, the first image is a
    blur, so that the inserted parts add no edges. All parameters are those of `deletion_curve`.
    """
    return _curve(model, image, heatmap, target, steps, fill, score, seed, shown=True)


def area(curve: Curve) -> Tensor:
    """The area under a curve by the trapezoidal rule: Curve -> (B,), the mean score over all shares."""
    return torch.trapezoid(curve.scores, curve.shares)


def curve_figure(curves: dict[str, Curve], title: str | None = None) -> "Figure":
    """Curves in one plot: {"highest first": Curve, …} -> a matplotlib Figure, each averaged over its images."""
    from matplotlib.figure import Figure  # late: matplotlib takes longer to import than a curve to compute
    figure = Figure(figsize=(5.4, 4.2), layout="constrained", dpi=110)
    axes = figure.subplots()
    for name, curve in curves.items():
        scores = curve.scores.mean(dim=0).cpu()
        axes.plot(curve.shares.cpu(), scores, label=f"{name} (area {area(curve).mean():.2f})")
    axes.set(title=title, xlabel="share of the image hidden or shown", ylabel="score of the class", xlim=(0, 1))
    if min(curve.scores.min() for curve in curves.values()) >= 0:
        axes.set_ylim(bottom=0)             # otherwise small differences look large
    figure.legend(loc="outside lower center", frameon=False, fontsize=9)
    return figure


def _curve(model, image, heatmap, target, steps, fill, score, seed, shown):
    if not isinstance(steps, Integral) or steps < 1:
        raise ValueError(f"steps is how often the score is asked for, an integer from 1 on; got {steps!r}")
    scoring = _MaskedScores(model, image, target, fill, score)
    image = scoring.image
    ranks = ranking(one_each(as_map(heatmap), image), seed).to(image.device)
    cells = ranks[0].numel()
    counts = torch.linspace(0, cells, min(steps, cells) + 1, dtype=torch.float64).round().long().to(image.device)

    def mask(index, which):
        first = ranks[index] < counts[which][:, None, None]
        return to_pixels(~first if shown else first, image.shape[-2:])

    scores = scoring.behind(mask, len(counts), "insertion curve" if shown else "deletion curve")
    return Curve((counts / cells).to(scores), scores)


class _MaskedScores:
    """The score of one class for each image of a batch, behind any masks."""

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
        self.unmasked = self._of_class(logits, slice(None))         # (B,)
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
