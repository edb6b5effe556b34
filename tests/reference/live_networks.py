"""Our networks against the libraries' own, live and at full size: same weights, same images, same logits?

Run it where the libraries are installed (requirements.txt in this folder):

    python -m tests.reference.live_networks

It prints one line for each network and exits 1 if any is more than 1e-4 of its largest value away. A further network
is a further row of NETWORKS: a name, and a function without arguments that returns a list of pairs (ours, theirs) of
tensors that should be equal.
"""
import sys
from functools import partial

import numpy as np
import torch

from minixai.networks.registry import build, load_into
from tests.reference.near import SINGLE, relative_difference
from tests.reference.record_networks import dino_shapes, layer_scales, transformers_vit_shapes
from tests.reference.seeded import LITE0_GAIN, seeded_image, seeded_state
from tests.reference.vits import (
    timm_attention,
    torchvision_attention,
    transformers_attention,
    transformers_logits,
)
from weights_scripts import convert_cnn, convert_vit


def torchvision_cnn(name, convert):
    import torchvision
    return cnn(torchvision.models.get_model(name), name, convert)


def timm_resnet50():
    import timm
    return cnn(timm.create_model("resnet50"), "resnet50", convert_cnn.from_torchvision_resnet)


def timm_lite0():
    import timm
    return cnn(timm.create_model("tf_efficientnet_lite0"), "efficientnet_lite0",
               convert_cnn.from_timm_efficientnet_lite0, gain=LITE0_GAIN)


def cnn(theirs, name, convert, gain=1.0):
    """Logits of our network and of theirs on two images whose sides are odd and differ."""
    theirs.load_state_dict(seeded_state({key: value.shape for key, value in theirs.state_dict().items()}, gain))
    ours = build(name)
    load_into(ours, convert(theirs.state_dict()))
    image = seeded_image(2, 3, 97, 131)
    return [(ours(image), theirs.eval()(image))]


def timm_vit(library_name, name):
    import timm
    theirs = timm.create_model(library_name, dynamic_img_size=True)
    return vit(theirs, name, timm_attention, convert_vit.from_timm_vit)


def dinov2():
    from transformers import Dinov2Config, Dinov2Model
    config = Dinov2Config(hidden_size=384, num_attention_heads=6, image_size=518, attn_implementation="eager")
    return vit(Dinov2Model(config), "dinov2_small", transformers_attention, convert_vit.from_transformers_dinov2)


def torchvision_vit():
    import torchvision
    return vit(torchvision.models.vit_b_16(), "vit_b_16", torchvision_attention, convert_vit.from_torchvision_vit,
               sizes=[(224, 224)])


def published_by_meta(library_name, name, shapes, sizes):
    """timm's network with a file as DINO's or DINOv2's authors publish it, which timm's own converter has read."""
    import timm
    from timm.models.vision_transformer import checkpoint_filter_fn
    theirs, state = timm.create_model(library_name, num_classes=0, dynamic_img_size=True), seeded_state(shapes)
    theirs.load_state_dict(checkpoint_filter_fn(dict(state), theirs))
    ours = build(name)
    load_into(ours, convert_vit.from_timm_vit(state))
    return both(ours, theirs, timm_attention, sizes)


def dinov2_shapes(D, registers):
    shapes = dino_shapes(14, 37, D, 12) | layer_scales(D, 12) | {"mask_token": (1, D)}
    return shapes | ({"register_tokens": (1, 4, D)} if registers else {})


def transformers_vit():
    """Published names, and transformers' usual 1e-12 in the norms; ours have the 1e-6 that they were trained with."""
    from transformers import ViTConfig, ViTForImageClassification
    state = seeded_state(transformers_vit_shapes(192, 12, 16, 14, 1000))
    config = ViTConfig(hidden_size=192, num_attention_heads=3, intermediate_size=768, num_labels=1000,
                       attn_implementation="eager")
    theirs = ViTForImageClassification.from_pretrained(None, config=config, state_dict=dict(state))
    ours = build("deit_tiny")
    load_into(ours, convert_vit.from_transformers_vit(state))
    return both(ours, theirs, transformers_logits, [(224, 224)])


def vit(theirs, name, attention_of, convert, sizes=((224, 224), (112, 224))):
    """Both networks with the same seeded weights, on a square image and, positions interpolated, a wide one."""
    theirs.load_state_dict(seeded_state({key: value.shape for key, value in theirs.state_dict().items()}))
    ours = build(name)
    load_into(ours, convert(theirs.state_dict()))
    return both(ours, theirs, attention_of, sizes)


def both(ours, theirs, attention_of, sizes):
    """Logits (or features) and every block's attention on an image of each size."""
    pairs = []
    for size in sizes:
        image = seeded_image(1, 3, *size)
        (logits, attentions), (their_logits, theirs_of_each) = (
            ours.forward_with_attention(image), attention_of(theirs.eval(), image))
        pairs += [(logits, their_logits), *zip(attentions, theirs_of_each, strict=True)]
    return pairs


# timm interpolates positions with a filter against aliasing, DINO and DINOv2 (without registers) do not.
AS_LEARNED, AND_WIDE = [(518, 518)], [(518, 518), (224, 448)]
NETWORKS = [
    ("torchvision resnet18", partial(torchvision_cnn, "resnet18", convert_cnn.from_torchvision_resnet)),
    ("torchvision resnet34", partial(torchvision_cnn, "resnet34", convert_cnn.from_torchvision_resnet)),
    ("torchvision resnet50", partial(torchvision_cnn, "resnet50", convert_cnn.from_torchvision_resnet)),
    ("torchvision vgg16", partial(torchvision_cnn, "vgg16", convert_cnn.from_torchvision_vgg16)),
    ("timm resnet50", timm_resnet50),
    ("timm tf_efficientnet_lite0", timm_lite0),
    ("timm deit_tiny_patch16_224", partial(timm_vit, "deit_tiny_patch16_224", "deit_tiny")),
    ("timm vit_small_patch16_224", partial(timm_vit, "vit_small_patch16_224", "vit_small")),
    ("timm vit_base_patch16_224", partial(timm_vit, "vit_base_patch16_224", "vit_base")),
    ("torchvision vit_b_16", torchvision_vit),
    ("DINO ViT-S/16 in timm", partial(published_by_meta, "vit_small_patch16_224", "dino_small",
                                      dino_shapes(16, 14, 384, 12), [(224, 224)])),
    ("DINO ViT-S/8 in timm", partial(published_by_meta, "vit_small_patch8_224", "dino_small8",
                                     dino_shapes(8, 28, 384, 12), [(224, 224)])),
    ("DINO ViT-B/16 in timm", partial(published_by_meta, "vit_base_patch16_224", "dino_base",
                                      dino_shapes(16, 14, 768, 12), [(224, 224)])),
    ("DINOv2 ViT-S/14 in timm", partial(published_by_meta, "vit_small_patch14_dinov2", "dinov2_small",
                                        dinov2_shapes(384, registers=False), AS_LEARNED)),
    ("DINOv2 ViT-B/14 in timm", partial(published_by_meta, "vit_base_patch14_dinov2", "dinov2_base",
                                        dinov2_shapes(768, registers=False), AS_LEARNED)),
    ("DINOv2 ViT-S/14, registers, in timm", partial(published_by_meta, "vit_small_patch14_reg4_dinov2",
                                                    "dinov2_small_reg", dinov2_shapes(384, registers=True), AND_WIDE)),
    ("DINOv2 ViT-B/14, registers, in timm", partial(published_by_meta, "vit_base_patch14_reg4_dinov2",
                                                    "dinov2_base_reg", dinov2_shapes(768, registers=True), AS_LEARNED)),
    ("transformers DINOv2 small", dinov2),
    ("transformers ViT-Ti/16", transformers_vit),
]


@torch.no_grad()
def main():
    print(f"{'network':<40} max relative difference")
    worst = 0.0
    for name, pairs in NETWORKS:
        difference = np.max([relative_difference(ours, theirs) for ours, theirs in pairs()])
        worst = np.maximum(worst, difference)       # unlike max(), both keep a NaN
        print(f"{name:<40} {difference:.1e}", flush=True)
    return 0 if worst <= SINGLE else 1


if __name__ == "__main__":
    sys.exit(main())
