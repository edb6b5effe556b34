"""A picture of a failed function: the expected values, the student's values, and their difference."""
import numpy as np
from matplotlib.figure import Figure

from minixai.course.check import Outcome

SIGNED, PLAIN = "RdBu_r", "viridis"


def three_panels(outcome: Outcome) -> Figure:
    """Outcome with arrays -> Figure of three panels.

    Of a batch of pictures the first one is drawn. Of several maps the one with the largest difference is drawn.
    """
    expected, got = one_of(outcome.expected, outcome.got)
    figure = Figure(figsize=(9.2, 3.5), layout="constrained", dpi=110)
    figure.suptitle(f"{outcome.name}: {outcome.mistake or outcome.message}", fontsize=10)
    apart = got.astype(float) - expected
    low, high, most = min(expected.min(), got.min()), max(expected.max(), got.max()), np.abs(apart).max()
    if expected.dtype == np.uint8:      # a picture: the difference is the mean over red, green and blue
        apart = apart.mean(axis=-1)
    panels = [("expected", expected, PLAIN, low, high), ("yours", got, PLAIN, low, high),
              (f"yours - expected, at most {most:.2g}", apart, SIGNED, -most, most)]
    for axes, panel in zip(figure.subplots(1, 3), panels):
        _panel(figure, axes, *panel)
    return figure


def _panel(figure, axes, name, values, colors, lowest, highest):
    axes.set_title(name, fontsize=9)
    if 1 in values.shape:
        axes.bar(range(values.size), values.reshape(-1), color="0.4")
        axes.axhline(0, color="0.6", linewidth=0.6)
        axes.set_ylim(min(0, lowest), max(0, highest) or 1)
        axes.tick_params(labelsize=7)
        return
    drawn = axes.imshow(values, cmap=colors, vmin=lowest, vmax=highest)
    axes.set(xticks=[], yticks=[])
    if values.ndim == 2:
        figure.colorbar(drawn, ax=axes, fraction=0.046).ax.tick_params(labelsize=7)


def one_of(expected: np.ndarray, got: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two arrays of one shape -> two arrays that can be drawn: (h,w), (1,n), or a picture (h,w,3)."""
    if expected.dtype == np.uint8:
        picture = expected.shape[-3:]
        return expected.reshape(-1, *picture)[0], got.reshape(-1, *picture)[0]
    if expected.ndim > 2 and expected.shape[-2:] == (1, 1):     # one weight for each channel
        return _row(expected), _row(got)
    while expected.ndim > 2:
        worst = int(np.abs(got - expected).reshape(len(expected), -1).max(axis=1).argmax())
        expected, got = expected[worst], got[worst]
    return (_row(expected), _row(got)) if expected.ndim < 2 else (expected, got)


def _row(values):
    return values.reshape(1, -1)
