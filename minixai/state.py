"""State dicts, which are names and their tensors: read from a file, compared with a model, copied into it."""
import pickle
import re

import torch


def read_state_dict(path):
    """A file that torch.save wrote -> {name: tensor}, on the processor. No code that it brings along is run.

    ValueError, in one line, for a file that is damaged or holds something else, OSError for one that cannot be opened.
    """
    with opened(path) as file:
        return state_dict_in(file, path)


def opened(path):
    """The file, open to read bytes; the OSError if it cannot be is one line that begins with its name."""
    try:
        return open(path, "rb")
    except OSError as error:
        raise type(error)(f"{path}: {error.strerror or error}") from None


def state_dict_in(file, path):
    """The state dict in an open file, as read_state_dict; `path` is its name in what goes wrong."""
    return as_state_dict(unpickled(file, path), path)


def as_state_dict(values, path):
    """What came out of a file, if it is a state dict; else a ValueError."""
    if not isinstance(values, dict) or not values or not all(
            isinstance(value, torch.Tensor) for value in values.values()):
        raise ValueError(f"{path}: not a state dict, which is names and their tensors")
    return values


def unpickled(file, path):
    """What torch.save wrote into an open file. No code that it brings along is run."""
    damaged = f"{path}: no file of weights, or damaged, or cut short"
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if code := re.search(r"GLOBAL (\S+)|[Ff]unction (\S+)", str(error)):
            raise ValueError(f"{path} holds more than tensors ({code[1] or code[2]}), and minixai runs no code that a "
                             "file brings along; save its state dict alone") from None
        raise ValueError(damaged) from None
    except Exception as error:      # torch's reader meets a damaged file with RuntimeError, EOFError, KeyError and more
        first_line = str(error).strip().partition("\n")[0]
        raise ValueError(f"{damaged} ({first_line or type(error).__name__})") from None


def load_into(model, state):
    """Copy a state dict into a model of ours. ValueError lists, tensor by tensor, all that does not fit."""
    if lines := misfits(state, model):
        raise ValueError("these weights do not fit this network:\n  " + "\n  ".join(lines))
    model.load_state_dict(state)


def misfits(state, model):
    """What of a state dict does not fit a model, one line a tensor; an empty list if load_state_dict will succeed."""
    ours = model.state_dict()
    lines = [f"missing      {name} {tuple(value.shape)}" for name, value in ours.items() if name not in state]
    lines += [f"not ours     {name} {tuple(value.shape)}" for name, value in state.items() if name not in ours]
    both = [(name, value, ours[name]) for name, value in state.items() if name in ours]
    lines += [f"other shape  {name}: theirs {tuple(theirs.shape)}, ours {tuple(value.shape)}"
              for name, theirs, value in both if theirs.shape != value.shape]
    return lines + [f"other kind   {name}: theirs {theirs.dtype}, ours {value.dtype}"
                    for name, theirs, value in both if theirs.is_floating_point() != value.is_floating_point()]


def in_short(lines):
    """The lines of `misfits` in one: how many of each kind, and the first of them."""
    kinds = {}
    for line in lines:
        kind, _, rest = line.partition("  ")
        kinds.setdefault(kind, []).append(rest.strip())
    return ", ".join(f"{len(those)} {kind} ({those[0]}{', …' if len(those) > 1 else ''})"
                     for kind, those in kinds.items())
