"""From a method's name to a heatmap: pick the recipe, record a trace, run the stages, keep every step."""
from contextlib import nullcontext
from dataclasses import dataclass, fields, replace
from functools import cached_property

import torch

from minixai.attention import ATTENTIONS, Attn, one_head, one_head_evidence, one_head_value_norm
from minixai.cams import CAMS
from minixai.gradcam import Cam
from minixai.recipe import reads, reads_class
from minixai.trace import (
    ALSO,
    NO_CLASS,
    CaptureMode,
    CnnTrace,
    VitTrace,
    is_vit,
    reader_of,
    record_cnn,
    record_vit,
    token_layer,
)
from minixai.trace.common import all_finite, shown

METHODS = {**CAMS, **ATTENTIONS}
AS_RETURNED = CaptureMode()         # C1 keeps what the layer returned


@dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """What `explain` returns, for B images of H x W: the steps of the recipe, and what they were made from."""
    method: str
    recipe: Cam | Attn
    trace: CnnTrace | VitTrace
    steps: list                             # [Step(id, title, value)], every stage in order
    image: torch.Tensor | None = None       # (B,3,H,W), what was explained, and of which network
    model: object = None

    @property
    def heatmap(self):
        """(B,H,W) float32 in [0,1]; all zeros where there was nothing to show."""
        return self["M2"]

    @property
    def target(self):
        """(B,) int64: the class explained."""
        return self.trace.target

    @property
    def layer(self):
        """The name of a CNN's layer, or the index of a ViT's block."""
        return self.trace.layer

    @property
    def empty(self):
        """(B,) bool: true where the heatmap is all zeros."""
        return torch.tensor([why is not None for why in self.why_empty])

    @cached_property
    def why_empty(self):
        """One entry an image: None, or the sentence that says why there is nothing to show."""
        return [_why_empty(self, index) for index in range(len(self.target))]

    def __repr__(self):
        return f"<{self.title()}; {len(self.target)} image(s)>"

    def __getitem__(self, id):
        """result["C2"]: the value of one step."""
        for step in self.steps:
            if step.id == id:
                return step.value
        raise KeyError(f"no step {id!r}; there are {', '.join(step.id for step in self.steps)}")

    def heads(self):
        """The same method for every single head of a ViT, from the same trace: a list of M Explanations."""
        if not isinstance(self.trace, VitTrace):
            raise TypeError(f"{self.method} has no heads")
        recipe = for_one_head(self.recipe)
        traces = [replace(self.trace, head=head) for head in range(self.trace.attention.shape[-3])]
        return [replace(self, recipe=recipe, trace=trace, steps=steps_of(recipe, trace)) for trace in traces]

    @property
    def knows_classes(self):
        """Whether the method looks at a class."""
        return reads_class(self.recipe)

    def title(self, index=0):
        """One line for one image: the method, where it looked, and for which class, if it knows classes."""
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

    def figure(self, rgb=None, index=0):
        """Every stage of one image as a picture, a matplotlib Figure.

        rgb: uint8 (H,W,3), what lies under the overlay; a network of ours knows it, for others you have to give it.
        """
        from minixai.figures import strip  # late: matplotlib takes longer to import than a heatmap to compute
        if rgb is None and (seen := self.rgb()) is not None:
            rgb = seen[index]
        labels = getattr(self.model, "labels", ())
        return strip(self.title(index), self._steps_read(index), self.layer, rgb,
                     self.trace.logits[index] if labels else None, labels, self.why_empty[index])

    def _steps_read(self, index):
        """The steps of one image, without a recorded layer that no stage reads (FullGrad reads all layers)."""
        names = ("activations", "gradients", "attention", "attention_gradients")
        steps = self.steps if any(reads(self.recipe, name) for name in names) else self.steps[1:]
        return [step._replace(value=_of_image(step.value, index)) for step in steps]

    def rgb(self):
        """uint8 (B,H,W,3), the pixels that a network of ours saw; None if the model does not know how to undo them."""
        preprocess = getattr(self.model, "preprocess", None)
        return None if preprocess is None else preprocess.undo(self.image)


def explain(model, image, method="gradcam", target=None, layer=None, head=None):
    """Run one method on one image or a batch; the model is left as it was. All steps are float32.

    Threads may share the model, as long as nobody trains it or changes its mode meanwhile.
    model: a network of ours, or any CNN that returns logits, or any ViT that record_vit reads. image: (B,3,H,W).
    method: a name in METHODS, or a recipe of your own such as Cam(C4=another_function).
    target: class index, one per image, or None for each image's top class. layer: a stage or module (its dotted name)
    of a CNN, default our last stage; a block's index of a ViT, default the last, of which the methods of CNNs read the
    norm in front of the attention (blocks.N.norm1), or any module that returns tokens. head: one head's index, default
    the mean of all. Raises ValueError when one of them does not fit, or for NaN or infinity in the image or in
    what the network makes of it; TypeError when the method is for another network.
    """
    name, recipe = named_recipe(method, model, head)
    trace = record_for(recipe, model, image, target, layer, head)
    return Explanation(name, recipe, trace, steps_of(recipe, trace), image, model)


def record_for(recipe, model, image, target=None, layer=None, head=None, capture=AS_RETURNED, also=()):
    """C1 or A1 of a recipe: the trace that its stages read. The arguments and errors are those of `explain`.

    capture: which tensors C1 keeps where a layer's output is overwritten. also: names of ALSO that A1 records besides
    those that a stage reads.
    """
    if isinstance(recipe, Cam):
        return record_cnn(model, image, target, layer, recipe.C1, capture)
    also = [name for name in ALSO if name in also or reads(recipe, name)]
    return record_vit(model, image, target, layer, head, reads(recipe, "attention_gradients"), recipe.A1, also)


def named_recipe(method, model, head=None):
    """A method's name, or a recipe of your own -> (name, recipe), for one head if head is its index.

    ValueError for an unknown name, or for a head of a CNN's method; TypeError if the method is for another network.
    """
    if isinstance(method, Cam | Attn):
        name = _own_name(method)
        recipe = _of_head(name, method, head)
    else:
        name, recipe = method, recipe_named(method, head)
    if isinstance(recipe, Attn):
        reader_of(model)        # TypeError, and why, if this network's attention cannot be read
    return name, recipe


def recipe_named(method, head=None):
    """The recipe of that name, for one head if head is its index.

    ValueError lists the names that there are, or says that the method has no heads.
    """
    if not isinstance(method, str) or method not in METHODS:
        raise ValueError(f"no method {shown(method)}; there are {', '.join(METHODS)}")
    return _of_head(method, METHODS[method], head)


def _of_head(name, recipe, head):
    if head is None:
        return recipe
    if isinstance(recipe, Cam):
        raise ValueError(f"{name} has no heads to choose from; leave head out")
    return for_one_head(recipe)


def for_one_head(recipe):
    """The recipe that reads one head where the given one fuses them all."""
    if reads(recipe, "value_norms"):
        return replace(recipe, A2=one_head_value_norm)
    return replace(recipe, A2=one_head_evidence if reads_class(recipe) else one_head)


def _own_name(recipe):
    """Cam(C4=no_relu) is called that."""
    stages = [(stage.name, stage.default, getattr(recipe, stage.name)) for stage in fields(recipe)]
    changed = [f"{number}={getattr(function, '__name__', type(function).__name__)}"     # a partial has no name
               for number, usual, function in stages if function is not usual]
    return f"{type(recipe).__name__}({', '.join(changed)})"


def steps_of(recipe, trace):
    """The recipe's steps on a trace, in float32 also where autocast is on. ValueError if one is not finite."""
    try:
        with without_autocast(trace.target.device.type):
            steps = recipe.steps(trace)
    except torch.linalg.LinAlgError as error:
        raise ValueError(f"no map can be made of these numbers: {error}") from None
    # Each stage, not only the last: the ReLU turns -infinity into 0. All that was recorded is finite already.
    for step in steps[1:]:
        if not all_finite(step.value):
            raise ValueError(f"the method's numbers hold NaN or infinity (first seen in {step.id}, {step.title}): no "
                             "map can be made; what was recorded is finite, and too large or too small for float32")
    return steps


def without_autocast(device_type):
    """Inside, matrix products are not rounded to half precision, whatever the caller's torch.autocast says."""
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
    """Why the patches of a ViT may have no gradient, and where they have one."""
    if result.model is None or not is_vit(result.model) or result.layer == (place := token_layer(result.model)):
        return ""
    return f"; behind a ViT's last attention it depends on CLS alone, not on the patches: take layer {place!r}"
