"""How each library computes a method: the recipe with that library's stages in place of the paper's.

Two libraries rarely give the same heatmap for the same network, image and layer. Most of that is convention: where the
ReLU stands, when the map is normalised, how it is enlarged, which of two tensors was kept. Some of it is a fault. Both
are written down here as stages, one table entry a library and method, so that a map can be reproduced, not only judged.
"""
from importlib import import_module
from pkgutil import iter_modules

from minixai.verification.profiles.profile import Profile, heatmap_as

__all__ = ["PROFILES", "Profile", "heatmap_as", "profiles_of"]


def _all():
    modules = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]
    return tuple(profile for module in modules for profile in getattr(module, "PROFILES", ()))


def profiles_of(method):
    """Every profile of a method, those that follow the paper first."""
    return sorted((profile for profile in PROFILES if profile.method == method),
                  key=lambda profile: profile.library != "the paper")


PROFILES = _all()       # every entry of every file in this folder
