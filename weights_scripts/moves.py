"""Moves: for each tensor of another library's state dict, its name there and its name here."""
import re
from collections import namedtuple
from collections.abc import Sequence

from torch import Tensor

NO_PLACE = "no place for it in this network"
ONLY_TRAINING = "only training uses it"

# theirs: the name there, or what it was made from. ours: the name here, None if it is left out. note: a remark.
Move = namedtuple("Move", "theirs ours tensor note", defaults=("",))


def renamed(state: dict[str, Tensor], rules: Sequence[tuple[str, str]],
            left_out: dict[str, str] | None = None) -> list[Move]:
    """A Move for each tensor of a state dict.

    rules: (regular expression, template) for the name of a module or of a tensor. The first rule that matches the whole
    name counts. left_out: {name: reason} of tensors that our network does not need.
    """
    return [_renamed(name, tensor, rules, left_out or {}) for name, tensor in state.items()]


def _renamed(name, tensor, rules, left_out):
    if name in left_out:
        return Move(name, None, tensor, left_out[name])
    module, _, last = name.rpartition(".")
    for theirs, ours in rules:
        if found := re.fullmatch(theirs, name):
            return Move(name, found.expand(ours), tensor)
        if found := re.fullmatch(theirs, module):
            return Move(name, f"{found.expand(ours)}.{last}", tensor)
    return Move(name, None, tensor, NO_PLACE)


def state_of(moves: list[Move]) -> dict[str, Tensor]:
    """Moves -> our state dict. ValueError if a tensor has no place in our network, or if two get the same name."""
    if lost := [move for move in moves if move.note == NO_PLACE]:
        raise ValueError("no place for these tensors:\n  " + "\n  ".join(
            f"{move.theirs} {tuple(move.tensor.shape)}" for move in lost))
    kept = [move for move in moves if move.ours]
    state = {move.ours: move.tensor for move in kept}
    if len(state) < len(kept):
        names = [move.ours for move in kept]
        raise ValueError(f"two tensors for one name: {', '.join(sorted({n for n in names if names.count(n) > 1}))}")
    return state
