"""Heatmaps as other programs save them: .npy, .npz, .pt and .png, floats or 8 bits, or drawn in colours.

Nothing in a file is run: arrays are read without pickle, tensors with weights_only, and sizes are bounded.
"""
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from minixai.images import ImageError, open_photo

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


def read_map(source):
    """A path, array or tensor -> SavedMap, or ColouredMap. ValueError says what is wrong with it and what would fit.

    (H,W), (B,H,W) or (B,1,H,W); 8 or 16 bits or floats; (H,W,3) of 8 bits is a picture in colours. An .npz has to hold
    one array, a .pt one tensor.
    """
    if isinstance(source, SavedMap | ColouredMap):
        return source
    name = "the map"
    if isinstance(source, str | Path):
        name, source = str(source), _read_file(Path(source))
    digits = None
    if isinstance(source, torch.Tensor):
        source = source.detach().cpu()
        if source.dtype == torch.bfloat16:          # numpy has none
            digits, source = 7, source.float()
        source = source.numpy()
    values = np.asarray(source)
    return _checked(values, name, 10 if values.dtype == np.float16 else digits)


def _checked(values, name, digits=None):
    """digits: binary ones behind the point of a float with few of them."""
    if values.dtype.kind not in "fuib" or values.dtype == bool:
        raise ValueError(f"{name}: a heatmap is numbers; got {values.dtype}")
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
        raise ValueError(f"{path}: a heatmap is read from {', '.join(readers)}{lossy}")
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    try:
        return readers[path.suffix.lower()](path)
    except (ImageError, ValueError) as error:
        raise ValueError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from None
    except Exception as error:          # a damaged file fails in as many ways as there are readers
        raise ValueError(f"{path}: damaged, or not what its name says ({type(error).__name__})") from None


def _read_numpy(path):
    with open(path, "rb") as file:
        magic = file.read(6)
        if magic == b"\x93NUMPY":
            file.seek(0)
            return _one_array(np.load(path, mmap_mode="r", allow_pickle=False))
    with zipfile.ZipFile(path) as archive:         # what it will take when unpacked is written in it
        if sum(part.file_size for part in archive.infolist()) > 8 * MOST:
            raise ValueError("too large for a heatmap")
    with np.load(path, allow_pickle=False) as arrays:
        if len(arrays.files) != 1:
            raise ValueError(f"holds {len(arrays.files)} arrays ({', '.join(arrays.files[:5])}); save one")
        return _one_array(arrays[arrays.files[0]])


def _read_torch(path):
    values = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(values, torch.Tensor):
        raise ValueError(f"holds a {type(values).__name__}; save one tensor")
    return _one_array(values)


def _read_png(path):
    from PIL import Image
    with Image.open(path) as image:
        if image.width * image.height > MOST:
            raise ValueError(f"{image.width}x{image.height} pixels are too many")
        if image.mode in ("L", "I;16", "I"):
            values = np.asarray(image)
            return values if values.dtype == np.uint8 else values.astype(np.uint16)
    rgb = np.asarray(open_photo(path))
    return rgb[..., 0] if (rgb == rgb[..., :1]).all() else rgb


def _one_array(values):
    size = values.numel() if isinstance(values, torch.Tensor) else values.size
    if size > MOST:
        raise ValueError(f"{size:,} numbers are too many for a heatmap")
    return values
