"""attention_flow (https://github.com/samiraabnar/attention_flow), the code of Abnar and Zuidema 2020.

compute_joint_attention is rollout: A + I, each row over its sum, and the product of the layers. Which fusion of the
heads it is given is the caller's choice; the notebooks take the mean. compute_flows is attention flow. Both give
numbers for each token, and no picture.
"""
from minixai.attention import max_flow, max_heads, no_skip
from minixai.profiles.profile import Profile
from minixai.profiles.stages import keep_the_values, stay_coarse

LIBRARY = "attention_flow"


def share_of_the_flow(mixing, layer):
    """A4 share of the maximum flow: mixing (L,T,T), layer -> flow (1,T)

    The largest flow from CLS to each token, over the sum of these, although one flow takes nothing from another.
    """
    flow = max_flow(mixing, layer)
    return flow / flow.sum(dim=-1, keepdim=True)


RAW = {"M1": stay_coarse, "M2": keep_the_values}
PROFILES = (
    Profile(LIBRARY, "rollout", RAW),
    Profile(LIBRARY, "rollout", {"A2": max_heads, **RAW}, "maximum of the heads", usual=False),
    Profile(LIBRARY, "rollout", {"A3": no_skip, **RAW}, "add_residual False", usual=False,
            departs="Nothing is added for the skip connection."),
    Profile(LIBRARY, "flow", {"A4": share_of_the_flow, **RAW}),
)
