"""Turn shapes into pixels, and lay cut-outs on a background."""
from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from .coats import Look
from .shapes import PARTS, ROLES, Shape, extent, grown

MARGIN = 0.12       # space around an animal for its outline and shadow, in animal units


@dataclass(frozen=True)
class Layer:
    """A cut-out of an animal that can be laid on a picture.

    rgba uint8 (h,w,4): straight alpha; it includes a soft shadow on the ground, which belongs to no part.
    parts uint8 (h,w): 0 outside the animal, else 1 + index into PARTS. (top, left): its corner in the picture, pixels.
    label: index into CLASSES.
    """
    rgba: np.ndarray
    parts: np.ndarray
    top: int
    left: int
    label: int

    def at(self, top: float, left: float) -> Layer:
        """The same cut-out at another place. `compose` cuts off the part outside the picture."""
        return replace(self, top=int(top), left=int(left))

    def mirrored(self) -> Layer:
        """The same cut-out with left and right exchanged."""
        return replace(self, rgba=self.rgba[:, ::-1], parts=self.parts[:, ::-1])


class _Grid(NamedTuple):
    """The map from animal units to the fine pixels of a cut-out."""
    middle: np.ndarray      # (x, y) in animal units of the point that lies at `centre`
    centre: np.ndarray      # (x, y) in pixels of the picture
    scale: np.ndarray       # pixels per unit; x is negative for an animal that faces left
    corner: np.ndarray      # (left, top) of the cut-out in the picture
    size: np.ndarray        # (width, height) of the cut-out
    fineness: int           # fine pixels per pixel, along x and y

    def pixels(self, points):
        fine = self.scale * self.fineness
        return points * fine + ((self.centre - self.corner) * self.fineness - self.middle * fine)

    def units(self, axis):
        """The animal units of the fine pixels along an axis."""
        places = (np.arange(self.size[axis] * self.fineness, dtype=np.float32) + 0.5) / self.fineness
        return (places + self.corner[axis] - self.centre[axis]) / self.scale[axis] + self.middle[axis]


def _fit_grid(shapes, unit, centre, flip, fineness):
    """A grid around the shapes. Accessories do not count for the middle, so a hat does not move the animal."""
    middle = np.mean(extent([s for s in shapes if s.part != "accessory"]), 0)
    scale = unit * np.array([-1.0 if flip else 1.0, 1.0])
    ends = (np.array(extent(shapes)) - middle) * scale + centre
    low = np.floor(ends.min(0) - MARGIN * unit).astype(int)
    high = np.ceil(ends.max(0) + MARGIN * unit).astype(int)
    return _Grid(middle, np.array(centre), scale, low, high - low, fineness)


def _draw(shapes, look, grid):
    """Paint codes, part * 16 + role. Masks and colours come from one picture, so they have exactly the same edges."""
    canvas = Image.new("L", tuple((grid.size * grid.fineness).tolist()))
    pen = ImageDraw.Draw(canvas)
    (left, _), (right, _) = extent([s for s in shapes if s.part != "accessory"])
    reach = .08 * (right - left)
    shadow = grid.pixels(np.array([(left + reach, -.08), (right - reach, .08)]))
    pen.ellipse([*shadow.min(0).tolist(), *shadow.max(0).tolist()], fill=1 + ROLES.index("shadow"))
    points, ends = grown(shapes, look.line)
    row, start = grid.pixels(points).ravel().tolist(), 0
    for shape, end in zip(shapes, (2 * ends).tolist()):
        code = (1 + PARTS.index(shape.part)) * 16 + 1 + ROLES.index(shape.role)
        pen.polygon(row[start:end], fill=code)
        start = end
    return np.array(canvas)


def _colour(codes, look, fineness):
    """Paint codes -> uint8 (h,w,4): look up the colours, average the fine pixels, and shade from one side."""
    picture = Image.fromarray(codes, "P")
    picture.putpalette(look.table.tobytes(), "RGBA")
    rgba = np.array(picture.convert("RGBA").reduce(fineness))
    y, x = (np.linspace(-1, 1, n, dtype=np.float32) for n in rgba.shape[:2])
    light = 1 + look.light[0] * x[None, :, None] + look.light[1] * y[:, None, None]
    rgba[..., :3] = np.minimum(rgba[..., :3] * light, 255)
    return rgba


def rasterize(shapes: list[Shape], look: Look, unit: float, centre: tuple[float, float], flip: bool, label: int,
              fineness: int = 4) -> Layer:
    """Shapes -> Layer.

    unit: pixels in one animal unit. centre: (x, y) of the animal's middle, in pixels. flip: face left.
    fineness: fine pixels along the side of a pixel.
    """
    grid = _fit_grid(shapes, unit, centre, flip, fineness)
    codes = look.mark(_draw(shapes, look, grid), grid.units(0), grid.units(1))
    rgba = _colour(codes, look, fineness)
    parts = codes[fineness // 2::fineness, fineness // 2::fineness] >> 4
    parts[rgba[..., 3] < 128] = 0       # the animal has to cover at least half of a pixel
    return Layer(rgba, parts, int(grid.corner[1]), int(grid.corner[0]), label)


def compose(background: np.ndarray, layers: list[Layer]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lay cut-outs on a background uint8 (H,W,3). The first one is at the back.

    Returns image uint8 (H,W,3); owners uint8 (H,W), 0 for the background, else 1 + index of the layer in front;
    part_map uint8 (H,W), 0 for the background, else 1 + index into PARTS.
    """
    image = background.copy()
    owners, part_map = np.zeros((2, *image.shape[:2]), np.uint8)
    for owner, layer in enumerate(layers, 1):
        here, there = _overlap(image.shape, layer)
        colour, alpha = np.split(layer.rgba[there].astype(np.int32), [3], axis=2)
        image[here] = (colour * alpha + image[here] * (255 - alpha) + 127) // 255
        parts = layer.parts[there]
        owners[here][parts > 0] = owner
        part_map[here][parts > 0] = parts[parts > 0]
    return image, owners, part_map


def _overlap(shape, layer):
    """(slices of the picture, slices of the layer) where both overlap. They are empty if the layer is outside."""
    (height, width), (rows, columns) = layer.parts.shape, shape[:2]
    top, left = np.clip(layer.top, 0, rows), np.clip(layer.left, 0, columns)
    bottom, right = np.clip(layer.top + height, 0, rows), np.clip(layer.left + width, 0, columns)
    return (np.s_[top:bottom, left:right],
            np.s_[top - layer.top:bottom - layer.top, left - layer.left:right - layer.left])
