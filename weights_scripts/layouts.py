"""The layouts of other libraries' state dicts, and how they are recognised."""
from collections import namedtuple
from pathlib import Path

from torch import Tensor

from weights_scripts import convert_cnn, convert_vit

# sign: the name of a tensor that only this layout has. moves: a function from state dict to moves.
Layout = namedtuple("Layout", "title sign moves")

LAYOUTS = (
    Layout("ResNet of torchvision or timm", "layer1.0.conv1.weight", convert_cnn.torchvision_resnet),
    Layout("VGG16 of torchvision", "features.28.weight", convert_cnn.torchvision_vgg16),
    Layout("EfficientNet of timm", "conv_stem.weight", convert_cnn.timm_efficientnet_lite0),
    Layout("EfficientNet of efficientnet-lite-pytorch", "_conv_stem.weight", convert_cnn.efficientnet_lite_pytorch),
    Layout("ViT of timm, DeiT, DINO and DINOv2", "patch_embed.proj.weight", convert_vit.timm_vit),
    Layout("ViT of torchvision", "conv_proj.weight", convert_vit.torchvision_vit),
    Layout("ViT of transformers", "embeddings.patch_embeddings.projection.weight", convert_vit.transformers_vit),
)


def layout_of(state: dict[str, Tensor], path: Path) -> Layout:
    """The layout of a state dict. ValueError, with its first names, if it is unknown. path: for the message."""
    for layout in LAYOUTS:
        if any(name in state for name in (layout.sign, f"vit.{layout.sign}", f"deit.{layout.sign}")):
            return layout
    raise ValueError(f"{path}: an unknown layout; known are {'; '.join(layout.title for layout in LAYOUTS)}. "
                     f"The first of its {len(state)} tensors are {', '.join(list(state)[:3])}")
