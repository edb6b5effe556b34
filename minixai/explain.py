"""From a method's name to a heatmap: choose the recipe, record a trace, run the stages, keep every step."""
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from minixai.attention import ATTENTIONS, Attn, one_head, one_head_evidence, one_head_value_norm
from minixai.cams import CAMS
from minixai.gradcam import Cam
from minixai.recipe import Step, reads, reads_class
from minixai.trace import (
    ALSO,
    AS_RETURNED,
    NO_CLASS,
    CaptureMode,
    CnnTrace,
    VitTrace,
    is_vit,
    record_cnn,
    record_vit,
    token_layer,
)
from minixai.trace.common import Layer, Target, all_finite, short_repr

METHODS = {**CAMS, **ATTENTIONS}


@dataclass(frozen=True, eq=False)
class Explanation:
    """The result of `explain` for B images of H x W: every step of the recipe, and the trace that it ran on."""
    method: str
    recipe: Cam | Attn
    trace: CnnTrace | VitTrace
    steps: list[Step]                       # every stage in order
    image: Tensor | None = None             # (B,3,H,W), as the network received it
    model: nn.Module | None = None

    @property
    def heatmap(self) -> Tensor:
        """(B,H,W) float32 in [0,1]; all zeros where nothing positive is left."""
        return self["M2"]

    @property
    def target(self) -> Tensor:
        """(B,) int64: the explained class of each image."""
        return self.trace.target

    @property
    def layer(self) -> str | int:
        """The name of a CNN's layer, or the index of a ViT's block."""
        return self.trace.layer

    @property
    def empty(self) -> Tensor:
        """(B,) bool: true where the heatmap is all zeros."""
        return torch.tensor([why is not None for why in self.why_empty])

    @cached_property
    def why_empty(self) -> list[str | None]:
        """For each image None, or one sentence that says why its heatmap is all zeros."""
        return [_why_empty(self, index) for index in range(len(self.target))]

    def __repr__(self):
        return f"<{self.title()}; {len(self.target)} image(s)>"

    def __getitem__(self, id: str) -> Any:
        """result["C2"]: the value of one step. KeyError lists the steps that there are."""
        for step in self.steps:
            if step.id == id:
                return step.value
        raise KeyError(f"no step {id!r}; there are {', '.join(step.id for step in self.steps)}")

    def heads(self) -> list["Explanation"]:
        """The same method for each single head of a ViT, on the same trace: M Explanations. TypeError for a CNN."""
        if not isinstance(self.trace, VitTrace):
            raise TypeError(f"{self.method} has no heads")
        recipe = for_one_head(self.recipe)
        traces = [replace(self.trace, head=head) for head in range(self.trace.attention.shape[-3])]
        return [replace(self, recipe=recipe, trace=trace, steps=steps_of(recipe, trace)) for trace in traces]

    @property
    def knows_classes(self) -> bool:
        """Whether the map depends on the class."""
        return reads_class(self.recipe)

    def title(self, index: int = 0) -> str:
        """One line for one image: the method, the layer, and the class if the map depends on it."""
        where = f"{self.method} at {self.layer if reads(self.recipe, 'activations') else 'every layer'}"
        if isinstance(self.recipe, Attn):
            head = "mean of the heads" if self.trace.head is None else f"head {self.trace.head}"
            where = f"{self.method} at block {self.layer}, {head}"
        if not self.knows_classes:
            return f"{where}: the same for every class"
        labels, target = getattr(self.model, "labels", ()), int(self.target[index])
        if target == NO_CLASS:
            return f"{where}: what speaks for the class of the gradients given"
        return f"{where}: what speaks for class {target}" + (f" ({labels[target]})" if labels else "")

    def figure(self, rgb: np.ndarray | None = None, index: int = 0):
        """Every stage of one image as a matplotlib Figure.

        rgb: uint8 (H,W,3), the picture under the overlay. By default it is made from the image, if the model has a
        `preprocess` that can be undone, as a network of ours has. Otherwise there is no overlay without rgb.
        """
        from minixai.figures import strip  # late: matplotlib takes longer to import than a heatmap to compute
        if rgb is None and (seen := self.rgb()) is not None:
            rgb = seen[index]
        labels = getattr(self.model, "labels", ())
        return strip(self.title(index), self._steps_read(index), self.layer, rgb,
                     self.trace.logits[index] if labels else None, labels, self.why_empty[index])

    def _steps_read(self, index):
        """The steps of one image. C1 is left out if no stage reads the layer (FullGrad reads all layers)."""
        names = ("activations", "gradients", "attention", "attention_gradients")
        steps = self.steps if any(reads(self.recipe, name) for name in names) else self.steps[1:]
        return [step._replace(value=_of_image(step.value, index)) for step in steps]

    def rgb(self) -> np.ndarray | None:
        """uint8 (B,H,W,3): the image with its preprocessing undone. None if the model has no `preprocess`."""
        preprocess = getattr(self.model, "preprocess", None)
        return None if preprocess is None else preprocess.undo(self.image)


def explain(model: nn.Module, image: Tensor, method: str | Cam | Attn = "gradcam",
            target: Target = None, layer: Layer = None, head: int | None = None) -> Explanation:
    """Run one method on a batch of images. The model is left as it was. All steps are float32.

    Threads may share the model, as long as no other code trains it or changes its mode meanwhile.
    model: a network of ours, any CNN that returns logits, or any ViT that record_vit reads.
    image: (B,3,H,W) floats, preprocessed as the model needs it.
    method: a name in METHODS, or a recipe of your own such as Cam(C4=another_function).
    target: a class index, one index for each image, or None for each image's top class.
    layer: of a CNN a stage, a module or its dotted name; the default is the last stage of a network of ours. Of a ViT
    the index of a block, by default the last. The methods of CNNs read the norm in front of that block's attention
    (blocks.N.norm1), or any module that returns tokens.
    head: the index of one head, or None for the mean of all.
    ValueError if an argument does not fit, or for NaN or infinity in the image, the recording or the steps; TypeError
    if the method is for another kind of network.
    """
    name, recipe = named_recipe(method, head)
    trace = record_for(recipe, model, image, target, layer, head)
    return Explanation(name, recipe, trace, steps_of(recipe, trace), image, model)


def record_for(recipe: Cam | Attn, model: nn.Module, image: Tensor, target: Target = None, layer: Layer = None,
               head: int | None = None, capture: CaptureMode = AS_RETURNED,
               also: Iterable[str] = ()) -> CnnTrace | VitTrace:
    """C1 or A1 of a recipe: the trace that its stages read. The arguments and errors are those of `explain`.

    capture: which tensors C1 keeps where the network overwrites the layer's output. also: names of ALSO that A1
    records in addition to those that a stage reads.
    """
    if isinstance(recipe, Cam):
        return record_cnn(model, image, target, layer, recipe.C1, capture)
    also = [name for name in ALSO if name in also or reads(recipe, name)]
    return record_vit(model, image, target, layer, head, reads(recipe, "attention_gradients"), recipe.A1, also)


def named_recipe(method: str | Cam | Attn, head: int | None = None) -> tuple[str, Cam | Attn]:
    """A method's name, or a recipe of your own -> (name, recipe), for one head if head is its index.

    ValueError for an unknown name, or for a head of a CNN's method.
    """
    if isinstance(method, Cam | Attn):
        name = _own_name(method)
        return name, _of_head(name, method, head)
    return method, recipe_named(method, head)


def recipe_named(method: str, head: int | None = None) -> Cam | Attn:
    """The recipe of that name, for one head if head is its index.

    ValueError lists the names that there are, or says that the method has no heads.
    """
    if not isinstance(method, str) or method not in METHODS:
        raise ValueError(f"no method {short_repr(method)}; there are {', '.join(METHODS)}")
    return _of_head(method, METHODS[method], head)


def _of_head(name, recipe, head):
    if head is None:
        return recipe
    if isinstance(recipe, Cam):
        raise ValueError(f"{name} has no heads to choose from; leave head out")
    return for_one_head(recipe)


def for_one_head(recipe: Attn) -> Attn:
    """The recipe with an A2 that reads the trace's head, in place of fusing all heads."""
    if reads(recipe, "value_norms"):
        return replace(recipe, A2=one_head_value_norm)
    return replace(recipe, A2=one_head_evidence if reads_class(recipe) else one_head)


def _own_name(recipe):
    """Cam(C4=no_relu) is called that."""
    stages = [(stage.name, stage.default, getattr(recipe, stage.name)) for stage in fields(recipe)]
    changed = [f"{number}={getattr(function, '__name__', type(function).__name__)}"     # a partial has no name
               for number, usual, function in stages if function is not usual]
    return f"{type(recipe).__name__}({', '.join(changed)})"


def steps_of(recipe: Cam | Attn, trace: CnnTrace | VitTrace) -> list[Step]:
    """The recipe's steps on a trace, in float32 also under autocast. ValueError if a value is not finite."""
    try:
        with without_autocast(trace.target.device.type):
            steps = recipe.steps(trace)
    except torch.linalg.LinAlgError as error:
        raise ValueError(f"no map can be made of these numbers: {error}") from None
    # Every stage is checked, since the ReLU turns -infinity into 0. The recording is known to be finite.
    for step in steps[1:]:
        if not all_finite(step.value):
            raise ValueError(f"the method's numbers hold NaN or infinity (first seen in {step.id}, {step.title}): no "
                             "map can be made; what was recorded is finite, and too large or too small for float32")
    return steps


def without_autocast(device_type: str) -> AbstractContextManager:
    """Switch torch.autocast off, so that matrix products are not rounded to half precision."""
    if torch.amp.is_autocast_available(device_type):
        return torch.autocast(device_type, enabled=False)
    return nullcontext()


def _of_image(value, index):
    return tuple(part[index] for part in value) if isinstance(value, tuple) else value[index]


def _why_empty(result, index):
    if result.heatmap[index].any():
        return None
    target, at = int(result.target[index]), result.layer
    if isinstance(result.trace, VitTrace):
        if not result.knows_classes:
            return "the map is flat: CLS took equally from every patch"
        return f"no attention of CLS to a patch raises the score of class {target} (negative evidence only)"
    if reads(result.recipe, "gradients") and not result.trace.gradients[index].any():
        return (f"the gradient of class {target}'s score is zero everywhere at {at}: "
                "the score is saturated, or does not depend on these features here" + _behind_attention(result))
    if not result.trace.activations[index].any():
        return f"no feature is active at {at}"
    if not result["C3"][index].any():
        return f"the weighted sum is zero everywhere at {at}: no channel has a weight"
    if result["C3"][index].max() <= 0:
        return (f"no place at {at} speaks for class {target} (negative evidence only), "
                "and the ReLU of C4 leaves nothing of the rest")
    return f"the map is flat: every place at {at} counts the same for class {target}"


def _behind_attention(result):
    """The end of the sentence if the layer lies behind a ViT's last attention, where patches have no gradient."""
    if result.model is None or not is_vit(result.model) or result.layer == (place := token_layer(result.model)):
        return ""
    return f"; behind a ViT's last attention it depends on CLS alone, not on the patches: take layer {place!r}"
