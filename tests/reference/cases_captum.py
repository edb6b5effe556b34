"""Captum 0.9.0, run as installed, against its profiles."""
from functools import partial

import numpy as np
import torch

from minixai.verification.profiles import captum as profiles
from tests.reference import networks
from tests.reference.cases import Case

# Network, images, targets of the images, layers: never negative, both signs, overwritten, run twice.
PLACES = (
    (networks.small, networks.images, [0, 3, 2], ("stem", "stage4")),
    (networks.narrow_resnet, networks.wide_images, [3, 1], ("layer2", "layer4")),
    (networks.in_place, networks.images, [4, 1, 0], ("conv1", "norm1", "conv2", "norm2")),
    (networks.twice, networks.images, [1, 4, 2], ("block1.relu", "block2.bn2", "squeeze")),
    (networks.smooth, networks.images, [3, 0, 1], ("act1", "conv2")),
)
REAL = (networks.lite0, networks.cat, [285, 282], ("features", "stage5"))
FINISHED = ("stage4", "norm1")        # where every way to finish a map is tried; elsewhere, the map itself
SIGNS = {"shown absolute": "absolute_value", "shown positive": "positive", "shown signed": "all"}


def theirs(method, variant, network, image, arguments):
    """LayerGradCam or LayerGradientXActivation, then what the variant's words name."""
    from captum.attr import LayerAttribution, LayerGradCam, LayerGradientXActivation
    words, layer = variant.split(", "), network.get_submodule(arguments["layer"])
    target = torch.tensor(arguments["target"])
    if method == "gradcam":
        maps = LayerGradCam(network, layer).attribute(image, target, relu_attributions="relu" in words)
    else:
        maps = LayerGradientXActivation(network, layer).attribute(image, target).sum(dim=1, keepdim=True)
    if "nearest" in words:
        maps = LayerAttribution.interpolate(maps, tuple(image.shape[-2:]))
    if "bilinear" in words:
        maps = LayerAttribution.interpolate(maps, tuple(image.shape[-2:]), "bilinear")
    return shown(maps[:, 0].detach().numpy(), words[-1])


def shown(maps, word):
    """What visualize_image_attr hands to its colour map, or a min-max by hand, image by image."""
    from captum.attr._utils.visualization import _normalize_attr
    if word == "min-max by hand":
        return np.stack([(one - one.min()) / (one.max() - one.min()) for one in maps])
    if word not in SIGNS:
        return maps
    return np.stack([_normalize_attr(one, SIGNS[word], 2) for one in maps])


def case(profile, network, image, targets, layer):
    name = "_".join([profile.method, *profile.variant.replace(",", "").split(), network.__name__, layer])
    return Case(name, profile, network, image, {"target": targets, "layer": layer},
                partial(theirs, profile.method, profile.variant))


def fits(profile, network, layer):
    """Whether this finish is tried there."""
    if network is networks.lite0 and profile.method != "gradcam":       # a pass takes long
        return False
    return not profile.variant or layer in FINISHED


def cases():
    return [case(profile, network, image, targets, layer) for network, image, targets, layers in (*PLACES, REAL)
            for layer in layers for profile in profiles.PROFILES if fits(profile, network, layer)]
