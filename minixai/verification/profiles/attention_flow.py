"""attention_flow (https://github.com/samiraabnar/attention_flow), the code of Abnar and Zuidema 2020.

compute_joint_attention is rollout: A + I, each row divided by its sum, and the product of the layers. The caller fuses
the heads; the notebooks take the mean. The result is one number for each token, without a picture. Left out is
compute_flows (attention flow), which is no method of minixai.
"""
from minixai.attention import max_heads, no_skip
from minixai.verification.profiles.profile import Profile
from minixai.verification.profiles.stages import no_normalisation, no_upsampling

LIBRARY = "attention_flow"
RAW = {"M1": no_upsampling, "M2": no_normalisation}
PROFILES = (
    Profile(LIBRARY, "rollout", RAW),
    Profile(LIBRARY, "rollout", {"A2": max_heads, **RAW}, "maximum of the heads", usual=False),
    Profile(LIBRARY, "rollout", {"A3": no_skip, **RAW}, "add_residual False", usual=False,
            departs="Nothing is added for the skip connection."),
)
