"""C1: the feature maps of one layer, and the gradient of the class score with respect to them."""
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from numbers import Integral

import torch
from torch import nn

from minixai.networks.cnn import CNN
from minixai.score import class_score
from minixai.trace.common import as_the_weights, check_finite, hooked, logits_in, pick_target, undisturbed, unwrapped
from minixai.trace.foreign.tokens import channels_last, fold, with_first
from minixai.trace.network import Network
from minixai.trace.vit import is_vit, must_have_classes, token_layer, token_layout


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


@dataclass(frozen=True)
class CaptureMode:
    """Which of several tensors C1 keeps where a network overwrites a layer's output, or runs the layer more than once.

    Most networks work in place: after `x = norm(x)` the line `relu_(x)`, or `x += identity`, writes other numbers into
    the memory of what norm returned. Who kept that tensor then holds what came later. The default is what the layer
    itself returned in its last run; the libraries differ (minixai.verification.profiles).
    """
    run: str = "last"               # or "first", of a layer that runs several times in one pass
    activations: str = "before"     # or "after", what is done in place to the layer's output
    gradients: str = "before"       # or "after": with respect to the one tensor or to the other

    def __post_init__(self):
        when = ("before", "after")
        for name, choices in {"run": ("last", "first"), "activations": when, "gradients": when}.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} is {' or '.join(choices)}; got {getattr(self, name)!r}")


def record_cnn(model, image, target=None, layer=None, score=class_score, capture=CaptureMode()):
    """C1: run a CNN once and record feature maps and gradients at a layer. Threads may share the model.

    model: one of ours, or any nn.Module that returns logits (B,C). It is run in eval mode and left as it was.
    image: (B,3,H,W), preprocessed as the model wants it.
    target: None (each image's top class), one class for all, or one for each image.
    layer: a stage name of ours (default: the last), or a module of the model or its dotted name. A ViT's tokens are
    folded into maps; there a block's index stands for the norm in front of its attention (default: the last block's).
    score: which number is differentiated, a C1 stage: logits (B,C), target (B,1) -> (B,1).
    capture: which run of the layer, and the tensors before or after what happens to them in place.
    Raises ValueError for a layer, a target or an output that does not fit, with what would, and for NaN or infinity.
    """
    model = unwrapped(model)
    if not isinstance(layer, str | nn.Module | Integral | None):
        raise ValueError(f"a layer is a name, a module, or the index of a ViT's block; got a {type(layer).__name__}")
    if isinstance(model, CNN) and layer is None:
        layer = model.layers[-1]
    elif (layer is None or isinstance(layer, Integral)) and is_vit(model):
        layer = token_layer(model, layer)
    if is_vit(model):
        must_have_classes(model)
    halves = _by_stages if isinstance(model, CNN) and layer in model.layers else _by_hook
    with undisturbed(model, image), torch.inference_mode(False), torch.enable_grad():
        model_input = as_the_weights(image, model)
        tensors, logits, name = halves(model, model_input, layer, capture.run)
        target = pick_target(logits, target)
        # One image's score does not depend on another image, so the gradient of the sum holds each image's own.
        gradients = _gradient(score(logits.float(), target[:, None]).sum(), tensors[capture.gradients], name)
        as_maps = _as_maps(model, model_input, gradients, name)
    activations = tensors[capture.activations]
    check_finite(model, model_input, activations=activations, logits=logits, gradients=gradients)
    again = partial(record_cnn, model, image=image, score=score, capture=capture)
    network = Network(model, model_input, name, target, halves is _by_stages, again, score)
    return CnnTrace(as_maps(activations.detach()).float(), as_maps(gradients).float(),
                    logits.detach().float(), target, name, tuple(image.shape[-2:]), network)


def _by_stages(model, image, layer, run):
    """A network of ours is already in two halves."""
    with torch.no_grad():
        activations = model.until(image, layer)
    tensors = _kept_and_handed_on(activations)
    return tensors, model.after(tensors["after"], layer), layer


def _by_hook(model, image, layer, run):
    """Any other network: a hook on the layer keeps its output, and the graph begins there."""
    name, module = _find_layer(model, layer)
    kept = None

    def keep_and_hand_on_a_copy(module, inputs, output):
        nonlocal kept
        if kept is not None and run == "first":
            return None
        torch.set_grad_enabled(True)        # until the `with` below ends: from here on, a graph is needed
        kept = _kept_and_handed_on(_maps_or_tokens(output, model, name))
        return with_first(output, kept["after"])

    with hooked([(module.register_forward_hook, keep_and_hand_on_a_copy)]), torch.no_grad():
        output = model(image)
    if kept is None:
        raise ValueError(f"layer {name!r} did not run in the forward pass")
    return kept, logits_in(output), name


def _kept_and_handed_on(output):
    """What the layer returned, and a copy for the rest of the network, which may do to it in place what it likes.

    The copy is one tensor object: once the pass is over it stands for what was made of it, and so does its gradient.
    """
    own = output.detach().requires_grad_()
    return {"before": own, "after": own.clone()}


def _find_layer(model, layer):
    """A dotted name or a module -> (name, module)."""
    modules = dict(model.named_modules(remove_duplicate=False))      # a module in two places has two names
    del modules[""]
    if isinstance(layer, nn.Module):
        names = [name for name, module in modules.items() if module is layer]
        if not names:
            raise ValueError(f"the layer given, a {type(layer).__name__}, is not part of this model")
        return names[0], layer
    if isinstance(layer, str) and layer not in modules:
        layer = layer.removeprefix("_orig_mod.").removeprefix("module.")        # see unwrapped
    if layer in modules:
        return layer, modules[layer]
    near = get_close_matches(str(layer), modules, n=3)
    top = ", ".join(name for name, _ in model.named_children())
    hint = f"did you mean {' or '.join(near)}?" if near else f"its parts are {top}; dots lead inside them"
    asked = "say which layer to look at" if layer is None else f"no layer named {layer!r} in this model"
    raise ValueError(f"{asked}: {hint}")


def _maps_or_tokens(output, model, name):
    vit = is_vit(model)
    first = output[0] if vit and isinstance(output, tuple) else output      # a block also returns its attention
    if isinstance(first, torch.Tensor) and (first.dim() == 4 or first.dim() == 3 and vit):
        if not first.is_floating_point():
            raise ValueError(f"layer {name!r} returns {first.dtype}; only floats have gradients")
        return first
    shape = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
    raise ValueError(f"layer {name!r} returns {shape}, not feature maps (B,K,h,w)" + vit * " or tokens (B,T,D)")


def _as_maps(model, image, output, name):
    """The function that makes feature maps (B,K,h,w) of what the layer returned: maps, maps (B,h,w,K), or tokens."""
    if output.dim() == 4:
        last = channels_last(output, image)
        return lambda maps: maps.movedim(-1, 1) if last else maps
    prefix_tokens, (gh, gw) = token_layout(model, image)
    if output.shape[1] != prefix_tokens + gh * gw:
        raise ValueError(f"layer {name!r} returns {tuple(output.shape)}, not tokens (B,T,D) with T = {prefix_tokens} + "
                         f"{gh}x{gw} patches")
    return partial(fold, prefix_tokens=prefix_tokens, grid=(gh, gw))


def _gradient(score, activations, name):
    gradient = None
    if score.requires_grad:
        gradient, = torch.autograd.grad(score, activations, allow_unused=True)
    if gradient is None:
        raise ValueError(f"no gradient leads from the class score to layer {name!r}: the score does not depend on it, "
                         "or the model's forward switches gradients off (no_grad, inference_mode, detach)")
    return gradient
