"""Every profile gives its library's map: compared with maps that the libraries themselves gave, recorded.

tests/reference/cases_<library>.py says which networks, images and layers, and record_cases.py ran the libraries.
"""
import re
from collections import Counter
from dataclasses import fields

import numpy as np
import pytest
import torch

from minixai import METHODS, explain
from minixai.verification.profiles import PROFILES, profiles_of, stages
from minixai.verification.profiles.pytorch_grad_cam import SEVERAL
from minixai.verification.profiles.pytorch_grad_cam_stages import min_max_first, min_max_with_epsilon
from tests.reference.cases import cases_of, difference, in_double, libraries, ours, scattered
from tests.reference.near import DOUBLE
from tests.reference.seeded import FOLDER, recorded

CASES = {(library, case.name): case for library in libraries() for case in cases_of(library)}


@pytest.fixture(scope="module")
def records():
    return {library: recorded(f"cases_{library}") for library in libraries()}


@pytest.mark.parametrize("library", libraries())
def test_what_is_recorded_is_what_the_cases_say(library, records):
    assert records[library].keys() - {"versions"} == {case.name for case in cases_of(library)}
    assert any(line.startswith("torch ") for line in records[library]["versions"])
    assert (FOLDER / f"cases_{library}.npz").stat().st_size < 400_000


@pytest.mark.parametrize("library, name", CASES, ids=lambda value: value)
def test_the_profile_gives_the_map_of_the_library(library, name, records):
    assert difference(scattered(ours(CASES[library, name])), records[library][name]) <= DOUBLE


# Where no layer is overwritten or runs twice: minixai's own way against pytorch-grad-cam's, which ends in [0,1] too.
AS_IT_COMES = [case for case in cases_of("pytorch_grad_cam") if not case.profile.variant
               and case.network.__name__ in ("small", "narrow_resnet", "smooth")]


def own_way_differs_by(case, records):
    result = explain(*in_double(case), case.profile.method, **case.arguments)
    return difference(scattered(result.heatmap.numpy()), records["pytorch_grad_cam"][case.name])


@pytest.mark.parametrize("case", [case for case in AS_IT_COMES if not case.profile.departs], ids=lambda case: case.name)
def test_a_profile_that_departs_from_nothing_gives_minixais_own_map(case, records):
    assert own_way_differs_by(case, records) <= DOUBLE


@pytest.mark.parametrize("method", sorted({case.profile.method for case in AS_IT_COMES if case.profile.departs}))
def test_a_profile_that_departs_from_the_paper_shows_it_somewhere(method, records):
    cases = [case for case in AS_IT_COMES if case.profile.method == method and case.network.__name__ != "narrow_resnet"]
    assert max(own_way_differs_by(case, records) for case in cases) > 1e-3


def test_every_profile_of_a_library_has_a_case():
    covered = {(case.profile.method, case.profile.name) for case in CASES.values()}
    those = [*PROFILES, *SEVERAL]
    assert {(profile.method, profile.name) for profile in those if profile.library != "the paper"} <= covered


def test_no_two_profiles_of_a_method_have_one_name():
    most = Counter((profile.method, profile.name) for profile in [*PROFILES, *SEVERAL]).most_common(1)
    assert most[0][1] == 1, most


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: f"{profile.method}-{profile.name}")
def test_a_profile_replaces_stages_that_its_recipe_has(profile):
    assert set(profile.stages) <= {stage.name for stage in fields(METHODS[profile.method])}
    assert all(callable(stage) for stage in profile.stages.values())
    assert "\n" not in profile.departs and len(re.findall(r"[.!?](?: |$)", profile.departs)) == bool(profile.departs)


def test_profiles_of_a_method_begin_with_the_paper():
    names = [profile.name for profile in profiles_of("gradcam")]
    assert names[0] == "the paper" and "pytorch-grad-cam 1.5.7" in names and len(names) == len(set(names))


# The finishes that no library's case covers, on numbers small enough to check by eye.
SIGNED = torch.tensor([[[-2.0, 0.0, 1.0], [4.0, 2.0, -1.0]], [[-1.0, -3.0, -2.0], [-4.0, -1.0, -1.0]]])


def test_divided_by_the_maximum_keeps_zero_at_zero_and_an_empty_map_stays_zeros():
    shown = stages.divide_by_maximum(SIGNED * torch.tensor([1.0, 0.0])[:, None, None])
    assert shown[0].tolist() == [[-0.5, 0.0, 0.25], [1.0, 0.5, -0.25]] and shown[1].abs().tolist() == [[0.0] * 3] * 2


def test_nearest_repeats_each_cell():
    full = stages.upsample_nearest(SIGNED, (4, 9)).numpy()
    np.testing.assert_array_equal(full, SIGNED.numpy().repeat(2, axis=1).repeat(3, axis=2))


def test_an_epsilon_dims_a_faint_map():
    assert min_max_with_epsilon(1e-7 * torch.tensor([[0.0, 1.0]])).max() == pytest.approx(0.5, rel=1e-3)
    assert not min_max_with_epsilon(torch.full((2, 3), 5.0)).any()
    twice = min_max_with_epsilon(min_max_first(1e-14 * torch.tensor([[0.0, 1.0]]), (1, 2)))
    assert twice.max() == pytest.approx(0.5, rel=1e-3)
