"""From a method's name to a heatmap: pick the recipe, record a trace, run the stages, keep every step."""
from dataclasses import dataclass, replace

import torch

from minixai.attention import ROLLOUT, Attn, one_head
from minixai.gradcam import Cam
from minixai.trace import CnnTrace, record_cnn, record_vit
from minixai.vit import ViT

METHODS = {
    "gradcam": Cam(),
    "attention": Attn(),
    "rollout": ROLLOUT,
}


@dataclass(frozen=True)
class Explanation:
    """What `explain` returns. B images of H x W."""
    heatmap: torch.Tensor       # (B,H,W) float32 in [0,1]
    target: torch.Tensor        # (B,) int64: the class explained
    logits: torch.Tensor        # (B,C)
    steps: list                 # [Step(id, title, value)], every stage in order
    method: str
    layer: object               # a layer's name, or a block's index
    why_empty: list             # one entry an image: None, or a sentence
    image: torch.Tensor | None = None       # (B,3,H,W), what was explained, and by whom
    model: object = None

    @property
    def empty(self):
        """(B,) bool: true where the heatmap is all zeros because there was nothing to show."""
        return torch.tensor([why is not None for why in self.why_empty])

    def __getitem__(self, id):
        """result["C2"]: the value of one step."""
        for step in self.steps:
            if step.id == id:
                return step.value
        raise KeyError(f"no step {id!r}; there are {', '.join(step.id for step in self.steps)}")

    def figure(self, rgb=None, index=0):
        """Every stage of one image as a picture, a matplotlib Figure.

        rgb: uint8 (H,W,3), what lies under the overlay; a network of ours knows it, for others you have to give it.
        """
        from minixai.figures import strip
        preprocess = getattr(self.model, "preprocess", None)
        if rgb is None and preprocess is not None:
            rgb = preprocess.undo(self.image)[index]
        return strip(self, rgb, index, self.title(index))

    def title(self, index=0):
        """One line for one image: the method, where it looked, and for which class, if it knows classes."""
        labels, target = getattr(self.model, "labels", ()), int(self.target[index])
        where = f"{self.method} at {self.layer if isinstance(self.layer, str) else f'block {self.layer}'}"
        if isinstance(METHODS.get(self.method), Attn):
            return f"{where}: what CLS took from each patch, whatever the class"
        return f"{where}: what speaks for class {target}" + (f" ({labels[target]})" if labels else "")


def explain(model, image, method="gradcam", target=None, layer=None, head=None):
    """Run one method on one image or a batch; the model is left as it was.

    model: a network of ours, or for CNN methods any nn.Module that returns logits. image: (B,3,H,W), preprocessed.
    target: class index, one per image, or None for each image's top class. layer: a stage or module (its dotted name)
    of a CNN, default our last stage; a block's index of a ViT, default the last. head: one head's index, default the
    mean of all. Raises ValueError when one of them does not fit, TypeError when the method is for another network.
    """
    recipe = _recipe(method, model, head)
    if isinstance(recipe, Cam):
        trace = record_cnn(model, image, target, layer)
    else:
        trace = record_vit(model, image, target, layer, head)
    return replace(explain_trace(trace, recipe, method), image=image, model=model)


def explain_trace(trace, recipe, method):
    """Run a recipe on a trace that is already there."""
    steps = recipe.steps(trace)
    values = {step.id: step.value for step in steps}
    if not values["M2"].isfinite().all():       # checked once at the end: no stage can turn a NaN into a number
        raise ValueError("the network's activations, attention or gradients hold NaN or infinity: no map can be made")
    why_empty = [_why_empty(trace, values, index) for index in range(len(trace.target))]
    return Explanation(values["M2"], trace.target, trace.logits, steps, method, trace.layer, why_empty)


def _recipe(method, model, head):
    if method not in METHODS:
        raise ValueError(f"no method {method!r}; there are {', '.join(METHODS)}")
    recipe = METHODS[method]
    is_vit = isinstance(model, ViT)
    if is_vit and isinstance(recipe, Cam):
        raise TypeError(f"{method} reads the feature maps of a CNN; for a ViT use attention or rollout")
    if isinstance(recipe, Attn) and not is_vit:
        raise TypeError(f"{method} reads the attention of minixai's ViT; for a {type(model).__name__} use gradcam")
    if head is not None and isinstance(recipe, Cam):
        raise ValueError(f"{method} has no heads to choose from; leave head out")
    return recipe if head is None else replace(recipe, A2=one_head)


def _why_empty(trace, values, index):
    """None for a heatmap that shows something, or the sentence that says why it does not."""
    if values["M2"][index].any():
        return None
    if not isinstance(trace, CnnTrace):
        return "the map is flat: CLS took equally from every patch"
    target = int(trace.target[index])
    if not trace.gradients[index].any():
        return (f"the gradient of class {target}'s score is zero everywhere at {trace.layer}: "
                "the score is saturated, or does not depend on these features here")
    if values["C3"][index].max() <= 0:
        return (f"every place at {trace.layer} speaks against class {target} (negative evidence only), "
                "and the ReLU of C4 leaves nothing of that")
    return f"the map is flat: every place at {trace.layer} counts the same for class {target}"
