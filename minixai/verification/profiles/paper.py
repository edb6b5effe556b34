"""The papers' own maps. They end before M1 or are vague about the finish, so there are several ways to show one."""
from minixai.explain import METHODS
from minixai.verification.profiles.profile import Profile
from minixai.verification.profiles.stages import keep_the_values, over_the_maximum, stay_coarse

LIBRARY = "the paper"
FINISHES = {
    "": {},                                                             # minixai's own: upsample, then min-max
    "at layer size": {"M1": stay_coarse, "M2": keep_the_values},
    "divided by its maximum": {"M2": over_the_maximum},                 # Grad-CAM's own code, and vit-explain
}
PROFILES = tuple(Profile(LIBRARY, method, stages, variant)
                 for method in METHODS for variant, stages in FINISHES.items())
