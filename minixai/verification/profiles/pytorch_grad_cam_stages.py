"""The stages of pytorch-grad-cam 1.5.7 that differ from minixai's; pytorch_grad_cam.py says which method has which.

Letters: K channels, h x w the layer, H x W the image, L terms of a sum, C classes. A batch passes through in front.
"""
import numpy as np
import torch
from torch import Tensor

from minixai import heatmap
from minixai.cams import kernel_pca_component
from minixai.cams.gradient_free import in_chunks, weights_per_image
from minixai.cams.patterns import k_sigma_masks
from minixai.score import class_score
from minixai.trace import CaptureMode
from minixai.trace.network import Network


def min_max_first(coarse: Tensor, size: tuple[int, int]) -> Tensor:
    """M1 min-max, then upsample: coarse (h,w), size -> full (H,W)

    Except for its epsilon, the min-max at layer size does not change the result of the last min-max.
    """
    return heatmap.upsample(min_max_with_epsilon(coarse), size)


def min_max_with_epsilon(full: Tensor) -> Tensor:
    """M2 min-max with an epsilon: full (H,W) -> heatmap (H,W)

    1e-7 is added to the largest value, so a flat map gives zeros. It runs in M1 and again here, so only a map with a
    maximum of about 1e-14 is dimmed by half.
    """
    above = full - full.amin(dim=(-2, -1), keepdim=True)
    return above / (1e-7 + above.amax(dim=(-2, -1), keepdim=True))


def activation_weighted_mean(activations: Tensor, gradients: Tensor) -> Tensor:
    """C2 mean weighted by activation, with an epsilon: activations (K,h,w), gradients (K,h,w) -> weights (K,1,1)

    XGrad-CAM with 1e-7 added to the sum of the activations, whatever the sum's sign.
    """
    total = activations.sum(dim=(-2, -1), keepdim=True)
    return (gradients * activations / (total + 1e-7)).sum(dim=(-2, -1), keepdim=True)


def plus_plus_weights(activations: Tensor, gradients: Tensor) -> Tensor:
    """C2 second-order weights with an epsilon: activations (K,h,w), gradients (K,h,w) -> weights (K,1,1)

    Grad-CAM++ with 1e-6 added to the denominator. It outweighs 2 g^2 where |g| < 7e-4, which is common.
    """
    total = activations.sum(dim=(-2, -1), keepdim=True)
    below = 2 * gradients ** 2 + total * gradients ** 3 + 1e-6
    return (gradients ** 2 / below * gradients.clamp(min=0)).sum(dim=(-2, -1), keepdim=True)


def k_sigma_share(activations: Tensor) -> Tensor:
    """C2 share of the k-sigma mask: activations (K,h,w) -> weights (K,1,1)

    FEM with the roles exchanged. The paper weighs the mask of positions two standard deviations above the channel's
    mean by that mean. Here the weight is the mask's share of all positions, and the activations are weighed.
    """
    return k_sigma_masks(activations).to(activations.dtype).mean(dim=(-2, -1), keepdim=True)


def centred_component(activations: Tensor) -> Tensor:
    """C3 first component, centred: activations (K,h,w) -> cam (h,w)

    Eigen-CAM on features minus their mean over the positions, so the map's sum is zero. The sign is LAPACK's, which is
    arbitrary and may differ on another machine.
    """
    features = activations.flatten(-2).transpose(-2, -1).cpu().numpy()              # (N,K), N = h·w
    centred = features - features.mean(axis=-2, keepdims=True)
    vectors = np.linalg.svd(centred, full_matrices=False)[2]                        # rows: components, (N or K, K)
    projected = torch.from_numpy(centred @ vectors[..., 0, :, None])[..., 0].to(activations)
    return projected.unflatten(-1, activations.shape[-2:])


def centred_component_negated(activations: Tensor) -> Tensor:
    """C3 first component, centred, negated: activations (K,h,w) -> cam (h,w)

    The other sign, which LAPACK may give as well.
    """
    return -centred_component(activations)


def eigen_smooth(activations: Tensor, weights: Tensor) -> Tensor:
    """C3 first component of the weighted activations: activations (K,h,w), weights (K,1,1) -> cam (h,w)

    Centred, in place of the sum over the channels: the library's option eigen_smooth. The sign is LAPACK's, arbitrary.
    """
    return centred_component(weights * activations)


def eigen_smooth_negated(activations: Tensor, weights: Tensor) -> Tensor:
    """C3 first component of the weighted activations, negated: activations (K,h,w), weights (K,1,1) -> cam (h,w)"""
    return -eigen_smooth(activations, weights)


def kernel_pca_component_sign_flipped(activations: Tensor) -> Tensor:
    """C3 first kernel principal component, largest entry positive: activations (K,h,w) -> cam (h,w)

    KPCA-CAM with the sign of scikit-learn: the entry with the largest magnitude is made positive.
    """
    cam = kernel_pca_component(activations)
    entries = cam.flatten(-2)
    largest = entries.gather(-1, entries.abs().argmax(dim=-1, keepdim=True))
    return cam * largest[..., None].sign()


def softmax_of_masked_scores(activations: Tensor, network: Network) -> Tensor:
    """C2 softmax over the masked scores: activations (K,h,w), network -> weights (K,1,1)

    The library's Score-CAM: masks with align_corners=True, the class's logit of each masked image, and a softmax of
    these over the channels, which gives most of the weight to a few of them.
    """
    return weights_per_image(activations, network, _masked_scores, "Score-CAM").softmax(dim=-3)


def _masked_scores(maps, network, index):
    image = network.image[index]
    for channels in in_chunks(len(maps), 20 * image.numel()):         # a network holds many times what it is shown
        masks = torch.nn.functional.interpolate(maps[channels, None].to(image), image.shape[-2:], mode="bilinear",
                                                align_corners=True)
        low, high = masks.amin(dim=(-2, -1), keepdim=True), masks.amax(dim=(-2, -1), keepdim=True)
        yield network.of(image * (masks - low) / (high - low + 1e-8))[:, network.target[index]]


def ablation_weights(activations: Tensor, network: Network) -> Tensor:
    """C2 ablation weights with the library's values: activations (K,h,w), network -> weights (K,1,1)

    Ablation-CAM. A channel is set to zero only if the smallest activation is zero. Otherwise it is set to ten million
    below that, and to ten million less for each further one of the 32 channels in a batch. The drop is divided by y,
    not |y|, so a negative score inverts the map. The ablated tensor is the one in the layer's memory after the forward
    pass, on a GPU too.
    """
    ablated = network.again(capture=CaptureMode(activations="after")).activations
    return weights_per_image(ablated.reshape(activations.shape), network, _ablated_in_batches, "Ablation-CAM")


def _ablated_in_batches(maps, network, index, batch=32):
    maps, target = maps.to(network.image), network.target[index]
    whole = network.of(network.image[index:index + 1])[:, target]
    for channels in torch.arange(len(maps)).split(batch):
        without, value = maps.repeat(len(channels), 1, 1, 1), maps.min()
        for row, channel in enumerate(channels):
            value = value if value == 0 else value - 1e7
            without[row, channel] = value
        yield (whole - network.after(without, index)[:, target]) / whole


def difference_weighted_by_probability(logits: Tensor, target: Tensor) -> Tensor:
    """C1 difference to similar classes, weighted by probability: logits (C), target (1) -> score (1)

    Finer-CAM: the mean difference to the three classes with the nearest logits, weighted by these classes'
    probabilities, which are differentiated too. The similar classes' score is subtracted whole (gamma = 1).
    """
    score = class_score(logits, target)
    distance = (logits - score).abs().detach().scatter(-1, target, -1)
    similar = distance.argsort(dim=-1)[..., 1:4]
    probabilities = logits.softmax(dim=-1).gather(-1, similar)
    differences = probabilities * (score - logits.gather(-1, similar))
    return differences.sum(dim=-1, keepdim=True) / (probabilities.sum(dim=-1, keepdim=True) + 1e-9)


def full_gradient_by_channel(network: Network) -> Tensor:
    """C2 full gradient, channel by channel: network -> weights (L,H,W)

    FullGrad with a separate min-max for every channel, so that channels with small and large gradients count the same.
    Only biases of modules of exactly the types Conv2d and BatchNorm2d are included.
    """
    terms = [term for name, term in network.full_gradient() if name == "image" or _has_a_bias(network.model, name)]
    maps = [min_max_with_epsilon(term.abs()).sum(dim=-3) for term in terms]
    return torch.stack([heatmap.upsample(one, network.image.shape[-2:]) for one in maps], dim=-3)


def _has_a_bias(model, name):
    return type(model.get_submodule(name)) in (torch.nn.Conv2d, torch.nn.BatchNorm2d)
