"""The relatives of Grad-CAM: each is the recipe of gradcam.py with one stage replaced, most often C2, the weights.

    HiResCAM, LayerCAM          a weight for every place, not only for every channel
    XGrad-CAM, Grad-CAM++       another average of the gradients
    element-wise                the ReLU before the sum over channels
    Eigen-CAM, KPCA-CAM, FEM    no class at all: the strongest pattern in the feature maps
    CAM, Ablation-, Score-CAM   no gradient: the head's own weights, or what the network says when asked again
    RandomCAM                   weights without any meaning, to compare with

Letters: K channels, h x w positions. A batch passes through in front.
"""
import torch

from minixai import heatmap
from minixai.gradcam import Cam
from minixai.progress import watched


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


def head_weights(network):
    """C2 the head's own weights: network -> weights (K,1,1)

    CAM (Zhou et al. 2016, https://arxiv.org/abs/1512.04150, eq. 2): where all that follows is a mean over places and
    one linear layer, that layer already says what each channel counts for the class.
    """
    return network.linear_weights()[..., None, None]


def score_lost(activations, network):
    """C2 score lost without the channel: activations (K,h,w), network -> weights (K,1,1)

    Ablation-CAM (Desai and Ramaswamy 2020, WACV, eq. 3): (y - y_k) / y, with y_k the score when channel k is set to
    zero. Only what follows the layer runs again. Divided by |y|, so that a loss counts for the class also where the
    score itself is negative.
    """
    return _ask_again(activations, network, _ablation_of_one_image, "Ablation-CAM")


def _ablation_of_one_image(maps, network, index):
    def score(maps):
        return network.after(maps, index)[:, network.target[index]]

    whole = score(maps[None])
    for channels in _chunks(len(maps), maps.numel()):
        without = maps.repeat(len(channels), 1, 1, 1)
        without[range(len(channels)), channels] = 0
        yield (whole - score(without)) / whole.abs().clamp(min=torch.finfo(whole.dtype).tiny)


def confidence_gained(activations, network):
    """C2 confidence through the mask: activations (K,h,w), network -> weights (K,1,1)

    Score-CAM (Wang et al. 2020, https://arxiv.org/abs/1910.01279): each map, brought to the image's size and to [0,1],
    masks the image; its weight is the probability of the class for what is left, less that for an image of zeros. A
    constant map masks nothing out and weighs nothing.
    """
    return _ask_again(activations, network, _confidence_of_one_image, "Score-CAM")


def _confidence_of_one_image(maps, network, index):
    def probability(images):
        return network.of(images).softmax(dim=-1)[:, network.target[index]]

    image = network.image[index]
    nothing = probability(torch.zeros_like(image)[None])
    for channels in _chunks(len(maps), 20 * image.numel()):         # a network holds many times what it is shown
        masks = heatmap.min_max(heatmap.upsample(maps[channels], image.shape[-2:]))
        gained = probability(image * masks[:, None].to(image)) - nothing
        yield gained * masks.flatten(1).any(dim=-1)


def _ask_again(activations, network, of_one_image, what):
    """Weights (…,K,1,1), image by image and channels in chunks, so that memory stays bounded."""
    images = activations.reshape(-1, *activations.shape[-3:])
    weights = [torch.cat(list(watched(of_one_image(maps, network, index), f"{what}, image {index + 1}")))
               for index, maps in enumerate(images)]
    return torch.stack(weights).reshape(*activations.shape[:-2], 1, 1)


def _chunks(channels, numbers_each, most=2**24):
    """Channel indices in chunks of about `most` numbers, 64 MB in float32."""
    return torch.arange(channels).split(max(1, most // numbers_each))


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
    "cam": Cam(C2=head_weights),
    "ablationcam": Cam(C2=score_lost),
    "scorecam": Cam(C2=confidence_gained),
    "randomcam": Cam(C2=random_weights),
}
