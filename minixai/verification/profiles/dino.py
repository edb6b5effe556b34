"""DINO's visualize_attention.py (https://github.com/facebookresearch/dino): a picture for each head of the last block.

Upsampling is nearest neighbour. There is no mean of the heads: use head=0, head=1 and so on. With --threshold 0.6 the
script also outlines the patches that keep 60 % of the attention mass, which is minixai's `dinomass`.
"""
from minixai.heatmap import min_max
from minixai.verification.profiles.profile import Profile
from minixai.verification.profiles.stages import no_normalisation, upsample_nearest

LIBRARY = "DINO"
PROFILES = (
    Profile(LIBRARY, "attention", {"M1": upsample_nearest, "M2": no_normalisation}),
    Profile(LIBRARY, "attention", {"M1": upsample_nearest, "M2": min_max}, "saved picture"),    # plt.imsave scales it
    Profile(LIBRARY, "dinomass", {"M1": upsample_nearest, "M2": no_normalisation}, "threshold 0.6"),
)
