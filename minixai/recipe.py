"""A recipe: numbered stages, each a plain function. This file is the one idea of the project.

    Cam   C1 record ─ C2 weigh ─ C3 combine ─ C4 rectify ──────────┐
    Attn  A1 record ─ A2 fuse ─ A3 skip ─ A4 accumulate ─ A5 grid ─┴─ M1 upsample ─ M2 min-max ─► heatmap

The parameters of a stage are the values that it reads, by name: `def rectify(cam)` reads what C3 gave. So every stage
can be run, tested or replaced alone. A variant is the recipe with one stage replaced:

    Cam(C4=lambda cam: cam)          # Grad-CAM without its ReLU
"""
import dataclasses
from collections.abc import Callable
from functools import lru_cache
from inspect import Parameter, signature
from typing import Any, NamedTuple


class Step(NamedTuple):
    """The result of one stage: its number, its title and the value that it gave."""
    id: str
    title: str
    value: Any


def stage(gives: str, function: Callable, recorded: bool = False):
    """A field of a recipe: the function that runs by default, and the name under which later stages read its value.

    recorded: the stage runs during the network's pass, while the trace is recorded, and not in `run`.
    """
    return dataclasses.field(default=function, metadata={"gives": gives, "recorded": recorded})


def stages(recipe) -> list[dataclasses.Field]:
    """The fields of the stages that run on a trace, in order."""
    return [field for field in dataclasses.fields(recipe) if not field.metadata["recorded"]]


def run(recipe, values: dict) -> list[Step]:
    """Run the stages in order on a dict of recorded values.

    ValueError if a stage reads a value that nothing before it gives.
    """
    values = {name: value for name, value in values.items() if value is not None}       # None: was not recorded
    steps = []
    for field in stages(recipe):
        function = getattr(recipe, field.name)
        value = run_stage(field.name, function, values)
        values[field.metadata["gives"]] = value
        steps.append(Step(field.name, title(function), value))
    return steps


def run_stage(id: str, function: Callable, values: dict) -> Any:
    """Run one stage on the values that it reads. ValueError if one of them is missing."""
    return function(**_inputs(id, function, values))


def reads(recipe, name: str) -> bool:
    """Whether any stage of the recipe reads the named value. What no stage reads need not be recorded."""
    return any(name in _parameters(field.name, getattr(recipe, field.name)) for field in stages(recipe))


def reads_class(recipe) -> bool:
    """Whether the method looks at a class. It does if a stage reads gradients, or runs the network again."""
    of_a_class = ("gradients", "attention_gradients", "score_gradients", "network")
    return any(reads(recipe, name) for name in of_a_class)


def _inputs(id, function, values):
    inputs = {}
    for name, parameter in _parameters(id, function).items():
        if name in values:
            inputs[name] = values[name]
        elif parameter.default is Parameter.empty:
            raise ValueError(f"stage {id} ({title(function)}) reads {name!r}; it can read {', '.join(values)}")
    return inputs


def _parameters(id, function):
    try:
        return _signature(function).parameters
    except (TypeError, ValueError):         # a function written in C, such as torch.relu, names no parameters
        raise ValueError(f"stage {id} has to be a Python function, whose parameters name what it reads; "
                         f"wrap {function!r} in one") from None


_signature = lru_cache(128)(signature)        # reading a signature takes longer than running a small stage


def title(function: Callable) -> str:
    """The title in a stage's docstring: 'C2 channel weights: gradients (K,h,w) -> …' gives 'channel weights'."""
    first_line = (function.__doc__ or "").strip().partition("\n")[0]
    numbered, colon, _ = first_line.partition(":")
    return numbered.partition(" ")[2] if colon else getattr(function, "__name__", str(function))
