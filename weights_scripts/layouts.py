"""How other libraries lay out their state dicts, and which of them a file has."""
from collections import namedtuple

from weights_scripts import convert_cnn, convert_vit

# sign: the end of a tensor's name that only this layout has. moves: state dict -> the moves to our names.
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


def layout_of(state, path):
    """The Layout of a state dict. ValueError, with the first names that it has, for one that is not known."""
    for layout in LAYOUTS:
        if any(name in state for name in (layout.sign, f"vit.{layout.sign}", f"deit.{layout.sign}")):
            return layout
    raise ValueError(f"{path}: not a layout that is known here ({'; '.join(layout.title for layout in LAYOUTS)}); "
                     f"its {len(state)} tensors begin with {', '.join(list(state)[:3])}")
