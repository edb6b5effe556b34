"""Copies of a network with random weights, layer by layer from the top.

The heatmap of a faithful method changes when the weights do. A heatmap that stays the same depends on the image alone.
"""
from collections.abc import Iterator, Sequence

import torch
from torch import nn

from minixai.networks.cnn import CNN
from minixai.networks.vit import ViT
from minixai.trace.common import copy_of


def randomised_copies(model: nn.Module, seed: int = 0,
                      layers: Sequence[str] | None = None) -> Iterator[tuple[str, nn.Module]]:
    """Cascading randomisation (Adebayo et al. 2018, https://arxiv.org/abs/1810.03292): yields (layer, copy).

    In the first copy the top layer is random, in the next the two topmost, in the last all layers. Every copy is a new
    network, and the model is left as it was. layers: dotted names from the top down, by default those of `top_down`.
    ValueError for a name that the model does not have.

    A layer is randomised by shuffling the numbers in each of its tensors (weights, and the statistics of a batch
    norm), which keeps their distribution and so the scale of the signal. The paper draws new initial values instead.
    In a deep network the signal may then vanish: with torch's defaults, the last features of EfficientNet-Lite0 shrink
    from 6 to 5e-8.
    """
    names = top_down(model) if layers is None else list(layers)
    random, done = copy_of(model), set()
    generator = torch.Generator().manual_seed(seed)
    for name in names:
        owners = list(_module(random, name).modules())
        if layers is None and name == names[-1]:
            owners.append(random)           # a ViT's CLS token and position embeddings belong to no part of it
        for tensor in _learned(owners):
            if id(tensor) not in done:      # two layers may share a tensor
                done.add(id(tensor))
                _shuffle(tensor, generator)
        yield name, copy_of(random)


def top_down(model: nn.Module) -> list[str]:
    """The names of a network's layers, from the logits down. ValueError if no layer has weights.

    Of our networks: a CNN's stages, a ViT's blocks. Of any other network: each module with weights of its own, the last
    defined first. If modules run in another order, give `randomised_copies` a list of your own.
    """
    ours = isinstance(model, CNN | ViT)
    parts = _stages(model) if ours else model.named_modules()
    # A stage of ours includes its submodules; a module of another network does not.
    names = [name for name, part in parts if name and any(True for _ in part.parameters(recurse=ours))]
    if not names:
        raise ValueError(f"this {type(model).__name__} has no layers with weights")
    return names[::-1]


def _stages(model):
    """(name, module) of a network of ours: its parts, and each block of a list of blocks."""
    for name, part in model.named_children():
        if isinstance(part, nn.ModuleList):
            yield from ((f"{name}.{number}", block) for number, block in part.named_children())
        else:
            yield name, part


def _module(model, name):
    try:
        return model.get_submodule(name)
    except AttributeError:
        raise ValueError(f"no layer named {name!r} in this model; minixai.evaluation.randomization.top_down(model) "
                         "lists what there is") from None


def _learned(modules):
    """The parameters of these modules, and their buffers of floats. A buffer of a module without parameters is a
    constant, not learned.
    """
    for module in modules:
        weights = list(module.parameters(recurse=False))
        if weights:
            yield from weights
            yield from (buffer for buffer in module.buffers(recurse=False) if buffer.is_floating_point())


def _shuffle(tensor, generator):
    numbers = tensor.detach()               # the same memory, outside of autograd
    order = torch.randperm(numbers.numel(), generator=generator).to(numbers.device)
    numbers.copy_(numbers.flatten()[order].reshape(numbers.shape))
