"""Grad-CAM in three lines of arithmetic (Selvaraju et al. 2017, https://arxiv.org/abs/1610.02391, equations 1 and 2).

    C1  A, g = the feature maps of one layer, and the gradient of the class score with respect to them      (trace/)
    C2  w_k  = mean of g_k over all positions        how much the score rises per unit of feature k      (eq. 1)
    C3  S    = sum over k of w_k A_k                  where the features are that the score rises with    (eq. 2)
    C4  L    = max(S, 0)                              keep what speaks for the class, drop what is against (eq. 2)

Then M1 and M2 (heatmap.py) bring the coarse map to the image's size and to [0,1].

Letters: K channels, h x w positions. A batch, if there is one, is a dimension in front, and passes through.
"""
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from minixai import heatmap, recipe
from minixai.score import class_score


def channel_weights(gradients: Tensor) -> Tensor:
    """C2 channel weights: gradients (K,h,w) -> weights (K,1,1)

    One number per feature map: the mean of its gradients over all positions (eq. 1; Z = h·w there).
    """
    return gradients.mean(dim=(-2, -1), keepdim=True)


def weighted_sum(activations: Tensor, weights: Tensor) -> Tensor:
    """C3 weighted sum: activations (K,h,w), weights (K,1,1) -> cam (h,w)

    Features that speak for the class add, features that speak against it subtract (eq. 2, inside the ReLU).
    """
    return (weights * activations).sum(dim=-3)


def rectify(cam: Tensor) -> Tensor:
    """C4 rectify: cam (h,w) -> coarse (h,w)

    Negative cells are evidence against the class, often for another one; the method shows only evidence for it (eq. 2).
    """
    return cam.clamp(min=0)


@dataclass(frozen=True)
class Cam:
    """The CNN recipe. As it stands it is Grad-CAM; a relative of Grad-CAM is Cam(C2=another_weight)."""
    C1: Callable = recipe.stage("score", class_score, recorded=True)
    C2: Callable = recipe.stage("weights", channel_weights)
    C3: Callable = recipe.stage("cam", weighted_sum)
    C4: Callable = recipe.stage("coarse", rectify)
    M1: Callable = recipe.stage("full", heatmap.upsample)
    M2: Callable = recipe.stage("heatmap", heatmap.min_max)

    def steps(self, trace) -> list[recipe.Step]:
        """A CnnTrace -> [Step C1 … M2]. Every value keeps the batch in front."""
        recorded = recipe.Step("C1", "activations and gradients", (trace.activations, trace.gradients))
        if trace.gradients is None:
            recorded = recipe.Step("C1", "activations", trace.activations)
        return [recorded, *recipe.run(self, vars(trace))]
