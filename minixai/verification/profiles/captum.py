"""Captum 0.9.0 (https://captum.ai): its stages where they are not minixai's.

LayerGradCam and LayerGradientXActivation hand out the signed numbers at layer size. The ReLU is an option that is off;
LayerAttribution.interpolate enlarges, by default with nearest; visualize_image_attr clips and colours. Each step is
the user's choice, and each combination is a variant here. Like minixai, Captum keeps a copy of the layer's output.
"""
from torch import Tensor

from minixai import heatmap
from minixai.gradcam import rectify
from minixai.verification.profiles.profile import Profile
from minixai.verification.profiles.stages import no_normalisation, no_relu, no_upsampling, upsample_nearest

LIBRARY = "Captum 0.9.0"


def _over_the_bulk(values):
    """values (H,W) over the size at which the running sum of all sizes reaches 98 % of the whole, cut off at 1 and -1.

    Whole maps of zeros, which the library refuses, stay zeros.
    """
    sizes = values.double().abs().flatten(-2).sort(dim=-1).values
    running = sizes.cumsum(dim=-1)
    reached = (running >= 0.98 * running[..., -1:]).int().argmax(dim=-1, keepdim=True)      # the first that does
    bulk = sizes.gather(-1, reached)[..., None]
    return (values / bulk.masked_fill(bulk == 0, 1)).clamp(-1, 1).to(values)


def shown_absolute(full: Tensor) -> Tensor:
    """M2 absolute value, clipped at the bulk: full (H,W) -> heatmap (H,W)

    visualize_image_attr as it comes, sign="absolute_value": what is against the class looks like what is for it.
    """
    return _over_the_bulk(full.abs())


def shown_positive(full: Tensor) -> Tensor:
    """M2 positive part, clipped at the bulk: full (H,W) -> heatmap (H,W)

    visualize_image_attr with sign="positive": the ReLU comes after the map was enlarged.
    """
    return _over_the_bulk(full.clamp(min=0))


def shown_signed(full: Tensor) -> Tensor:
    """M2 both signs, clipped at the bulk: full (H,W) -> heatmap (H,W)

    visualize_image_attr with sign="all": from -1 to 1.
    """
    return _over_the_bulk(full)


RECTIFIED = {"": no_relu, "relu": rectify}
ENLARGED = {"": no_upsampling, "nearest": upsample_nearest, "bilinear": heatmap.upsample}
SHOWN = {"shown absolute": shown_absolute, "shown positive": shown_positive, "shown signed": shown_signed}
FINISHED = {"": no_normalisation, **SHOWN, "min-max by hand": heatmap.min_max}       # who saves a picture needs one


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
