"""C1: the feature maps of one layer, and the gradient of the class score with respect to them."""
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial

import torch
from torch import nn

from minixai.cnn import CNN
from minixai.score import class_score
from minixai.trace.common import as_the_weights, logits_in, pick_target, undisturbed
from minixai.trace.network import Network


@dataclass(frozen=True, eq=False, repr=False)
class CnnTrace:
    """What Grad-CAM and its relatives read. B images, K channels of h x w, C classes."""
    activations: torch.Tensor       # (B,K,h,w) feature maps, float32
    gradients: torch.Tensor | None  # (B,K,h,w) of the score with respect to them
    logits: torch.Tensor | None     # (B,C)
    target: torch.Tensor            # (B,) int64, the class explained
    layer: str                      # whose output the activations are
    size: tuple                     # (H,W) of the image
    network: object = None          # a Network, for methods that ask again; None for arrays without a network


def record_cnn(model, image, target=None, layer=None, score=class_score):
    """C1: run a CNN once and record feature maps and gradients at a layer.

    model: one of ours, or any nn.Module that returns logits (B,C). It is run in eval mode and left as it was.
    image: (B,3,H,W), preprocessed as the model wants it.
    target: None (each image's top class), one class for all, or one for each image.
    layer: a stage name of ours (default: the last), or a module of the model or its dotted name. If that module runs
    several times in one pass, its last run is recorded.
    score: which number is differentiated, a C1 stage: logits (B,C), target (B,1) -> (B,1).
    Raises ValueError for a layer, a target or an output that does not fit, with what would.
    """
    if isinstance(model, CNN) and layer is None:
        layer = model.layers[-1]
    halves = _by_stages if isinstance(model, CNN) and layer in model.layers else _by_hook
    with undisturbed(model), torch.inference_mode(False), torch.enable_grad():
        model_input = as_the_weights(image, model)
        activations, logits, name = halves(model, model_input, layer)
        target = pick_target(logits, target)
        # One image's score does not depend on another image, so the gradient of the sum holds each image's own.
        gradients = _gradient(score(logits.float(), target[:, None]).sum(), activations, name)
    network = Network(model, model_input, name, target, halves is _by_stages, partial(record_cnn, model, image))
    return CnnTrace(activations.detach().float(), gradients.float(), logits.detach().float(), target, name,
                    tuple(image.shape[-2:]), network)


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
    return kept, logits_in(output), name


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


def _gradient(score, activations, name):
    gradient = None
    if score.requires_grad:
        gradient, = torch.autograd.grad(score, activations, allow_unused=True)
    if gradient is None:
        raise ValueError(f"no gradient leads from the class score to layer {name!r}: the score does not depend on it, "
                         "or the model's forward switches gradients off (no_grad, inference_mode, detach)")
    return gradient
