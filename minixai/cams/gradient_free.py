"""Methods without gradients: the classifier's weights, or the change of the score in further forward passes.

network: a minixai.trace.network.Network, the recorded network once more.
Letters: B images, K channels, h x w positions, H x W the image, N images of one forward pass.
"""
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from minixai import heatmap
from minixai.progress import watched


def classifier_weights(network: Any) -> Tensor:
    """C2 classifier weights: network -> weights (K,1,1)

    CAM (Zhou et al. 2016, https://arxiv.org/abs/1512.04150, eq. 2): the weights of the class in the linear layer that
    follows global average pooling. ValueError where the layer is not followed by exactly these two.
    """
    return network.linear_weights()[..., None, None]


def ablation_weights(activations: Tensor, network: Any) -> Tensor:
    """C2 ablation weights: activations (K,h,w), network -> weights (K,1,1)

    Ablation-CAM (Desai and Ramaswamy 2020, WACV): (y - y_k) / y, with y_k the score when channel k is set to zero.
    Only the part of the network behind the layer runs again. The drop is divided by |y|, so that it counts for the
    class also where the score is negative.
    """
    return weights_per_image(activations, network, _ablation_of_one_image, "Ablation-CAM")


def _ablation_of_one_image(maps, network, index):
    def score(maps):
        return network.after(maps, index)[:, network.target[index]]

    whole = score(maps[None])
    for channels in in_chunks(len(maps), maps.numel()):
        without = maps.repeat(len(channels), 1, 1, 1)
        without[range(len(channels)), channels] = 0
        yield (whole - score(without)) / whole.abs().clamp(min=torch.finfo(whole.dtype).tiny)


def increase_of_confidence(activations: Tensor, network: Any) -> Tensor:
    """C2 increase of confidence: activations (K,h,w), network -> weights (K,1,1)

    Score-CAM (Wang et al. 2020, https://arxiv.org/abs/1910.01279, eq. 6, 8 and 10): each map is upsampled to the
    image's size, scaled to [0,1] and multiplied with the image. The channel's weight is the class probability of the
    product minus that of an image of zeros. These are probabilities, as in section 3.2. The softmax over the channels
    in the paper's algorithm 1 is in neither its definition 5 nor its authors' code. A constant map has weight 0.
    """
    return weights_per_image(activations, network, _confidence_of_one_image, "Score-CAM")


def _confidence_of_one_image(maps, network, index):
    def probability(images):
        return network.of(images).softmax(dim=-1)[:, network.target[index]]

    image = network.image[index]
    baseline = probability(torch.zeros_like(image)[None])
    for channels in in_chunks(len(maps), 20 * image.numel()):         # a network holds many times what it is shown
        masks = heatmap.min_max(heatmap.upsample(maps[channels], image.shape[-2:]))
        gained = probability(image * masks[:, None].to(image)) - baseline
        yield gained * masks.flatten(1).any(dim=-1)


def weights_per_image(activations: Tensor, network: Any, of_one_image: Callable, what: str) -> Tensor:
    """Weights (…,K,1,1) of activations (…,K,h,w), one image after the other, so that memory stays bounded.

    of_one_image(maps (K,h,w), network, index) yields the weights of one chunk of channels after the other.
    what: the name of the method in the progress line.
    """
    images = activations.reshape(-1, *activations.shape[-3:])
    weights = [torch.cat(list(watched(of_one_image(maps, network, index), f"{what}, image {index + 1}")))
               for index, maps in enumerate(images)]
    return torch.stack(weights).reshape(*activations.shape[:-2], 1, 1)


def in_chunks(channels: int, numbers_each: int, most: int = 2**24) -> tuple[Tensor, ...]:
    """Channel indices in chunks of about `most` numbers (64 MB in float32); one channel takes `numbers_each`."""
    return torch.arange(channels).split(max(1, most // numbers_each))
