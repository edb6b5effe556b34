"""From shapes to pixels, and from cut-outs and a background to a picture."""
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from .shapes import PARTS, ROLES, extent, grown

MARGIN = 0.12       # room for the outline and the shadow around an animal, in its units


@dataclass(frozen=True)
class Layer:
    """A cut-out that can be laid on a picture: what `draw_animal` returns.

    rgba uint8 (h,w,4), straight alpha, with a soft shadow on the ground that belongs to nobody;
    parts uint8 (h,w): 0 for nothing, else 1 + index into PARTS; (top, left): its corner in the frame, pixels.
    """
    rgba: np.ndarray
    parts: np.ndarray
    top: int
    left: int
    label: int

    def at(self, top, left):
        """The same cut-out elsewhere; `compose` cuts off what lies outside of the frame."""
        return replace(self, top=int(top), left=int(left))

    def mirrored(self):
        return replace(self, rgba=self.rgba[:, ::-1], parts=self.parts[:, ::-1])


class _Grid(NamedTuple):
    """Where animal units lie on the fine pixels of a cut-out."""
    middle: np.ndarray      # (x, y) in animal units that comes to lie on `centre`, in pixels of the frame
    centre: np.ndarray
    scale: np.ndarray       # pixels per unit; x is negative for an animal that faces left
    corner: np.ndarray      # (left, top) of the cut-out in the frame
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
    """A grid around the shapes.  What is worn has no say in the middle: putting on a hat moves nothing."""
    middle = np.mean(extent([s for s in shapes if s.part != "accessory"]), 0)
    scale = unit * np.array([-1.0 if flip else 1.0, 1.0])
    ends = (np.array(extent(shapes)) - middle) * scale + centre
    low = np.floor(ends.min(0) - MARGIN * unit).astype(int)
    high = np.ceil(ends.max(0) + MARGIN * unit).astype(int)
    return _Grid(middle, np.array(centre), scale, low, high - low, fineness)


def _draw(shapes, look, grid):
    """Paint codes, part * 16 + role: one picture holds masks and colours, with exactly the same edges."""
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
    """Paint codes -> uint8 (h,w,4): look up the palette, average the fine pixels, light from one side."""
    picture = Image.fromarray(codes, "P")
    picture.putpalette(look.table.tobytes(), "RGBA")
    rgba = np.array(picture.convert("RGBA").reduce(fineness))
    y, x = (np.linspace(-1, 1, n, dtype=np.float32) for n in rgba.shape[:2])
    light = 1 + look.light[0] * x[None, :, None] + look.light[1] * y[:, None, None]
    rgba[..., :3] = np.minimum(rgba[..., :3] * light, 255)
    return rgba


def rasterize(shapes, look, unit, centre, flip, label, fineness=4):
    """Shapes -> Layer, coloured by look (see coats.py); unit is in pixels, and so is centre (x, y)."""
    grid = _fit_grid(shapes, unit, centre, flip, fineness)
    codes = look.mark(_draw(shapes, look, grid), grid.units(0), grid.units(1))
    rgba = _colour(codes, look, fineness)
    parts = codes[fineness // 2::fineness, fineness // 2::fineness] >> 4
    parts[rgba[..., 3] < 128] = 0       # a pixel belongs to the animal where it covers half of it or more
    return Layer(rgba, parts, int(grid.corner[1]), int(grid.corner[0]), label)


def compose(background, layers):
    """Lay cut-outs on a background uint8 (H,W,3), the first at the back.

    -> image uint8 (H,W,3); owners uint8 (H,W), 0 or 1 + index of the foremost layer; part_map uint8 (H,W).
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
    """(slices of the frame, slices of the layer) that lie on each other, empty where the layer is outside."""
    (height, width), (rows, columns) = layer.parts.shape, shape[:2]
    top, left = np.clip(layer.top, 0, rows), np.clip(layer.left, 0, columns)
    bottom, right = np.clip(layer.top + height, 0, rows), np.clip(layer.left + width, 0, columns)
    return (np.s_[top:bottom, left:right],
            np.s_[top - layer.top:bottom - layer.top, left - layer.left:right - layer.left])
