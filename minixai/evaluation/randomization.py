"""The same network with its weights made random, layer by layer from the top.

A map that explains a network has to change when the network forgets what it learned. One that does not shows the
picture, not the network.
"""
import torch
from torch import nn

from minixai.networks.cnn import CNN
from minixai.networks.vit import ViT
from minixai.trace.common import copy_of


def randomised_copies(model, seed=0, layers=None):
    """Cascading randomisation (Adebayo et al. 2018, https://arxiv.org/abs/1810.03292): yields (layer, copy).

    The first copy has the top layer random, the next the two topmost, the last all of them. The model itself is left
    as it was; every copy is a network of its own. layers: dotted names from the top down, if not those of `top_down`.

    A layer is made random by shuffling the numbers in each of its tensors (weights, and the statistics of a batch
    norm). So nothing learned is left, but the sizes are, and so the signal: with fresh initial values a deep network's
    last features may fade away (torch's own leave EfficientNet-Lite0 5e-8 of 6). The paper draws fresh initial values.
    """
    names = top_down(model) if layers is None else list(layers)
    random, done = copy_of(model), set()
    generator = torch.Generator().manual_seed(seed)
    for name in names:
        owners = list(_module(random, name).modules())
        if layers is None and name == names[-1]:
            owners.append(random)           # a ViT itself owns its CLS token and its positions
        for tensor in _learned(owners):
            if id(tensor) not in done:      # one that two layers share was shuffled with the upper
                done.add(id(tensor))
                _shuffle(tensor, generator)
        yield name, copy_of(random)


def top_down(model):
    """Names of a network's layers, the one next to the scores first.

    Ours: a CNN's stages, a ViT's blocks. Any other network: each module that owns weights, the last defined first;
    where that is not the order in which they run, give `randomised_copies` a list of your own.
    """
    ours = isinstance(model, CNN | ViT)
    parts = _stages(model) if ours else model.named_modules()
    # A stage counts with all that is in it, a module of another network by itself.
    names = [name for name, part in parts if name and any(True for _ in part.parameters(recurse=ours))]
    if not names:
        raise ValueError(f"this {type(model).__name__} has no layers with weights")
    return names[::-1]


def _stages(model):
    """A network of ours part by part, and a list of blocks block by block."""
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
    """Weights, and what else was learned beside them. A buffer without weights beside it is a constant, not learned."""
    for module in modules:
        weights = list(module.parameters(recurse=False))
        if weights:
            yield from weights
            yield from (buffer for buffer in module.buffers(recurse=False) if buffer.is_floating_point())


def _shuffle(tensor, generator):
    numbers = tensor.detach()               # the same memory, without a graph to disturb
    order = torch.randperm(numbers.numel(), generator=generator).to(numbers.device)
    numbers.copy_(numbers.flatten()[order].reshape(numbers.shape))
