"""C1 with a hook: any layer of any network. The hook keeps the layer's output, and the graph begins there.

A network of ours comes here for a layer inside a stage, or for another CaptureMode than the usual one. A ViT comes here
for CAM methods, which read its tokens as feature maps.
"""
from collections.abc import Callable
from difflib import get_close_matches
from functools import partial
from numbers import Integral

import torch
from torch import Tensor, nn

from minixai.trace.cnn import CaptureMode, CnnTrace, LazyNetwork
from minixai.trace.common import (
    Layer,
    Target,
    as_the_weights,
    channel_errors,
    check_finite,
    gradient,
    hooked,
    logits_in,
    pick_target,
    undisturbed,
)
from minixai.trace.foreign.tokens import channels_last, fold, unfold, with_first
from minixai.trace.vit import is_vit, must_have_classes, token_layer, token_layout


def record_by_hook(model: nn.Module, image: Tensor, target: Target, layer: Layer, score: Callable,
                   capture: CaptureMode) -> CnnTrace:
    """C1: as record_cnn, for every network and layer. model: unwrapped."""
    if not isinstance(layer, str | nn.Module | Integral | None):
        raise ValueError(f"a layer is a name, a module, or the index of a ViT's block; got a {type(layer).__name__}")
    vit = is_vit(model)
    if vit:
        must_have_classes(model)
        layer = token_layer(model, layer) if isinstance(layer, Integral | None) else layer
    with undisturbed(model), channel_errors(model, image), torch.inference_mode(False), torch.enable_grad():
        model_input = as_the_weights(image, model)
        name, module = _find_layer(model, layer)
        tensors, logits = _run(model, model_input, module, partial(_maps_or_tokens, name=name, vit=vit), capture.run)
        if tensors is None:
            raise ValueError(f"layer {name!r} did not run in the forward pass")
        target = pick_target(logits, target)
        gradients = gradient(score(logits.float(), target[:, None]), tensors[capture.gradients], name)
        as_maps = _as_maps(model, model_input, gradients, name)
    activations = tensors[capture.activations]
    check_finite(model, model_input, activations=activations, logits=logits, gradients=gradients)
    network = LazyNetwork(model, model_input, name, target, score, capture)
    return CnnTrace(as_maps(activations.detach()).float(), as_maps(gradients).float(), logits.detach().float(), target,
                    name, tuple(image.shape[-2:]), network)


def _run(model, image, module, checked, which):
    """The tensors kept of the module's last or first run, and the logits."""
    kept = None

    def keep_and_hand_on_a_copy(module, inputs, output):
        nonlocal kept
        if kept is not None and which == "first":
            return None
        torch.set_grad_enabled(True)        # until the `with` below ends: from here on, a graph is needed
        kept = _kept_and_handed_on(checked(output))
        return with_first(output, kept["after"])

    with hooked([(module.register_forward_hook, keep_and_hand_on_a_copy)]), torch.no_grad():
        output = model(image)
    return kept, logits_in(output)


def _kept_and_handed_on(output):
    """The layer's output, and a copy for the rest of the network, which may overwrite it in place.

    In-place operations keep the tensor object. After the pass it holds the overwritten numbers, and its gradient is
    the gradient with respect to those.
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
    near = get_close_matches(str(layer), modules)
    top = ", ".join(name for name, _ in model.named_children())
    hint = f"did you mean {' or '.join(near)}?" if near else f"its parts are {top}; dots lead inside them"
    asked = "say which layer to look at" if layer is None else f"no layer named {layer!r} in this model"
    raise ValueError(f"{asked}: {hint}")


def _maps_or_tokens(output, name, vit):
    """The feature maps or, in a ViT, tokens in a layer's output. ValueError if there are none."""
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


def logits_instead(model: nn.Module, image: Tensor, layer: str, maps: Tensor) -> Tensor:
    """The logits (B,C) of a forward pass in which the last run of the layer returns the given maps (B,K,h,w)."""
    module = model.get_submodule(layer)
    runs = 0

    def count(module, inputs, output):
        nonlocal runs
        runs += 1

    def replace_the_last(module, inputs, output):
        nonlocal runs
        runs -= 1
        if runs:
            return None
        first = output[0] if isinstance(output, tuple) else output
        if first.dim() != 4:
            return with_first(output, unfold(maps, first))
        return with_first(output, (maps.movedim(1, -1) if channels_last(first, image) else maps).clone())

    for hook in (count, replace_the_last):
        with hooked([(module.register_forward_hook, hook)]):
            output = model(image[:1] if hook is count else image)
    return logits_in(output)
