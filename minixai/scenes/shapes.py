"""Curves and painted shapes.

An animal is a list of `Shape`s in its own units: x to the right, y down, the ground at y = 0.  A shape names
a *part* (what a mask calls it) and a *role* (which entry of the palette paints it).  It cannot name a colour:
all animals share one palette law, so colour cannot tell the classes apart (see coats.py).
"""
from functools import cache
from typing import NamedTuple

import numpy as np

PARTS = ("body", "legs", "tail", "head", "ears", "face", "horns", "accessory")
ROLES = ("coat", "far", "line", "light", "dark", "pink", "iris", "feet", "pattern", "cloth", "trim", "shadow")
LINE = 0.018  # width of an outline in animal units


class Shape(NamedTuple):
    """A polygon, points float (n,2), whose edge is moved outwards by `border`; both in animal units."""
    part: str
    role: str
    points: np.ndarray
    border: float = 0.0     # not scaled by `moved`: a small head has the same outline as a large body


@cache
def _spline_weights(count, closed, steps):
    """Catmull-Rom weights (count*steps, count): the curve passes through each of its control points."""
    t = np.arange(steps) / steps
    basis = np.stack([-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2])
    segments = count if closed else count - 1
    weights = np.zeros((segments * steps + (not closed), count))
    for segment in range(segments):
        for offset in range(4):
            index = segment + offset - 1
            index = index % count if closed else min(max(index, 0), count - 1)
            weights[segment * steps:(segment + 1) * steps, index] += basis[offset] / 2
    if not closed:
        weights[-1, -1] = 1
    return weights


def blob(*points):
    """Smooth closed curve through the points."""
    return _spline_weights(len(points), True, 5) @ np.array(points, float)


def curve(*points, steps=5):
    """Smooth open curve through the points."""
    return _spline_weights(len(points), False, steps) @ np.array(points, float)


def polygon(*points):
    return np.array(points, float)


_CIRCLE = np.stack([np.cos(np.linspace(0, 2 * np.pi, 24, endpoint=False)),
                    np.sin(np.linspace(0, 2 * np.pi, 24, endpoint=False))], 1)


def ellipse(x, y, rx, ry, turn=0.0):
    return rotate(_CIRCLE * (rx, ry), turn) + (x, y)


def _complex(points):
    """(n,2) -> (n,) x + iy: a turn by 90 degrees is then a product with i."""
    return np.ascontiguousarray(points).view(np.complex128)[:, 0]


def _plane(numbers):
    return np.stack([numbers.real, numbers.imag], 1)


def tube(points, widths):
    """Smooth band along the points, as wide at each as `widths` says."""
    x, y, width = curve(*[(*point, width) for point, width in zip(points, widths)]).T
    middle = x + 1j * y
    along = np.gradient(middle)
    across = 1j * along / np.abs(along) * width / 2
    return _plane(np.concatenate([middle + across, (middle - across)[::-1]]))


def rotate(points, angle):
    cos, sin = np.cos(angle), np.sin(angle)
    return points @ np.array([[cos, sin], [-sin, cos]])


def mirror(points):
    return points * (-1, 1)


def grown(shapes, factor=1.0):
    """All shapes with their edges moved outwards by border * factor; corners stay sharp up to twice that.

    -> the points of all shapes in a row (N,2), and where in that row each shape ends.
    """
    counts = [len(s.points) for s in shapes]
    ends = np.cumsum(counts)
    starts = ends - counts
    following, preceding = np.arange(1, ends[-1] + 1), np.arange(-1, ends[-1] - 1)
    following[ends - 1], preceding[starts] = starts, ends - 1
    here = _complex(np.concatenate([s.points for s in shapes]))
    there = here[following]
    signed_area = np.add.reduceat((here.conj() * there).imag, starts)
    outwards = np.repeat(np.where(signed_area > 0, -1j, 1j), counts)        # right or left of the way round
    normal = outwards * (there - here) / (np.abs(there - here) + 1e-9)
    corner = normal + normal[preceding]
    width = np.repeat([s.border * factor for s in shapes], counts)
    return _plane(here + corner * (2 * width / np.maximum(np.abs(corner) ** 2, 1))), ends


def outlined(*shapes):
    """The shapes as one silhouette: all outlines first, so that no line is left where two of them meet."""
    return [Shape(s.part, "line", s.points, LINE) for s in shapes] + list(shapes)


def moved(shapes, x=0.0, y=0.0, size=1.0, angle=0.0):
    return [s._replace(points=rotate(s.points * size, angle) + (x, y)) for s in shapes]


def extent(shapes):
    """((left, top), (right, bottom)) of all points."""
    points = np.concatenate([s.points for s in shapes])
    return points.min(0), points.max(0)
