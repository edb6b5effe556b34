"""C2 to C4 done wrong. Each function is the mistake, and its first line says which.

Letters: K channels, h x w positions. A batch passes through in front.
"""
from torch import Tensor

from minixai.cams import (
    activation_weighted_mean,
    elementwise_gradients,
    equal_weights,
    mean_activations,
    plus_plus_weights,
    positive_gradients,
    positive_sum,
)
from minixai.cams.gradient import plus_plus_alpha
from minixai.gradcam import channel_weights, rectify, weighted_sum
from minixai.verification.mistakes import Mistake
from minixai.verification.profiles.stages import no_relu


def maximum_of_gradients(gradients: Tensor) -> Tensor:
    """C2 maximum instead of mean: gradients (K,h,w) -> weights (K,1,1)"""
    return gradients.amax(dim=(-2, -1), keepdim=True)


def sum_of_gradients(gradients: Tensor) -> Tensor:
    """C2 sum instead of mean: gradients (K,h,w) -> weights (K,1,1)"""
    return gradients.sum(dim=(-2, -1), keepdim=True)


def mean_of_absolute_gradients(gradients: Tensor) -> Tensor:
    """C2 absolute gradients: gradients (K,h,w) -> weights (K,1,1)"""
    return gradients.abs().mean(dim=(-2, -1), keepdim=True)


def mean_of_positive_gradients(gradients: Tensor) -> Tensor:
    """C2 clamped gradients: gradients (K,h,w) -> weights (K,1,1)"""
    return gradients.clamp(min=0).mean(dim=(-2, -1), keepdim=True)


def clamped_weights(gradients: Tensor) -> Tensor:
    """C2 clamped weights: gradients (K,h,w) -> weights (K,1,1)"""
    return channel_weights(gradients).clamp(min=0)


def absolute_weights(gradients: Tensor) -> Tensor:
    """C2 absolute weights: gradients (K,h,w) -> weights (K,1,1)"""
    return channel_weights(gradients).abs()


def mean_over_channels(gradients: Tensor) -> Tensor:
    """C2 mean over channels instead of positions: gradients (K,h,w) -> weights (1,h,w)"""
    return gradients.mean(dim=-3, keepdim=True)


def mean_over_rows_only(gradients: Tensor) -> Tensor:
    """C2 mean over one axis, the rows: gradients (K,h,w) -> weights (K,1,w)"""
    return gradients.mean(dim=-2, keepdim=True)


def mean_over_columns_only(gradients: Tensor) -> Tensor:
    """C2 mean over one axis, the columns: gradients (K,h,w) -> weights (K,h,1)"""
    return gradients.mean(dim=-1, keepdim=True)


def softmax_of_weights(gradients: Tensor) -> Tensor:
    """C2 softmax over the weights: gradients (K,h,w) -> weights (K,1,1)"""
    return channel_weights(gradients).softmax(dim=-3)


def absolute_gradients(gradients: Tensor) -> Tensor:
    """C2 absolute gradients of each place: gradients (K,h,w) -> weights (K,h,w)"""
    return gradients.abs()


def unweighted_share(activations: Tensor, gradients: Tensor) -> Tensor:
    """C2 not divided by the activations' sum: activations (K,h,w), gradients (K,h,w) -> weights (K,1,1)"""
    return (activations * gradients).sum(dim=(-2, -1), keepdim=True)


def plus_plus_without_relu(activations: Tensor, gradients: Tensor) -> Tensor:
    """C2 second-order weights without the ReLU: activations (K,h,w), gradients (K,h,w) -> weights (K,1,1)"""
    third_order = activations.sum(dim=(-2, -1), keepdim=True) * gradients ** 3
    return (plus_plus_alpha(gradients ** 2, third_order) * gradients).sum(dim=(-2, -1), keepdim=True)


def plus_plus_of_each_place(activations: Tensor, gradients: Tensor) -> Tensor:
    """C2 second-order weights, A g^3 not summed: activations (K,h,w), gradients (K,h,w) -> weights (K,1,1)"""
    alpha = plus_plus_alpha(gradients ** 2, activations * gradients ** 3)
    return (alpha * gradients.clamp(min=0)).sum(dim=(-2, -1), keepdim=True)


def sum_of_weights(activations: Tensor, weights: Tensor) -> Tensor:
    """C3 activations not multiplied: activations (K,h,w), weights (K,1,1) -> cam (h,w)"""
    return weights.expand_as(activations).sum(dim=-3)


def maximum_over_channels(activations: Tensor, weights: Tensor) -> Tensor:
    """C3 maximum over channels instead of sum: activations (K,h,w), weights (K,1,1) -> cam (h,w)"""
    return (weights * activations).amax(dim=-3)


def mean_of_channels(activations: Tensor, weights: Tensor) -> Tensor:
    """C3 mean over channels instead of sum: activations (K,h,w), weights (K,1,1) -> cam (h,w)"""
    return (weights * activations).mean(dim=-3)


def absolute_sum(activations: Tensor, weights: Tensor) -> Tensor:
    """C3 sum of absolute values: activations (K,h,w), weights (K,1,1) -> cam (h,w)"""
    return (weights * activations).abs().sum(dim=-3)


def channels_in_another_order(activations: Tensor, weights: Tensor) -> Tensor:
    """C3 weights one channel off: activations (K,h,w), weights (K,1,1) -> cam (h,w)"""
    return (weights.roll(1, dims=-3) * activations).sum(dim=-3)


def absolute_value(cam: Tensor) -> Tensor:
    """C4 absolute value: cam (h,w) -> coarse (h,w)"""
    return cam.abs()


def negative_evidence(cam: Tensor) -> Tensor:
    """C4 the negative part: cam (h,w) -> coarse (h,w)"""
    return (-cam).clamp(min=0)


MEAN = "mean of the gradients over all positions: gradcam.channel_weights, eq. 1"
SUM = "every feature map times its weight, added: gradcam.weighted_sum, eq. 2"
RELU = "only what is positive stays, after the sum: gradcam.rectify, eq. 2"
PLACE = "a weight for every place: cams.elementwise_gradients, cams.positive_gradients"
OF_MEAN, OF_SUM = (channel_weights,), (weighted_sum,)
OF_PLACE = (elementwise_gradients, positive_gradients)

MISTAKES = [
    Mistake("C2", "the gradients' maximum in place of their mean", maximum_of_gradients, MEAN, OF_MEAN),
    Mistake("C2", "the gradients' sum in place of their mean", sum_of_gradients, MEAN, OF_MEAN),
    Mistake("C2", "absolute gradients", mean_of_absolute_gradients, MEAN, OF_MEAN),
    Mistake("C2", "gradients clamped at zero before the mean", mean_of_positive_gradients, MEAN, OF_MEAN),
    Mistake("C2", "weights clamped at zero", clamped_weights, MEAN, OF_MEAN),
    Mistake("C2", "absolute weights", absolute_weights, MEAN, OF_MEAN),
    Mistake("C2", "mean over channels in place of positions", mean_over_channels, MEAN, OF_MEAN),
    Mistake("C2", "mean over rows only", mean_over_rows_only, MEAN, OF_MEAN),
    Mistake("C2", "mean over columns only", mean_over_columns_only, MEAN, OF_MEAN),
    Mistake("C2", "softmax over the weights", softmax_of_weights, MEAN, OF_MEAN),
    Mistake("C2", "activations in place of gradients", mean_activations, MEAN, OF_MEAN),
    Mistake("C2", "no weights: every channel counts one", equal_weights, MEAN),
    Mistake("C2", "gradients not averaged", elementwise_gradients, MEAN, OF_MEAN),
    Mistake("C2", "gradients averaged over the places", channel_weights, PLACE, OF_PLACE),
    Mistake("C2", "gradients not clamped", elementwise_gradients, PLACE, (positive_gradients,)),
    Mistake("C2", "gradients clamped", positive_gradients, PLACE, (elementwise_gradients,)),
    Mistake("C2", "absolute gradients", absolute_gradients, PLACE, OF_PLACE),
    Mistake("C2", "not divided by the activations' sum", unweighted_share,
            "a mean weighted by activation: cams.activation_weighted_mean", (activation_weighted_mean,)),
    Mistake("C2", "alpha times the gradient without its ReLU", plus_plus_without_relu,
            "eq. 19: cams.plus_plus_weights", (plus_plus_weights,)),
    Mistake("C2", "A g^3 of each place in place of the sum of A", plus_plus_of_each_place,
            "eq. 19, the denominator: cams.plus_plus_weights", (plus_plus_weights,)),
    Mistake("C3", "activations not multiplied", sum_of_weights, SUM, OF_SUM),
    Mistake("C3", "the channels' maximum in place of their sum", maximum_over_channels, SUM, OF_SUM),
    Mistake("C3", "the channels' mean in place of their sum", mean_of_channels, SUM, OF_SUM),
    Mistake("C3", "sum of absolute values", absolute_sum, SUM, OF_SUM),
    Mistake("C3", "weights one channel off", channels_in_another_order, SUM, OF_SUM),
    Mistake("C3", "ReLU a stage early, before the sum", positive_sum, RELU, OF_SUM),
    Mistake("C3", "no ReLU before the sum", weighted_sum, "cams.positive_sum", (positive_sum,)),
    Mistake("C4", "no ReLU", no_relu, RELU, (rectify,)),
    Mistake("C4", "absolute value in place of the ReLU", absolute_value, RELU, (rectify,)),
    Mistake("C4", "the negative part in place of the positive", negative_evidence, RELU, (rectify,)),
]
