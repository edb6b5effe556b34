"""Curves and painted shapes.

An animal is a list of `Shape`s in its own units: x to the right, y down, the ground at y = 0. A shape has a *part*
(its name in the masks) and a *role* (the entry of the palette that colours it). It has no colour of its own: all
animals share one palette, so colours give no information about the class (see coats.py).
"""
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

PARTS = ("body", "legs", "tail", "head", "ears", "face", "horns", "accessory")
ROLES = ("coat", "far", "line", "light", "dark", "pink", "iris", "feet", "pattern", "cloth", "trim", "shadow")
LINE = 0.018  # width of an outline in animal units


class Shape(NamedTuple):
    """A polygon. points: float (n,2); border: how far its edge is moved outwards. Both are in animal units."""
    part: str
    role: str
    points: np.ndarray
    border: float = 0.0     # `moved` does not scale it, so all outlines are equally wide


@cache
def _spline_weights(count, closed, steps):
    """Catmull-Rom weights (count*steps, count). The curve passes through all control points."""
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


def blob(*points: tuple[float, float]) -> np.ndarray:
    """A smooth closed curve through the points: float (n,2)."""
    return _spline_weights(len(points), True, 5) @ np.array(points, float)


def curve(*points: tuple[float, ...], steps: int = 5) -> np.ndarray:
    """A smooth open curve through the points, with `steps` points from each to the next: float (n,2 or more)."""
    return _spline_weights(len(points), False, steps) @ np.array(points, float)


def polygon(*points: tuple[float, float]) -> np.ndarray:
    """A polygon with these corners: float (n,2)."""
    return np.array(points, float)


_CIRCLE = np.stack([np.cos(np.linspace(0, 2 * np.pi, 24, endpoint=False)),
                    np.sin(np.linspace(0, 2 * np.pi, 24, endpoint=False))], 1)


def ellipse(x: float, y: float, rx: float, ry: float) -> np.ndarray:
    """An ellipse around (x, y) with the radii rx and ry: float (24,2)."""
    return _CIRCLE * (rx, ry) + (x, y)


def _complex(points):
    """(n,2) -> (n,) x + iy. Multiplying by i turns a vector by 90 degrees."""
    return np.ascontiguousarray(points).view(np.complex128)[:, 0]


def _plane(numbers):
    return np.stack([numbers.real, numbers.imag], 1)


def tube(points: Sequence[tuple[float, float]], widths: Sequence[float]) -> np.ndarray:
    """A smooth band along the points, with a width for each point: float (n,2)."""
    x, y, width = curve(*[(*point, width) for point, width in zip(points, widths)]).T
    middle = x + 1j * y
    along = np.gradient(middle)
    across = 1j * along / np.abs(along) * width / 2
    return _plane(np.concatenate([middle + across, (middle - across)[::-1]]))


def rotate(points: np.ndarray, angle: float) -> np.ndarray:
    """Points (n,2) turned around the origin; angle in radians, from x towards y."""
    cos, sin = np.cos(angle), np.sin(angle)
    return points @ np.array([[cos, sin], [-sin, cos]])


def mirror(points: np.ndarray) -> np.ndarray:
    """Points (n,2) with left and right exchanged."""
    return points * (-1, 1)


def grown(shapes: list[Shape], factor: float) -> tuple[np.ndarray, np.ndarray]:
    """Move the edges of all shapes outwards by border * factor. A sharp corner moves by at most twice as much.

    Returns the points of all shapes, one after the other (N,2), and the index where each shape ends (n,).
    """
    counts = [len(s.points) for s in shapes]
    ends = np.cumsum(counts)
    starts = ends - counts
    following, preceding = np.arange(1, ends[-1] + 1), np.arange(-1, ends[-1] - 1)
    following[ends - 1], preceding[starts] = starts, ends - 1
    here = _complex(np.concatenate([s.points for s in shapes]))
    there = here[following]
    signed_area = np.add.reduceat((here.conj() * there).imag, starts)
    outwards = np.repeat(np.where(signed_area > 0, -1j, 1j), counts)        # to the right or to the left of the edge
    normal = outwards * (there - here) / (np.abs(there - here) + 1e-9)
    corner = normal + normal[preceding]
    width = np.repeat([s.border * factor for s in shapes], counts)
    return _plane(here + corner * (2 * width / np.maximum(np.abs(corner) ** 2, 1))), ends


def outlined(*shapes: Shape) -> list[Shape]:
    """The shapes with one common outline. All outlines come first, so no line remains where two shapes meet."""
    return [Shape(s.part, "line", s.points, LINE) for s in shapes] + list(shapes)


def moved(shapes: list[Shape], x: float, y: float, size: float, angle: float = 0.0) -> list[Shape]:
    """The shapes, first scaled by `size`, then turned by `angle` (radians), then moved by (x, y)."""
    return [s._replace(points=rotate(s.points * size, angle) + (x, y)) for s in shapes]


def extent(shapes: list[Shape]) -> tuple[np.ndarray, np.ndarray]:
    """((left, top), (right, bottom)) of all points."""
    points = np.concatenate([s.points for s in shapes])
    return points.min(0), points.max(0)
