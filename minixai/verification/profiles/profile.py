"""One library's way to one method, and the map that it gives."""
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

from minixai.explain import METHODS, named_recipe, record_for, steps_of
from minixai.trace import CaptureMode


@dataclass(frozen=True)
class Profile:
    """One library's way to one method."""
    library: str                                    # with its version: "pytorch-grad-cam 1.5.7"
    method: str                                     # a name in METHODS
    stages: dict[str, Callable] = field(default_factory=dict)      # the stages that differ: {"M1": function}
    variant: str = ""                               # which of several ways the library has: "raw", "on a GPU"
    capture: CaptureMode = CaptureMode()            # which tensors C1 keeps where a layer's output is overwritten later
    departs: str = ""                               # one sentence: how it departs from the paper; "" if it does not
    usual: bool = True                              # False for an option that few set: verify tries it without mistakes
    over: Callable | None = None                    # how the map is made of several, of layers or of views of the image

    @property
    def name(self):
        """What a verdict calls it, and unique for each method."""
        return f"{self.library}, {self.variant}" if self.variant else self.library

    @property
    def recipe(self):
        """The method's recipe with this library's stages."""
        return replace(METHODS[self.method], **self.stages)


def heatmap_as(profile, model, image, target=None, layer=None, head=None):
    """The map (B,H,W) or, where the library stops there, (B,h,w) as the library gives it.

    The arguments are those of explain; where a profile goes over several layers, layer is a list of them.
    """
    heatmap_of = partial(_heatmap, profile, model, head=head)
    if profile.over is not None:
        return profile.over(heatmap_of, image, target, layer)
    return heatmap_of(image, target, layer)


def _heatmap(profile, model, image, target, layer, head):
    _, recipe = named_recipe(profile.recipe, model, head)
    return steps_of(recipe, record_for(recipe, model, image, target, layer, head, profile.capture))[-1].value
