"""Does a heatmap tell the truth? Change something, run the network again, and measure the difference.

    masking.py        part of an image hidden by black, the mean colour or a blur; one animal on every background
    occlusion.py      the score of a masked image: occlusion map, deletion and insertion curves and their areas
    metrics.py        heatmaps compared with masks and with each other: pointing, energy, correlation, overlap, entropy
    randomization.py  copies of a network with random weights, layer by layer from the top

None of these numbers means anything alone. The docstrings say what chance would score, or how to measure it.
"""
from minixai.evaluation.masking import FILLS, hide, hide_top, on_every_background
from minixai.evaluation.metrics import (
    correlation,
    energy_inside,
    entropy,
    peak,
    points_at,
    rank_correlation,
    top_overlap,
)
from minixai.evaluation.occlusion import (
    Curve,
    area,
    curve_figure,
    deletion_curve,
    insertion_curve,
    occlusion_map,
    spread_over_pixels,
)
from minixai.evaluation.randomization import randomised_copies

__all__ = ["FILLS", "Curve", "area", "correlation", "curve_figure", "deletion_curve", "energy_inside", "entropy",
           "hide", "hide_top", "insertion_curve", "occlusion_map", "on_every_background", "peak", "points_at",
           "randomised_copies", "rank_correlation", "spread_over_pixels", "top_overlap"]
