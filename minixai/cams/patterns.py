"""Class-independent methods: principal components and statistics of the feature maps, and random weights.

Letters: K channels, h x w positions. A batch passes through in front.
"""
import torch
from torch import Tensor

from minixai.gradcam import channel_weights


def first_component(activations: Tensor) -> Tensor:
    """C2 first principal component: activations (K,h,w) -> weights (K,1,1)

    Eigen-CAM (Muhammad and Yeasin 2020, https://arxiv.org/abs/2008.00299): the first left singular vector of the
    feature maps as a matrix K x h·w, not centred. The sign of a singular vector is arbitrary. It is chosen so that the
    sum of the map is positive.
    """
    vectors, values, places = torch.linalg.svd(activations.flatten(-2), full_matrices=False)
    sign = torch.where(places[..., 0, :].sum(dim=-1) < 0, -1, 1)
    return (vectors[..., 0] * sign[..., None])[..., None, None]


def first_component_of_gradient_times_activation(activations: Tensor, gradients: Tensor) -> Tensor:
    """C2 first component of gradient times activation: activations (K,h,w), gradients (K,h,w) -> weights (K,h,w)

    Eigen-Grad-CAM: Eigen-CAM on gradient times activation, which makes it class-specific. C3 multiplies by the
    activations.
    """
    return first_component(gradients * activations) * gradients


def mean_activations(activations: Tensor) -> Tensor:
    """C2 mean activation: activations (K,h,w) -> weights (K,1,1)

    FEM (Fuad et al. 2020, IPTA): a channel's weight is its mean activation.
    """
    return channel_weights(activations)         # the same mean over positions, of other values


def sum_of_k_sigma_masks(activations: Tensor, weights: Tensor) -> Tensor:
    """C3 weighted sum of k-sigma masks: activations (K,h,w), weights (K,1,1) -> cam (h,w)

    FEM: a channel's mask is 1 where its activation is more than k = 2 standard deviations above its mean, and else 0.
    """
    return (weights * k_sigma_masks(activations)).sum(dim=-3)


def k_sigma_masks(activations: Tensor, k: float = 2) -> Tensor:
    """FEM's masks: activations (K,h,w) -> bool (K,h,w), true above the channel's mean plus k standard deviations."""
    deviation = activations.std(dim=(-2, -1), keepdim=True, correction=0)
    return activations > mean_activations(activations) + k * deviation


def equal_weights(activations: Tensor) -> Tensor:
    """C2 equal weights: activations (K,h,w) -> weights (K,1,1)"""
    return torch.ones_like(activations[..., :1, :1])


def kernel_pca_component(activations: Tensor) -> Tensor:
    """C3 first kernel principal component: activations (K,h,w) -> cam (h,w)

    KPCA-CAM (Karmani et al. 2024, https://arxiv.org/abs/2410.00267): the first component of a kernel PCA over the
    positions, with the sigmoid kernel tanh(x·y / K + 1) on centred features. Its sign is that of the activations.
    """
    features = activations.flatten(-2).transpose(-2, -1)                # (N,K), N = h·w positions
    centred = features - features.mean(dim=-2, keepdim=True)
    kernel = torch.tanh(centred @ centred.transpose(-2, -1) / features.shape[-1] + 1)
    kernel = kernel - kernel.mean(dim=-1, keepdim=True)                 # centred in feature space: rows and columns
    kernel = kernel - kernel.mean(dim=-2, keepdim=True)
    values, vectors = torch.linalg.eigh((kernel + kernel.transpose(-2, -1)) / 2)
    component = vectors[..., -1] * values[..., -1:].clamp(min=0).sqrt()
    strength = centred.sum(dim=-1)
    sign = torch.where((component * strength).sum(dim=-1, keepdim=True) < 0, -1, 1)
    return (component * sign).unflatten(-1, activations.shape[-2:])


def random_weights(activations: Tensor) -> Tensor:
    """C2 random weights: activations (K,h,w) -> weights (K,1,1)

    RandomCAM: uniform in [-1,1], the same in every call. The map depends on the feature maps alone.
    """
    generator = torch.Generator().manual_seed(0)
    drawn = torch.rand(activations.shape[-3], 1, 1, generator=generator, dtype=torch.float32)
    weights = 2 * drawn - 1
    return weights.to(activations).expand(*activations.shape[:-2], 1, 1)
