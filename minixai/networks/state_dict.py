"""State dicts (name -> tensor): read from a file, compared with a model, copied into it."""
import os
import pickle
import re
import warnings
from os import PathLike
from typing import Any, BinaryIO

import torch
from torch import Tensor, nn

from minixai.files import opened, shown, zip_parts


def read_state_dict(path: str | PathLike) -> dict[str, Tensor]:
    """A file that torch.save wrote -> {name: tensor}, on the CPU. No code in the file is run.

    ValueError, in one line, for a file that is damaged or holds something else; OSError for one that cannot be opened.
    """
    with opened(path) as file:
        return state_dict_in(file, path)


def state_dict_in(file: BinaryIO, path: str | PathLike) -> dict[str, Tensor]:
    """The state dict in an open file, as read_state_dict; path: its name in messages."""
    return as_state_dict(unpickled(file, path), path)


def as_state_dict(values: Any, path: str | PathLike) -> dict[str, Tensor]:
    """The values that a file holds. ValueError unless they are a state dict of plain tensors."""
    if not isinstance(values, dict) or not values or not all(
            isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in values.items()):
        raise ValueError(f"{shown(path)}: not a state dict, which is names and their tensors")
    if odd := [name for name, value in values.items() if not _is_plain(value)]:
        raise ValueError(f"{shown(path)}: {len(odd)} of its tensors are sparse, quantised, nested or without numbers, "
                         f"the first is {shown(odd[0])}")
    storages = {value.untyped_storage().data_ptr(): value.untyped_storage().nbytes() for value in values.values()}
    # A tensor with a stride of 0 repeats a few numbers and may have any size. Two layers that share weights are fine.
    if sum(value.numel() * value.element_size() for value in values.values()) > 2 * sum(storages.values()):
        raise ValueError(f"{shown(path)}: its tensors repeat the same few numbers; save them with .contiguous()")
    return values


def _is_plain(tensor):
    return (tensor.layout == torch.strided and tensor.device.type == "cpu"
            and not tensor.is_quantized and not tensor.is_nested)


def unpickled(file: BinaryIO, path: str | PathLike) -> Any:
    """What torch.save wrote into an open file. No code in it is run. ValueError, in one line, if it is damaged."""
    damaged = f"{shown(path)}: no file of weights, or damaged, or cut short"
    try:
        return load_tensors(file)
    except pickle.UnpicklingError as error:
        if code := re.search(r"GLOBAL (\S+)|[Ff]unction (\S+)", str(error)):
            raise ValueError(f"{shown(path)} holds more than tensors ({shown(code[1] or code[2])}), and minixai runs "
                             "no code that a file brings along; save its state dict alone") from None
        raise ValueError(damaged) from None
    except Exception as error:      # torch.load raises RuntimeError, EOFError, KeyError and more for a damaged file
        first_line = str(error).strip().partition("\n")[0]
        raise ValueError(f"{damaged} ({shown(first_line) or type(error).__name__})") from None


def load_tensors(file: BinaryIO) -> Any:
    """torch.load of an open file, after a check that it unpacks to no more than its own size."""
    if file.read(4) == b"PK\3\4":
        parts, size = zip_parts(file), file.seek(0, os.SEEK_END)
        # torch.save compresses nothing. A compressed file of zeros could unpack to a thousand times its size.
        if sum(part.file_size for part in parts) > size:
            raise ValueError("it unpacks to more than its own size")
    file.seek(0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"torch\.")     # they do not name the file
        return torch.load(file, map_location="cpu", weights_only=True)


def load_into(model: nn.Module, state: dict[str, Tensor]) -> None:
    """Copy a state dict into a model of ours. ValueError lists every tensor that does not fit."""
    if lines := misfits(state, model):
        raise ValueError("these weights do not fit this network:\n  " + "\n  ".join(lines))
    model.load_state_dict(state)


def misfits(state: dict[str, Tensor], model: nn.Module) -> list[str]:
    """One line for each tensor of a state dict that does not fit a model; none if load_state_dict will succeed."""
    ours = model.state_dict()
    lines = [f"missing      {name} {tuple(value.shape)}" for name, value in ours.items() if name not in state]
    lines += [f"not ours     {shown(name)} {tuple(value.shape)}" for name, value in state.items() if name not in ours]
    both = [(name, value, ours[name]) for name, value in state.items() if name in ours]
    lines += [f"other shape  {name}: theirs {tuple(theirs.shape)}, ours {tuple(value.shape)}"
              for name, theirs, value in both if theirs.shape != value.shape]
    return lines + [f"other kind   {name}: theirs {theirs.dtype}, ours {value.dtype}"
                    for name, theirs, value in both if theirs.is_floating_point() != value.is_floating_point()]


def in_short(lines: list[str]) -> str:
    """The lines of `misfits` in one line: the number of each kind, and the first of each."""
    kinds = {}
    for line in lines:
        kind, _, rest = line.partition("  ")
        kinds.setdefault(kind, []).append(rest.strip())
    return ", ".join(f"{len(those)} {kind} ({those[0]}{', …' if len(those) > 1 else ''})"
                     for kind, those in kinds.items())
