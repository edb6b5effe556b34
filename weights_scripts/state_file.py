"""A state dict into a file: whole or not at all, and the same bytes whichever torch writes it."""
import io
import os
import zipfile

import torch

from weights_scripts.packages import sha256_of


def in_half(state):
    """Floats in half precision; ValueError if one is too large for it. The counts that norms keep are integers and
    stay."""
    halved = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    if large := [name for name, value in halved.items() if not value.isfinite().all()]:
        raise ValueError(f"{large[0]} holds numbers above 65504, which half precision cannot; use full precision")
    return halved


def save(state, path):
    """Write a state dict and print what became of it. Only a whole file ever has the final name."""
    data = saved_bytes({name: value.contiguous() for name, value in state.items()})
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(f".{os.getpid()}.part")
    try:
        unfinished.write_bytes(data)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    print(f"wrote {path}, {len(data):,} bytes, sha256 {sha256_of(data)}")


def saved_bytes(state):
    """A state dict as torch.load reads it, the same bytes whichever torch runs this, so that they can be hashed.

    torch.save writes a zip file. Its order, and notes that it puts beside the numbers, change with torch's version.
    """
    buffer, repacked = io.BytesIO(), io.BytesIO()
    torch.save(state, buffer)
    with zipfile.ZipFile(buffer) as saved, zipfile.ZipFile(repacked, "w") as kept:
        for name in sorted(saved.namelist()):
            if name.endswith(("/data.pkl", "/byteorder", "/version")) or "/data/" in name:
                entry = zipfile.ZipInfo(name)
                entry.create_system = 3         # else the system that this runs on
                kept.writestr(entry, saved.read(name))
    return repacked.getvalue()
