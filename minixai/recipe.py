"""A recipe: numbered stages, each a plain function. Everything else in the project is built on this.

    Cam   C1 record ─ C2 weigh ─ C3 combine ─ C4 rectify ──────────┐
    Attn  A1 record ─ A2 fuse ─ A3 skip ─ A4 accumulate ─ A5 grid ─┴─ M1 upsample ─ M2 min-max ─► heatmap

The parameters of a stage are the names of the values that it reads: `def rectify(cam)` reads the result of C3. So every
stage can be run, tested or replaced alone. A variant is the recipe with one stage replaced:

    Cam(C4=lambda cam: cam)          # Grad-CAM without its ReLU
"""
import dataclasses
from collections.abc import Callable
from functools import lru_cache
from inspect import Parameter, signature
from typing import Any, NamedTuple


class Step(NamedTuple):
    """The result of one stage: its number such as "C2", its title, and its value (a tensor, or a tuple of two)."""
    id: str
    title: str
    value: Any


def stage(gives: str, function: Callable, recorded: bool = False) -> Any:
    """A field of a recipe: the default function, and the name under which later stages read its result.

    recorded: the stage runs during the forward pass that records the trace, and not in `run`.
    """
    return dataclasses.field(default=function, metadata={"gives": gives, "recorded": recorded})


def stages(recipe: Any) -> list[dataclasses.Field]:
    """The fields of the stages that run on a trace, in order."""
    return [field for field in dataclasses.fields(recipe) if not field.metadata["recorded"]]


def run(recipe: Any, values: dict) -> list[Step]:
    """Run the stages in order on a dict of recorded values, in which None means not recorded.

    ValueError if a stage reads a value that neither the recording nor an earlier stage gives.
    """
    values = {name: value for name, value in values.items() if value is not None}
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


def reads(recipe: Any, name: str) -> bool:
    """Whether any stage of the recipe reads the named value. What no stage reads need not be recorded."""
    return any(name in _parameters(field.name, getattr(recipe, field.name)) for field in stages(recipe))


def reads_class(recipe: Any) -> bool:
    """Whether the map depends on the class: whether a stage reads gradients, or runs the network again."""
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
    """The title in a stage's docstring: 'C2 channel weights: gradients (K,h,w) -> …' gives 'channel weights'.

    The function's name if its docstring has none.
    """
    first_line = (function.__doc__ or "").strip().partition("\n")[0]
    numbered, colon, _ = first_line.partition(":")
    return numbered.partition(" ")[2] if colon else getattr(function, "__name__", str(function))
