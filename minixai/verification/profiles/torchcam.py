"""torch-cam 0.5.0 (https://github.com/frgfm/torch-cam): the stages that differ from minixai's.

Every map stays at layer size and is scaled to [0,1] there, with an epsilon. Upsampled maps are variants here. The
library keeps the tensor object that the layer returned and reads it after the forward pass. Where the network works in
place, activations and gradients are therefore those of the overwritten tensor.

Left out: SS-CAM, IS-CAM, RefineCAM and LeGrad, which are no methods of minixai.
"""
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from minixai import heatmap
from minixai.cams.gradient_free import in_chunks, weights_per_image
from minixai.gradcam import weighted_sum
from minixai.progress import watched
from minixai.trace import CaptureMode
from minixai.trace.common import Target
from minixai.trace.network import Network
from minixai.verification.profiles.profile import Profile
from minixai.verification.profiles.stages import no_normalisation, no_relu, no_upsampling

LIBRARY = "torch-cam 0.5.0"
AS_OVERWRITTEN = CaptureMode(activations="after", gradients="after")


def min_max_with_epsilon(full: Tensor) -> Tensor:
    """M2 min-max with an epsilon: full (H,W) -> heatmap (H,W)

    1e-8 is added to the largest value. A flat map gives zeros; a map with a maximum of 1e-8 is dimmed by half.
    """
    above = full - full.amin(dim=(-2, -1), keepdim=True)
    return above / (above.amax(dim=(-2, -1), keepdim=True) + 1e-8)


def min_max_then_upsample(coarse: Tensor, size: tuple[int, int]) -> Tensor:
    """M1 min-max, then upsample: coarse (h,w), size -> full (H,W)

    F.interpolate without a second min-max, so the highest value may lie below 1.
    """
    return heatmap.upsample(min_max_with_epsilon(coarse), size)


def min_max_then_bicubic(coarse: Tensor, size: tuple[int, int]) -> Tensor:
    """M1 min-max, then bicubic: coarse (h,w), size -> full (H,W)

    overlay_mask upsamples with Pillow's bicubic filter, which overshoots: values lie a little outside [0,1].
    """
    h, w = coarse.shape[-2:]
    maps = min_max_with_epsilon(coarse).reshape(-1, 1, h, w)
    # With antialias torch uses Pillow's bicubic kernel (a = -0.5); without, another one (a = -0.75).
    full = F.interpolate(maps, size=tuple(size), mode="bicubic", align_corners=False, antialias=True)
    return full.reshape(*coarse.shape[:-2], *size)


def cubed_gradients(gradients: Tensor) -> Tensor:
    """C2 sum of cubed gradients: gradients (K,h,w) -> weights (K,1,1)

    Grad-CAM++ with a fault: the line that divides alpha's numerator g^2 by its denominator divides a copy. So alpha
    stays g^2, and the weight is the sum of relu(g)^3.
    """
    return (gradients ** 2 * gradients.clamp(min=0)).sum(dim=(-2, -1), keepdim=True)


def activation_weighted_mean(activations: Tensor, gradients: Tensor) -> Tensor:
    """C2 mean weighted by activation, with an epsilon: activations (K,h,w), gradients (K,h,w) -> weights (K,1,1)

    XGrad-CAM with 1e-8 added to the sum of the activations, whatever the sum's sign.
    """
    total = activations.sum(dim=(-2, -1), keepdim=True)
    return (gradients * activations).sum(dim=(-2, -1), keepdim=True) / (total + 1e-8)


def softmax_of_masked_scores(activations: Tensor, network: Network) -> Tensor:
    """C2 softmax over the masked scores: activations (K,h,w), network -> weights (K,1,1)

    The library's Score-CAM: masks with min-max at layer size, then upsampled; the class's logit of each masked image;
    a softmax of these over the channels. The logit of the whole image, which it subtracts, cancels in the softmax.
    """
    return weights_per_image(activations, network, _masked_scores, "Score-CAM").softmax(dim=-3)


def _masked_scores(maps, network, index):
    image = network.image[index]
    for channels in in_chunks(len(maps), 20 * image.numel()):         # a network holds many times what it is shown
        masks = min_max_then_upsample(maps[channels].to(image), image.shape[-2:])
        yield network.of(image * masks[:, None])[:, network.target[index]]


def smooth_plus_plus_weights(activations: Tensor, network: Network) -> Tensor:
    """C2 second-order weights over noisy copies: activations (K,h,w), network -> weights (K,1,1)

    The library's Smooth Grad-CAM++. g^2 and g^3 are means over the copies, but relu(g) is the last copy's. Alpha's
    denominator has the sum of A g^3, where the paper has the sum of A times g^3, and an epsilon of 1e-8.
    """
    # In double: in the denominator, terms of both signs nearly cancel at some positions.
    copies = [copy.gradients.double() for copy in watched(_noisy_copies(network), "Smooth Grad-CAM++")]
    square, cube = (sum(gradients ** power for gradients in copies) / len(copies) for power in (2, 3))
    alpha = square / (2 * square + (cube * activations).sum(dim=(-2, -1), keepdim=True) + 1e-8)
    return (alpha * copies[-1].clamp(min=0)).sum(dim=(-2, -1), keepdim=True).to(activations)


def sum_of_the_last_copy(weights: Tensor, network: Network) -> Tensor:
    """C3 weighted sum of the last noisy copy: weights (K,1,1), network -> cam (h,w)

    The hook that keeps the activations also runs for the copies, so those of the last copy replace the image's own.
    """
    *_, last = _noisy_copies(network)
    return weighted_sum(last.activations, weights)


def _noisy_copies(network, count=4, deviation=0.3):
    """Traces of the image plus the noise that torch's global generator gives after torch.manual_seed(0)."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(count):
        noise = deviation * torch.randn(network.image.shape, generator=generator, dtype=torch.float32)
        yield network.again(image=network.image + noise.to(network.image))


def largest_of_layers(heatmap_of: Callable, image: Tensor, target: Target, layers: list) -> Tensor:
    """fuse_cams on maps of several layers: upsampled to the size of the largest, then the maximum at each position."""
    return _largest([heatmap_of(image, target, layer) for layer in layers])


def largest_of_layers_through_tanh(heatmap_of: Callable, image: Tensor, target: Target, layers: list) -> Tensor:
    """fuse_cams of LayerCAM: tanh(2 M) of each map first, which raises small values."""
    return _largest([torch.tanh(2 * heatmap_of(image, target, layer)) for layer in layers])


def _largest(maps):
    size = [max(sides) for sides in zip(*(one.shape[-2:] for one in maps))]
    return torch.stack([heatmap.upsample(one, size) for one in maps]).amax(dim=0)


METHODS = {     # method: the stages that differ, and how that departs from the paper
    "cam": ({"C4": no_relu}, ""),
    "gradcam": ({}, ""),
    "gradcampp": ({"C2": cubed_gradients}, "Alpha's denominator has no effect: the weight is the sum of relu(g)^3."),
    "smoothgradcampp": ({"C2": smooth_plus_plus_weights, "C3": sum_of_the_last_copy},
                        "Activations and relu(g) are those of the last noisy copy; after torch.manual_seed(0) only."),
    "finercam": ({}, ""),
    "xgradcam": ({"C2": activation_weighted_mean}, ""),
    "layercam": ({}, ""),
    "scorecam": ({"C2": softmax_of_masked_scores},
                 "A softmax over the channels' logits takes the place of the class's probability."),
}
FINISHES = {
    "": {"M1": no_upsampling, "M2": min_max_with_epsilon},
    "not normalised": {"M1": no_upsampling, "M2": no_normalisation},
    "resized": {"M1": min_max_then_upsample, "M2": no_normalisation},
    "overlay_mask": {"M1": min_max_then_bicubic, "M2": no_normalisation},
}
PROFILES = tuple(Profile(LIBRARY, method, {**stages, **finish}, variant, AS_OVERWRITTEN, departs,
                         usual=variant != "overlay_mask")
                 for method, (stages, departs) in METHODS.items() for variant, finish in FINISHES.items())

# Not among PROFILES, which all look at one layer; heatmap_as takes these too.
SEVERAL = tuple(
    replace(profile, variant="fuse_cams", usual=False,
            over=largest_of_layers_through_tanh if profile.method == "layercam" else largest_of_layers)
    for profile in PROFILES if not profile.variant and profile.method in ("gradcam", "gradcampp", "layercam"))
