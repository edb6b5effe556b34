"""What a failing function gave, as a picture: expected, yours, and the difference."""
import numpy as np
from matplotlib.figure import Figure

SIGNED, PLAIN = "RdBu_r", "viridis"


def three_panels(outcome):
    """One Outcome with arrays -> Figure. Of a batch the first image, of several maps the one that differs most."""
    expected, got = flat_enough(outcome.expected, outcome.got)
    figure = Figure(figsize=(9.2, 3.5), layout="constrained", dpi=110)
    figure.suptitle(f"{outcome.name}: {outcome.mistake or outcome.message}", fontsize=10)
    low, high = min(expected.min(), got.min()), max(expected.max(), got.max())
    apart = float(np.abs(got - expected).max())
    panels = [("expected", expected, PLAIN, low, high), ("yours", got, PLAIN, low, high),
              (f"yours - expected, at most {apart:.2g}", got - expected, SIGNED, -apart, apart)]
    for axes, (name, values, colors, lowest, highest) in zip(figure.subplots(1, 3), panels):
        axes.set_title(f"{name}", fontsize=9)
        if 1 in values.shape:
            axes.bar(range(values.size), values.reshape(-1), color="0.4")
            axes.set_ylim(min(0, lowest), max(0, highest) or 1)
            axes.tick_params(labelsize=7)
            continue
        drawn = axes.imshow(values, cmap=colors, vmin=lowest, vmax=highest)
        axes.set(xticks=[], yticks=[])
        figure.colorbar(drawn, ax=axes, fraction=0.046).ax.tick_params(labelsize=7)
    return figure


def flat_enough(expected, got):
    """Two arrays of one shape -> two that can be drawn, (h,w) or (1,n)."""
    expected, got = (np.asarray(values, np.float64) for values in (expected, got))
    if expected.ndim >= 3 and expected.shape[-1] == 3:          # a picture in colours
        expected, got = expected.mean(axis=-1), got.mean(axis=-1)
    if expected.ndim > 2 and expected.shape[-2:] == (1, 1):     # a weight for each channel
        return _row(expected), _row(got)
    while expected.ndim > 2:
        worst = int(np.abs(got - expected).reshape(len(expected), -1).max(axis=1).argmax())
        expected, got = expected[worst], got[worst]
    return (_row(expected), _row(got)) if expected.ndim < 2 else (expected, got)


def _row(values):
    return values.reshape(1, -1)
