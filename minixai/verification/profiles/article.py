"""The attention of one block, read out by hand: attentions[-1][0, :, 0, 1:].mean(0), folded into the grid.

So does the article's second snippet, which gives the map to plt.imshow at layer size, and so do users of timm (a hook
on attn_drop, with fused attention switched off) and transformers (output_attentions=True, eager attention). The numbers
are the attention itself. Where a network has registers, `1:` has to become 1 plus their number; a map folded with one
token dropped where there are more is a mistake that `verify` knows.
"""
from minixai.heatmap import min_max
from minixai.verification.profiles.profile import Profile
from minixai.verification.profiles.stages import no_normalisation, no_upsampling

RAW = {"M1": no_upsampling, "M2": no_normalisation}
PROFILES = (
    Profile("the article's snippet", "attention", RAW),
    Profile("the article's snippet", "attention", {"M1": no_upsampling, "M2": min_max}, "as imshow scales it"),
    Profile("timm 1.0.31", "attention", RAW),
    Profile("transformers 5.23.0", "attention", RAW),
)
