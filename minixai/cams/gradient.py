"""Methods that read one pass: activations and gradients, averaged in another way than Grad-CAM does."""
import torch
from torch import Tensor


def elementwise_gradients(gradients: Tensor) -> Tensor:
    """C2 the gradients themselves: gradients (K,h,w) -> weights (K,h,w)

    HiResCAM (Draelos and Carin 2020, https://arxiv.org/abs/2011.08891). Not averaged, so a feature counts where
    the score reacts to it, not everywhere alike. Before a head that averages (GAP) and is linear, it is Grad-CAM.
    """
    return gradients


def positive_gradients(gradients: Tensor) -> Tensor:
    """C2 positive gradients only: gradients (K,h,w) -> weights (K,h,w)

    LayerCAM (Jiang et al. 2021, IEEE TIP 30): also at early layers, where a mean of gradients says little.
    """
    return gradients.clamp(min=0)


def activation_weighted_mean(activations: Tensor, gradients: Tensor) -> Tensor:
    """C2 mean weighted by activation: activations (K,h,w), gradients (K,h,w) -> weights (K,1,1)

    XGrad-CAM (Fu et al. 2020, https://arxiv.org/abs/2008.02312): gradients count where the feature is. A channel
    that is nowhere on weighs nothing.
    """
    total = activations.sum(dim=(-2, -1), keepdim=True)
    return (activations * gradients).sum(dim=(-2, -1), keepdim=True) / not_zero(total) * (total != 0)


def plus_plus_weights(activations: Tensor, gradients: Tensor) -> Tensor:
    """C2 second-order weights: activations (K,h,w), gradients (K,h,w) -> weights (K,1,1)

    Grad-CAM++ (Chattopadhay et al. 2018, https://arxiv.org/abs/1710.11063, eq. 19): alpha = g^2 / (2 g^2 + sum(A) g^3)
    at each place, w = sum(alpha relu(g)). The paper differentiates exp(score): its derivatives are powers of g times
    exp(score), one positive number for the whole image, which M2 divides out again. Where g is 0, so is alpha. Behind a
    layer without ReLU sum(A) may be negative; then what is divided by comes near zero, and single places outweigh all.
    """
    return plus_plus(activations, gradients, gradients ** 2, gradients ** 3)


def plus_plus(activations, first, second, third):
    """The weights (K,1,1) of Grad-CAM++ from the score's first, second and third derivative, each (K,h,w)."""
    alpha = plus_plus_alpha(second, activations.sum(dim=(-2, -1), keepdim=True) * third)
    return (alpha * first.clamp(min=0)).sum(dim=(-2, -1), keepdim=True)


def plus_plus_alpha(second, third_order):
    """Grad-CAM++'s weight of each position (K,h,w): second / (2 second + third_order), 0 where that divides by 0."""
    denominator = 2 * second + third_order
    return second / not_zero(denominator) * (denominator != 0)


def positive_sum(activations: Tensor, weights: Tensor) -> Tensor:
    """C3 sum of what is positive: activations (K,h,w), weights (K,h,w) -> cam (h,w)

    Element-wise Grad-CAM (implemented in pytorch-grad-cam as GradCAMElementWise): the ReLU comes before the sum, so a
    channel against the class cannot cancel one that is for it.
    """
    return (weights * activations).clamp(min=0).sum(dim=-3)


def not_zero(values):
    """The values, with 1 in place of every 0, to divide by."""
    return torch.where(values == 0, 1, values)
