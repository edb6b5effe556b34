"""How one library computes one method, and the map that it gives."""
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

from torch import Tensor, nn

from minixai.attention import Attn
from minixai.explain import METHODS, named_recipe, record_for, steps_of
from minixai.gradcam import Cam
from minixai.trace import CaptureMode
from minixai.trace.common import Layer, Target


@dataclass(frozen=True)
class Profile:
    """How one library computes one method."""
    library: str                                    # with its version: "pytorch-grad-cam 1.5.7"
    method: str                                     # a name in METHODS
    stages: dict[str, Callable] = field(default_factory=dict)      # the stages that differ: {"M1": function}
    variant: str = ""                               # an option of the library: "raw", "on a GPU"
    capture: CaptureMode = CaptureMode()            # which tensors C1 keeps where a layer's output is overwritten later
    departs: str = ""                               # one sentence: how it departs from the paper; "" if it does not
    usual: bool = True                              # False for a rare option: verify combines it with no mistakes
    over: Callable | None = None                    # fuses the maps of several layers, or of several views of the image

    @property
    def name(self) -> str:
        """Library and variant, unique for each method."""
        return f"{self.library}, {self.variant}" if self.variant else self.library

    @property
    def recipe(self) -> Cam | Attn:
        """The method's recipe with this library's stages."""
        return replace(METHODS[self.method], **self.stages)


def heatmap_as(profile: Profile, model: nn.Module, image: Tensor, target: Target = None,
               layer: Layer | list[Layer] = None, head: int | None = None) -> Tensor:
    """The map as the library gives it: (B,H,W), or (B,h,w) where the library does not upsample.

    The arguments and errors are those of explain; for a profile over several layers, layer is a list of them.
    """
    heatmap_of = partial(_heatmap, profile, model, head=head)
    if profile.over is not None:
        return profile.over(heatmap_of, image, target, layer)
    return heatmap_of(image, target, layer)


def _heatmap(profile, model, image, target, layer, head):
    _, recipe = named_recipe(profile.recipe, head)
    return steps_of(recipe, record_for(recipe, model, image, target, layer, head, profile.capture))[-1].value
