"""The papers' own maps. The papers end before M1, or do not define the finish, so there are several finishes."""
from minixai.explain import METHODS
from minixai.verification.profiles.profile import Profile
from minixai.verification.profiles.stages import divide_by_maximum, no_normalisation, no_upsampling

LIBRARY = "the paper"
FINISHES = {
    "": {},                                                             # minixai's own: upsample, then min-max
    "at layer size": {"M1": no_upsampling, "M2": no_normalisation},
    "divided by its maximum": {"M2": divide_by_maximum},                 # Grad-CAM's own code, and vit-explain
}
PROFILES = tuple(Profile(LIBRARY, method, stages, variant)
                 for method in METHODS for variant, stages in FINISHES.items())
