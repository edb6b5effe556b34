"""Write a state dict to a file."""
import io
import os
import zipfile
from pathlib import Path

import torch
from torch import Tensor

from weights_scripts.packages import sha256_of


def in_half(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same state dict with floats in half precision. ValueError if a number is too large for it.

    The batch counts of norms are integers and stay as they are.
    """
    halved = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    if large := [name for name, value in halved.items() if not value.isfinite().all()]:
        raise ValueError(f"{large[0]} holds numbers above 65504, which half precision cannot; use full precision")
    return halved


def write(state: dict[str, Tensor], path: Path) -> None:
    """Write a state dict as torch.save does, and print its size and sha256. The shipped files are of this kind.

    It goes through memory: torch.save to a path would write the file's name into the file, and change its hash.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    path.write_bytes(buffer.getvalue())
    _print_written(path, buffer.getvalue())


def save(state: dict[str, Tensor], path: Path) -> None:
    """Write a state dict with the bytes of `saved_bytes`, and print its size and sha256.

    An incomplete file never has the final name.
    """
    data = saved_bytes({name: value.contiguous() for name, value in state.items()})
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(f".{os.getpid()}.part")
    try:
        unfinished.write_bytes(data)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    _print_written(path, data)


def _print_written(path, data):
    print(f"wrote {path}, {len(data):,} bytes, sha256 {sha256_of(data)}")


def saved_bytes(state: dict[str, Tensor]) -> bytes:
    """A state dict as bytes that torch.load can read. Every release of torch gives the same bytes.

    torch.save writes a zip file. The order of its parts, and some extra parts, depend on torch's version.
    """
    buffer, repacked = io.BytesIO(), io.BytesIO()
    torch.save(state, buffer)
    with zipfile.ZipFile(buffer) as saved, zipfile.ZipFile(repacked, "w") as kept:
        for name in sorted(saved.namelist()):
            if name.endswith(("/data.pkl", "/byteorder", "/version")) or "/data/" in name:
                entry = zipfile.ZipInfo(name)
                entry.create_system = 3         # the default depends on the operating system
                kept.writestr(entry, saved.read(name))
    return repacked.getvalue()
