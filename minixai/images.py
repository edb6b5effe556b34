"""From any picture to the tensor that a network wants, and back to the picture's own pixels.

    open_photo(source)      ─► PIL image: upright, RGB, 8 bits
    Preprocess(...)(photo)  ─► (1,3,H,W) float32: one centred box of the photo, resized and normalised
    Preprocess.undo         ─► the pixels that the network saw;   Preprocess.onto_photo ─► a heatmap at the photo's size

Whatever is wrong with a file becomes one ImageError that names the file and says what is wrong.
"""
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch.nn import functional as F

MAX_PIXELS = 64_000_000     # a decoded photo of this size takes 192 MB; a few bytes of file can claim far more


class ImageError(ValueError):
    """A picture that cannot be used; the message says which one and why."""


def open_image(source, model):
    """A path, PIL image or array -> (1,3,H,W) float32 as `model` (or a Preprocess) wants it. Raises ImageError."""
    preprocess = model if isinstance(model, Preprocess) else getattr(model, "preprocess", None)
    if preprocess is None:
        raise ImageError(f"this {type(model).__name__} does not say how it wants its images; "
                         "give open_image a minixai.images.Preprocess(size, mean, std) instead of the model")
    return preprocess(open_photo(source))


def open_photo(source):
    """A path, PIL image or array -> an upright 8-bit RGB PIL image. Transparency is laid on white; of several frames or
    pages the first is taken, with a warning that says so. Raises ImageError."""
    if isinstance(source, torch.Tensor):
        source = source.detach().cpu().numpy()
    if isinstance(source, np.ndarray):
        return _to_rgb(_from_array(source, "the array"), "the array")
    if isinstance(source, Image.Image):
        with _one_error("the image"):       # Pillow decodes late, so a damaged file may show itself only now
            return _to_rgb(source, "the image")
    if not isinstance(source, str | PathLike):
        raise ImageError(f"an image is a path, a PIL image or an array; got a {type(source).__name__}")
    with _one_error(source):
        return _open_file(Path(source))


def _open_file(path):
    if path.is_dir():
        raise ImageError(f"{path}: a folder, not an image")
    if path.stat().st_size == 0:
        raise ImageError(f"{path}: the file is empty")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)     # our own limit is lower and an error
        with Image.open(path) as image:
            return _to_rgb(image, path)


@contextmanager
def _one_error(name):
    """Whatever goes wrong inside becomes an ImageError."""
    try:
        yield
    except (ImageError, TypeError):         # TypeError: the caller gave no path at all
        raise
    except FileNotFoundError:
        raise ImageError(f"{name}: no such file") from None
    except PermissionError:
        raise ImageError(f"{name}: no permission to read it") from None
    except Image.UnidentifiedImageError:
        raise ImageError(f"{name}: not an image, or of a kind that Pillow cannot read") from None
    except Image.DecompressionBombError:
        raise ImageError(f"{name}: more than {MAX_PIXELS // 10**6} megapixels; make it smaller first") from None
    except Exception as error:      # decoders meet a damaged file with OSError, SyntaxError, struct.error and more
        system = getattr(error, "strerror", None)
        raise ImageError(f"{name}: {system or f'damaged, cut short, or not decodable here ({error})'}") from None


def _to_rgb(image, name):
    width, height = image.size
    if width == 0 or height == 0:
        raise ImageError(f"{name}: {width}x{height} pixels, nothing to see")
    if width * height > MAX_PIXELS:
        raise ImageError(f"{name}: {width}x{height} is over {MAX_PIXELS // 10**6} megapixels; make it smaller first")
    if getattr(image, "n_frames", 1) > 1:
        warnings.warn(f"{name}: holds {image.n_frames} frames; the first one is used", stacklevel=4)
        image.seek(0)
    image = _upright(image)
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = _eight_bits(np.asarray(image), name)
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def _upright(image):
    """Cameras note how they were held instead of turning the pixels. If the note is damaged, these stay as they are."""
    image.load()        # damaged pixels are another matter: they must raise here, outside the try
    try:
        return ImageOps.exif_transpose(image)
    except Exception:   # Pillow's EXIF reader fails in as many ways as its decoders
        return image


def _from_array(values, name):
    """(H,W), (H,W,3) or (H,W,4): uint8, uint16, or floats in [0,1] -> PIL image."""
    if values.ndim not in (2, 3) or values.ndim == 3 and values.shape[-1] not in (3, 4):
        raise ImageError(f"{name}: shape {values.shape} is not a picture; give (H,W), (H,W,3) or (H,W,4)")
    if 0 in values.shape:
        raise ImageError(f"{name}: shape {values.shape} holds no pixels")
    if values.dtype == np.uint8:
        return Image.fromarray(values)
    if values.dtype != np.uint16 and values.dtype.kind != "f":      # is 255 white, or 65535? a guess may be all black
        raise ImageError(f"{name}: {values.dtype} pixels; give uint8, uint16, or floats in [0,1]")
    return _eight_bits(values, name)


def _eight_bits(values, name):
    top = 1 if values.dtype.kind == "f" else 65535      # Pillow reads 16-bit files into 16- or 32-bit integers
    if not (values.min() >= 0 and values.max() <= top):
        raise ImageError(f"{name}: {values.dtype} pixels must lie in 0 to {top}, got {values.min()} to {values.max()}")
    return Image.fromarray((values / top * 255).round().astype(np.uint8))


@dataclass(frozen=True)
class Preprocess:
    """How a network wants its images. The whole geometry is one box of the photo, so it can be undone exactly."""
    size: tuple                             # (H,W) that the network sees
    mean: tuple = (0.485, 0.456, 0.406)     # of each channel, on pixels in [0,1]; the values of ImageNet
    std: tuple = (0.229, 0.224, 0.225)
    crop: float = 1.0                       # share of the largest centred box that is kept

    def __call__(self, photo):
        """PIL RGB image -> (1,3,H,W) float32."""
        H, W = self.size
        # Crop and resize in one step. In two, the crop would be rounded to whole pixels and the way back inexact.
        seen = photo.resize((W, H), Image.Resampling.BICUBIC, box=self.box(photo.size))
        pixels = torch.from_numpy(np.array(seen)).permute(2, 0, 1)[None] / 255
        return (pixels - self._column(self.mean)) / self._column(self.std)

    def undo(self, image):
        """(B,3,H,W) -> the pixels that the network saw, uint8 (B,H,W,3)."""
        pixels = image.detach().float().cpu() * self._column(self.std) + self._column(self.mean)
        return (255 * pixels.clamp(0, 1)).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()

    def box(self, photo_size):
        """(width, height) of a photo -> (left, top, right, bottom): the part that is seen, in unrounded pixels."""
        width, height = photo_size
        H, W = self.size
        scale = self.crop * min(width / W, height / H)
        # scale * W may come out above the width by a rounding error, and Pillow refuses a box that begins at -4e-15.
        wide, high = min(width, scale * W), min(height, scale * H)
        left, top = (width - wide) / 2, (height - high) / 2
        return left, top, left + wide, top + high

    def onto_photo(self, heatmap, photo_size):
        """A heatmap (H,W) -> (height,width) at the photo's own size; NaN where the network did not look."""
        width, height = photo_size
        left, top, right, bottom = self.box(photo_size)
        # Where the centre of each photo pixel falls in the box, with the box's edges at -1 and 1.
        x = 2 * (torch.arange(width) + 0.5 - left) / (right - left) - 1
        y = 2 * (torch.arange(height) + 0.5 - top) / (bottom - top) - 1
        places = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)[None].float()
        values = F.grid_sample(heatmap.detach().float().cpu()[None, None], places, align_corners=False,
                               padding_mode="border")[0, 0]
        return values.masked_fill((places[0].abs() > 1).any(dim=-1), torch.nan)

    @staticmethod
    def _column(values):
        return torch.tensor(values).reshape(3, 1, 1)
