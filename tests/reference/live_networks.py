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

from minixai.weights import build, load_into
from tests.reference.seeded import LITE0_GAIN, relative_difference, seeded_image, seeded_state
from tests.reference.vits import timm_attention, transformers_attention
from weights_scripts import convert_cnn, convert_vit

LIMIT = 1e-4


def torchvision_cnn(name, convert):
    import torchvision
    return cnn(torchvision.models.get_model(name), name, convert)


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


def vit(theirs, name, attention_of, convert):
    """Logits (or features) and every block's attention, on a square image and, positions interpolated, a wide one."""
    theirs.load_state_dict(seeded_state({key: value.shape for key, value in theirs.state_dict().items()}))
    ours, pairs = build(name), []
    load_into(ours, convert(theirs.state_dict()))
    for size in (14 * 16, 14 * 16), (7 * 16, 14 * 16):
        image = seeded_image(1, 3, *size)
        (logits, attentions), (their_logits, theirs_of_each) = (
            ours.forward_with_attention(image), attention_of(theirs.eval(), image))
        pairs += [(logits, their_logits), *zip(attentions, theirs_of_each, strict=True)]
    return pairs


NETWORKS = [
    ("torchvision resnet18", partial(torchvision_cnn, "resnet18", convert_cnn.from_torchvision_resnet)),
    ("torchvision resnet34", partial(torchvision_cnn, "resnet34", convert_cnn.from_torchvision_resnet)),
    ("torchvision resnet50", partial(torchvision_cnn, "resnet50", convert_cnn.from_torchvision_resnet)),
    ("torchvision vgg16", partial(torchvision_cnn, "vgg16", convert_cnn.from_torchvision_vgg16)),
    ("timm tf_efficientnet_lite0", timm_lite0),
    ("timm deit_tiny_patch16_224", partial(timm_vit, "deit_tiny_patch16_224", "deit_tiny")),
    ("timm vit_small_patch16_224", partial(timm_vit, "vit_small_patch16_224", "vit_small")),
    ("transformers DINOv2 small", dinov2),
]


@torch.no_grad()
def main():
    print(f"{'network':<40} max relative difference")
    worst = 0.0
    for name, pairs in NETWORKS:
        difference = np.max([relative_difference(ours, theirs) for ours, theirs in pairs()])
        worst = np.maximum(worst, difference)       # unlike max(), both keep a NaN
        print(f"{name:<40} {difference:.1e}", flush=True)
    return 0 if worst <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
