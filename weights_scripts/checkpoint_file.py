"""Weights out of a file that a user has: a checkpoint of torch.save, or a .safetensors file. No code of it is run."""
import hashlib
import json
import math

import torch

from minixai.files import opened, shown, why
from minixai.networks.state_dict import as_state_dict, unpickled

DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
          "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8,
          "BOOL": torch.bool}
WRAPPINGS = ("model", "state_dict")         # as DeiT, and as training scripts that save more than weights
PREFIXES = ("module.", "_orig_mod.")        # of torch's DataParallel, and of torch.compile


def read_checkpoint(path):
    """A file -> {name: tensor}, floats in full precision. ValueError or OSError, in one line, for any other file."""
    with opened(path) as file:
        start = file.read(9)
        file.seek(0)
        # The name says little: files in download caches are often named after their hash.
        state = read_safetensors(file, path) if start[8:] == b"{" else unwrapped(unpickled(file, path))
    state = without_prefix(as_state_dict(state, path))
    state = {name: value.float() if value.is_floating_point() else value for name, value in state.items()}
    if broken := [name for name, value in state.items() if not value.isfinite().all()]:
        raise ValueError(f"{shown(path)}: {len(broken)} tensors hold numbers that are not finite, the first is "
                         f"{shown(broken[0])}")
    return state


def unwrapped(values):
    """The innermost dict of a checkpoint that names its parts."""
    for name in WRAPPINGS:
        if isinstance(values, dict) and isinstance(values.get(name), dict):
            values = values[name]
    return values


def without_prefix(state):
    """The names without what wraps all of them, if something does."""
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state


def read_safetensors(file, path):
    """An open .safetensors file -> {name: tensor}: 8 bytes say how long the header is, the header is JSON and says each
    tensor's type, shape and place, and behind it are their numbers."""
    try:
        length = int.from_bytes(file.read(8), "little")
        if length > 100_000_000:        # the limit of the format; without one, a damaged file could ask for anything
            raise ValueError(f"a header of {length} bytes")
        header, numbers = json.loads(file.read(length)), bytearray(file.read())
        header.pop("__metadata__", None)
        state = {name: _tensor(numbers, **entry) for name, entry in header.items()}
        if sum(value.nbytes for value in state.values()) > len(numbers):
            raise ValueError("tensors that overlap")
        return state
    except (ValueError, TypeError, KeyError, AttributeError, RuntimeError) as error:
        raise ValueError(f"{shown(path)}: no .safetensors file, or damaged, or cut short ({why(error)})") from None


def _tensor(numbers, dtype, shape, data_offsets):
    (begin, end), dtype, count = data_offsets, DTYPES[dtype], math.prod(shape)
    if end - begin != count * dtype.itemsize:
        raise ValueError(f"bytes {begin} to {end} for shape {tuple(shape)} of {dtype}")
    if count == 0:
        return torch.empty(shape, dtype=dtype)      # frombuffer takes no empty buffer
    return torch.frombuffer(numbers, dtype=dtype, count=count, offset=begin).reshape(shape)


def sha256_of_file(path):
    """Read in pieces: such a file may be larger than the memory that is free."""
    found = hashlib.sha256()
    with opened(path) as file:
        while piece := file.read(1 << 20):
            found.update(piece)
    return found.hexdigest()
