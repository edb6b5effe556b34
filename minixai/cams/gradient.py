"""Methods that read activations and gradients of one pass, and average them in another way than Grad-CAM.

Letters: K channels, h x w positions. A batch passes through in front.
"""
import torch
from torch import Tensor


def elementwise_gradients(gradients: Tensor) -> Tensor:
    """C2 the gradients themselves: gradients (K,h,w) -> weights (K,h,w)

    HiResCAM (Draelos and Carin 2020, https://arxiv.org/abs/2011.08891): the gradients are not averaged, so each
    position has a weight of its own. Before global average pooling and a linear layer it equals Grad-CAM.
    """
    return gradients


def positive_gradients(gradients: Tensor) -> Tensor:
    """C2 positive gradients only: gradients (K,h,w) -> weights (K,h,w)

    LayerCAM (Jiang et al. 2021, IEEE TIP 30). It also works at early layers, where a channel's gradients vary too much
    between positions for their mean to be a useful weight.
    """
    return gradients.clamp(min=0)


def activation_weighted_mean(activations: Tensor, gradients: Tensor) -> Tensor:
    """C2 mean weighted by activation: activations (K,h,w), gradients (K,h,w) -> weights (K,1,1)

    XGrad-CAM (Fu et al. 2020, https://arxiv.org/abs/2008.02312): the mean of the gradients, weighted by the
    activations. A channel whose activations sum to zero has weight 0.
    """
    total = activations.sum(dim=(-2, -1), keepdim=True)
    return (activations * gradients).sum(dim=(-2, -1), keepdim=True) / not_zero(total) * (total != 0)


def plus_plus_weights(activations: Tensor, gradients: Tensor) -> Tensor:
    """C2 second-order weights: activations (K,h,w), gradients (K,h,w) -> weights (K,1,1)

    Grad-CAM++ (Chattopadhay et al. 2018, https://arxiv.org/abs/1710.11063, eq. 19): alpha = g^2 / (2 g^2 + sum(A) g^3)
    at each position, w = sum(alpha relu(g)). The paper differentiates exp(score): its derivatives are powers of g times
    exp(score), one positive factor for the whole image, which M2 cancels. Where g is 0, alpha is 0. Behind a layer
    without ReLU sum(A) may be negative; the denominator then comes near zero, and a few positions dominate the map.
    """
    return plus_plus(activations, gradients, gradients ** 2, gradients ** 3)


def plus_plus(activations: Tensor, first: Tensor, second: Tensor, third: Tensor) -> Tensor:
    """The weights (K,1,1) of Grad-CAM++ from the score's first, second and third derivative, each (K,h,w)."""
    alpha = plus_plus_alpha(second, activations.sum(dim=(-2, -1), keepdim=True) * third)
    return (alpha * first.clamp(min=0)).sum(dim=(-2, -1), keepdim=True)


def plus_plus_alpha(second: Tensor, third_order: Tensor) -> Tensor:
    """Grad-CAM++'s weight of each position (K,h,w): second / (2 second + third_order), 0 where that divides by 0."""
    denominator = 2 * second + third_order
    return second / not_zero(denominator) * (denominator != 0)


def positive_sum(activations: Tensor, weights: Tensor) -> Tensor:
    """C3 sum of what is positive: activations (K,h,w), weights (K,h,w) -> cam (h,w)

    Element-wise Grad-CAM (pytorch-grad-cam's GradCAMElementWise): the ReLU comes before the sum over channels, so
    negative channels cannot cancel positive ones.
    """
    return (weights * activations).clamp(min=0).sum(dim=-3)


def not_zero(values: Tensor) -> Tensor:
    """The values, with 1 in place of every 0, as a denominator."""
    return torch.where(values == 0, 1, values)
