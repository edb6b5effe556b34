"""Methods without gradients: the head's own weights, or what the network says when it is asked again."""
import torch
from torch import Tensor

from minixai import heatmap
from minixai.progress import watched


def classifier_weights(network) -> Tensor:
    """C2 the head's own weights: network -> weights (K,1,1)

    CAM (Zhou et al. 2016, https://arxiv.org/abs/1512.04150, eq. 2): where all that follows is a mean over places and
    one linear layer, that layer already says what each channel counts for the class.
    """
    return network.linear_weights()[..., None, None]


def ablation_weights(activations: Tensor, network) -> Tensor:
    """C2 score lost without the channel: activations (K,h,w), network -> weights (K,1,1)

    Ablation-CAM (Desai and Ramaswamy 2020, WACV): (y - y_k) / y, with y_k the score when channel k is set to zero.
    Only what follows the layer runs again. Divided by |y|, so that a loss counts for the class also where the score
    itself is negative.
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


def increase_of_confidence(activations: Tensor, network) -> Tensor:
    """C2 confidence through the mask: activations (K,h,w), network -> weights (K,1,1)

    Score-CAM (Wang et al. 2020, https://arxiv.org/abs/1910.01279, eq. 6, 8 and 10): each map, brought to the image's
    size and to [0,1], masks the image; its weight is the probability of the class for what is left, less that for an
    image of zeros. Probabilities, as section 3.2 asks; the paper's algorithm 1 puts another softmax over the channels,
    which its definition 5 and its authors' code do without. A constant map masks nothing out and weighs nothing.
    """
    return weights_per_image(activations, network, _confidence_of_one_image, "Score-CAM")


def _confidence_of_one_image(maps, network, index):
    def probability(images):
        return network.of(images).softmax(dim=-1)[:, network.target[index]]

    image = network.image[index]
    nothing = probability(torch.zeros_like(image)[None])
    for channels in in_chunks(len(maps), 20 * image.numel()):         # a network holds many times what it is shown
        masks = heatmap.min_max(heatmap.upsample(maps[channels], image.shape[-2:]))
        gained = probability(image * masks[:, None].to(image)) - nothing
        yield gained * masks.flatten(1).any(dim=-1)


def weights_per_image(activations, network, of_one_image, what):
    """Weights (…,K,1,1), image by image and channels in chunks, so that memory stays bounded."""
    images = activations.reshape(-1, *activations.shape[-3:])
    weights = [torch.cat(list(watched(of_one_image(maps, network, index), f"{what}, image {index + 1}")))
               for index, maps in enumerate(images)]
    return torch.stack(weights).reshape(*activations.shape[:-2], 1, 1)


def in_chunks(channels, numbers_each, most=2**24):
    """Channel indices in chunks of about `most` numbers, 64 MB in float32."""
    return torch.arange(channels).split(max(1, most // numbers_each))
