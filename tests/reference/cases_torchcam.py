"""torch-cam 0.5.0, run as installed, against its profiles."""
from functools import partial

import numpy as np
import torch

from minixai.verification.profiles import torchcam as profiles
from tests.reference import networks
from tests.reference.cases import Case
from tests.reference.cases_captum import FINISHED, PLACES, REAL

CLASSES = {"cam": "CAM", "gradcam": "GradCAM", "gradcampp": "GradCAMpp", "xgradcam": "XGradCAM", "layercam": "LayerCAM",
           "smoothgradcampp": "SmoothGradCAMpp", "finercam": "FinerCAM", "scorecam": "ScoreCAM"}
PLACES_OF = {
    "cam": ("stage4", "layer4", "features"),        # before global average pooling and one linear layer
    # Its alpha divides by what comes near zero at other layers; rounding to single precision moves a map by 1e-4 there.
    "smoothgradcampp": ("stage4", "layer4", "squeeze"),
}


def theirs(method, variant, network, image, arguments):
    """One extractor, on scores of a pass that it hooked, then what a user does with the map."""
    from torchcam import methods
    options = {"fc_layer": "head.fc"} if method == "cam" else {}
    with getattr(methods, CLASSES[method])(network, arguments["layer"], **options) as extractor:
        scores = network(image.clone())
        torch.manual_seed(0)                    # Smooth Grad-CAM++ draws its noise from the global generator
        maps = extractor(arguments["target"], scores, normalized=variant != "not normalised")
    maps = extractor.fuse_cams(maps).detach()                   # of one map, that map
    if variant == "resized":
        maps = torch.nn.functional.interpolate(maps[:, None], image.shape[-2:], mode="bilinear")[:, 0]
    return overlaid(maps, image.shape[-2:]) if variant == "overlay_mask" else maps.numpy()


def overlaid(maps, size):
    """The map as overlay_mask has it before it squares and colours it, image by image; in Pillow, so in float32."""
    from PIL import Image
    return np.stack([np.asarray(Image.fromarray(one.float().numpy()).resize(size[::-1], Image.Resampling.BICUBIC))
                     for one in maps])


def case(profile, network, image, targets, layer):
    layers = [layer] if isinstance(layer, str) else layer
    name = "_".join([profile.method, *profile.variant.split(), network.__name__, *layers])
    return Case(name, profile, network, image, {"target": targets, "layer": layer},
                partial(theirs, profile.method, profile.variant))


def fits(profile, network, layer):
    """Whether the method can look there, and whether this finish is tried there."""
    if layer not in PLACES_OF.get(profile.method, (layer,)):
        return False
    if network is networks.lite0 and profile.method not in ("cam", "gradcam", "gradcampp"):     # a pass takes long
        return False
    return not profile.variant or layer in FINISHED


def cases():
    several = [case(profile, networks.twice, networks.images, [1, 4, 2], ["block1.relu", "block2.bn2", "squeeze"])
               for profile in profiles.SEVERAL]
    return several + [
        case(profile, network, image, targets, layer) for network, image, targets, layers in (*PLACES, REAL)
        for layer in layers for profile in profiles.PROFILES if fits(profile, network, layer)]
