"""C1 and A1: what one pass through a network leaves behind, as plain tensors.

    record_cnn   A, the feature maps of one layer, and g = d score / d A
    record_vit   the attention of every layer and head

Grad-CAM wants the gradient of one number, the score of the class, with respect to one tensor, the feature maps. So the
network is run in two halves: up to the layer without a graph, from there on with one. Only the second half is
differentiated, which costs little, and no weight's `.grad` is touched. No other file knows of autograd or hooks.
"""
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from numbers import Integral

import torch
from torch import nn

from minixai.cnn import CNN, Head
from minixai.vit import ViT

NO_CLASS = -1       # the target where there are no classes, or nobody said which


@dataclass(frozen=True, eq=False, repr=False)
class CnnTrace:
    """What Grad-CAM and its relatives read. B images, K channels of h x w, C classes."""
    activations: torch.Tensor       # (B,K,h,w) feature maps, float32
    gradients: torch.Tensor | None  # (B,K,h,w) of logits[target] with respect to them
    logits: torch.Tensor | None     # (B,C)
    target: torch.Tensor            # (B,) int64, the class explained
    layer: str                      # whose output the activations are
    size: tuple                     # (H,W) of the image
    network: object = None          # a Network, for methods that ask again; None for arrays without a network


@dataclass(frozen=True, eq=False, repr=False)
class VitTrace:
    """What attention maps read. B images, L layers, M heads, T = prefix_tokens + gh·gw tokens."""
    attention: torch.Tensor         # (B,L,M,T,T), rows sum to one
    attention_gradients: torch.Tensor | None    # (B,L,M,T,T) of logits[target], for methods that read them
    logits: torch.Tensor | None     # (B,C)
    target: torch.Tensor            # (B,) int64, NO_CLASS without a head; not read by methods that know no class
    layer: int                      # the block to read, -1 for the last
    head: int | None                # the head to read, None for all
    prefix_tokens: int              # CLS and other tokens that are no patch
    grid: tuple                     # (gh,gw)
    size: tuple                     # (H,W) of the image


def record_cnn(model, image, target=None, layer=None):
    """C1: run a CNN once and record feature maps and gradients at a layer.

    model: one of ours, or any nn.Module that returns logits (B,C). It is run in eval mode and left as it was.
    image: (B,3,H,W), preprocessed as the model wants it.
    target: None (each image's top class), one class for all, or one for each image.
    layer: a stage name of ours (default: the last), or a module of the model or its dotted name. If that module runs
    several times in one pass, its last run is recorded.
    Raises ValueError for a layer, a target or an output that does not fit, with what would.
    """
    if isinstance(model, CNN) and layer is None:
        layer = model.layers[-1]
    halves = _by_stages if isinstance(model, CNN) and layer in model.layers else _by_hook
    with _undisturbed(model), torch.inference_mode(False), torch.enable_grad():
        model_input = _as_the_weights(image, model)
        activations, logits, name = halves(model, model_input, layer)
        target = pick_target(logits, target)
        gradients = _gradient(class_score(logits, target), activations, name)
    network = Network(model, model_input, name, halves, target)
    return CnnTrace(activations.detach().float(), gradients.float(), logits.detach().float(), target, name,
                    tuple(image.shape[-2:]), network)


class Network:
    """The network that was recorded, for methods that ask it again: in eval mode, without gradients.

    image: (B,3,H,W), target: (B,), both as they were recorded.
    """

    def __init__(self, model, image, layer, halves, target):
        self.model, self.image, self.layer, self.target = model, image, layer, target
        self._halves = halves

    def of(self, images):
        """Images (N,3,H,W) -> logits (N,C)."""
        with _undisturbed(self.model), torch.no_grad():
            return _logits(self.model(images.to(self.image))).float()

    def after(self, maps, index):
        """Feature maps (N,K,h,w) in place of those that the layer returned for image `index` -> logits (N,C)."""
        maps = maps.to(self.image)
        with _undisturbed(self.model), torch.no_grad():
            if self._halves is _by_stages:
                return self.model.after(maps, self.layer).float()
            return _instead(self.model, self.image[index].expand(len(maps), -1, -1, -1), self.layer, maps).float()

    def linear_weights(self):
        """(B,K): how much each channel's mean counts for the class. ValueError unless that is all that follows."""
        head = getattr(self.model, "head", None)
        if not isinstance(self.model, CNN) or not isinstance(head, Head) or self.layer != self.model.layers[-1]:
            raise ValueError("CAM needs what follows the layer to be global average pooling and one linear layer, "
                             "as in minixai's CNNs at their last stage; use gradcam, which needs neither")
        return head.fc.weight[self.target].detach().float()


def record_vit(model, image, target=None, layer=None, head=None, gradients=False):
    """A1: run a ViT once and record the attention of every layer and head. The model is left as it was.

    model: a minixai ViT; image: (B,3,H,W). layer: a block's index, default the last; head: a head's index or None.
    gradients: also record those of the class score with respect to every attention, which costs a backward pass.
    Raises ValueError for an index outside the network, or for gradients of a network that has no classes.
    """
    if not isinstance(model, ViT):
        raise TypeError(f"attention is recorded from minixai's own ViT; a {type(model).__name__} does not return it")
    layer = index_in("layer", -1 if layer is None else layer, len(model.blocks))
    if head is not None:
        head = index_in("head", head, model.blocks[0].attention.heads)
    if not model.classes and (gradients or target is not None):
        raise ValueError("this network has no class head: no target to choose, and no score to differentiate")
    with _undisturbed(model), torch.inference_mode(False), torch.set_grad_enabled(gradients):
        # Frozen weights give no graph to differentiate; an image that asks for a gradient always does.
        model_input = _as_the_weights(image, model).detach().requires_grad_(gradients)
        logits, attentions = model.forward_with_attention(model_input)
        target = pick_target(logits, target) if model.classes else _no_class(logits)
        slopes = torch.autograd.grad(class_score(logits, target), attentions) if gradients else None
    return VitTrace(_stack(attentions), slopes and _stack(slopes), logits.detach().float(), target, layer, head,
                    model.prefix_tokens, model.grid(image), tuple(image.shape[-2:]))


def class_score(logits, target):
    """What is differentiated: the sum over the images of their classes' logits.

    One image's score does not depend on another image, so the gradient of the sum holds each image's own.
    """
    return logits.float().gather(-1, target[:, None]).sum()


def pick_target(logits, target):
    """Logits (B,C) and None, one class, or B classes -> int64 (B,). None is each image's top class."""
    B, C = logits.shape
    if target is None:
        return logits.argmax(dim=-1)
    try:
        given = torch.as_tensor(target, device=logits.device)
    except (TypeError, ValueError, RuntimeError):       # torch's three answers to a name, a ragged list and a None
        raise ValueError(f"a target is a class index, an integer; got {target!r}") from None
    if given.dtype.is_floating_point or given.dtype == torch.bool or given.dtype.is_complex:
        raise ValueError(f"a target is a class index, an integer; got {target!r}")
    if given.dim() > 1 or given.dim() == 1 and len(given) != B:
        raise ValueError(f"{B} image(s) need one target for all or {B} targets, got shape {tuple(given.shape)}")
    if given.numel() and not (0 <= given.min() and given.max() < C):
        raise ValueError(f"the network has classes 0 to {C - 1}; got target {target}")
    return given.long().expand(B).clone()      # the caller's tensor may change later


def _by_stages(model, image, layer):
    """A network of ours is already in two halves."""
    with torch.no_grad():
        activations = model.until(image, layer).detach()
    activations.requires_grad_()
    # A copy goes on, so that a stage that works in place cannot overwrite what is kept.
    return activations, model.after(activations.clone(), layer), layer


def _by_hook(model, image, layer):
    """Any other network: a hook on the layer keeps its output, and the graph begins there."""
    name, module = _find_layer(model, layer)
    kept = None

    def keep_and_hand_on_a_copy(module, inputs, output):
        nonlocal kept
        kept = _feature_maps(output, name).detach().requires_grad_()
        torch.set_grad_enabled(True)        # until the `with` below ends: from here on, a graph is needed
        # The copy matters: an in-place operation after the layer (ReLU(inplace=True), +=) would overwrite what we keep.
        return kept.clone()

    handle = module.register_forward_hook(keep_and_hand_on_a_copy)
    try:
        with torch.no_grad():
            output = model(image)
    finally:
        handle.remove()
    if kept is None:
        raise ValueError(f"layer {name!r} did not run in the forward pass")
    return kept, _logits(output), name


def _instead(model, image, layer, maps):
    """The logits of a forward pass in which the last run of the layer returns the given maps."""
    module = model.get_submodule(layer)
    runs = 0

    def count(module, inputs, output):
        nonlocal runs
        runs += 1

    def replace_the_last(module, inputs, output):
        nonlocal runs
        runs -= 1
        return maps.clone() if runs == 0 else None

    for hook in (count, replace_the_last):
        handle = module.register_forward_hook(hook)
        try:
            output = model(image[:1] if hook is count else image)
        finally:
            handle.remove()
    return _logits(output)


def _find_layer(model, layer):
    """A dotted name or a module -> (name, module)."""
    modules = dict(model.named_modules(remove_duplicate=False))      # a module in two places has two names
    del modules[""]
    if isinstance(layer, nn.Module):
        names = [name for name, module in modules.items() if module is layer]
        if not names:
            raise ValueError(f"the layer given, a {type(layer).__name__}, is not part of this model")
        return names[0], layer
    if layer in modules:
        return layer, modules[layer]
    near = get_close_matches(str(layer), modules, n=3)
    top = ", ".join(name for name, _ in model.named_children())
    hint = f"did you mean {' or '.join(near)}?" if near else f"its parts are {top}; dots lead inside them"
    asked = "say which layer to look at" if layer is None else f"no layer named {layer!r} in this model"
    raise ValueError(f"{asked}: {hint}")


def _feature_maps(output, name):
    if isinstance(output, torch.Tensor) and output.dim() == 4:
        return output
    shape = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
    raise ValueError(f"layer {name!r} returns {shape}, not feature maps (B,K,h,w)")


def _logits(output):
    logits = getattr(output, "logits", output)
    if isinstance(logits, torch.Tensor) and logits.dim() == 2:
        return logits
    shape = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
    raise ValueError(f"the model returns {shape}, not logits (B,C)")


def _gradient(score, activations, name):
    gradient = None
    if score.requires_grad:
        gradient, = torch.autograd.grad(score, activations, allow_unused=True)
    if gradient is None:
        raise ValueError(f"no gradient leads from the class score to layer {name!r}: the score does not depend on it, "
                         "or the model's forward switches gradients off (no_grad, inference_mode, detach)")
    return gradient


def _as_the_weights(image, model):
    """The image on the device and in the precision of the model's weights."""
    if not isinstance(image, torch.Tensor) or image.dim() != 4 or 0 in image.shape:
        shape = tuple(image.shape) if hasattr(image, "shape") else type(image).__name__
        raise ValueError(f"an image is a tensor (B,3,H,W); got {shape}")
    if not image.is_floating_point():
        raise ValueError(f"an image is preprocessed floats, as open_image gives them; got {image.dtype}")
    weight = next((weight for weight in model.parameters() if weight.is_floating_point()), image)
    image = image.to(weight)
    return image.clone() if image.is_inference() else image


def _stack(layers):
    return torch.stack([layer.detach() for layer in layers], dim=1).float()


def _no_class(logits):
    return torch.full((len(logits),), NO_CLASS, device=logits.device)


def index_in(what, index, count):
    """0 <= index < count, from an index that may count from the end. ValueError names the range."""
    if not isinstance(index, Integral) or isinstance(index, bool) or not -count <= index < count:
        raise ValueError(f"the network has {what}s 0 to {count - 1}; got {index!r}")
    return int(index) % count


@contextmanager
def _undisturbed(model):
    """Eval mode inside, every module's own mode back afterwards, also when something is raised."""
    in_training = [module for module in model.modules() if module.training]
    if in_training:             # eval() visits every module, which takes longer than many a layer
        model.eval()
    try:
        yield
    finally:
        for module in in_training:
            module.training = True
