"""One heatmap out of several: over the layers of a network, or over views of one image.

Both call `explain` and combine its heatmaps. Which class is explained is settled once, from the image as it is: a view
in which another class wins still answers the same question. Threads may share the model, as in `explain`.
"""
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import torch

from minixai.cnn import CNN
from minixai.explain import explain
from minixai.heatmap import min_max
from minixai.trace import NO_CLASS


class View(NamedTuple):
    """A way to look at an image from which the heatmap can be brought back."""
    name: str
    there: Callable             # image (B,3,H,W) -> image
    back: Callable              # heatmap (B,H,W) -> heatmap, over the image as it was


def mirrored(values):
    """Left and right exchanged; the way there and the way back."""
    return values.flip(-1)


def unchanged(values):
    """As it is."""
    return values


def _view(factor, mirror):
    name = f"{factor:g} x" + (", mirrored" if mirror else "")
    turn = mirrored if mirror else unchanged
    return View(name, lambda image: turn(image * factor), turn)


# Six views, flips times scales: what pytorch-grad-cam calls aug_smooth.
VIEWS = tuple(_view(factor, mirror) for factor, mirror in product((1.0, 0.9, 1.1), (False, True)))
COMBINE = {"mean": lambda maps: maps.mean(dim=-3), "max": lambda maps: maps.amax(dim=-3)}


@dataclass(frozen=True, eq=False, repr=False)
class Combined:
    """What was combined and what came of it. B images of H x W."""
    heatmap: torch.Tensor       # (B,H,W) in [0,1]
    parts: dict                 # name -> heatmap (B,H,W), over the image as it is
    explanations: list          # the Explanation behind each part
    method: str
    name: str                   # "mean of 5 layers"

    @property
    def target(self):
        """(B,) int64: the class explained in every part."""
        return self.explanations[0].target

    def figure(self, rgb=None, index=0):
        """The parts and what came of them over one image, a matplotlib Figure.

        rgb: uint8 (H,W,3); a network of ours knows it, for others you have to give it.
        """
        from minixai.figures import side_by_side  # late, as in explain.py
        rgb = self.explanations[0].rgb()[index] if rgb is None else rgb
        maps = [*self.parts.values(), self.heatmap]
        return side_by_side(rgb, [heatmap[index] for heatmap in maps], [*self.parts, self.name],
                            f"{self.method}, {self.name}", columns=4)


def over_layers(model, image, method="gradcam", layers=None, target=None, combine="mean", head=None):
    """One method at several layers, their heatmaps combined and stretched to [0,1] again.

    layers: names or modules, for a ViT's attention block indices; default, for our CNNs only: every stage.
    combine: "mean", "max", or a function (B,L,H,W) -> (B,H,W) of the L heatmaps. The rest is as in `explain`.
    ValueError if there are no layers to look at.
    """
    if layers is None and isinstance(model, CNN):
        layers = model.layers
    if not layers:
        raise ValueError("say which layers to look at, a list of names or modules")
    results = []
    for layer in layers:
        results.append(explain(model, image, method, target, layer, head))
        target = _settled(results[0])
    parts = {str(result.layer): result.heatmap for result in results}
    return _combined(parts, results, combine, "layers")


def over_views(model, image, method="gradcam", target=None, layer=None, views=VIEWS, combine="mean", head=None):
    """One method on several views of the image, their heatmaps brought back, combined and stretched to [0,1] again.

    views: Views; default: the image and its mirror image, each with its numbers times 1, 0.9 and 1.1. combine as in
    over_layers, the rest as in `explain`.
    """
    if target is None:
        target = _settled(explain(model, image, method, layer=layer, head=head))
    results = [explain(model, view.there(image), method, target, layer, head) for view in views]
    parts = {view.name: view.back(result.heatmap) for view, result in zip(views, results)}
    return _combined(parts, results, combine, "views")


def _settled(result):
    """The classes that were explained, or None where the network has none."""
    return None if (result.target == NO_CLASS).any() else result.target


def _combined(parts, results, combine, what):
    if not callable(combine) and combine not in COMBINE:
        raise ValueError(f"combine is {' or '.join(COMBINE)}, or a function of heatmaps (B,L,H,W); got {combine!r}")
    function = combine if callable(combine) else COMBINE[combine]
    heatmap = min_max(function(torch.stack(list(parts.values()), dim=-3)))
    name = getattr(combine, "__name__", "own") if callable(combine) else combine
    return Combined(heatmap, parts, results, results[0].method, f"{name} of {len(parts)} {what}")
