"""Where each tensor of another library's state dict goes: the list that the state dict and its report are made of."""
import re
from collections import namedtuple

NO_PLACE = "no place for it in this network"
ONLY_TRAINING = "only training uses it"

# theirs: its name there, or what it was made from. ours: its name here, None if it is left out. note: why, or how made.
Move = namedtuple("Move", "theirs ours tensor note", defaults=("",))


def renamed(state, rules, left_out=None):
    """A Move for each tensor of a state dict.

    rules: pairs of regular expression and template, each for a module or for one tensor; the first that matches the
    whole name counts. left_out: {name: why} of what has no place here and needs none.
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


def state_of(moves):
    """Moves -> our state dict. ValueError lists what there is no place for, and what would land on the same name."""
    if lost := [move for move in moves if move.note == NO_PLACE]:
        raise ValueError("no place for these tensors:\n  " + "\n  ".join(
            f"{move.theirs} {tuple(move.tensor.shape)}" for move in lost))
    kept = [move for move in moves if move.ours]
    state = {move.ours: move.tensor for move in kept}
    if len(state) < len(kept):
        names = [move.ours for move in kept]
        raise ValueError(f"two tensors for one name: {', '.join(sorted({n for n in names if names.count(n) > 1}))}")
    return state
