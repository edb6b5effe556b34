"""Chefer et al.: the baselines of their first repository, and the method of their second.

https://github.com/hila-chefer/Transformer-Explainability, for the paper of CVPR 2021: rollout, and Grad-CAM over heads.
Its own method (LRP) is no method of minixai. Its visualiser normalises a whole batch together; in its notebooks the
batch is one image.
https://github.com/hila-chefer/Transformer-MM-Explainability, for the paper of ICCV 2021: minixai's `chefer`, and a CLIP
notebook that reads the last layer alone.
"""
from torch import Tensor

from minixai import heatmap
from minixai.attention import one_layer
from minixai.verification.profiles.profile import Profile
from minixai.verification.profiles.stages import (
    min_max_over_batch,
    multiply_layers_from_second,
    no_normalisation,
    no_upsampling,
)

FIRST, SECOND = "Transformer-Explainability", "Transformer-MM-Explainability"


def heads_weighted_by_gradient(attention: Tensor, attention_gradients: Tensor, prefix_tokens: int) -> Tensor:
    """A2 Grad-CAM over heads: attention (L,M,T,T), attention_gradients (L,M,T,T), prefix_tokens -> fused (L,T,T)

    generate_cam_attn: the heads are the channels of Grad-CAM, and the CLS row is the feature map. The weight of a head
    is the mean gradient of the CLS row over the patches; then the weighted mean of the heads, and its positive part.
    Where nothing is positive the repository divides 0 by 0; here the map is zeros.
    """
    weights = attention_gradients[..., :1, prefix_tokens:].mean(dim=-1, keepdim=True)
    return (weights * attention).mean(dim=-3).clamp(min=0)


AS_RETURNED = {"M1": no_upsampling, "M2": no_normalisation}
AT_LAYER_SIZE = {"M1": no_upsampling, "M2": heatmap.min_max}
SEVERAL_TOGETHER = {"M2": min_max_over_batch}
FROM_THE_SECOND = {"A4": multiply_layers_from_second}        # start_layer=1 of generate_rollout
GRADCAM = {"A2": heads_weighted_by_gradient}
LAST = {"A4": one_layer}
TOGETHER = "Several images are brought to [0,1] together, by the smallest and largest value of all."
SKIPS_ONE = "The first layer is left out."
OF_HEADS = "Heads are weighted by their mean gradient, each as a whole, and the positive part is taken after the mean."
LAST_ALONE = "The last layer's evidence is read alone."

PROFILES = (
    Profile(FIRST, "rollout"),              # A + I over its rows' sums is half_skip
    Profile(FIRST, "rollout", AS_RETURNED, "as returned"),
    Profile(FIRST, "rollout", SEVERAL_TOGETHER, "several together", departs=TOGETHER, usual=False),
    Profile(FIRST, "rollout", FROM_THE_SECOND, "start_layer 1", departs=SKIPS_ONE),      # so in its visualiser
    Profile(FIRST, "rollout", FROM_THE_SECOND | AS_RETURNED, "start_layer 1, as returned", departs=SKIPS_ONE,
            usual=False),
    Profile(FIRST, "rollout", FROM_THE_SECOND | SEVERAL_TOGETHER, "start_layer 1, several together",
            departs="The first layer is left out, and several images are brought to [0,1] together.", usual=False),
    Profile(FIRST, "gradattention", GRADCAM, "generate_cam_attn", departs=OF_HEADS),
    Profile(FIRST, "gradattention", GRADCAM | AT_LAYER_SIZE, "generate_cam_attn, as returned", departs=OF_HEADS),
    Profile(SECOND, "chefer"),
    Profile(SECOND, "chefer", AS_RETURNED, "as returned"),
    Profile(SECOND, "chefer", LAST, "CLIP notebook", departs=LAST_ALONE),
    Profile(SECOND, "chefer", LAST | AS_RETURNED, "CLIP notebook, as returned", departs=LAST_ALONE, usual=False),
)
