"""Known mistakes, stage by stage: each is a stage function that makes the mistake.

`verify` replaces the right stage by each of them and compares the resulting map with the one in question. The exercises
compare a student's stage with them. Both use this table.
"""
from collections.abc import Callable
from dataclasses import dataclass, fields

import torch

from minixai.attention import Attn
from minixai.gradcam import Cam
from minixai.recipe import reads_class
from minixai.trace import CnnTrace, VitTrace


@dataclass(frozen=True)
class Mistake:
    """One wrong stage.

    stage: "C2". name: a few words that fit behind "C2:". reread: where the right code is.
    function: a stage function. For C1 and A1, which run during the forward pass: a function of a Recording that yields
    (which, trace) for each way to make this mistake ("class 3", "class 7").
    instead_of: the right stages that it may replace; empty if it may replace any function of its stage.
    """
    stage: str
    name: str
    function: Callable
    reread: str
    instead_of: tuple = ()
    of_class: bool = False      # whether it changes class-specific methods only
    of_batch: bool = False      # whether it changes batches of several images only

    def fits(self, recipe: Cam | Attn) -> bool:
        """Whether this mistake can be made in the recipe, and changes it."""
        if self.stage not in (field.name for field in fields(recipe)):
            return False
        if self.of_class and not reads_class(recipe):
            return False
        right = getattr(recipe, self.stage)
        return self.function is not right and (not self.instead_of or right in self.instead_of)

    @property
    def recorded(self) -> bool:
        """Whether the mistake is made while the trace is recorded."""
        return self.stage in ("C1", "A1")


@dataclass(frozen=True, eq=False)
class Recording:
    """The input of a mistake of C1 or A1: the right trace, and a function that records another one."""
    model: torch.nn.Module
    image: torch.Tensor                 # (B,3,H,W)
    trace: CnnTrace | VitTrace
    again: Callable                     # again(target=…, layer=…, score=…, image=…) -> another trace


def all_mistakes() -> list[Mistake]:
    """Every known mistake, in the order of the stages."""
    from minixai.verification.mistakes import (  # late: they use the names above
        attentions,
        cams,
        display,
        finish,
        recorded,
    )
    return [*recorded.MISTAKES, *cams.MISTAKES, *attentions.MISTAKES, *finish.MISTAKES, *display.MISTAKES]


def mistakes_of(recipe: Cam | Attn) -> list[Mistake]:
    """The mistakes that can be made in a recipe."""
    return [mistake for mistake in all_mistakes() if mistake.fits(recipe)]
