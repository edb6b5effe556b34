"""pytorch-grad-cam 1.5.7, run as installed, against its profiles."""
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from functools import partial
from io import StringIO
from unittest.mock import patch

import numpy as np
import torch

from minixai.verification.profiles import pytorch_grad_cam as profiles
from tests.reference import networks
from tests.reference.cases import Case

CLASSES = {"gradcam": "GradCAM", "hirescam": "HiResCAM", "layercam": "LayerCAM", "elementwise": "GradCAMElementWise",
           "xgradcam": "XGradCAM", "gradcampp": "GradCAMPlusPlus", "fem": "FEM", "kpcacam": "KPCA_CAM",
           "scorecam": "ScoreCAM", "ablationcam": "AblationCAM", "eigencam": "EigenCAM", "eigengradcam": "EigenGradCAM",
           "finercam": "FinerCAM", "shapleycam": "ShapleyCAM", "fullgrad": "FullGrad"}
# Network, images, targets of the images, layers: never negative, deep, overwritten, run twice, of both signs.
PLACES = (
    (networks.small, networks.images, [0, 3, 2], ("stage2", "stage4")),
    (networks.narrow_resnet, networks.wide_images, [3, 1], ("layer2", "layer3")),
    (networks.in_place, networks.images, [4, 1, 0], ("norm1", "conv2", "norm2")),
    (networks.twice, networks.images, [1, 4, 2], ("block1.relu", "block2.bn2", "squeeze")),
    (networks.smooth, networks.images, [3, 0, 1], ("act1", "conv2")),
)
OVERWRITTEN_OR_TWICE = ("norm1", "norm2", "block1.relu", "block2.bn2")
# Elsewhere rounding may decide the sign: a channel that is zero but for rounding has LAPACK reflect it either way.
WHERE_SMOOTHED = ("stage2", "norm2", "squeeze", "conv2")
REAL = (("gradcampp", "features"), ("layercam", "stage5"))


def theirs(profile, network, image, arguments):
    """The map of one of the library's classes, quietly."""
    import pytorch_grad_cam
    make, names = getattr(pytorch_grad_cam, CLASSES[profile.method]), arguments["layer"]
    layers = [network.get_submodule(name) for name in ([names] if isinstance(names, str) else names)]
    with ExitStack() as stack:
        for change in (redirect_stderr(StringIO()), redirect_stdout(StringIO()), *changes(profile)):
            stack.enter_context(change)
        if profile.method == "finercam":            # its own choice of classes knows one target for all images
            return np.concatenate([make(network, layers)(one[None], target_idx=target)
                                   for one, target in zip(image, arguments["target"])])
        cam = stack.enter_context(make(network, [] if profile.method == "fullgrad" else layers))
        return cam(image.clone(), targets(profile, arguments["target"]), aug_smooth=profile.variant == "aug_smooth",
                   eigen_smooth="eigen_smooth" in profile.variant)


def targets(profile, classes):
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputReST, ClassifierOutputTarget
    make = ClassifierOutputReST if profile.variant == "ReST" else ClassifierOutputTarget
    return [make(target) for target in classes]


@contextmanager
def as_on_a_gpu():
    """Where .cpu() copies. On a CPU it returns the same tensor, and that is all the difference."""
    with patch.object(torch.Tensor, "cpu", torch.Tensor.clone):
        yield


@contextmanager
def the_other_sign():
    """An SVD whose vectors are all turned, as another LAPACK might give them: U S V = (-U) S (-V)."""
    svd = np.linalg.svd

    def turned(matrix, **options):
        U, S, V = svd(matrix, **options)
        return -U, S, -V

    with patch.object(np.linalg, "svd", turned):
        yield


def changes(profile):
    if profile.variant == "on a GPU":
        return [as_on_a_gpu()]
    return [the_other_sign()] if profile.variant.endswith(profiles.TURNED) else []


def case(profile, network, image, targets, layer):
    where = layer if isinstance(layer, str) else "+".join(layer)
    name = "_".join([profile.method, *profile.variant.replace(",", "").split(), network.__name__, where])
    return Case(name, profile, network, image, {"target": targets, "layer": layer}, partial(theirs, profile))


def fits(profile, layer):
    """Whether a variant is worth a case at that layer."""
    if profile.variant == "on a GPU":
        return layer in OVERWRITTEN_OR_TWICE
    if profile.method == "shapleycam" and layer in OVERWRITTEN_OR_TWICE:
        return False
    return "eigen_smooth" not in profile.variant or layer in WHERE_SMOOTHED


def cases():
    every = [case(profile, network, image, targets, layer) for network, image, targets, layers in PLACES
             for layer in layers for profile in profiles.PROFILES if fits(profile, layer)]
    where = {"several layers": ["act1", "conv2"], "aug_smooth": "act2"}
    several = [case(profile, networks.smooth, networks.images, [3, 0, 1], where[profile.variant])
               for profile in profiles.SEVERAL]
    usual = {profile.method: profile for profile in profiles.ONE_WAY}
    real = [case(usual[method], networks.lite0, networks.cat, [285, 282], layer) for method, layer in REAL]
    return every + several + real
