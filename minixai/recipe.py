"""A recipe: numbered stages, each a plain function. This file is the one idea of the project.

    Cam   C1 record ─ C2 weigh ─ C3 combine ─ C4 rectify ──────────┐
    Attn  A1 record ─ A2 fuse ─ A3 skip ─ A4 accumulate ─ A5 grid ─┴─ M1 upsample ─ M2 min-max ─► heatmap

A stage names, as its parameters, the values that it reads: `def rectify(cam)` reads what C3 gave. So every stage can
be run, tested or replaced alone, and a variant is the recipe with one stage replaced:

    Cam(C4=lambda cam: cam)          # Grad-CAM without its ReLU
"""
from dataclasses import field, fields
from functools import lru_cache
from inspect import Parameter, signature
from typing import Any, NamedTuple


class Step(NamedTuple):
    """What one stage did: its number, its title, and the value it gave."""
    id: str
    title: str
    value: Any


def stage(gives, function, recorded=False):
    """A field of a recipe: the function that runs by default, and the name under which later stages read its value.

    recorded: it runs inside the network's pass, while the trace is recorded, and not again here.
    """
    return field(default=function, metadata={"gives": gives, "recorded": recorded})


def stages(recipe):
    """The fields of the stages that run on a trace, in order."""
    return [number for number in fields(recipe) if not number.metadata["recorded"]]


def run(recipe, values):
    """Run the stages in order on a dict of recorded values; return the list of Steps.

    ValueError if a stage reads a value that nothing before it gives.
    """
    values = {name: value for name, value in values.items() if value is not None}       # None: was not recorded
    steps = []
    for number in stages(recipe):
        function = getattr(recipe, number.name)
        value = run_stage(number.name, function, values)
        values[number.metadata["gives"]] = value
        steps.append(Step(number.name, title(function), value))
    return steps


def run_stage(number, function, values):
    """One stage on the values that it reads by name. ValueError if one of them is not there."""
    return function(**_inputs(number, function, values))


def reads(recipe, name):
    """Whether any stage of the recipe reads the named value: what no stage reads need not be recorded."""
    return any(name in _parameters(number.name, getattr(recipe, number.name)) for number in stages(recipe))


def _inputs(number, function, values):
    inputs = {}
    for name, parameter in _parameters(number, function).items():
        if name in values:
            inputs[name] = values[name]
        elif parameter.default is Parameter.empty:
            raise ValueError(f"stage {number} ({title(function)}) reads {name!r}; it can read {', '.join(values)}")
    return inputs


def _parameters(number, function):
    try:
        return _signature(function).parameters
    except (TypeError, ValueError):         # a function written in C, such as torch.relu, names no parameters
        raise ValueError(f"stage {number} has to be a Python function, whose parameters name what it reads; "
                         f"wrap {function!r} in one") from None


_signature = lru_cache(128)(signature)        # looking at a function takes longer than running a small stage


def title(function):
    """'C2 channel weights: gradients (K,h,w) -> …', a stage's first line, gives 'channel weights'."""
    first_line = (function.__doc__ or "").strip().partition("\n")[0]
    numbered, colon, _ = first_line.partition(":")
    return numbered.partition(" ")[2] if colon else getattr(function, "__name__", str(function))
