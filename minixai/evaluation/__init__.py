"""Faithfulness and localisation of heatmaps, measured.

    masking.py        part of an image replaced by black, the mean colour or a blur; one animal on every background
    occlusion.py      the score of masked images: occlusion map, deletion and insertion curves and their areas
    metrics.py        heatmaps compared with masks and with each other: pointing, energy, correlation, overlap, entropy
    randomization.py  copies of a network with random weights, layer by layer from the top

Every number needs a baseline. The docstrings give the value that chance reaches, or the way to measure it.
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
