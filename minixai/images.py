"""From any picture to the tensor that a network wants, and back to the picture's own pixels.

    open_photo(source)      ─► PIL image: upright, RGB, 8 bits
    Preprocess(...)(photo)  ─► (1,3,H,W) float32: one centred box of the photo, resized and normalised
    Preprocess.undo         ─► the pixels that the network saw;   Preprocess.onto_photo ─► a heatmap at the photo's size

Whatever is wrong with a file becomes one ImageError that names the file and says what is wrong.
"""
import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps
from torch import Tensor
from torch.nn import functional as F

from minixai.files import opened, shown, why

PHOTOS = Path(__file__).parent / "photos"     # those that ship: cat.png, coffee.png and others
MAX_PIXELS = 64_000_000     # a decoded photo of this size takes 256 MB; a few bytes of file can claim far more
MAX_BYTES = 1 << 30         # of a file; some decoders read all of it first
# What Pillow decodes by itself. It goes by what is in a file, not by its name, and hands some kinds to other programs:
# an EPS that is called photo.jpg would start Ghostscript. MPO is what phones write: a JPEG with more pictures in it.
FORMATS = ("PNG", "JPEG", "MPO", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "JPEG2000", "PPM", "ICO", "TGA")

logging.getLogger("PIL").addHandler(logging.NullHandler())     # or Python prints what Pillow logs of a damaged file


class ImageError(ValueError):
    """A picture that cannot be used; the message says which one and why."""


def open_image(source: str | PathLike | Image.Image | Tensor | np.ndarray, model: Any) -> torch.Tensor:
    """A path, PIL image or array -> (1,3,H,W) float32, preprocessed as `model` (or a Preprocess) says. Raises
    ImageError, for a model without `preprocess` too."""
    preprocess = model if isinstance(model, Preprocess) else getattr(model, "preprocess", None)
    if preprocess is None:
        raise ImageError(f"this {type(model).__name__} does not say how it wants its images; "
                         "give open_image a minixai.images.Preprocess(size, mean, std) instead of the model")
    return preprocess(open_photo(source))


def open_photo(source: str | PathLike | Image.Image | Tensor | np.ndarray) -> Image.Image:
    """A path, PIL image or array -> an upright 8-bit RGB PIL image.

    What is transparent becomes white. Of several frames or pages the first is used, with a warning. A file may be of
    any kind in FORMATS, and have up to MAX_PIXELS pixels. An array has the shape (H,W), (H,W,3) or (H,W,4), and holds
    uint8, uint16, or floats in [0,1]. Raises ImageError.
    """
    if isinstance(source, torch.Tensor | np.ndarray):
        return to_rgb(_from_array(as_numpy(source, "the array"), "the array"), "the array")
    if isinstance(source, Image.Image):
        with _one_error("the image"):       # Pillow decodes late, so a damaged file may show itself only now
            return to_rgb(_first_frame(source, "the image"), "the image")
    if not isinstance(source, str | PathLike):
        raise ImageError(f"an image is a path, a PIL image or an array; got a {type(source).__name__}")
    try:
        file = opened(source)
    except OSError as error:
        raise ImageError(str(error)) from None
    with file, picture_in(file, shown(source)) as image:
        return to_rgb(image, shown(source))


@contextmanager
def picture_in(file: BinaryIO, name: str, formats: Sequence[str] = FORMATS) -> Iterator[Image.Image]:
    """An open file -> a PIL image, not decoded yet. Every error, in the block too, becomes an ImageError.

    name: of the file, for messages.
    """
    with _one_error(name, formats), warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")      # they do not name the file
        size = os.fstat(file.fileno()).st_size
        if size == 0:
            raise ImageError(f"{name}: the file is empty")
        if size > MAX_BYTES:
            raise ImageError(f"{name}: {size:,} bytes are too many for a picture")
        Image.init()            # or it knows but a few kinds yet
        with Image.open(file, formats=[each for each in formats if each in Image.OPEN]) as image:
            _check_size(image, name)
            yield _first_frame(image, name)


def endings() -> set[str]:
    """The endings of the names of files in FORMATS, such as ".png", that this build of Pillow reads."""
    return {ending for ending, kind in Image.registered_extensions().items() if kind in FORMATS}


@contextmanager
def _one_error(name, formats=FORMATS):
    """Every error inside becomes an ImageError. formats: those that are accepted."""
    try:
        yield
    except ImageError:
        raise
    except Image.UnidentifiedImageError:
        raise ImageError(f"{name}: not an image, or not of a kind that is read here ({', '.join(formats)})") from None
    except Image.DecompressionBombError:
        raise ImageError(f"{name}: more than {MAX_PIXELS // 10**6} megapixels; make it smaller first") from None
    except MemoryError:
        raise ImageError(f"{name}: there is not enough memory to decode it") from None
    except Exception as error:      # decoders meet a damaged file with OSError, SyntaxError, struct.error and more
        if getattr(error, "strerror", None):
            raise ImageError(f"{name}: {why(error)}") from None
        raise ImageError(f"{name}: damaged, cut short, or not decodable here ({why(error)})") from None


def _check_size(image, name):
    width, height = image.size
    if width == 0 or height == 0:
        raise ImageError(f"{name}: {width}x{height} pixels, nothing to see")
    if width * height > MAX_PIXELS:
        raise ImageError(f"{name}: {width}x{height} is over {MAX_PIXELS // 10**6} megapixels; make it smaller first")


def as_numpy(values: Any, name: str) -> np.ndarray:
    """A tensor, array or list -> numpy array. ImageError if its elements are no plain numbers."""
    if isinstance(values, np.ma.MaskedArray):
        raise ImageError(f"{name}: a masked array; fill its gaps first, with .filled(…)")
    try:
        if isinstance(values, torch.Tensor):
            values = values.detach().cpu().resolve_conj().resolve_neg().numpy()
        return np.asarray(values)
    except Exception as error:      # sparse, quantised, nested or empty tensors, ragged lists, objects of any kind
        raise ImageError(f"{name}: not an array of plain numbers ({why(error)[:200]})") from None


def _first_frame(image, name):
    if getattr(image, "is_animated", False):        # how many there are, Pillow finds out by reading them all
        warnings.warn(f"{name}: holds more than one frame; the first one is used", stacklevel=4)
        image.seek(0)
    return image


def to_rgb(image: Image.Image, name: str) -> Image.Image:
    """A PIL image of any mode -> an upright 8-bit RGB PIL image. name: of the image, in messages. Raises ImageError."""
    _check_size(image, name)
    image = _upright(image)
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = _eight_bits(np.asarray(image), name)
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def _upright(image):
    """Apply the EXIF orientation. If it is damaged, the pixels stay as they are."""
    image.load()        # damaged pixels are another matter: they must raise here, outside the try
    try:
        return ImageOps.exif_transpose(image) if ExifTags.Base.Orientation in image.getexif() else image
    except Exception:   # Pillow's EXIF reader fails in as many ways as its decoders
        return image


def _from_array(values, name):
    """(H,W), (H,W,3) or (H,W,4): uint8, uint16, or floats in [0,1] -> PIL image."""
    if values.ndim not in (2, 3) or values.ndim == 3 and values.shape[-1] not in (3, 4):
        raise ImageError(f"{name}: shape {values.shape} is not a picture; give (H,W), (H,W,3) or (H,W,4)")
    if 0 in values.shape:
        raise ImageError(f"{name}: shape {values.shape} holds no pixels")
    if values.shape[0] * values.shape[1] > MAX_PIXELS:
        raise ImageError(f"{name}: shape {values.shape} is over {MAX_PIXELS // 10**6} megapixels")
    if values.dtype == np.uint8:
        return Image.fromarray(values)
    if values.dtype.kind != "f" and values.dtype.str[1:] != "u2":   # is 255 white, or 65535? a guess may be all black
        raise ImageError(f"{name}: {values.dtype} pixels; give uint8, uint16, or floats in [0,1]")
    return _eight_bits(values, name)


def _eight_bits(values, name):
    top = 1 if values.dtype.kind == "f" else 65535      # Pillow reads 16-bit files into 16- or 32-bit integers
    if not (values.min() >= 0 and values.max() <= top):
        raise ImageError(f"{name}: {values.dtype} pixels must lie in 0 to {top}, got {values.min()} to {values.max()}")
    scaled = values / top
    scaled *= 255
    return Image.fromarray(scaled.round(out=scaled).astype(np.uint8))


@dataclass(frozen=True)
class Preprocess:
    """How a network's images are prepared: one centred box of the photo, resized and normalised. It can be undone."""
    size: tuple                             # (H,W) that the network sees
    mean: tuple = (0.485, 0.456, 0.406)     # of each channel, on pixels in [0,1]; the values of ImageNet
    std: tuple = (0.229, 0.224, 0.225)
    crop: float = 1.0                       # share of the largest centred box that is kept

    def __call__(self, photo: Image.Image) -> torch.Tensor:
        """PIL RGB image -> (1,3,H,W) float32."""
        H, W = self.size
        # Crop and resize in one step. In two, the crop would be rounded to whole pixels and the way back inexact.
        seen = photo.resize((W, H), Image.Resampling.BICUBIC, box=self.box(photo.size))
        pixels = torch.from_numpy(np.array(seen)).permute(2, 0, 1)[None] / 255
        return (pixels - self._column(self.mean)) / self._column(self.std)

    def undo(self, image: torch.Tensor) -> np.ndarray:
        """(B,3,H,W) -> the pixels that the network saw, uint8 (B,H,W,3)."""
        pixels = image.detach().float().cpu() * self._column(self.std) + self._column(self.mean)
        return (255 * pixels.clamp(0, 1)).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()

    def box(self, photo_size: tuple) -> tuple:
        """(width, height) of a photo -> (left, top, right, bottom): the part that is seen, in unrounded pixels."""
        width, height = photo_size
        H, W = self.size
        scale = self.crop * min(width / W, height / H)
        # scale * W may come out above the width by a rounding error, and Pillow refuses a box that begins at -4e-15.
        wide, high = min(width, scale * W), min(height, scale * H)
        left, top = (width - wide) / 2, (height - high) / 2
        return left, top, left + wide, top + high

    def onto_photo(self, heatmap: torch.Tensor, photo_size: tuple, part: tuple | None = None) -> torch.Tensor:
        """A heatmap (H,W) -> (height,width) at the photo's own size; NaN where the network did not look.

        part: (left, top, right, bottom) in whole pixels, to get only that part of it.
        """
        first_x, first_y, end_x, end_y = part or (0, 0, *photo_size)
        left, top, right, bottom = self.box(photo_size)
        # Where the centre of each photo pixel falls in the box, with the box's edges at -1 and 1.
        x = 2 * (torch.arange(first_x, end_x) + 0.5 - left) / (right - left) - 1
        y = 2 * (torch.arange(first_y, end_y) + 0.5 - top) / (bottom - top) - 1
        places = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)[None].float()
        values = F.grid_sample(heatmap.detach().float().cpu()[None, None], places, align_corners=False,
                               padding_mode="border")[0, 0]
        return values.masked_fill((places[0].abs() > 1).any(dim=-1), torch.nan)

    @staticmethod
    def _column(values):
        return torch.tensor(values).reshape(3, 1, 1)
