"""How each library computes a method: the recipe with that library's stages in place of the paper's.

Two libraries rarely give the same heatmap for the same network, image and layer. Most differences are conventions: the
place of the ReLU, when the map is normalised, how it is upsampled, which of two tensors is kept. Some are faults. Both
are written here as stages, with one table entry for each library and method, so that a library's map can be reproduced.
"""
from importlib import import_module
from pkgutil import iter_modules

from minixai.verification.profiles.profile import Profile, heatmap_as

__all__ = ["PROFILES", "Profile", "heatmap_as", "profiles_of"]


def _all():
    modules = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]
    return tuple(profile for module in modules for profile in getattr(module, "PROFILES", ()))


def profiles_of(method: str) -> list[Profile]:
    """Every profile of a method, those of the paper first."""
    return sorted((profile for profile in PROFILES if profile.method == method),
                  key=lambda profile: profile.library != "the paper")


PROFILES = _all()       # every entry of every file in this folder
