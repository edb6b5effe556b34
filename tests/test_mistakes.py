"""The table of mistakes: each is a stage of its own, says what to reread, and is known again by its numbers."""
import inspect
from collections import Counter
from dataclasses import fields

import pytest
import torch

from minixai import METHODS
from minixai.attention import cls_to_grid, mean_heads, multiply_layers
from minixai.explain import for_one_head
from minixai.gradcam import channel_weights, rectify, weighted_sum
from minixai.heatmap import min_max
from minixai.recipe import run_stage, title
from minixai.score import class_score
from minixai.verification.colormaps import COLOURINGS
from minixai.verification.mistakes import Recording, all_mistakes, mistakes_of
from minixai.verification.mistakes.recorded import WithScore
from minixai.verification.profiles import PROFILES
from minixai.verification.profiles.stages import no_upsampling
from tests.reference import networks
from tests.test_stages import parsed

MISTAKES = all_mistakes()
GENERATOR = torch.Generator().manual_seed(3)
GRADIENTS, ACTIVATIONS = torch.randn(2, 6, 3, 5, generator=GENERATOR)
WEIGHTS = torch.randn(6, 1, 1, generator=GENERATOR)
ATTENTION = torch.rand(4, 3, 14, 14, generator=GENERATOR).softmax(dim=-1)

SIX = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])


def name(mistake):
    return f"{mistake.stage} {mistake.name}"


def test_there_are_enough_and_over_all_stages():
    stages = Counter(mistake.stage for mistake in MISTAKES)
    assert len({(mistake.stage, mistake.name) for mistake in MISTAKES}) >= 90
    assert set(stages) >= {"C1", "C2", "C3", "C4", "A1", "A2", "A3", "A4", "A5", "M1", "M2", "M3"}


@pytest.mark.parametrize("mistake", MISTAKES, ids=name)
def test_every_mistake_can_be_made_in_some_method_and_says_what_to_reread(mistake):
    one_head = [for_one_head(METHODS[method]) for method in ("attention", "gradattention")]
    of_libraries = [profile.recipe for profile in PROFILES]
    if mistake.stage == "M3":       # is no stage of a recipe
        assert len(mistake.instead_of) == 1 and mistake.instead_of[0] in [one.draw for one in COLOURINGS]
        return
    assert any(mistake.fits(recipe) for recipe in (*METHODS.values(), *one_head, *of_libraries))
    assert mistake.reread and (not mistake.name[0].isupper() or mistake.name.startswith(("CLS", "ReLU", "A g")))
    assert hash(mistake) == hash(mistake) and not mistake.name.endswith(".")


@pytest.mark.parametrize("mistake", [mistake for mistake in MISTAKES if not mistake.recorded], ids=name)
def test_a_mistaken_stage_names_its_own_stage(mistake):
    function = getattr(mistake.function, "func", mistake.function)      # one head of several is a partial
    assert parsed(function)[0]["id"] == mistake.stage and title(function)


def test_a_mistake_does_not_fit_where_it_is_right():
    assert not any(mistake.function is weighted_sum for mistake in mistakes_of(METHODS["gradcam"]))
    for recipe in METHODS.values():
        right = {getattr(recipe, field.name) for field in fields(recipe)}
        assert not any(mistake.function in right for mistake in mistakes_of(recipe))


def test_methods_that_know_no_class_have_no_mistake_of_class():
    for method in ("eigencam", "fem", "attention", "rollout"):
        assert not any(mistake.of_class for mistake in mistakes_of(METHODS[method]))
    assert any(mistake.of_class for mistake in mistakes_of(METHODS["gradcam"]))


CASES = [       # stage, the wrong value by hand, what it was given, the right stage, its name
    ("C2", GRADIENTS.flatten(1).max(dim=1).values[:, None, None], {"gradients": GRADIENTS}, channel_weights,
     "the gradients' maximum in place of their mean"),
    ("C2", torch.stack([channel.mean() for channel in GRADIENTS.relu()])[:, None, None], {"gradients": GRADIENTS},
     channel_weights, "gradients clamped at zero before the mean"),
    ("C3", sum(weight * channel for weight, channel in zip(WEIGHTS, ACTIVATIONS)) / 6,
     {"activations": ACTIVATIONS, "weights": WEIGHTS}, weighted_sum, "the channels' mean in place of their sum"),
    ("C4", torch.tensor([[1.0, 2.0], [0.5, 3.0]]), {"cam": torch.tensor([[-1.0, 2.0], [0.5, -3.0]])}, rectify,
     "absolute value in place of the ReLU"),
    ("A2", ATTENTION[:, 2], {"attention": ATTENTION}, mean_heads, "head 2 alone in place of the mean"),
    ("A4", ATTENTION[2, 0, :1], {"mixing": ATTENTION[:, 0], "layer": 2}, multiply_layers,
     "one layer in place of the product"),
    ("A5", torch.arange(12.0).reshape(3, 4), {"cls_attention": torch.arange(14.0)[None], "prefix_tokens": 2,
                                              "grid": (3, 4)}, cls_to_grid, "CLS not dropped, the last token dropped"),
    ("M2", torch.tensor([[0.5, 1.0]]), {"full": torch.tensor([[2.0, 4.0]])}, min_max,
     "divided by the maximum, the minimum not taken off"),
    ("M1", torch.tensor([[1.0, 4.0], [2.0, 5.0], [3.0, 6.0]]), {"coarse": SIX}, no_upsampling, "the map transposed"),
    ("M1", torch.tensor([[3.0, 2.0, 1.0], [6.0, 5.0, 4.0]]), {"coarse": SIX}, no_upsampling, "the map mirrored"),
    ("M1", torch.tensor([[4.0, 5.0, 6.0], [1.0, 2.0, 3.0]]), {"coarse": SIX}, no_upsampling, "the map upside down"),
    ("M1", torch.tensor([[6.0, 5.0, 4.0], [3.0, 2.0, 1.0]]), {"coarse": SIX}, no_upsampling,
     "the map turned by 180 degrees"),
    ("C1", -torch.tensor([3.0]), {"logits": torch.tensor([1.0, 3.0, 2.0]), "target": torch.tensor([1])}, class_score,
     "the gradient's sign turned"),
]


@pytest.mark.parametrize("stage, value, inputs, right, expected", CASES, ids=lambda value: str(value)[:40])
def test_a_mistake_gives_the_wrong_value_that_was_made_by_hand(stage, value, inputs, right, expected):
    called_so = [mistake for mistake in MISTAKES if (mistake.stage, mistake.name) == (stage, expected)]
    mistake, *_ = [mistake for mistake in called_so if right in mistake.instead_of] or called_so
    function = mistake.function.score if isinstance(mistake.function, WithScore) else mistake.function
    torch.testing.assert_close(run_stage(stage, function, inputs), value)
    assert value.shape != right(**inputs).shape or not torch.allclose(value, right(**inputs))


RECORDED = [mistake for mistake in MISTAKES if mistake.stage == "C1" and not isinstance(mistake.function, WithScore)]


@pytest.mark.parametrize("mistake", RECORDED, ids=name)
def test_other_recordings_are_named_and_of_the_same_image_or_a_changed_one(mistake):
    from minixai.trace import record_cnn
    network, image = networks.twice(), networks.images()[:1]

    def again(**changes):
        return record_cnn(network, **{"image": image, "target": 1, "layer": "block2.bn2", **changes})

    made = list(mistake.function(Recording(network, image, again(), again)))
    names = [which for which, _ in made]
    assert len(set(names)) == len(names) and all(trace.activations.isfinite().all() for _, trace in made)
    if mistake.name == "another class":
        assert "class 1" not in names and (not names or set(names) == {f"class {index}" for index in (0, 2, 3, 4)})
    if mistake.name == "another tensor of the layer":
        assert len(made) == 3 and not torch.equal(made[0][1].activations, again().activations)


def test_no_mistake_is_written_in_c():
    for mistake in MISTAKES:
        assert inspect.signature(mistake.function).parameters
