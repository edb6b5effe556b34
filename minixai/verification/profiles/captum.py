"""Captum 0.9.0 (https://captum.ai): the stages that differ from minixai's.

LayerGradCam and LayerGradientXActivation return the signed values at layer size. The ReLU is an option, off by default.
LayerAttribution.interpolate upsamples, by default with nearest neighbour; visualize_image_attr clips and colours. The
user chooses each step, and each combination is a variant here. Like minixai, Captum keeps a copy of the layer's output.
"""
from torch import Tensor

from minixai import heatmap
from minixai.cams.gradient import not_zero
from minixai.gradcam import rectify
from minixai.verification.profiles.profile import Profile
from minixai.verification.profiles.stages import no_normalisation, no_relu, no_upsampling, upsample_nearest

LIBRARY = "Captum 0.9.0"


def _scaled_without_outliers(values):
    """values (H,W), divided by a threshold and clipped to [-1,1].

    The threshold is the magnitude at which the cumulative sum of all magnitudes, in rising order, reaches 98 % of the
    whole. Maps of zeros, which the library refuses, stay zeros.
    """
    magnitudes = values.double().abs().flatten(-2).sort(dim=-1).values
    cumulative = magnitudes.cumsum(dim=-1)
    first = (cumulative >= 0.98 * cumulative[..., -1:]).int().argmax(dim=-1, keepdim=True)
    threshold = magnitudes.gather(-1, first)[..., None]
    return (values / not_zero(threshold)).clamp(-1, 1).to(values)


def shown_absolute(full: Tensor) -> Tensor:
    """M2 absolute value, outliers clipped: full (H,W) -> heatmap (H,W)

    visualize_image_attr with its default, sign="absolute_value": positive and negative evidence look the same.
    """
    return _scaled_without_outliers(full.abs())


def shown_positive(full: Tensor) -> Tensor:
    """M2 positive part, outliers clipped: full (H,W) -> heatmap (H,W)

    visualize_image_attr with sign="positive": the ReLU comes after the upsampling.
    """
    return _scaled_without_outliers(full.clamp(min=0))


def shown_signed(full: Tensor) -> Tensor:
    """M2 both signs, outliers clipped: full (H,W) -> heatmap (H,W)

    visualize_image_attr with sign="all": from -1 to 1.
    """
    return _scaled_without_outliers(full)


RECTIFIED = {"": no_relu, "relu": rectify}
ENLARGED = {"": no_upsampling, "nearest": upsample_nearest, "bilinear": heatmap.upsample}
SHOWN = {"shown absolute": shown_absolute, "shown positive": shown_positive, "shown signed": shown_signed}
FINISHED = {"": no_normalisation, **SHOWN, "min-max by hand": heatmap.min_max}       # to save the map as a picture


def _profile(method, rectified="", enlarged="", shown=""):
    stages = {"C4": RECTIFIED[rectified], "M1": ENLARGED[enlarged], "M2": FINISHED[shown]}
    departs = "The ReLU is an option, and off." if method == "gradcam" and not rectified else ""
    variant = ", ".join(filter(None, (rectified, enlarged, shown)))
    return Profile(LIBRARY, method, stages, variant, departs=departs, usual=not shown)


PROFILES = (
    *(_profile("gradcam", rectified, enlarged) for rectified in RECTIFIED for enlarged in ENLARGED),
    *(_profile("gradcam", "", enlarged, shown) for enlarged in ("nearest", "bilinear") for shown in SHOWN),
    _profile("gradcam", "relu", "nearest", "min-max by hand"),
    *(_profile("hirescam", "", enlarged) for enlarged in ENLARGED),     # LayerGradientXActivation, channels summed
)
