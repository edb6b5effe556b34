"""pytorch-grad-cam 1.5.7 (https://github.com/jacobgil/pytorch-grad-cam): the stages that differ from minixai's.

Most of its methods follow their papers, and its finish (min-max at layer size, bilinear, min-max again) equals
minixai's. Differences come from epsilons, from centring before an SVD, from a softmax over the channels in Score-CAM,
and from the value that Ablation-CAM writes in place of a channel. On a CPU it keeps a layer's output without a copy, so
operations in place later change it; on a GPU it copies first.

Left out: RandomCAM, whose weights are drawn from numpy's global generator; Shapley-CAM where the layer's output is
overwritten or the layer runs twice, because its first and second derivatives are then with respect to different
tensors; Score-CAM and Ablation-CAM with eigen_smooth; RefineCAM, SegEigenCAM and SESS, which are no methods of minixai.
"""
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from minixai.cams import elementwise_gradients, equal_weights
from minixai.gradcam import weighted_sum
from minixai.score import class_score
from minixai.trace import CaptureMode
from minixai.trace.common import Layer, Target
from minixai.verification.profiles.profile import Profile
from minixai.verification.profiles.pytorch_grad_cam_stages import (
    ablation_weights,
    activation_weighted_mean,
    centred_component,
    centred_component_negated,
    difference_weighted_by_probability,
    eigen_smooth,
    eigen_smooth_negated,
    full_gradient_by_channel,
    k_sigma_share,
    kernel_pca_component_sign_flipped,
    min_max_first,
    min_max_with_epsilon,
    plus_plus_weights,
    softmax_of_masked_scores,
)
from minixai.verification.profiles.stages import no_normalisation, no_upsampling

LIBRARY = "pytorch-grad-cam 1.5.7"
ON_A_CPU = CaptureMode(run="first", activations="after")
ON_A_GPU = CaptureMode(run="first")


def mean_of_layers(heatmap_of: Callable, image: Tensor, target: Target, layers: list) -> Tensor:
    """Several target_layers: the mean of their maps (B,H,W), each scaled to [0,1] at its own size, then min-max."""
    maps = [heatmap_of(image, target, layer) for layer in layers]
    return min_max_with_epsilon(torch.stack(maps).mean(dim=0))


def mean_of_views(heatmap_of: Callable, image: Tensor, target: Target, layer: Layer) -> Tensor:
    """aug_smooth=True: the mean of the maps (B,H,W) of six views, without another min-max.

    The views are the image and its mirror image, each times 1, 0.9 and 1.1. Without a target each view explains its own
    top class.
    """
    maps = []
    for factor in (1.0, 0.9, 1.1):
        maps.append(heatmap_of(image * factor, target, layer))
        maps.append(heatmap_of((image * factor).flip(-1), target, layer).flip(-1))
    return torch.stack(maps).mean(dim=0)


FINISH = {"M1": min_max_first, "M2": min_max_with_epsilon}
BY_CHANCE = "Centred before the SVD, whose sign is arbitrary; the ReLU then removes the part with the wrong sign."
EPSILON = "An epsilon in the denominator outweighs small gradients."
SHARES = "Weighs the activations by the share of the k-sigma mask, not the mask by the mean activation."
LARGEST = "The sign is scikit-learn's: the entry of the component with the largest magnitude is made positive."
SOFTMAX = "Weighs by a softmax of logits over the channels, not by probabilities; its masks have align_corners=True."
ABLATES = "Ablates with values ten million below the features unless their minimum is zero, and divides by y, not |y|."
DIFFERENCES = "Weighs the similar classes by their probabilities, and subtracts all that they share (gamma 1, not 0.6)."
LOGIT = "The score is the logit, the library's usual target; behind ReLUs that makes it Grad-CAM."
BY_CHANNEL = "Scales every channel to [0,1] by itself, and finds biases in plain Conv2d and BatchNorm2d layers only."
LAPACK, TURNED = "sign as LAPACK left it", "sign turned"


def _profile(method, departs="", variant="", **stages):
    return Profile(LIBRARY, method, {**FINISH, **stages}, variant, ON_A_CPU, departs)


def _smoothed(method, **stages):
    """eigen_smooth=True, with either sign: the first component of the weighted activations, in place of their sum."""
    either = (_profile(method, BY_CHANCE, f"eigen_smooth, {LAPACK}", C3=eigen_smooth, **stages),
              _profile(method, BY_CHANCE, f"eigen_smooth, {TURNED}", C3=eigen_smooth_negated, **stages))
    return tuple(replace(profile, usual=False) for profile in either)


ONE_WAY = (
    _profile("gradcam"),
    _profile("hirescam"),
    _profile("layercam"),
    _profile("elementwise"),
    _profile("xgradcam", C2=activation_weighted_mean),
    _profile("gradcampp", EPSILON, C2=plus_plus_weights),
    _profile("fem", SHARES, C2=k_sigma_share, C3=weighted_sum),
    _profile("kpcacam", LARGEST, C3=kernel_pca_component_sign_flipped),
    _profile("scorecam", SOFTMAX, C2=softmax_of_masked_scores),
    _profile("ablationcam", ABLATES, C2=ablation_weights),
    _profile("finercam", DIFFERENCES, C1=difference_weighted_by_probability),
)
GPU = tuple(replace(profile, variant="on a GPU", capture=ON_A_GPU) for profile in ONE_WAY)
EITHER_SIGN = (
    _profile("eigencam", BY_CHANCE, LAPACK, C2=equal_weights, C3=centred_component),
    _profile("eigencam", BY_CHANCE, TURNED, C2=equal_weights, C3=centred_component_negated),
    _profile("eigengradcam", BY_CHANCE, LAPACK, C2=elementwise_gradients, C3=eigen_smooth),
    _profile("eigengradcam", BY_CHANCE, TURNED, C2=elementwise_gradients, C3=eigen_smooth_negated),
    *_smoothed("gradcam"),
    *_smoothed("hirescam"),
    *_smoothed("layercam"),
    *_smoothed("xgradcam", C2=activation_weighted_mean),
    *_smoothed("gradcampp", C2=plus_plus_weights),
)
WITHOUT_COPIES = tuple(replace(profile, capture=CaptureMode()) for profile in (
    _profile("shapleycam", LOGIT, C1=class_score),
    _profile("shapleycam", variant="ReST"),
    _profile("fullgrad", BY_CHANNEL, C2=full_gradient_by_channel, M1=no_upsampling),
))
PROFILES = ONE_WAY + GPU + EITHER_SIGN + WITHOUT_COPIES

# Not among PROFILES, which all look at one layer of one image; heatmap_as takes these too.
SEVERAL = tuple(
    replace(profile, stages={**profile.stages, **stages}, variant=variant, over=over, usual=False)
    for profile in ONE_WAY if profile.method != "finercam"
    for variant, over, stages in (("several layers", mean_of_layers, {"M2": no_normalisation}),
                                  ("aug_smooth", mean_of_views, {})))
# What its class GradCAM computes, which compat.GradCAM gives.
GRADCAM_OF_LAYERS = next(one for one in SEVERAL if one.method == "gradcam" and one.over is mean_of_layers)
GRADCAM_OF_LAYERS_ON_A_GPU = replace(GRADCAM_OF_LAYERS, capture=ON_A_GPU)
