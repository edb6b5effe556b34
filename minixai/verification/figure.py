"""Two heatmaps side by side, theirs and ours, and where they differ."""
import numpy as np
from matplotlib.figure import Figure

from minixai.figures import HEAT, INCHES, SIGNED


def comparison(theirs: np.ndarray, ours: np.ndarray, headline: str, caption: str = "",
               rgb: np.ndarray | None = None) -> Figure:
    """Two maps of one image as a matplotlib Figure: the picture, if given, theirs, ours, theirs minus ours.

    theirs, ours: numpy (H,W), or (H,W,3) for pictures in colours in [0,1]; drawn on one scale, and subtracted if they
    are of one shape. headline, caption: the lines above and below. rgb: uint8 (H,W,3), the picture that was explained.
    """
    low, high = min(theirs.min(), ours.min()), max(theirs.max(), ours.max())
    panels = [(f"theirs ({_size(theirs)})", theirs, HEAT, low, high), (f"ours ({_size(ours)})", ours, HEAT, low, high)]
    if theirs.shape == ours.shape:
        panels.append(_apart(theirs, ours))
    figure = Figure(figsize=((INCHES + 0.5) * (len(panels) + (rgb is not None)), INCHES + 1.4), layout="constrained",
                    dpi=110)
    figure.suptitle(headline, fontsize=10)
    axes = list(figure.subplots(1, len(panels) + (rgb is not None), squeeze=False).flat)
    if rgb is not None:
        first, *axes = axes
        first.imshow(rgb)
        first.set_title("input", fontsize=9)
        first.set_axis_off()
    for one, (name, values, colors, lowest, highest) in zip(axes, panels):
        drawn = one.imshow(values, cmap=colors, vmin=lowest, vmax=highest)
        one.set_title(name, fontsize=9)
        one.set(xticks=[], yticks=[])
        if values.ndim == 2:
            figure.colorbar(drawn, ax=one, fraction=0.046, pad=0.03).ax.tick_params(labelsize=7)
    if caption:
        figure.supxlabel(caption, fontsize=9)
    return figure


def _apart(theirs, ours):
    """The panel of the difference; of two pictures in colours, the largest of the three colours' differences."""
    off = theirs - ours
    most = float(np.abs(off).max())
    if off.ndim == 3:
        return f"difference of colours, at most {most:.2g}", np.abs(off).max(axis=-1), HEAT, 0, most or 1
    return f"theirs - ours, at most {most:.2g}", off, SIGNED, -(most or 1), most or 1


def _size(values):
    return "x".join(str(side) for side in values.shape[:2])
