"""A recipe runs its stages in order, each on the values that its parameters name."""
from dataclasses import FrozenInstanceError, dataclass, replace
from functools import partial

import pytest
import torch

from minixai import METHODS, recipe
from minixai.gradcam import Cam, rectify
from minixai.recipe import Step
from minixai.rollout import Attn


def doubled(start):
    """Z1 double the start: start (n) -> first (n)"""
    return 2 * start


def total(first, start, more=10):
    return first + start + more


def never(logits):
    raise AssertionError("runs while the trace is recorded")


@dataclass(frozen=True)
class Sums:
    """Two stages, and one that is recorded."""
    Z0: object = recipe.stage("score", never, recorded=True)
    Z1: object = recipe.stage("first", doubled)
    Z2: object = recipe.stage("second", total)


def test_stages_run_in_order_on_what_is_recorded_and_what_earlier_ones_gave():
    assert recipe.run(Sums(), {"start": 1}) == [Step("Z1", "double the start", 2), Step("Z2", "total", 13)]
    assert recipe.run(Sums(Z1=lambda start: 0), {"start": 1, "more": 5})[-1].value == 6         # a default counts last
    assert [field.name for field in recipe.stages(Sums())] == ["Z1", "Z2"]


def test_a_value_that_was_not_recorded_is_missing_and_named():
    with pytest.raises(ValueError, match=r"^stage C2 \(channel weights\) reads 'gradients'; it can read activations$"):
        recipe.run(Cam(), {"activations": torch.ones(1, 2, 2), "gradients": None})
    with pytest.raises(ValueError, match=r"^stage Z9 \(total\) reads 'start'; it can read first, more$"):
        recipe.run_stage("Z9", total, {"first": 1, "more": 2})
    assert recipe.run_stage("Z9", total, {"first": 1, "start": 2, "other": 3}) == 13


def test_a_recipe_reads_what_a_stage_that_runs_names():
    assert all(recipe.reads(Sums(), name) for name in ("start", "first", "more"))
    assert not any(recipe.reads(Sums(), name) for name in ("second", "logits", "network"))


@pytest.mark.parametrize("name", ["gradients", "attention_gradients", "score_gradients", "network"])
def test_a_recipe_reads_a_class_if_a_stage_reads_gradients_or_the_network(name):
    scope = {}
    exec(f"def fused(attention, {name}):\n    return attention", scope)
    assert recipe.reads_class(Attn(A2=scope["fused"])) and not recipe.reads_class(Attn())
    assert recipe.reads_class(Cam()) and not recipe.reads_class(Cam(C2=lambda activations: activations))


def test_a_stage_written_in_c_names_no_parameters():
    for ask in (partial(recipe.run, values={"activations": torch.ones(1, 2, 2), "gradients": torch.ones(1, 2, 2)}),
                partial(recipe.reads, name="gradients")):
        with pytest.raises(ValueError, match=r"^stage C4 has to be a Python function, .*; wrap .*relu.* in one$"):
            ask(replace(Cam(C2=lambda activations: activations), C4=torch.relu))


def test_a_title_is_what_stands_between_the_number_and_the_colon():
    def loose():
        """No number here."""

    def later():
        """
        M1 the second line: a map -> a map

        More: of it.
        """
    assert recipe.title(rectify) == "rectify" and recipe.title(doubled) == "double the start"
    assert recipe.title(later) == "the second line"
    assert recipe.title(loose) == "loose" and recipe.title(total) == "total"
    assert recipe.title(partial(total, more=1)).startswith("functools.partial")


@pytest.mark.parametrize("method", ["gradcam", "attention"])
def test_a_recipe_cannot_be_changed_for_all_who_share_it(method):
    with pytest.raises(FrozenInstanceError):
        METHODS[method].M2 = rectify
    assert len({METHODS[method], replace(METHODS[method])}) == 1
