"""The same recipes on arrays that another program saved, without a network."""
import math
import warnings
from collections.abc import Sequence
from numbers import Integral

import numpy as np
import torch

from minixai.explain import Explanation, for_one_head, recipe_named, steps_of
from minixai.gradcam import Cam
from minixai.images import MAX_PIXELS
from minixai.trace import NO_CLASS, CnnTrace, VitTrace, index_in
from minixai.trace.common import Target, all_finite, class_indices, is_plain, short_repr

Array = np.ndarray | torch.Tensor
MAPS, MATRICES = "(B,K,h,w)", "(B,L,M,T,T)"


def from_tensors(method: str, *, size: tuple[int, int], activations: Array | None = None,
                 gradients: Array | None = None, attention: Array | Sequence[Array] | None = None,
                 attention_gradients: Array | Sequence[Array] | None = None, grid: tuple[int, int] | None = None,
                 target: Target = None, layer: int | None = None, head: int | None = None) -> Explanation:
    """Run a method on recorded arrays of floats, numpy or torch: an Explanation, as `explain` returns it.

    size: (H,W) of the image.
    Of a CNN: activations (B,K,h,w) and, if the method reads them, gradients of the same shape.
    Of a ViT: attention (B,L,M,T,T), or a list of L arrays (B,M,T,T) as transformers returns it, and, if the method
    reads them, attention_gradients of the same shape. grid: (gh,gw), the patches are the last gh·gw tokens; by default
    a square behind CLS. layer: the block to read, by default the last. head: one head, by default the mean of all.
    B may be left out. target: the class index for the title, or one for each image.
    ValueError if an array is missing, does not fit, is not finite, or is for another method.
    """
    recipe, size = recipe_named(method), _pair("size", size, "(H,W)")
    if size[0] * size[1] > MAX_PIXELS:
        raise ValueError(f"size {size} is over {MAX_PIXELS // 10**6} megapixels")
    of_cnns = {"activations": activations, "gradients": gradients}
    of_vits = {"attention": attention, "attention_gradients": attention_gradients, "grid": grid, "layer": layer,
               "head": head}
    if isinstance(recipe, Cam):
        _must_be_left_out(of_vits, f"{method} needs activations {MAPS} of a CNN")
        trace = _cnn_trace(activations, gradients, target, size)
    else:
        _must_be_left_out(of_cnns, f"{method} needs attention {MATRICES} of a ViT")
        trace = _vit_trace(attention, attention_gradients, grid, target, layer, head, size)
        recipe = recipe if head is None else for_one_head(recipe)
    return Explanation(method, recipe, trace, steps_of(recipe, trace))


def _must_be_left_out(others, what_is_needed):
    if given := [name for name, value in others.items() if value is not None]:
        raise ValueError(f"{what_is_needed}; leave out {', '.join(given)}")


def _cnn_trace(activations, gradients, target, size):
    activations = _tensor("activations", activations, MAPS)
    if gradients is not None:
        gradients = _as_large("gradients", _tensor("gradients", gradients, MAPS), "activations", activations)
    return CnnTrace(activations, gradients, None, _targets(target, len(activations)), "the layer given", size)


def _vit_trace(attention, gradients, grid, target, layer, head, size):
    attention = _tensor("attention", attention, MATRICES)
    L, M, T, across = attention.shape[-4:]
    if T != across:
        raise ValueError(f"attention is square, T x T; got {T} x {across}")
    _check_attention(attention)
    if gradients is not None:
        gradients = _tensor("attention_gradients", gradients, MATRICES)
        gradients = _as_large("attention_gradients", gradients, "attention", attention)
    grid = _square_grid(T) if grid is None else _pair("grid", grid, "(gh,gw)")
    prefix = T - grid[0] * grid[1]
    if prefix < 1:
        raise ValueError(f"{T} tokens are CLS and at most {T - 1} patches; a grid of {grid[0]}x{grid[1]} is larger")
    layer = index_in("layer", -1 if layer is None else layer, L)
    head = None if head is None else index_in("head", head, M)
    return VitTrace(attention, gradients, None, _targets(target, len(attention)), layer, head, prefix, grid, size)


def _check_attention(attention):
    if attention.min() < 0:
        raise ValueError(f"attention comes out of a softmax and is never negative; got {attention.min():.3g}, perhaps "
                         "the scores before the softmax")
    sums = attention.sum(dim=-1)
    low, high = sums.min(), sums.max()
    if low < 0.95 or high > 1.05:
        warnings.warn(f"attention's rows sum to one, and these to {low:.3g} to {high:.3g}; row i is what token i took "
                      "from each token", stacklevel=4)


def _square_grid(T):
    side = math.isqrt(T - 1)
    if side * side != T - 1 or side == 0:
        raise ValueError(f"{T - 1} patches behind CLS are no square; give grid=(gh,gw)")
    return side, side


def _tensor(name, values, shape):
    """An array, or a list with one for each layer, with or without the batch dimension -> float32 with it."""
    if values is None:
        raise ValueError(f"this method needs {name}, an array {shape}")
    if isinstance(values, list | tuple):
        layers = [_floats(name, layer) for layer in values]
        if len({layer.shape for layer in layers}) != 1 or layers[0].dim() < 3:
            raise ValueError(f"{name} has to be {shape}, or a list of arrays of one shape, one for each layer; got a "
                             f"list of {', '.join(str(tuple(layer.shape)) for layer in layers[:4]) or 'nothing'}")
        values = torch.stack([layer.to(layers[0].device) for layer in layers], dim=-4)
    values, dimensions = _floats(name, values), shape.count(",") + 1
    values = values[None] if values.dim() == dimensions - 1 else values
    if values.dim() != dimensions or 0 in values.shape:
        raise ValueError(f"{name} has to be {shape}, B may be left out; got {tuple(values.shape)}")
    if not all_finite(values):
        raise ValueError(f"{name} holds NaN or infinity, or numbers that float32 cannot hold")
    return values


def _floats(name, values):
    """An array of floats of any precision -> float32. ValueError for other types, and if it is no plain array."""
    if not isinstance(values, torch.Tensor):
        values = _from_numpy(name, values)
    if not is_plain(values):
        raise ValueError(f"{name} has to be a plain array; got one that is sparse, nested, quantised or without data")
    if not values.is_floating_point():
        raise ValueError(f"{name} has to be an array of floats; got {values.dtype}")
    return values.detach().float()


def _from_numpy(name, values):
    try:
        array = np.asarray(values)
    except Exception as error:      # the object's own __array__ may raise anything
        raise ValueError(f"{name} has to be an array of floats; got a {type(values).__name__} ({error})") from None
    if array.dtype.kind != "f":
        raise ValueError(f"{name} has to be an array of floats; got {array.dtype}")
    with np.errstate(over="ignore"):        # _tensor refuses infinity
        return torch.from_numpy(array.astype(np.float32, order="C"))


def _as_large(name, values, other, others):
    if values.shape != others.shape:
        raise ValueError(f"{name} {tuple(values.shape)} and {other} {tuple(others.shape)} differ; each number has a "
                         "gradient of its own")
    return values.to(others.device)


def _pair(name, values, letters):
    """Two positive integers."""
    try:
        pair = tuple(values)
    except TypeError:
        pair = ()
    if len(pair) != 2 or not all(isinstance(number, Integral) and not isinstance(number, bool) and number > 0
                                 for number in pair):
        raise ValueError(f"{name} is two positive integers {letters}; got {short_repr(values)}")
    return tuple(int(number) for number in pair)


def _targets(target, B):
    """int64 (B,): NO_CLASS if no target is given."""
    targets = class_indices(NO_CLASS if target is None else target, B)
    if target is not None and targets.min() < 0:
        raise ValueError(f"a target is a class index, 0 or more; got {short_repr(target)}")
    return targets
