"""The relatives of Grad-CAM: each is the recipe of gradcam.py with one stage replaced, most often C2, the weights.

    HiResCAM, LayerCAM          a weight for every place, not only for every channel
    XGrad-CAM, Grad-CAM++       another average of the gradients
    element-wise                the ReLU before the sum over channels
    Eigen-CAM, KPCA-CAM, FEM    no class at all: the strongest pattern in the feature maps
    RandomCAM                   weights without any meaning, to compare with

Letters: K channels, h x w positions. A batch passes through in front.
"""
import torch

from minixai.gradcam import Cam


def place_weights(gradients):
    """C2 the gradients themselves: gradients (K,h,w) -> weights (K,h,w)

    HiResCAM (Draelos and Carin 2020, https://arxiv.org/abs/2011.08891). Not averaged, so a feature counts where
    the score reacts to it, not everywhere alike. Before a head that averages (GAP) and is linear, it is Grad-CAM.
    """
    return gradients


def positive_place_weights(gradients):
    """C2 positive gradients only: gradients (K,h,w) -> weights (K,h,w)

    LayerCAM (Jiang et al. 2021, IEEE TIP 30): also at early layers, where a mean of gradients says little.
    """
    return gradients.clamp(min=0)


def activation_weighted_mean(activations, gradients):
    """C2 mean weighted by activation: activations (K,h,w), gradients (K,h,w) -> weights (K,1,1)

    XGrad-CAM (Fu et al. 2020, https://arxiv.org/abs/2008.02312): gradients count where the feature is. A channel
    that is nowhere on weighs nothing.
    """
    total = activations.sum(dim=(-2, -1), keepdim=True)
    return (activations * gradients).sum(dim=(-2, -1), keepdim=True) / _not_zero(total) * (total != 0)


def plus_plus_weights(activations, gradients):
    """C2 second-order weights: activations (K,h,w), gradients (K,h,w) -> weights (K,1,1)

    Grad-CAM++ (Chattopadhay et al. 2018, https://arxiv.org/abs/1710.11063, eq. 19): alpha = g^2 / (2 g^2 + sum(A) g^3)
    at each place, w = sum(alpha relu(g)). The paper differentiates exp(score): its derivatives are powers of g times
    exp(score), one positive number for the whole image, which M2 divides out again. Where g is 0, so is alpha.
    """
    total = activations.sum(dim=(-2, -1), keepdim=True)
    square = gradients ** 2
    below = 2 * square + total * gradients ** 3
    alpha = square / _not_zero(below) * (below != 0)
    return (alpha * gradients.clamp(min=0)).sum(dim=(-2, -1), keepdim=True)


def positive_sum(activations, weights):
    """C3 sum of what is positive: activations (K,h,w), weights (K,h,w) -> cam (h,w)

    Element-wise Grad-CAM (implemented in pytorch-grad-cam as GradCAMElementWise): the ReLU comes before the sum, so a
    channel against the class cannot cancel one that is for it.
    """
    return (weights * activations).clamp(min=0).sum(dim=-3)


def first_component(activations):
    """C2 strongest pattern: activations (K,h,w) -> weights (K,1,1)

    Eigen-CAM (Muhammad and Yeasin 2020, https://arxiv.org/abs/2008.00299): the first singular vector of the feature
    maps as a matrix K x h·w, not centred. A singular vector has no sign of its own; it is turned so that the map's sum
    is positive, or half of all maps would come out inverted.
    """
    vectors, values, places = torch.linalg.svd(activations.flatten(-2), full_matrices=False)
    sign = torch.where(places[..., 0, :].sum(dim=-1) < 0, -1, 1)
    return (vectors[..., 0] * sign[..., None])[..., None, None]


def first_component_of_evidence(activations, gradients):
    """C2 strongest pattern of the evidence: activations (K,h,w), gradients (K,h,w) -> weights (K,h,w)

    Eigen-Grad-CAM: Eigen-CAM on gradient times activation, and so of one class. C3 multiplies by the activations.
    """
    return first_component(gradients * activations) * gradients


def rare_and_strong(activations):
    """C2 share of strong places: activations (K,h,w) -> weights (K,1,1)

    FEM (Fuad et al. 2020, IPTA): the share of a channel's places that lie two standard deviations above its mean.
    """
    mean = activations.mean(dim=(-2, -1), keepdim=True)
    deviation = activations.std(dim=(-2, -1), keepdim=True, correction=0)
    return (activations > mean + 2 * deviation).to(activations.dtype).mean(dim=(-2, -1), keepdim=True)


def equal_weights(activations):
    """C2 all channels alike: activations (K,h,w) -> weights (K,1,1)"""
    return torch.ones_like(activations[..., :1, :1])


def kernel_component(activations):
    """C3 strongest curved pattern: activations (K,h,w) -> cam (h,w)

    KPCA-CAM (Karmani et al. 2024, https://arxiv.org/abs/2410.00267): the first component of a kernel PCA over the
    places, with the sigmoid kernel tanh(x·y / K + 1) on centred features. Its sign is that of the activations.
    """
    features = activations.flatten(-2).transpose(-2, -1)                # (N,K): what each of N = h·w places holds
    centred = features - features.mean(dim=-2, keepdim=True)
    kernel = torch.tanh(centred @ centred.transpose(-2, -1) / features.shape[-1] + 1)
    kernel = kernel - kernel.mean(dim=-1, keepdim=True)                 # centred in the kernel's own space, both ways
    kernel = kernel - kernel.mean(dim=-2, keepdim=True)
    values, vectors = torch.linalg.eigh((kernel + kernel.transpose(-2, -1)) / 2)
    component = vectors[..., -1] * values[..., -1:].clamp(min=0).sqrt()
    strength = centred.sum(dim=-1)
    sign = torch.where((component * strength).sum(dim=-1, keepdim=True) < 0, -1, 1)
    return (component * sign).unflatten(-1, activations.shape[-2:])


def random_weights(activations):
    """C2 random weights: activations (K,h,w) -> weights (K,1,1)

    RandomCAM: uniform in [-1,1], the same at every call. What it shows comes from the feature maps alone.
    """
    generator = torch.Generator().manual_seed(0)
    weights = 2 * torch.rand(activations.shape[-3], 1, 1, generator=generator) - 1
    return weights.to(activations).expand(*activations.shape[:-2], 1, 1)


def _not_zero(values):
    return torch.where(values == 0, 1, values)


CAMS = {
    "gradcam": Cam(),
    "hirescam": Cam(C2=place_weights),
    "layercam": Cam(C2=positive_place_weights),
    "elementwise": Cam(C2=place_weights, C3=positive_sum),
    "xgradcam": Cam(C2=activation_weighted_mean),
    "gradcampp": Cam(C2=plus_plus_weights),
    "eigencam": Cam(C2=first_component),
    "eigengradcam": Cam(C2=first_component_of_evidence),
    "kpcacam": Cam(C2=equal_weights, C3=kernel_component),
    "fem": Cam(C2=rare_and_strong),
    "randomcam": Cam(C2=random_weights),
}
