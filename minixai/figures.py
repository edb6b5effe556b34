"""Pictures of the stages. No function opens a window.

    strip         every stage of one image, input to overlay, as a matplotlib Figure
    side_by_side  several heatmaps over one picture (heads, layers, methods, classes), as a matplotlib Figure
    on_photo      the heatmap over the original photo, at the photo's own size, as an array
"""
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from minixai.heatmap import overlay

INCHES = 2.6                # side of one panel
MOSAIC = 9                  # feature maps shown of the K that C1 records
TILE = 512                  # on_photo draws TILE x TILE pixels at a time, or a longer tile of a narrow photo
SIGNED, POSITIVE, HEAT = "RdBu_r", "magma", "turbo"     # RdBu_r: red is positive; turbo: as in the overlay


def strip(title: str, steps: list, layer: int | str | None = None, rgb: np.ndarray | None = None,
          logits: Tensor | None = None, labels: Sequence[str] = (), why_empty: str | None = None) -> Figure:
    """Every stage of one image as a panel with number, title and shape.

    title: one line for the whole figure. steps: [Step(id, title, value)] of one image, M2 among them.
    layer: of a ViT the index of the block whose matrices are drawn.
    rgb: uint8 (H,W,3), the image; without it, the panels of input and overlay are left out.
    logits: (C,), drawn with their labels (C names), or None. why_empty: why the heatmap is all zeros, or None.
    """
    panels = [] if rgb is None else [(_picture, f"input {_shape(rgb)}", rgb)]
    if logits is not None:
        panels.append((_top_classes(labels), f"logits ({len(labels)})\ntop classes after softmax", logits))
    for step in steps:
        panels += _step_panels(step, layer)
    if rgb is not None:
        heat = next(step.value for step in steps if step.id == "M2")
        blend = overlay(rgb, heat) if why_empty is None else rgb
        panels.append((_picture, f"M3 overlay {_shape(blend)}", blend))
    return _drawn(panels, title, why_empty)


def _drawn(panels, title, why_empty):
    columns = math.ceil(len(panels) / 2)
    figure = Figure(figsize=(INCHES * columns, INCHES * 2 + 1.2), dpi=110)
    # Fixed margins: a layout engine would double the time.
    figure.subplots_adjust(left=0.02, right=0.955, top=0.86, bottom=0.05, wspace=0.4, hspace=0.25)
    figure.suptitle(title)
    for axes, (draw, name, value) in zip(figure.subplots(2, columns).flat, panels):
        axes.set_title(name, fontsize=9)
        draw(axes, value)
    for axes in figure.axes:
        if not axes.has_data():
            axes.set_axis_off()
    if why_empty is not None:
        figure.supxlabel(f"empty: {why_empty}", fontsize=9, color="firebrick")
    return figure


def side_by_side(rgb: np.ndarray, heatmaps: Sequence, names: Sequence[str], title: str | None = None,
                 columns: int = 5) -> Figure:
    """The picture, then each heatmap over it, under its name: rgb uint8 (H,W,3), heatmaps (H,W) in [0,1]."""
    panels = [("input", rgb)] + [(name, overlay(rgb, heatmap)) for name, heatmap in zip(names, heatmaps)]
    rows = math.ceil(len(panels) / columns)
    columns = math.ceil(len(panels) / rows)         # the last row as full as possible
    figure = Figure(figsize=(INCHES * columns, (INCHES + 0.25) * rows + 0.5), layout="constrained", dpi=110)
    figure.suptitle(title)
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes, (name, picture) in zip(grid, panels):
        axes.set_title(name, fontsize=9)
        axes.imshow(picture)
    for axes in grid:
        axes.set_axis_off()
    return figure


def on_photo(photo: Image.Image, heatmap: Tensor, preprocess: Any) -> np.ndarray:
    """A photo and the heatmap (H,W) of the part that was cut from it -> uint8 (height,width,3) at the photo's own size.

    preprocess: the minixai.images.Preprocess that made the network's image. Pixels that were cut off are dimmed.
    With an empty heatmap there is no overlay: blue would mean the lowest value, and there is no value.
    """
    picture = np.empty((photo.height, photo.width, 3), np.uint8)
    for left, top, right, bottom in _tiles(*photo.size):
        rgb = np.asarray(photo.crop((left, top, right, bottom)))
        heat = preprocess.onto_photo(heatmap, photo.size, (left, top, right, bottom)).numpy()
        unseen = np.isnan(heat)
        tile = overlay(rgb, np.where(unseen, 0, heat).clip(0, 1)) if heatmap.any() else rgb.copy()
        tile[unseen] = rgb[unseen] // 3
        picture[top:bottom, left:right] = tile
    return picture


def _tiles(width, height):
    """(left, top, right, bottom) of tiles that cover a photo. Drawn whole, it would take 150 bytes a pixel."""
    wide, high = TILE ** 2 // min(height, TILE), TILE ** 2 // min(width, TILE)
    for top in range(0, height, high):
        for left in range(0, width, wide):
            yield left, top, min(left + wide, width), min(top + high, height)


def _step_panels(step, layer):
    """[(draw, title, value)] of one step."""
    if step.id == "C1":
        return _activation_panels(*step.value) if isinstance(step.value, tuple) else _activation_panels(step.value)
    if step.id == "A1":
        attention, *gradients = step.value if isinstance(step.value, tuple) else (step.value,)
        return [(_mosaic(POSITIVE, power=0.5), f"A1 attention {_shape(attention)}\nthe heads of block {layer}",
                 attention[layer]),
                *((_mosaic(SIGNED), "A1 its gradients\nof the same heads", one[layer]) for one in gradients)]
    value = step.value
    titled = f"{step.id} {step.title}\n{_shape(value)}"
    if step.id in ("A2", "A3"):
        return [(_image(POSITIVE, power=0.5), f"{titled}, block {layer}", value[layer])]
    if value.numel() == max(value.shape):                   # a weight for each channel, or for each token
        return [(_bars, titled, value.flatten())]
    if value.dim() > 2:                                     # weights (K,h,w)
        some = torch.linspace(0, len(value) - 1, min(MOSAIC, len(value))).round().long()
        draw = _mosaic(SIGNED) if value.min() < 0 else _mosaic(POSITIVE, power=0.5)
        return [(draw, f"{titled}, {len(some)} shown", value[some])]
    colors = SIGNED if value.min() < 0 else HEAT if step.id[0] == "M" else POSITIVE
    return [(_image(colors), titled, value)]


def _activation_panels(activations, gradients=None):
    """The channels with the largest sum, of activations or of |gradient times activation|, largest first."""
    size = activations if gradients is None else (gradients * activations).abs()
    strongest = size.sum(dim=(-2, -1)).argsort(descending=True)[:MOSAIC]
    which = "strongest" if gradients is None else "that count most"
    panels = [(_mosaic(POSITIVE), f"C1 activations {_shape(activations)}\nthe {len(strongest)} {which}",
               activations[strongest])]
    if gradients is not None:
        panels.append((_mosaic(SIGNED), f"C1 gradients {_shape(gradients)}\nof the same channels",
                       gradients[strongest]))
    return panels


def _picture(axes, rgb):
    axes.imshow(rgb)
    axes.set_axis_off()


def _top_classes(labels):
    def draw(axes, logits):
        shares, classes = logits.detach().cpu().softmax(dim=-1).topk(min(5, len(labels)))
        axes.barh(range(len(shares)), shares.tolist(), color="0.85")
        for place, index in enumerate(classes.tolist()):
            axes.text(0.02, place, f"{shares[place]:.2f}  {labels[index]}", va="center", fontsize=8)
        axes.set_xlim(0, 1)
        axes.set_ylim(4.6, -0.6)
        axes.set_box_aspect(1)
        axes.set_xticks([])
        axes.set_yticks([])
    return draw


def _image(colors, power=1.0):
    def draw(axes, value):
        values = value.detach().cpu().numpy()
        low, high = _limits(values, colors)
        look = {"cmap": colors, "norm": PowerNorm(power, low, high)}
        h, w = values.shape
        axes.imshow(values, **look)
        _scale(axes, np.linspace(high, low, 64)[:, None], (1.03 * w - 0.5, 1.08 * w - 0.5, h - 0.5, -0.5), look)
        axes.set(xlim=(-0.5, w - 0.5), ylim=(h - 0.5, -0.5), xticks=[], yticks=[], aspect="equal")
    return draw


def _scale(axes, values, extent, look):
    """A colour scale beside a picture, drawn as a picture: a matplotlib colorbar takes ten times as long."""
    axes.imshow(values, extent=extent, aspect="auto", clip_on=False, **look)
    for height, value, edge in ((1, values[0, 0], "top"), (0, values[-1, 0], "bottom")):
        axes.text(1.11, height, _number(value), transform=axes.transAxes, fontsize=7, va=edge)


def _number(value):
    return f"{value:.2g}" if abs(value) < 99.5 else f"{value:.0f}" if abs(value) < 1e5 else f"{value:.1e}"


def _mosaic(colors, power=1.0):
    """Draw (N,h,w) as a square of small maps with one colour scale."""
    def draw(axes, maps):
        count, h, w = maps.shape
        columns = math.ceil(math.sqrt(count))
        gap = max(1, round(0.06 * w))
        rows = math.ceil(count / columns)
        sheet = torch.full((rows * (h + gap) - gap, columns * (w + gap) - gap), torch.nan)
        for place, one in enumerate(maps.detach().cpu()):
            top, left = place // columns * (h + gap), place % columns * (w + gap)
            sheet[top:top + h, left:left + w] = one
        _image(colors, power)(axes, sheet)
        axes.set_frame_on(False)
    return draw


def _bars(axes, values):
    values = values.detach().cpu().numpy()
    axes.vlines(range(len(values)), 0, values, colors=np.where(values < 0, "tab:blue", "tab:red"), linewidth=0.8)
    axes.axhline(0, color="black", linewidth=0.5)
    axes.margins(x=0.01)
    axes.set_box_aspect(1)
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    axes.yaxis.tick_right()         # like the scales of the other panels
    axes.set_yticks([low, high], labels=[_number(low), _number(high)])
    axes.tick_params(labelsize=7)


def _limits(values, colors):
    """Symmetric around 0 for signed values, so that white is zero; from 0, or the minimum if lower, for others."""
    high = float(np.nanmax(np.abs(values))) or 1.0
    return (-high, high) if colors == SIGNED else (min(0.0, float(np.nanmin(values))), high)


def _shape(value):
    return "(" + ",".join(str(size) for size in value.shape) + ")"
