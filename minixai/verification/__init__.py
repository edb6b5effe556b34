"""The room behind `minixai.verify`: a map from elsewhere is compared with every known way to compute it.

    profiles/         how each library computes each method
    mistakes/         what goes wrong, stage by stage
    search.py         profiles times mistakes, each distinct stage run once
    compare.py        one map against all of them
    finish.py         how a map was enlarged and its values changed, estimated from the map itself
    rounding.py       differences that rounding explains
    saved_map.py      heatmaps as other programs save them
    colormaps.py      the ways in which heatmaps are drawn in colours
    colored_map.py    a heatmap that was saved as a picture in colours
    verdict.py        what was found, in words
    figure.py         what was found, as a picture
"""
