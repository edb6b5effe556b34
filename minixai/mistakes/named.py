"""Which mistake is this? A stage's wrong value, and the known mistakes that give the very same numbers.

    name_of("C2", value, {"gradients": gradients}, channel_weights)     a list of Mistake, empty if none is known
"""
import numpy as np
import torch

from minixai.mistakes import all_mistakes
from minixai.mistakes.recorded import WithScore
from minixai.recipe import run_stage

SAME = 1e-5         # of the largest number: the same value, rounded differently


def name_of(stage_id, value, inputs, right):
    """Every known mistake that gives `value` where `right` belongs. A list of Mistake: several may be equal here.

    stage_id: "C2". value: what the stage in question gave, a tensor or array. inputs: {parameter: value}, what it was
    given; more than it reads does no harm. right: the stage function that belongs there. Empty if the value is right.
    """
    if right is not None and equal(value, _given_by(right, stage_id, inputs)):
        return []
    fitting = [mistake for mistake in all_mistakes() if mistake.stage == stage_id
               and (right is None or not mistake.instead_of or right in mistake.instead_of)]
    return [mistake for mistake in fitting if equal(value, _given_by(_stage_of(mistake), stage_id, inputs))]


def equal(one, other):
    """Whether two values are the same numbers in the same shape."""
    if one is None or other is None:
        return False
    one, other = (torch.as_tensor(np.asarray(value.detach() if isinstance(value, torch.Tensor) else value)).double()
                  for value in (one, other))
    if one.shape != other.shape or not one.isfinite().all() or not other.isfinite().all():
        return False
    return bool((one - other).abs().max() <= SAME * other.abs().max())


def _stage_of(mistake):
    """The stage function that makes the mistake. Of those made while recording, only another score is one."""
    if not mistake.recorded:
        return mistake.function
    return mistake.function.score if isinstance(mistake.function, WithScore) else None


def _given_by(function, stage_id, inputs):
    """What a stage gives on these inputs, or None where it does not fit them."""
    try:
        return None if function is None else run_stage(stage_id, function, inputs)
    except (ValueError, TypeError, RuntimeError, IndexError):
        return None
