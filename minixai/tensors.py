"""For a reader who has no network at hand, only arrays that another program saved: the same recipes on those."""
import math

import numpy as np
import torch

from minixai.explain import METHODS, Explanation, check_finite
from minixai.gradcam import Cam
from minixai.trace import NO_CLASS, CnnTrace, VitTrace, index_in


def from_tensors(method, *, size, activations=None, gradients=None, attention=None, attention_gradients=None,
                 grid=None, target=None, layer=-1, head=None):
    """Run a method on recorded arrays, numpy or torch: an Explanation, as `explain` returns it.

    size: (H,W) of the image. CNN methods: activations (B,K,h,w) and, if the method reads them, gradients of the same
    shape. ViT methods: attention (B,L,M,T,T) or a list of L arrays (B,M,T,T), as transformers returns it, and
    attention_gradients likewise; grid (gh,gw): the patches are the last gh·gw tokens (default: a square behind CLS).
    B may be left out. target: what to call the class, an index; layer: the block to read; head: one head of all.
    ValueError if an array is missing or does not fit.
    """
    if method not in METHODS:
        raise ValueError(f"no method {method!r}; there are {', '.join(METHODS)}")
    recipe = METHODS[method]
    if isinstance(recipe, Cam):
        trace = _cnn_trace(activations, gradients, target, tuple(size))
    else:
        trace = _vit_trace(attention, attention_gradients, grid, target, layer, tuple(size))
    result = Explanation(method, recipe, trace, recipe.steps(trace))
    check_finite(result)
    return result if head is None else result.heads()[index_in("head", head, trace.attention.shape[-3])]


def _cnn_trace(activations, gradients, target, size):
    activations = _tensor("activations", activations, "(B,K,h,w)", 4)
    if gradients is not None:
        gradients = _tensor("gradients", gradients, "(B,K,h,w)", 4)
        if gradients.shape != activations.shape:
            raise ValueError(f"gradients {tuple(gradients.shape)} and activations {tuple(activations.shape)} differ")
    return CnnTrace(activations, gradients, None, _targets(target, len(activations)), "the layer given", size)


def _vit_trace(attention, gradients, grid, target, layer, size):
    attention = _tensor("attention", attention, "(B,L,M,T,T)", 5)
    L, M, T, across = attention.shape[-4:]
    if T != across:
        raise ValueError(f"attention is square, T x T; got {T} x {across}")
    if gradients is not None:
        gradients = _tensor("attention_gradients", gradients, "(B,L,M,T,T)", 5)
    grid = _square_grid(T) if grid is None else tuple(grid)
    prefix = T - grid[0] * grid[1]
    if prefix < 1:
        raise ValueError(f"{T} tokens are CLS and at most {T - 1} patches; a grid of {grid[0]}x{grid[1]} is larger")
    return VitTrace(attention, gradients, None, _targets(target, len(attention)), index_in("layer", layer, L), None,
                    prefix, grid, size)


def _square_grid(T):
    side = math.isqrt(T - 1)
    if side * side != T - 1:
        raise ValueError(f"{T - 1} patches behind CLS are no square; give grid=(gh,gw)")
    return side, side


def _tensor(name, values, shape, dimensions):
    """An array, or a list of one for each layer, with or without the batch in front -> float32 with it."""
    if values is None:
        raise ValueError(f"this method needs {name}, an array {shape}")
    if isinstance(values, list | tuple):
        layers = [torch.as_tensor(np.asarray(layer) if not torch.is_tensor(layer) else layer) for layer in values]
        values = torch.stack(layers, dim=-4)
    values = torch.as_tensor(values).detach().float()
    values = values[None] if values.dim() == dimensions - 1 else values
    if values.dim() != dimensions or 0 in values.shape:
        raise ValueError(f"{name} has to be {shape}, B may be left out; got {tuple(values.shape)}")
    return values


def _targets(target, B):
    return torch.full((B,), NO_CLASS if target is None else int(target))
