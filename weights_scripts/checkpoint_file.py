"""Read weights from a user's file: a checkpoint of torch.save, or a .safetensors file. No code in the file is run."""
import hashlib
import json
import math
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from minixai.files import opened, shown, why
from minixai.networks.state_dict import as_state_dict, unpickled

DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
          "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8,
          "BOOL": torch.bool}
WRAPPINGS = ("model", "state_dict")         # keys under which DeiT and many training scripts store the weights
PREFIXES = ("module.", "_orig_mod.")        # from DataParallel, and from torch.compile


def read_checkpoint(path: str | Path) -> dict[str, Tensor]:
    """The state dict in a file, with floats in full precision. ValueError or OSError, in one line, if there is none."""
    with opened(path) as file:
        start = file.read(9)
        file.seek(0)
        # The kind of file is read from its content: files in download caches are often named after their hash.
        state = read_safetensors(file, path) if start[8:] == b"{" else unwrapped(unpickled(file, path))
    state = without_prefix(as_state_dict(state, path))
    state = {name: value.float() if value.is_floating_point() else value for name, value in state.items()}
    if broken := [name for name, value in state.items() if not value.isfinite().all()]:
        raise ValueError(f"{shown(path)}: {len(broken)} tensors hold numbers that are not finite, the first is "
                         f"{shown(broken[0])}")
    return state


def unwrapped(values: Any) -> Any:
    """The weights in a checkpoint that stores them under "model" or "state_dict"."""
    for name in WRAPPINGS:
        if isinstance(values, dict) and isinstance(values.get(name), dict):
            values = values[name]
    return values


def without_prefix(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Remove a prefix such as "module." if all names have it."""
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state


def read_safetensors(file: BinaryIO, path: str | Path) -> dict[str, Tensor]:
    """The state dict in an open .safetensors file. ValueError if it is damaged. path: for the message.

    The file has 8 bytes with the length of the header, then the header, then the numbers. The header is JSON with the
    dtype, shape and place of each tensor.
    """
    try:
        length = int.from_bytes(file.read(8), "little")
        if length > 100_000_000:        # the limit of the format; a damaged file may name any length
            raise ValueError(f"a header of {length} bytes")
        header, numbers = json.loads(file.read(length)), bytearray(file.read())
        header.pop("__metadata__", None)
        state = {name: _tensor(numbers, **entry) for name, entry in header.items()}
        if sum(value.nbytes for value in state.values()) > len(numbers):
            raise ValueError("tensors that overlap")
        return state
    except (ValueError, TypeError, KeyError, AttributeError, RuntimeError) as error:
        raise ValueError(f"{shown(path)}: not a .safetensors file, or damaged, or cut short ({why(error)})") from None


def _tensor(numbers, dtype, shape, data_offsets):
    (begin, end), dtype, count = data_offsets, DTYPES[dtype], math.prod(shape)
    if end - begin != count * dtype.itemsize:
        raise ValueError(f"bytes {begin} to {end} for shape {tuple(shape)} of {dtype}")
    if count == 0:
        return torch.empty(shape, dtype=dtype)      # frombuffer does not take an empty buffer
    return torch.frombuffer(numbers, dtype=dtype, count=count, offset=begin).reshape(shape)


def sha256_of_file(path: str | Path) -> str:
    """The sha256 in hexadecimal digits. The file is read in pieces, since it may be larger than the free memory."""
    found = hashlib.sha256()
    with opened(path) as file:
        while piece := file.read(1 << 20):
            found.update(piece)
    return found.hexdigest()
