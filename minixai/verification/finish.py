"""The finish of a map, estimated from the map itself: how was the coarse map enlarged, and what was done to its values?

    coarse (h,w) ─► enlarged: R · coarse · Cᵀ ─► an increasing curve of each value ─► rounded ─► theirs (H,W)

All usual enlargements are linear and act on rows and columns one after the other, so each is a pair of matrices. The
best increasing curve needs no search: sort both maps' pixels by ours; theirs should then rise. What falls cannot come
from ours by any increasing curve, and half of the deepest fall is the smallest error that a curve can have.

Letters: h x w a coarse map; H x W their map; P pixels.
"""
import math
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from minixai.evaluation import rank_correlation
from minixai.verification.search import Branch, Candidate

FEW = 16                # rows and columns of the grid of pixels on which all coarse maps are compared
KEPT = 40               # of them, those that are compared on the whole map
BLURRED = 4             # of these, those that are blurred too, if none gives theirs
MOST = 20_000           # pixels of a larger map that are compared
SIGMAS = 0.5, 32.0      # of Gaussian blurs, in pixels
GIVEN = 0.003           # rms error of a map that needs no further search
SPAN_OF_BLUR = 4        # standard deviations at which scipy.ndimage cuts a Gaussian off


# ---------------------------------------------------------------- M1: matrices (m,n) that take n cells to m pixels

def box(x: Tensor) -> Tensor:
    """The kernel of nearest neighbour."""
    return ((-0.5 < x) & (x <= 0.5)).double()


def triangle(x: Tensor) -> Tensor:
    """The kernel of linear interpolation."""
    return (1 - x.abs()).clamp(min=0)


def cubic(x: Tensor, a: float) -> Tensor:
    """Keys's kernel (1981). a: -0.5 in Pillow, -0.75 in torch and OpenCV."""
    x = x.abs()
    near, far = ((a + 2) * x - (a + 3)) * x * x + 1, (((x - 5) * x + 8) * x - 4) * a
    return torch.where(x < 1, near, torch.where(x < 2, far, 0.0))


def lanczos(x: Tensor, size: int) -> Tensor:
    """A sinc under the main lobe of a wider one. size: 3 in Pillow, 4 in OpenCV."""
    return torch.where(x.abs() < size, torch.sinc(x) * torch.sinc(x / size), 0.0)


def b_spline(x: Tensor) -> Tensor:
    """The cubic B-spline, which does not pass through the cells' values by itself (Unser 1999)."""
    x = x.abs()
    near, far = 2 / 3 - x * x + x ** 3 / 2, (2 - x).clamp(min=0) ** 3 / 6
    return torch.where(x < 1, near, far)


def at_centres(n: int, m: int) -> Tensor:
    """The positions of m pixels among n cells, if the borders of the two pictures coincide."""
    return (torch.arange(m, dtype=torch.float64) + 0.5) * n / m - 0.5


def at_corners(n: int, m: int) -> Tensor:
    """The positions of m pixels among n cells, if the centres of the outermost ones coincide."""
    return torch.arange(m, dtype=torch.float64) * (n - 1) / max(m - 1, 1)


def rounded_down(n: int, m: int) -> Tensor:
    """Nearest neighbour of torch and OpenCV: pixel i shows cell floor(i n / m)."""
    return (torch.arange(m) * n // m).double()


REACH = 4               # cells on either side of a pixel that any of these kernels sees


def repeated(index: Tensor, n: int) -> Tensor:
    """Outside, the outermost cell goes on (torch, OpenCV)."""
    return index.clamp(0, n - 1)


def mirrored(index: Tensor, n: int) -> Tensor:
    """Outside, the cells come back in reverse, the outermost one once (SciPy's "mirror")."""
    there_and_back = index.remainder(max(2 * (n - 1), 1))
    return torch.minimum(there_and_back, (2 * (n - 1) - there_and_back).abs())


def reflected(index: Tensor, n: int) -> Tensor:
    """Outside, the cells come back in reverse, the outermost one twice (SciPy's "reflect")."""
    there_and_back = index.remainder(2 * n)
    return torch.minimum(there_and_back, 2 * n - 1 - there_and_back)


def weights(positions: Tensor, n: int, kernel: Callable, outside: Callable | None = repeated) -> Tensor:
    """(m,n): the share of each cell in each pixel. outside: None drops cells outside the map (Pillow)."""
    cells = positions.floor().long()[:, None] + torch.arange(1 - REACH, REACH + 1)
    shares = kernel(cells - positions[:, None])
    if outside is None:
        shares = torch.where((cells >= 0) & (cells < n), shares, 0.0)
    matrix = torch.zeros(len(positions), n, dtype=torch.float64)
    matrix.scatter_add_(1, (outside or repeated)(cells, n), shares)
    return matrix / matrix.sum(dim=1, keepdim=True)


def through_the_cells(place: Callable, outside: Callable, n: int, m: int) -> Tensor:
    """(m,n): a cubic spline that passes through the cells' values (SciPy, scikit-image)."""
    at_cells = weights(torch.arange(n, dtype=torch.float64), n, b_spline, outside)
    return torch.linalg.solve(at_cells, weights(place(n, m), n, b_spline, outside), left=False)


def blurred(sigma: float, m: int) -> Tensor:
    """(m,m): a Gaussian blur (scipy.ndimage.gaussian_filter)."""
    reach = int(SPAN_OF_BLUR * sigma + 0.5)
    offsets = torch.arange(-reach, reach + 1)
    shares = torch.exp(-0.5 * (offsets / sigma).double() ** 2)
    cells = reflected(torch.arange(m)[:, None] + offsets, m)
    return torch.zeros(m, m, dtype=torch.float64).scatter_add_(1, cells, (shares / shares.sum()).expand(m, -1))


ENLARGEMENTS = {        # name: matrix of (n,m)
    "bilinear": lambda n, m: weights(at_centres(n, m), n, triangle),
    "nearest neighbour": lambda n, m: weights(rounded_down(n, m), n, box),
    "nearest neighbour, by centres": lambda n, m: weights(at_centres(n, m), n, box),
    "bilinear, corners aligned": lambda n, m: weights(at_corners(n, m), n, triangle),
    "bicubic, as torch and OpenCV do it": lambda n, m: weights(at_centres(n, m), n, lambda x: cubic(x, -0.75)),
    "bicubic, as Pillow does it": lambda n, m: weights(at_centres(n, m), n, lambda x: cubic(x, -0.5), None),
    "bicubic, corners aligned": lambda n, m: weights(at_corners(n, m), n, lambda x: cubic(x, -0.75)),
    "Lanczos, as Pillow does it": lambda n, m: weights(at_centres(n, m), n, lambda x: lanczos(x, 3), None),
    "Lanczos, as OpenCV does it": lambda n, m: weights(at_centres(n, m), n, lambda x: lanczos(x, 4)),
    "a cubic spline, corners aligned (scipy.ndimage.zoom)": lambda n, m: through_the_cells(at_corners, mirrored, n, m),
    "a cubic spline (scikit-image)": lambda n, m: through_the_cells(at_centres, reflected, n, m),
}
AS_IT_IS = {"not enlarged": lambda n, m: torch.eye(n, dtype=torch.float64)}


# ---------------------------------------------------------------- M2: the best increasing curve

class Off(NamedTuple):
    """How far theirs is from the best increasing function of ours, as a share of the span of theirs."""
    rms: Tensor             # (N): root of the mean square
    worst: Tensor           # (N)


def off_increasing(ours: Tensor, theirs: Tensor) -> Off:
    """ours (N,P), theirs (P) -> Off, each (N). Isotonic regression with the least largest error.

    At each pixel the curve lies halfway between the largest value of theirs at lower ours, and the smallest at higher.
    """
    shuffled = torch.randperm(len(theirs), generator=torch.Generator().manual_seed(0))     # equal ours in no order
    order = ours[:, shuffled].argsort(dim=-1)
    rising = theirs[shuffled].expand_as(ours).gather(-1, order)
    curve = (rising.cummax(dim=-1).values + rising.flip(-1).cummin(dim=-1).values.flip(-1)) / 2
    off = (rising - curve) / (theirs.max() - theirs.min())
    return Off(off.pow(2).mean(dim=-1).sqrt(), off.abs().amax(dim=-1))


CURVES = {      # name: a function of ours in [0,1] and a parameter, the lowest and highest parameter
    "to the power of {0:.3g}": (lambda x, p: x ** p, 0.1, 10.0),
    "through log(1 + {0:.3g} x)": (lambda x, s: torch.log1p(s * x), 0.1, 1e4),
    "through tanh({0:.3g} x)": (lambda x, s: torch.tanh(s * x), 0.1, 30.0),
}
TRIED = 41              # parameters from the lowest to the highest; then as many between the two beside the best


def curve_name(ours: Tensor, theirs: Tensor, off: float) -> str:
    """What was done to the values of ours (P) to get theirs (P), in words; "" for a straight line.

    off: Off.rms of the best increasing curve.
    """
    levels = theirs.unique()
    span, step = levels[-1] - levels[0], (levels[1:] - levels[:-1]).min()
    allowed = max(2 * off, 1e-4, float(step / span) / 2 if len(levels) <= 1024 else 0.0)
    lowest, highest = theirs == levels[0], theirs == levels[-1]
    if len(levels) == 2:
        return f"a threshold: the upper of two values for {_percent(highest)} of the pixels"
    if _off_a_line(ours, theirs) <= allowed:
        return ""
    between = ~lowest & ~highest
    slope, offset = _line(ours[between], theirs[between])
    cut = (slope * ours + offset).clamp(levels[0], levels[-1])
    if (cut - theirs).pow(2).mean().sqrt() <= allowed * span:
        return f"cut off at both ends: {_percent(lowest)} of the pixels below, {_percent(highest)} above"
    if _off_a_line(ours[~lowest], theirs[~lowest]) <= allowed:
        return f"the lowest {_percent(lowest)} of the pixels set to one value"
    scaled = (ours - ours.min()) / (ours.max() - ours.min())
    for name, (function, low, high) in CURVES.items():
        parameter, apart = _best_parameter(function, low, high, scaled, theirs)
        if apart <= allowed:
            return name.format(parameter)
    return "an increasing curve that has no name here"


def _percent(some):
    return f"{100 * float(some.double().mean()):.2g} %"


def _best_parameter(function, low, high, ours, theirs):
    """(parameter, the error that is left) of the curve that comes nearest to theirs, up to scale and offset."""
    for _ in range(3):
        tried = torch.logspace(math.log10(low), math.log10(high), TRIED, dtype=torch.float64)
        apart = torch.stack([_off_a_line(function(ours, one), theirs) for one in tried])
        best = int(apart.argmin())
        low, high = float(tried[max(best - 1, 0)]), float(tried[min(best + 1, TRIED - 1)])
    return float(tried[best]), float(apart[best])


def _line(x, y):
    """(slope, offset) of the straight line through points (P) with the least mean square error."""
    centred = x - x.mean()
    slope = (centred * (y - y.mean())).sum() / (centred * centred).sum().clamp(min=1e-30)
    return slope, y.mean() - slope * x.mean()


def _off_a_line(ours, theirs):
    """Root of the mean square by which theirs is off the best straight line of ours, as a share of its span."""
    slope, offset = _line(ours, theirs)
    return (theirs - slope * ours - offset).pow(2).mean().sqrt() / (theirs.max() - theirs.min())


# ---------------------------------------------------------------- the search

class Finish(NamedTuple):
    """How theirs was made of a coarse map."""
    index: int              # of the coarse map
    rms: float              # Off, on the whole map
    worst: float
    enlargement: str
    curve: str = ""         # "" for a straight line
    inverted: bool = False  # whether the curve falls
    blur: float = 0.0       # standard deviation of a Gaussian blur, in pixels

    def __str__(self):
        blur = f"blurred by a Gaussian of {self.blur:.2g} pixels" if self.blur else ""
        return ", then ".join(filter(None, (self.enlargement, blur, "inverted" if self.inverted else "", self.curve)))


def estimate(theirs: Tensor, maps: Iterable[Tensor]) -> list[Finish]:
    """Their map (H,W), coarse maps (h,w) -> the finishes that come nearest, the best first; [] if theirs is flat.

    The curves have no names yet: see `named`.
    """
    theirs, maps = theirs.double(), [one.double() for one in maps]
    if theirs.max() == theirs.min():
        return []
    nearest = sorted(_on_the_grid(theirs, maps), key=lambda finish: finish.rms)[:KEPT]
    whole = sorted((_on_the_whole(theirs, maps, finish) for finish in nearest), key=lambda finish: finish.rms)
    if whole and whole[0].rms > GIVEN:
        soft = [finish for finish in whole if finish.enlargement == "bilinear"][:BLURRED]
        whole += [_blurred(theirs, maps, finish) for finish in soft]
    return sorted(whole, key=lambda finish: finish.rms)


def _on_the_grid(theirs, maps):
    """Every map in every enlargement, compared on a grid of pixels: [Finish]. Maps of one size go together."""
    rows, columns = (_some_of(length) for length in theirs.shape)
    at_places = theirs[rows][:, columns].flatten()
    sizes, found = {}, []
    for index, one in enumerate(maps):
        sizes.setdefault(one.shape, []).append(index)
    for size, indices in sizes.items():
        coarse = torch.stack([maps[index] for index in indices])
        for name in AS_IT_IS if size == theirs.shape else ENLARGEMENTS:
            R, C = _matrices(name, 0.0, size, theirs.shape)
            ours = (R[rows] @ coarse @ C[columns].T).flatten(1)
            for inverted in (False, True):
                off = off_increasing(-ours if inverted else ours, at_places)
                found += [Finish(index, rms, worst, name, inverted=inverted)
                          for index, rms, worst in zip(indices, off.rms.tolist(), off.worst.tolist())]
    return found


def _blurred(theirs, maps, finish):
    """The finish with the Gaussian blur behind it that brings it nearest to theirs."""
    low, high = SIGMAS
    for _ in range(3):
        tried = torch.logspace(math.log10(low), math.log10(high), 9).tolist()
        found = [_on_the_whole(theirs, maps, finish._replace(blur=sigma)) for sigma in tried]
        best = min(range(9), key=lambda index: found[index].rms)
        low, high = tried[max(best - 1, 0)], tried[min(best + 1, 8)]
    return found[best]


@lru_cache(64)
def _matrices(name, blur, cells, pixels):
    make = {**ENLARGEMENTS, **AS_IT_IS}[name]
    return tuple(blurred(blur, m) @ make(n, m) if blur else make(n, m) for n, m in zip(cells, pixels))


def _some_of(length):
    """Indices of FEW rows or columns, one in each of as many equal parts."""
    starts = torch.arange(FEW) * length / FEW
    offsets = torch.rand(FEW, generator=torch.Generator().manual_seed(0)) * length / FEW
    return (starts + offsets).long().clamp(max=length - 1).unique()


def named(finish: Finish, theirs: Tensor, maps: Sequence[Tensor]) -> Finish:
    """The finish with the name of its curve; the other arguments are those of `estimate`."""
    ours, theirs = _pixels(finish, theirs.double(), maps)
    return finish._replace(curve=curve_name(ours, theirs, finish.rms))


def _on_the_whole(theirs, coarse, finish):
    """The finish with its errors."""
    ours, theirs = _pixels(finish, theirs, coarse)
    off = off_increasing(ours[None], theirs)
    return finish._replace(rms=float(off.rms), worst=float(off.worst))


def _pixels(finish, theirs, maps):
    """Pixels of ours (P), which rise where theirs do, and of theirs (P)."""
    coarse = maps[finish.index].double()
    R, C = _matrices(finish.enlargement, finish.blur, coarse.shape, theirs.shape)
    ours = (R @ coarse @ C.T).flatten()
    some = slice(None, None, max(1, theirs.numel() // MOST))
    return (-ours if finish.inverted else ours)[some], theirs.flatten()[some]


# ---------------------------------------------------------------- the verdict's entries

EXPLAINED = 0.001                   # the largest rms error of a map that a finish explains
OF_8_BITS = 0.01                    # that of a map with at most 256 different values, which may have been a JPEG
WORST = 15                          # the largest error of a pixel is at most this many times as large
TIED = 3                            # causes whose error is this many times the smallest cannot be told apart
CELLS = 4                           # a coarse map with fewer different values can be bent into almost any map


class Finished(NamedTuple):
    """A candidate whose coarse map gives theirs with another finish."""
    difference: float
    candidate: Candidate
    finish: Finish


def finished_otherwise(theirs: Tensor, branches: list[Branch]) -> list[Finished]:
    """The candidates of which theirs (H,W) can be made by an enlargement and a curve, those with the fewest mistakes.

    branches: from `coarse_maps`. All whose errors are alike are in the list; it is empty if none comes near.
    """
    theirs = theirs.double()
    branches = [branch for branch in branches if len(branch.values["coarse"][0].unique()) >= CELLS]
    maps = [branch.values["coarse"][0] for branch in branches]
    allowed = OF_8_BITS if len(theirs.unique()) <= 256 else EXPLAINED
    found = [finish for finish in estimate(theirs, maps) if finish.rms <= allowed and finish.worst <= WORST * allowed]
    best = {}       # of each coarse map
    for finish in found:
        if finish.rms <= TIED * max(found[0].rms, 1e-4):
            best.setdefault(finish.index, finish)
    tied = [Finished(finish.rms, candidate, named(finish, theirs, maps))
            for finish in best.values() for candidate in branches[finish.index].candidates]
    fewest = min((len(one.candidate.mistakes) for one in tied), default=0)
    return [one for one in tied if len(one.candidate.mistakes) == fewest]


def rank_correlations(theirs: Tensor, branches: list[Branch]) -> list[tuple[float, Branch]]:
    """Spearman's correlation of theirs (H,W) with each coarse map, enlarged bilinearly; the highest first.

    branches: from `coarse_maps`. A flat map has no order, so its correlation is left out.
    """
    rows, columns = (_some_of(length) for length in theirs.shape)
    at_places = theirs.double()[rows][:, columns]
    found = []
    for branch in branches:
        coarse = branch.values["coarse"][0].double()
        R, C = _matrices("bilinear", 0.0, coarse.shape, theirs.shape)
        correlation = float(rank_correlation(R[rows] @ coarse @ C[columns].T, at_places))
        if not math.isnan(correlation):
            found.append((correlation, branch))
    return sorted(found, key=lambda one: -one[0])
