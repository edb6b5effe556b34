"""Heatmaps as other programs save them: .npy, .npz, .pt and .png, floats or 8 bits, or drawn in colours.

No code in a file is run: arrays are read without pickle, tensors with weights_only. No file takes more memory than a
heatmap of MOST numbers.
"""
import math
import warnings
import zipfile
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
import torch

from minixai.files import opened, shown, why, zip_parts
from minixai.images import ImageError, as_numpy, picture_in, to_rgb
from minixai.networks.state_dict import load_tensors

MOST = 64_000_000       # numbers in one file, as many as the pixels of the largest photo


@dataclass(frozen=True, eq=False)
class SavedMap:
    """A heatmap from elsewhere, or a batch of them.

    values: float64 (B,H,W). step: the largest distance between neighbouring values that the format can hold: 1/255 for
    8 bits, whose values are brought to [0,1], and 0 for floats of 32 bits and more.
    """
    values: torch.Tensor
    step: float


@dataclass(frozen=True, eq=False)
class ColouredMap:
    """A heatmap that was drawn in colours, alone or over the photo.

    rgb: uint8 numpy (H,W,3), red green blue if it was saved right.
    """
    rgb: np.ndarray


def read_map(source: str | PathLike | np.ndarray | torch.Tensor | SavedMap | ColouredMap) -> SavedMap | ColouredMap:
    """A path, array or tensor -> SavedMap or ColouredMap; a map that was read already is returned as it is.

    (H,W), (B,H,W) or (B,1,H,W); 8 or 16 bits or floats; (H,W,3) of 8 bits is a picture in colours. An .npz has to hold
    one array, a .pt one tensor. ValueError says in one line what is wrong and what would fit.
    """
    if isinstance(source, SavedMap | ColouredMap):
        return source
    name = "the map"
    if isinstance(source, str | PathLike):
        name, source = shown(source), _read_file(Path(source))
    digits = None
    if isinstance(source, torch.Tensor) and source.dtype == torch.bfloat16:         # numpy has none
        digits, source = 7, source.float()
    values = as_numpy(source, name)
    return _checked(values, name, 10 if values.dtype == np.float16 else digits)


def _checked(values, name, digits=None):
    """digits: binary ones behind the point of a float with few of them."""
    if values.dtype.kind not in "fuib" or values.dtype == bool:
        raise ValueError(f"{name}: a heatmap is numbers; got {values.dtype}")
    if values.size > MOST:
        raise ValueError(f"{name}: {values.size:,} numbers are too many for a heatmap")
    if values.ndim == 4 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim == 3 and values.shape[-1] == 3 and values.shape[0] > 4 and values.dtype == np.uint8:
        grey = bool((values == values[..., :1]).all())
        return _checked(values[..., 0], name) if grey else ColouredMap(values)
    if values.ndim == 3 and values.shape[-1] in (3, 4) and values.shape[0] > 4:
        raise ValueError(f"{name}: shape {values.shape} is no heatmap; save the map itself, one number a pixel, or "
                         "a picture in colours as 8 bits (H,W,3)")
    if values.ndim not in (2, 3) or 0 in values.shape:
        raise ValueError(f"{name}: shape {values.shape} is no heatmap; give (H,W), or (B,H,W) for B images")
    top = {"u1": 255, "u2": 65535}.get(values.dtype.str[1:])
    if top is None and values.dtype.kind in "ui":
        raise ValueError(f"{name}: {values.dtype} values; give floats, or unsigned 8 or 16 bits")
    with np.errstate(invalid="ignore", over="ignore"):      # what is NaN or infinite is refused below
        numbers = torch.from_numpy(values.astype(np.float64))
    numbers = numbers[None] if numbers.dim() == 2 else numbers
    if not numbers.isfinite().all():
        raise ValueError(f"{name}: holds NaN or infinity, so there is no map to compare")
    if top:
        return SavedMap(numbers / top, 1 / top)
    return SavedMap(numbers, float(numbers.abs().max()) * 2.0 ** -digits if digits else 0.0)


def _read_file(path):
    readers = {".npy": _read_numpy, ".npz": _read_numpy, ".pt": _read_torch, ".pth": _read_torch, ".png": _read_png}
    if path.suffix.lower() not in readers:
        lossy = " (JPEG changes the values)" if path.suffix.lower() in (".jpg", ".jpeg") else ""
        raise ValueError(f"{shown(path)}: a heatmap is read from {', '.join(readers)}{lossy}")
    try:
        file = opened(path)
    except OSError as error:
        raise ValueError(str(error)) from None
    with file:
        return _with(readers[path.suffix.lower()], file, shown(path))


def _with(reader, file, name):
    """What a reader makes of an open file; whatever it raises becomes a ValueError of one line."""
    try:
        return reader(file, name)
    except ImageError:
        raise                       # it names the file already
    except MemoryError:
        raise ValueError(f"{name}: there is not enough memory to read it") from None
    except ValueError as error:
        raise ValueError(f"{name}: {why(error)}") from None
    except Exception as error:      # a damaged file fails in as many ways as there are readers
        raise ValueError(f"{name}: damaged, or not what its name says ({type(error).__name__})") from None


def _read_numpy(file, name):
    if file.read(6) == b"\x93NUMPY":
        file.seek(0)
        return _read_array(file)
    parts = zip_parts(file)
    if len(parts) != 1:
        raise ValueError(f"holds {len(parts)} arrays ({', '.join(part.filename for part in parts[:5])}); save one")
    with zipfile.ZipFile(file) as archive, archive.open(parts[0]) as member:
        return _read_array(member)


def _read_array(file):
    """An open .npy file -> its array, if what its header claims is a heatmap at all: room is made for all of it."""
    read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    version = np.lib.format.read_magic(file)
    if version not in read_header:
        raise ValueError("of a version of .npy that heatmaps have no need of")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")         # Python's, of what a damaged header looks like to it
        shape, _, dtype = read_header[version](file)
    if dtype.kind not in "fuibc":
        raise ValueError(f"a heatmap is numbers; got {dtype}")
    if math.prod(shape) > MOST:
        raise ValueError(f"{math.prod(shape):,} numbers are too many for a heatmap")
    file.seek(0)
    return np.lib.format.read_array(file, allow_pickle=False)


def _read_torch(file, name):
    values = load_tensors(file)
    if not isinstance(values, torch.Tensor):
        raise ValueError(f"holds a {type(values).__name__}; save one tensor")
    return values


def _read_png(file, name):
    with picture_in(file, name, ["PNG"]) as image:
        if image.mode in ("L", "I;16", "I"):
            values = np.asarray(image)
            return values if values.dtype == np.uint8 else values.astype(np.uint16)
        rgb = np.asarray(to_rgb(image, name))
    return rgb[..., 0] if (rgb == rgb[..., :1]).all() else rgb
