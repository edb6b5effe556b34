"""What every recording needs: eval mode and hooks that leave the model as it was; checks of images and targets."""
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from numbers import Integral
from textwrap import shorten
from threading import RLock, local
from typing import Any

import torch
from torch import Tensor, nn

Target = int | Sequence[int] | Tensor | None        # one class, one for each image, or each image's top class
Layer = str | int | nn.Module | None                # a name, a block of a ViT, a module, or the default
NO_CLASS = -1       # the target where there are no classes, or nobody said which
INTEGERS = torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64

_lock = RLock()         # of what threads share here: the modes of modules, and their lists of hooks
_borrowed = {}          # modules in eval mode that will be in training mode again: the recordings that want them so

WRAPPERS = nn.DataParallel, nn.parallel.DistributedDataParallel


def unwrapped(model: nn.Module) -> nn.Module:
    """The network inside the wrappers of torch.compile and DataParallel, in which hooks do not work.

    TypeError for what is no nn.Module, and for a network made by torch.jit, whose layers are hidden.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"a network is an nn.Module; got {_what(model)}")
    while (inner := getattr(model, "_orig_mod", None)) is not None or isinstance(model, WRAPPERS):
        model = model.module if inner is None else inner
    if isinstance(model, torch.jit.ScriptModule):
        raise TypeError(f"a {type(model).__name__} of torch.jit hides its layers; give the module that it was made "
                        "from")
    return model


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Eval mode inside, every module's own mode back afterwards, also when something is raised.

    Several threads may be inside with one module: it goes back into training mode when the last of them leaves.
    """
    recording = object()
    try:
        with _lock:
            for module in model.modules():
                if module.training or module in _borrowed:
                    _borrowed.setdefault(module, set()).add(recording)
                    module.training = False
        yield
    finally:
        with _lock:
            for module in [module for module, wanted in _borrowed.items() if recording in wanted]:
                _borrowed[module].remove(recording)
                if not _borrowed[module]:
                    module.training = True
                    del _borrowed[module]


@contextmanager
def channel_errors(model: nn.Module, image: Tensor) -> Iterator[None]:
    """Inside, a RuntimeError of torch becomes a ValueError if the image has other channels than the network takes."""
    try:
        yield
    except RuntimeError as error:
        first = next((module for module in model.modules() if isinstance(module, nn.Conv2d)), None)
        if first is None or image.shape[1] == first.in_channels:
            raise
        raise ValueError(f"the network's first convolution takes {first.in_channels} channels, the image "
                         f"{tuple(image.shape)} has {image.shape[1]}") from error


@contextmanager
def hooked(hooks: Iterable[tuple[Callable, Callable]]) -> Iterator[None]:
    """Inside, hooks act on what this thread runs; afterwards they are removed. hooks: [(module.register_…_hook, hook)].

    Another thread may run the same module meanwhile, or copy it with its hooks. In that thread they do nothing.
    """
    here, handles = local(), []
    here.inside = True

    def only_here(hook):
        return lambda *arguments: hook(*arguments) if hasattr(here, "inside") else None

    try:
        for register, hook in hooks:
            with _lock:         # or a copy that another thread is making would break off
                handles.append(register(only_here(hook)))
        yield
    finally:
        del here.inside
        with _lock:
            for handle in handles:
                handle.remove()


def copy_of(model: nn.Module, dtype: torch.dtype | None = None) -> nn.Module:
    """A deep copy in the model's own mode and its own or another dtype. Threads may share the model."""
    with _lock, torch.inference_mode(False):        # or the weights of the copy could not be differentiated through
        copy = deepcopy(model).to(dtype)
        for module, copied in zip(model.modules(), copy.modules()):
            copied.training = module.training or module in _borrowed
    return copy


def as_the_weights(image: Tensor, model: nn.Module) -> Tensor:
    """An image (B,3,H,W) on the device and in the precision of the model's weights.

    ValueError for what is no such tensor of floats, and for NaN, infinity or numbers that the precision cannot hold.
    """
    if not isinstance(image, torch.Tensor) or not is_plain(image) or image.dim() != 4 or 0 in image.shape:
        raise ValueError(f"an image is a tensor (B,3,H,W); got {_what(image)}")
    if not image.is_floating_point():
        raise ValueError(f"an image is preprocessed floats, as open_image gives them; got {image.dtype}")
    weight = next((weight for weight in model.parameters() if weight.is_floating_point()), image)
    converted = image.to(weight)
    if not all_finite(converted):
        if not all_finite(image):
            raise ValueError("the image holds NaN or infinity")
        raise ValueError(f"the image goes up to {image.abs().max():.3g}, more than the network's {converted.dtype} can "
                         "hold")
    return converted.clone() if converted.is_inference() else converted


def is_plain(tensor: Tensor) -> bool:
    """Whether a tensor is dense: not sparse, nested, quantised or meta."""
    return not (tensor.is_nested or tensor.is_quantized or tensor.is_meta) and tensor.layout == torch.strided


def short_repr(value: Any) -> str:
    """The repr of a value for a message: at most 80 letters, in one line."""
    return shorten(repr(value), 80)


def _what(given):
    """The shape of an array, the type of anything else: short enough for a message of one line."""
    if isinstance(given, torch.Tensor) and not is_plain(given):
        return f"a {type(given).__name__} that is sparse, nested, quantised or without data"
    return str(tuple(given.shape)) if hasattr(given, "shape") else type(given).__name__


def all_finite(values: Tensor) -> bool:
    """Whether no number of a tensor is NaN or infinite. One pass, which takes a twentieth of isfinite().all()."""
    low, high = values.detach().aminmax()       # both are NaN if one number is
    return math.isfinite(low) and math.isfinite(high)


def gradient(score: Tensor, tensor: Tensor, layer: str) -> Tensor:
    """The gradient of the scores (B,1) of B images with respect to a tensor of them, the output of a layer.

    One image's score does not depend on another image, so the gradient of the sum holds each image's own.
    ValueError if the scores do not depend on the tensor.
    """
    found = None
    if score.requires_grad:
        found, = torch.autograd.grad(score.sum(), tensor, allow_unused=True)
    if found is None:
        raise ValueError(f"no gradient leads from the class score to layer {layer!r}: the score does not depend on it, "
                         "or the model's forward switches gradients off (no_grad, inference_mode, detach)")
    return found


def check_finite(model: nn.Module, image: Tensor, **recorded: Tensor) -> None:
    """ValueError if a tensor that a network computed for an image holds NaN or infinity; it says what causes them.

    recorded: the tensors, by the names that they have in the message.
    """
    for name, values in recorded.items():
        if not all_finite(values):
            weights = [*model.named_parameters(), *model.named_buffers()]
            holders = [name for name, weight in weights
                       if weight.is_floating_point() and weight.numel() and not all_finite(weight)]
            why = (f"they are in its weights, such as {holders[0]!r}" if holders else
                   f"its weights are finite, and the image goes up to {image.abs().max():.3g}: something is divided by "
                   f"zero, or larger than {image.dtype} can hold")
            raise ValueError(f"the network's numbers hold NaN or infinity (first seen in its {name}): no map can be "
                             f"made; {why}")


def logits_of(model: nn.Module, images: Tensor) -> Tensor:
    """Logits (N,C) of images (N,3,H,W), float32, without a graph. The model runs in eval mode and is left as it was.

    Threads may share the model. ValueError for NaN or infinity.
    """
    with undisturbed(model), channel_errors(model, images), torch.no_grad():
        images = as_the_weights(images, model)
        logits = logits_in(model(images)).float()
    check_finite(model, images, logits=logits)
    return logits


def logits_in(output: Any) -> Tensor:
    """The logits (B,C) in what a network returns: a tensor, or an object with a tensor `logits`. ValueError if none."""
    logits = getattr(output, "logits", output)
    if isinstance(logits, torch.Tensor) and logits.dim() == 2 and logits.is_floating_point():
        return logits
    if isinstance(logits, torch.Tensor) and not logits.is_floating_point():
        raise ValueError(f"the model returns {logits.dtype}, not logits (B,C), which are floats")
    shape = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
    raise ValueError(f"the model returns {shape}, not logits (B,C)")


def pick_target(logits: Tensor, target: Target) -> Tensor:
    """Logits (B,C) and None, one class, or B classes -> int64 (B,). None means each image's top class.

    ValueError for a class that the network does not have.
    """
    B, C = logits.shape
    if target is None:
        return logits.argmax(dim=-1)
    given = class_indices(target, B)
    if not (0 <= given.min() and given.max() < C):
        raise ValueError(f"the network has classes 0 to {C - 1}; got target {short_repr(target)}")
    return given.to(logits.device)


def class_indices(target: int | Sequence[int] | Tensor, B: int) -> Tensor:
    """An integer, or B of them -> int64 (B,). ValueError for anything else. The number of classes is not checked."""
    try:
        given = target if isinstance(target, torch.Tensor) else torch.as_tensor(target, device="cpu")
    except (TypeError, ValueError, RuntimeError):       # what torch raises for a name, a ragged list and a None
        raise ValueError(f"a target is a class index, an integer; got {short_repr(target)}") from None
    if not is_plain(given) or given.dtype not in INTEGERS:
        raise ValueError(f"a target is a class index, an integer; got {short_repr(target)}")
    if given.dim() > 1 or given.dim() == 1 and len(given) != B:
        raise ValueError(f"{B} image(s) need one target for all or {B} targets, got shape {tuple(given.shape)}")
    return given.long().expand(B).clone()      # the caller's tensor may change later


def index_in(what: str, index: int, count: int) -> int:
    """0 <= index < count, from an index that may count from the end. ValueError, with the range, if it does not fit.

    what: the word for it in the message, such as "layer".
    """
    if not isinstance(index, Integral) or isinstance(index, bool) or not -count <= index < count:
        raise ValueError(f"the network has {what}s 0 to {count - 1}; got {short_repr(index)}")
    return int(index) % count
