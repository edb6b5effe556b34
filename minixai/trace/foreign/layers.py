"""Which layers of a network return feature maps, in the order in which they run."""
import torch
from torch import Tensor, nn

from minixai.networks.cnn import CNN
from minixai.trace.common import as_the_weights, hooked, undisturbed


def feature_layers(model: nn.Module, image: Tensor) -> list[str]:
    """Dotted names of the modules whose output is feature maps (B,K,h,w) larger than one cell, in order of their runs.

    One forward pass of the first image; the model is left as it was. Threads may share it.
    """
    seen = []

    def note(name):
        def hook(module, inputs, output):
            if isinstance(output, torch.Tensor) and output.dim() == 4 and output.shape[-2:].numel() > 1:
                seen.append(name)
        return hook

    hooks = [(module.register_forward_hook, note(name)) for name, module in model.named_modules() if name]
    with undisturbed(model), hooked(hooks), torch.no_grad():
        model(as_the_weights(image[:1], model))
    return list(dict.fromkeys(seen))        # a module that runs twice is one layer


def layers_to_compare(model: nn.Module, image: Tensor, layer: str, most: int = 16) -> list[str]:
    """Names of up to `most` other layers that may have been read by mistake; image: (B,3,H,W).

    Of a network of ours the stages come first, then what is inside the named stage. Of another network the layers
    around the named one come first, then its outer parts.
    """
    names = [name for name in feature_layers(model, image) if name != layer]
    if isinstance(model, CNN):
        stages = [name for name in model.layers if name != layer]
        inside = [name for name in names if name.startswith(layer.split(".")[0] + ".")]
        return [*reversed(stages), *reversed(inside)][:most]
    coarse = [name for name in names if name.count(".") <= 1]
    family = [name for name in names if layer.startswith(name) or name.startswith(layer)
              or name.rpartition(".")[0] == layer.rpartition(".")[0]]
    return list(dict.fromkeys([*reversed(family), *reversed(coarse)]))[:most]
