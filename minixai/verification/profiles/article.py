"""The attention of one block, without a library: attentions[-1][0, :, 0, 1:].mean(0), folded into the grid.

The article's second snippet does this and shows the map with plt.imshow at layer size. Users of timm (a hook on
attn_drop, with fused attention switched off) and transformers (output_attentions=True, eager attention) do the same.
The values are the attention itself. For a network with registers, `1:` must become 1 plus their number; `verify` knows
the mistake of dropping one token where there are more.
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
