"""Every stage's first line says what goes in and what comes out. It is true, alone and behind leading dimensions.

    C2 channel weights: gradients (K,h,w) -> weights (K,1,1)
    │  └ title          └ parameters, tensors with a shape  └ the name under which later stages read the value
    └ the recipe's field
"""
import inspect
import re
from dataclasses import fields
from importlib import import_module
from pkgutil import iter_modules

import numpy as np
import pytest
import torch

from minixai import METHODS, attention, cams, gradcam, heatmap, recipe, rollout, score
from minixai.attention import Attn
from minixai.gradcam import Cam
from minixai.verification import colormaps, mistakes, profiles
from minixai.verification.profiles.stages import min_max_over_batch

LIBRARIES = [import_module(f"{profiles.__name__}.{module.name}") for module in iter_modules(profiles.__path__)]
MISTAKES = [import_module(f"{mistakes.__name__}.{module.name}") for module in iter_modules(mistakes.__path__)]
MODULES = (score, gradcam, cams, rollout, attention, heatmap, colormaps, *LIBRARIES, *MISTAKES)
RECIPES = (Cam, Attn)
SIZES = {"C": 9, "K": 6, "h": 3, "w": 5, "H": 7, "W": 11, "L": 4, "M": 2, "T": 14, "gh": 3, "gw": 4}    # T = 2 + 3·4
VALUES = {"layer": 2, "head": 1, "size": (7, 11), "prefix_tokens": 2, "grid": (3, 4)}            # what is no tensor
NUMPY_ONLY = {heatmap.overlay, colormaps.over_the_largest, colormaps.blended,                  # draw one picture
              *(getattr(mistakes.display, name) for name in ("red_and_blue_exchanged", "colours_exchanged",
                                                             "photo_exchanged", "inverted", "other_jet"))}
WHOLE_BATCH = {min_max_over_batch}  # a library's fault: one image changes another

NAMED = r"\w+(?: \([\w,]+\))?"
GRAMMAR = re.compile(rf"(?P<id>[ACM]\d) (?P<title>[^:]+): (?P<inputs>{NAMED}(?:, {NAMED})*)"
                     r" -> (?P<gives>\w+) \((?P<shape>[\w,]+)\)")


def stages_of(module):
    """The functions of a module whose docstring begins with a stage's number."""
    own = (function for _, function in inspect.getmembers(module, inspect.isfunction)
           if f"{function.__module__}.".startswith(f"{module.__name__}."))
    return [function for function in own if re.match(r"[ACM]\d", inspect.getdoc(function) or "")]


STAGES = [function for module in MODULES for function in stages_of(module)]


def parsed(stage):
    """A stage's first line -> a match, and {input: its shape, or None for a plain value}."""
    match = GRAMMAR.fullmatch(inspect.getdoc(stage).partition("\n")[0])
    assert match, f"{stage.__name__}: the first line is not in the grammar"
    named = re.findall(r"(\w+)(?: \(([\w,]+)\))?", match["inputs"])
    return match, {name: shape or None for name, shape in named}


# Stages that ask a network again need a real one: tests/test_cams.py and test_cams_gradients.py prove their shapes.
TENSORS_ONLY = [stage for stage in STAGES if stage not in NUMPY_ONLY and "network" not in parsed(stage)[1]]


def sizes(shape):
    return tuple(SIZES[letter] if letter in SIZES else int(letter) for letter in shape.split(","))


def inputs_of(stage, leading=()):
    """Random inputs of the shapes that the first line promises; attention-like positive, so no row sums to zero."""
    generator = torch.Generator().manual_seed(0)
    inputs = {name: VALUES[name] if shape is None else torch.rand(*leading, *sizes(shape), generator=generator)
              for name, shape in parsed(stage)[1].items()}
    if "target" in inputs:                          # a class, so an integer
        inputs["target"] = (inputs["target"] * SIZES["C"]).long()
    return inputs


def names(stage):
    return stage.__name__


def test_no_two_sizes_of_the_trace_are_equal_where_they_could_be_confused():
    cnn, vit = ("K", "h", "w", "H", "W"), ("L", "M", "T", "gh", "H", "W")
    assert len({SIZES[letter] for letter in cnn}) == len(cnn) and len({SIZES[letter] for letter in vit}) == len(vit)
    assert SIZES["gw"] not in (SIZES["gh"], SIZES["T"]) and SIZES["T"] == 2 + SIZES["gh"] * SIZES["gw"]


def test_every_stage_of_every_recipe_is_proved_here():
    used = {getattr(made, field.name) for made in (Cam(), Attn(), *METHODS.values()) for field in fields(made)}
    assert used <= set(STAGES) and {rollout.one_head, heatmap.overlay} <= set(STAGES)


@pytest.mark.parametrize("stage", STAGES, ids=names)
def test_the_first_line_is_in_the_grammar_and_names_the_parameters(stage):
    match, inputs = parsed(stage)
    required = [name for name, parameter in inspect.signature(stage).parameters.items()
                if parameter.default is inspect.Parameter.empty]
    assert list(inputs) == required
    assert recipe.title(stage) == match["title"]


@pytest.mark.parametrize("stage", STAGES, ids=names)
def test_the_value_has_the_name_that_later_stages_read(stage):
    match, _ = parsed(stage)
    gives = {(field.name, field.metadata["gives"]) for made in RECIPES for field in fields(made)} | {("M3", "overlay")}
    assert (match["id"], match["gives"]) in gives


@pytest.mark.parametrize("leading", [(), (2,), (2, 3)], ids=["alone", "batch", "batch of batches"])
@pytest.mark.parametrize("stage", TENSORS_ONLY, ids=names)
def test_the_shape_is_the_promised_one(stage, leading):
    value = stage(**inputs_of(stage, leading))
    assert tuple(value.shape) == leading + sizes(parsed(stage)[0]["shape"])
    assert value.dtype == torch.float32 and value.isfinite().all()


@pytest.mark.parametrize("stage", NUMPY_ONLY, ids=names)
def test_the_shape_of_a_picture_is_the_promised_one(stage):
    value = stage(**inputs_of(stage))
    assert value.shape == sizes(parsed(stage)[0]["shape"]) and value.dtype == np.uint8


@pytest.mark.parametrize("stage", [stage for stage in TENSORS_ONLY if stage not in WHOLE_BATCH], ids=names)
def test_a_batch_is_its_images_one_by_one(stage):
    inputs = inputs_of(stage, leading=(3,))
    for index, value in enumerate(stage(**inputs)):
        alone = stage(**{name: value[index] if isinstance(value, torch.Tensor) else value
                         for name, value in inputs.items()})
        torch.testing.assert_close(alone, value, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("stage", TENSORS_ONLY, ids=names)
def test_a_stage_leaves_its_inputs_alone(stage):
    inputs, untouched = inputs_of(stage, leading=(2,)), inputs_of(stage, leading=(2,))
    stage(**inputs)
    for name, value in inputs.items():
        assert torch.equal(value, untouched[name]) if isinstance(value, torch.Tensor) else value == untouched[name]
