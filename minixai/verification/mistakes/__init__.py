"""What people get wrong, stage by stage: each mistake is a stage function that makes it.

`verify` puts them in the place of the right stage and looks whether the map in question comes out. The exercises look
whether a student's stage gives the same numbers. One table serves both.
"""
from collections.abc import Callable
from dataclasses import dataclass, fields

import torch

from minixai.recipe import reads_class


@dataclass(frozen=True)
class Mistake:
    """One wrong stage.

    stage: "C2". name: a few words that fit behind "C2:". reread: where the right way is written.
    function: a stage function. For C1 and A1, which run inside the network's pass: a function of a Recording that
    yields (which, trace) for each way to make this mistake ("class 3", "class 7").
    instead_of: the right stages that it can be mistaken for; empty, where it fits whatever the recipe has there.
    """
    stage: str
    name: str
    function: Callable
    reread: str
    instead_of: tuple = ()
    of_class: bool = False      # whether it changes only what looks at a class
    of_batch: bool = False      # whether it changes nothing where there is one image

    def fits(self, recipe):
        """Whether this mistake can be made in the recipe, and would change anything."""
        if self.stage not in (field.name for field in fields(recipe)):
            return False
        if self.of_class and not reads_class(recipe):
            return False
        right = getattr(recipe, self.stage)
        return self.function is not right and (not self.instead_of or right in self.instead_of)

    @property
    def recorded(self):
        """Whether it is made while the trace is recorded."""
        return self.stage in ("C1", "A1")


@dataclass(frozen=True, eq=False)
class Recording:
    """What a mistake of C1 or A1 starts from: the right trace, and the way to record another one."""
    model: torch.nn.Module
    image: torch.Tensor                 # (B,3,H,W)
    trace: object                       # a CnnTrace or VitTrace
    again: Callable                     # again(target=…, layer=…, score=…, image=…) -> another trace


def all_mistakes():
    """Every known mistake, in the order of the stages."""
    from minixai.verification.mistakes import (  # late: they use the names above
        attentions,
        cams,
        display,
        finish,
        recorded,
    )
    return [*recorded.MISTAKES, *cams.MISTAKES, *attentions.MISTAKES, *finish.MISTAKES, *display.MISTAKES]


def mistakes_of(recipe):
    """The mistakes that can be made in a recipe."""
    return [mistake for mistake in all_mistakes() if mistake.fits(recipe)]
