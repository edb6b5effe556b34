"""Charts for the lessons. minixai.figures draws heatmaps and stages."""
import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

COLORS = ("#1f6f8b", "#d1603d", "#6a4c93", "#5a8f3c", "#8a8a8a", "#c2a83e")


def pictures(values: Sequence, names: Sequence[str], title: str | None = None, columns: int = 5,
             colors: str = "RdBu_r", side: float = 1.9) -> Figure:
    """A grid of panels. values: pictures (h,w,3), uint8 or floats in [0,1], or maps (h,w). side: of a panel, in inches.

    Each map has its own colour scale. It is symmetric about zero (white) if the map has both signs; else it goes from
    the map's minimum to its maximum.
    """
    rows = math.ceil(len(values) / columns)
    columns = math.ceil(len(values) / rows)
    figure = Figure(figsize=(side * columns, (side + 0.28) * rows + (0.35 if title else 0)), dpi=110,
                    layout="constrained")
    figure.suptitle(title, fontsize=11)
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes, value, name in zip(grid, values, names):
        value = np.asarray(value)
        axes.set_title(name, fontsize=9)
        if value.ndim == 3:
            axes.imshow(value)
        else:
            drawn = axes.imshow(value, **_scale(value, colors))
            bar = figure.colorbar(drawn, ax=axes, shrink=0.75, pad=0.02)
            bar.ax.tick_params(labelsize=7)
    for axes in grid:
        axes.set_axis_off()
    return figure


def bars(series: dict[str, Sequence[float]], names: Sequence[str], ylabel: str,
         chance: dict[str, float] | None = None, title: str | None = None, width: float | None = None) -> Figure:
    """A bar chart. series: {legend: one value for each name}; chance: {legend: value} of dashed lines."""
    figure, axes = _chart(title, width or max(4.2, max(0.9, 0.11 * max(map(len, names))) * len(names) + 1.8))
    step = 0.8 / len(series)
    for place, (legend, values) in enumerate(series.items()):
        at = np.arange(len(names)) + (place - (len(series) - 1) / 2) * step
        axes.bar(at, values, step * 0.92, label=legend, color=COLORS[place])
        for x, value in zip(at, values):
            up = value >= 0
            axes.annotate(f"{value:.2f}", (x, value), (0, 2 if up else -2), textcoords="offset points", ha="center",
                          va="bottom" if up else "top", fontsize=7,
                          bbox={"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none"})
    for legend, value in (chance or {}).items():
        axes.axhline(value, color="black", linestyle="--", linewidth=1, label=legend)
    axes.set_xticks(range(len(names)), names)
    axes.set_ylabel(ylabel)
    axes.margins(y=0.12)
    return _with_legend(figure, axes, len(series) + len(chance or {}))


def curves(x: Sequence, series: dict[str, Sequence[float]], xlabel: str, ylabel: str, title: str | None = None,
           chance: dict[str, float] | None = None, log: bool = False, width: float = 5.6) -> Figure:
    """A line chart. series: {legend: one value for each x}; x: numbers or names; chance: {legend: value} of dashed
    lines; log: a logarithmic y axis."""
    figure, axes = _chart(title, width)
    named = isinstance(x[0], str)
    at = range(len(x)) if named else x
    for place, (legend, values) in enumerate(series.items()):
        axes.plot(at, values, marker="o" if len(x) < 40 else None, markersize=4, label=legend, color=COLORS[place])
    for legend, value in (chance or {}).items():
        axes.axhline(value, color="black", linestyle="--", linewidth=1, label=legend)
    if named:
        axes.set_xticks(at, x)
    axes.set(xlabel=xlabel, ylabel=ylabel, yscale="log" if log else "linear")
    return _with_legend(figure, axes, len(series) + len(chance or {}))


def dots(clouds: dict[str, tuple], xlabel: str, ylabel: str, diagonal: bool = False) -> Figure:
    """Scatter plots, one panel for each {title: (x, y)}. diagonal: also draw the line x = y."""
    figure = Figure(figsize=(3.1 * len(clouds) + 0.4, 3.2), dpi=110, layout="constrained")
    for axes, (title, (x, y)) in zip(figure.subplots(1, len(clouds), squeeze=False).flat, clouds.items()):
        axes.plot(np.asarray(x), np.asarray(y), ".", markersize=4, alpha=0.5, color=COLORS[0])
        if diagonal:
            axes.axline((0, 0), slope=1, color="black", linestyle="--", linewidth=1)
        axes.set_title(title, fontsize=10)
        axes.set(xlabel=xlabel, ylabel=ylabel)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _scale(value, colors):
    low, high = value.min(), value.max()
    if low < 0 < high:
        return {"cmap": colors, "vmin": -max(-low, high), "vmax": max(-low, high)}
    flat = {"vmin": low, "vmax": low + 1} if low == high else {}        # a flat map gets the lowest colour
    return {"cmap": "magma" if low >= 0 else "magma_r", **flat}


def _chart(title, width, height=3.2):
    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="0.9")
    axes.set_axisbelow(True)
    return figure, axes


def _with_legend(figure, axes, entries):
    if entries > 1:
        axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return figure
