"""The picture of a verdict: theirs, ours, and where the two differ."""
import numpy as np
from matplotlib.figure import Figure

from minixai.figures import HEAT, INCHES, SIGNED


def comparison(verdict, rgb=None, index=0):
    """One image of a Verdict as four panels: the picture, if given, theirs, ours, theirs minus ours.

    Ours is a map without a mistake (Verdict.ours). Both are drawn on one scale.
    """
    theirs, ours = verdict.theirs[index].numpy(), verdict.ours[index].numpy()
    low, high = min(theirs.min(), ours.min()), max(theirs.max(), ours.max())
    panels = [(f"theirs ({_size(theirs)})", theirs, HEAT, low, high), (f"ours ({_size(ours)})", ours, HEAT, low, high)]
    if theirs.shape == ours.shape:
        apart = float(np.abs(theirs - ours).max())
        panels.append((f"theirs - ours, at most {apart:.2g}", theirs - ours, SIGNED, -(apart or 1), apart or 1))
    figure = Figure(figsize=((INCHES + 0.5) * (len(panels) + (rgb is not None)), INCHES + 1.4), layout="constrained",
                    dpi=110)
    figure.suptitle(str(verdict).splitlines()[0], fontsize=10)
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
        figure.colorbar(drawn, ax=one, fraction=0.046, pad=0.03).ax.tick_params(labelsize=7)
    if not verdict.agrees and verdict.explained:
        figure.supxlabel("the cause: " + "; or ".join(str(finding) for finding in verdict.findings[:2])[:140],
                         fontsize=9)
    return figure


def _size(values):
    return "x".join(str(side) for side in values.shape)
