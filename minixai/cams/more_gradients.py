"""Methods with more than one backward pass: second derivatives, noisy copies of the image, gradients of every bias.

network: a minixai.trace.network.Network, the recorded network once more.
Letters: K channels, h x w positions, H x W the image, L terms of a sum. A batch passes through in front.
"""
from typing import Any

import torch
from torch import Tensor

from minixai import heatmap
from minixai.cams.gradient import plus_plus
from minixai.progress import watched

COPIES, NOISE = 8, 0.15         # NOISE: standard deviation, as a share of the image's largest minus smallest value


def shapley_weights(activations: Tensor, gradients: Tensor, network: Any) -> Tensor:
    """C2 gradient minus half the curvature: activations (K,h,w), gradients (K,h,w), network -> weights (K,1,1)

    Shapley-CAM (Cai 2025, https://arxiv.org/abs/2501.06261): the mean of g - H A / 2, with H the Hessian of the score
    with respect to A. It is the second-order Taylor expansion of the score at A, evaluated at zero activations;
    Grad-CAM is the first-order one. Where the score is piecewise linear in A, as any logit behind ReLUs, H A is zero
    and this is Grad-CAM.
    """
    return (gradients - network.curvature_along(activations) / 2).mean(dim=(-2, -1), keepdim=True)


def smooth_plus_plus_weights(activations: Tensor, network: Any) -> Tensor:
    """C2 smoothed second-order weights: activations (K,h,w), network -> weights (K,1,1)

    Smooth Grad-CAM++ (Omeiza et al. 2019, https://arxiv.org/abs/1908.01224): Grad-CAM++ with each derivative averaged
    over noisy copies of the image. The paper prints the first derivative in alpha's numerator. Without noise that
    would not be Grad-CAM++, so the numerator here is the second derivative. The noise is 15 % of the image's range,
    within what SmoothGrad (Smilkov et al. 2017) advises, and the same in every call and for every image of a batch.
    """
    sums = [torch.zeros_like(activations) for _ in range(3)]
    for gradients in watched(_gradients_of_noisy_copies(network), "Smooth Grad-CAM++"):
        for power, total in enumerate(sums, start=1):
            total += gradients ** power
    return plus_plus(activations, *(total / COPIES for total in sums))


def _gradients_of_noisy_copies(network):
    image, generator = network.image, torch.Generator().manual_seed(0)
    low, high = (extreme(dim=(-3, -2, -1), keepdim=True) for extreme in (image.amin, image.amax))
    for _ in range(COPIES):
        noise = torch.randn(image.shape[-3:], generator=generator, dtype=torch.float32).to(image)
        yield network.again(image=image + NOISE * (high - low) * noise).gradients


def full_gradient_maps(network: Any) -> Tensor:
    """C2 full gradient, layer by layer: network -> weights (L,H,W)

    FullGrad (Srinivas and Fleuret 2019, https://arxiv.org/abs/1905.00780): the score is exactly the sum of gradient
    times image and, for every layer, gradient times bias. Each of the L terms becomes a map: absolute values, scaled
    to [0,1], upsampled, summed over its channels. As in the authors' code, one scale serves all channels of a layer,
    so that their proportions stay. Biases behind the pooling belong to no position and are left out.
    """
    size = network.image.shape[-2:]
    maps = [_min_max_of_all_channels(term.abs()).sum(dim=-3) for _, term in network.full_gradient() if term.dim() == 4]
    return torch.stack([heatmap.upsample(one, size) for one in maps], dim=-3)


def _min_max_of_all_channels(values):
    return heatmap.min_max(values.flatten(-2)).unflatten(-1, values.shape[-2:])


def sum_of_layers(weights: Tensor) -> Tensor:
    """C3 sum of the layers: weights (L,H,W) -> cam (H,W)"""
    return weights.sum(dim=-3)
