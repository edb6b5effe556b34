"""A case: one library's heatmap for one network and image, and the profile that has to reproduce it.

The network and the image are made without any library, so a normal test can make them again; `theirs` runs only where
the library is installed, and imports it inside. cases_<library>.py has a function cases(), a list of Case; what they
gave lies in cases_<library>.npz, one array a case. Everything runs in double precision: in single, rounding decides on
which side of a ReLU's kink a value lies.
"""
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from typing import NamedTuple

import numpy as np
import torch

from minixai.verification.profiles import Profile, heatmap_as
from tests.reference.near import relative_difference
from tests.reference.seeded import FOLDER, pick

KEPT = 240              # numbers of a case that are recorded, scattered; all of them where there are fewer


class Case(NamedTuple):
    name: str                   # unique, without spaces: "gradcam_small_stage3"
    profile: Profile            # the entry of minixai.verification.profiles that must give the same
    network: Callable           # () -> network in eval mode, with seeded weights
    image: Callable             # () -> (B,3,H,W)
    arguments: dict             # of minixai.explain: target, layer, head
    theirs: Callable            # (network, image, arguments) -> array (B,H,W) or (B,h,w)


def libraries():
    """The names of all cases_<library>.py beside this file."""
    return sorted(path.stem.removeprefix("cases_") for path in FOLDER.glob("cases_*.py"))


def cases_of(library):
    """The list of Case of one library, with unique names."""
    cases = import_module(f"tests.reference.cases_{library}").cases()
    names = [case.name for case in cases]
    assert len(set(names)) == len(names), f"{library}: two cases have one name"
    return cases


def in_double(case):
    """(network, image) of a case in double precision."""
    return _network(case.network), _image(case.image)


def ours(case):
    """(B,H,W) or (B,h,w): our map with the case's profile."""
    return np.asarray(heatmap_as(case.profile, *in_double(case), **case.arguments), np.float32)


def theirs(case):
    """(B,H,W) or (B,h,w): the library's map, run now."""
    return np.asarray(case.theirs(*in_double(case), case.arguments), np.float32)


def scattered(maps):
    """(B,H,W) -> (B,n), the same places of every image: what is recorded."""
    return np.stack([pick(image, KEPT // len(maps)) for image in torch.from_numpy(maps)])


def difference(ours, theirs):
    """The largest relative difference of any image, for maps in [0,1] and raw ones alike. The batch is in front."""
    assert len(ours) == len(theirs), f"{len(ours)} and {len(theirs)} images"
    return np.max([relative_difference(*pair) for pair in zip(ours, theirs)])


@lru_cache(2)           # the next case is most often of the same network
def _network(make):
    return make().double()


@lru_cache(2)
def _image(make):
    return make().double()
