"""Compare our network with that of the library that weights come from, if it is installed."""
import importlib.util
from collections.abc import Callable

import torch
from torch import Tensor, nn

TIMM = {"deit_tiny": "deit_tiny_patch16_224", "deit_small": "deit_small_patch16_224",
        "deit_base": "deit_base_patch16_224", "vit_tiny": "vit_tiny_patch16_224", "vit_small": "vit_small_patch16_224",
        "vit_base": "vit_base_patch16_224", "vit_b_16": "vit_base_patch16_224", "dino_small": "vit_small_patch16_224",
        "dino_small8": "vit_small_patch8_224", "dino_base": "vit_base_patch16_224",
        "dinov2_small": "vit_small_patch14_dinov2", "dinov2_base": "vit_base_patch14_dinov2",
        "dinov2_small_reg": "vit_small_patch14_reg4_dinov2", "dinov2_base_reg": "vit_base_patch14_reg4_dinov2",
        "resnet18": "resnet18", "resnet34": "resnet34", "resnet50": "resnet50",
        "efficientnet_lite0": "tf_efficientnet_lite0"}
TORCHVISION = ("resnet18", "resnet34", "resnet50", "vgg16", "vit_b_16")


def in_torchvision(model: nn.Module, state: dict[str, Tensor]) -> nn.Module:
    """torchvision's network of the same name, with a state dict in torchvision's layout."""
    import torchvision
    theirs = torchvision.models.get_model(model.name)
    theirs.load_state_dict(state)
    return theirs.eval()


def in_timm(model: nn.Module, state: dict[str, Tensor]) -> nn.Module:
    """timm's network of the same sizes. timm's own converter reads the publishers' DeiT, DINO and DINOv2 files."""
    import timm
    theirs = timm.create_model(TIMM[model.name], num_classes=len(model.labels))
    if "pos_embed" in state:
        from timm.models.vision_transformer import checkpoint_filter_fn
        state = checkpoint_filter_fn(dict(state), theirs)
    theirs.load_state_dict(state)
    return theirs.eval()


def in_transformers(model: nn.Module, state: dict[str, Tensor]) -> Callable[[Tensor], Tensor]:
    """transformers' network of the same sizes, as a function from an image to its logits or its CLS token.

    It gets our epsilon of the norms: the default of its ViT, 1e-12, differs from that of the training.
    """
    import transformers
    is_dinov2 = any("layer_scale" in name for name in state)
    registers = any("register_tokens" in name for name in state)
    kind = ("Dinov2WithRegisters" if registers else "Dinov2" if is_dinov2 else "ViT")
    config = getattr(transformers, f"{kind}Config")(
        hidden_size=model.norm.weight.numel(), num_hidden_layers=len(model.blocks),
        num_attention_heads=model.blocks[0].attention.heads, intermediate_size=4 * model.norm.weight.numel(),
        image_size=side_of(model), patch_size=model.patch_size, num_labels=len(model.labels),
        num_register_tokens=model.prefix_tokens - 1, layer_norm_eps=model.norm.eps)
    of_kind = getattr(transformers, f"{kind}{'ForImageClassification' if model.labels else 'Model'}")
    theirs, report = of_kind.from_pretrained(None, config=config, state_dict=dict(state), output_loading_info=True)
    if lost := [name for name in report["missing_keys"] if "pooler" not in name]:
        raise ValueError(f"transformers does not find {', '.join(sorted(lost)[:3])} in them")
    theirs.eval()
    return lambda image: theirs(image).logits if model.labels else theirs(image).last_hidden_state[:, 0]


def library_of(state: dict[str, Tensor]) -> tuple[str, Callable]:
    """(library, function that builds its network) for weights in a library's layout."""
    if any("embeddings.patch_embeddings" in each for each in state):
        return "transformers", in_transformers
    if "pos_embed" in state or "conv_stem.weight" in state:
        return "timm", in_timm
    return "torchvision", in_torchvision


def side_of(model: nn.Module) -> int:
    """The side of an image for which no positions are interpolated, because libraries do that in different ways."""
    places = getattr(model, "positions", None)
    return model.preprocess.size[0] if places is None else places.shape[-1] * model.patch_size


@torch.no_grad()
def difference(model: nn.Module, state: dict[str, Tensor]) -> tuple[str, float | str]:
    """(library, largest difference of the logits divided by the largest logit), or (library, why there is none)."""
    library, build = library_of(state)
    if importlib.util.find_spec(library) is None:
        return library, "it is not installed"
    try:
        theirs = build(model, state)
    except Exception as error:      # the library may have any version, and it is not needed
        return library, f"it does not take them: {(str(error).strip() or type(error).__name__).splitlines()[0]}"
    image = torch.randn(1, 3, side_of(model), side_of(model), generator=torch.Generator().manual_seed(0))
    expected = theirs(image)
    largest = expected.abs().max().item()
    return library, (model(image) - expected).abs().max().item() / (largest or 1.0)     # the head may be zero
