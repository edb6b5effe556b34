"""Does a heatmap tell the truth? Change something, ask the network again, and put a number on it.

    pictures.py    hide part of an image behind black, the mean colour or a blur; one animal on every background
    answers.py     what the network then says: occlusion map, deletion and insertion curves and their areas
    maps.py        heatmaps against masks, and against each other: pointing, energy, correlations, overlap, entropy
    networks.py    the network itself made random, layer by layer from the top

None of these numbers means anything alone. The docstrings say what chance would score, or how to measure it.
"""
from minixai.perturb.answers import (
    Curve,
    area,
    curve_figure,
    deletion_curve,
    insertion_curve,
    occlusion_map,
    spread_over_pixels,
)
from minixai.perturb.maps import correlation, energy_inside, entropy, peak, points_at, rank_correlation, top_overlap
from minixai.perturb.networks import randomised_copies
from minixai.perturb.pictures import FILLS, hide, hide_top, on_every_background

__all__ = ["FILLS", "Curve", "area", "correlation", "curve_figure", "deletion_curve", "energy_inside", "entropy",
           "hide", "hide_top", "insertion_curve", "occlusion_map", "on_every_background", "peak", "points_at",
           "randomised_copies", "rank_correlation", "spread_over_pixels", "top_overlap"]
