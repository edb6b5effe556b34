"""C1: the feature maps of one layer, and the gradient of the class score with respect to them.

A network of ours is an ordered list of stages, so it can be cut in two behind any of them:

    image ─ until ─► A ─ after ─► logits ─► score of the class
                     └────────── g = d score / d A ──┘

For a layer inside a stage, and for other people's networks, foreign/cnn.py records the same two tensors with a hook.
"""
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from minixai.networks.cnn import CNN
from minixai.score import class_score
from minixai.trace.common import (
    Layer,
    Target,
    as_the_weights,
    channel_errors,
    check_finite,
    gradient,
    pick_target,
    undisturbed,
    unwrapped,
)


@dataclass(frozen=True, eq=False, repr=False)
class CnnTrace:
    """What Grad-CAM and its relatives read. B images, K channels of h x w, C classes."""
    activations: Tensor         # (B,K,h,w) feature maps, float32
    gradients: Tensor | None    # (B,K,h,w) of the score with respect to them
    logits: Tensor | None       # (B,C)
    target: Tensor              # (B,) int64, the class explained
    layer: str                  # whose output the activations are
    size: tuple                 # (H,W) of the image
    network: Any = None         # a Network, for methods that ask again; None for arrays without a network


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


AS_RETURNED = CaptureMode()


def record_cnn(model: nn.Module, image: Tensor, target: Target = None, layer: Layer = None,
               score: Callable = class_score, capture: CaptureMode = AS_RETURNED) -> CnnTrace:
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
    if isinstance(model, CNN) and layer is None:
        layer = model.layers[-1]
    if not is_stage(model, layer) or capture != AS_RETURNED:
        from minixai.trace.foreign.cnn import record_by_hook  # late: a network of ours needs no hook
        return record_by_hook(model, image, target, layer, score, capture)
    with undisturbed(model), channel_errors(model, image), torch.inference_mode(False), torch.enable_grad():
        model_input = as_the_weights(image, model)
        with torch.no_grad():
            activations = model.until(model_input, layer)
        activations = activations.detach().requires_grad_()
        logits = model.after(activations.clone(), layer)        # a copy: a stage may work in place
        target = pick_target(logits, target)
        gradients = gradient(score(logits.float(), target[:, None]), activations, layer)
    check_finite(model, model_input, activations=activations, logits=logits, gradients=gradients)
    network = LazyNetwork(model, model_input, layer, target, score, capture)
    return CnnTrace(activations.detach().float(), gradients.float(), logits.detach().float(), target, layer,
                    tuple(image.shape[-2:]), network)


def is_stage(model: nn.Module, layer: Layer) -> bool:
    """Whether the network can be cut in two behind this layer, a stage's name."""
    return isinstance(model, CNN) and layer in model.layers


class LazyNetwork:
    """Stands for a Network (network.py), which is made when its first attribute is read. Grad-CAM reads none."""

    def __init__(self, *recorded):
        """recorded: the arguments of Network."""
        self._recorded = recorded

    @cached_property
    def _network(self):
        from minixai.trace.network import Network  # late: only methods that ask again need it
        return Network(*self._recorded)

    def __getattr__(self, name):
        if name.startswith("__"):       # of Python itself, which asks an unfinished copy
            raise AttributeError(name)
        return getattr(self._network, name)
