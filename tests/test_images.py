"""Any picture becomes an upright RGB photo, any other file one ImageError, and the way to the tensor can be undone."""
import errno
import io
import os
import struct
import warnings
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from minixai import images
from minixai.files import shown
from minixai.images import ImageError, Preprocess, endings, open_image, open_photo
from minixai.verification.saved_map import read_map

pytestmark = pytest.mark.filterwarnings("error")

RGB = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)     # 5 high, 7 wide, no symmetry
GREY = RGB[..., 0]
ALPHA = np.random.default_rng(1).integers(0, 256, (5, 7), dtype=np.uint8)
GREY_RGB = np.stack([GREY] * 3, axis=-1)


def saved(folder, image, kind, **options):
    path = folder / f"photo.{kind}"
    image.save(path, **options)
    return path


def on_white(rgb, alpha):
    share = alpha[..., None] / 255
    return share * rgb + (1 - share) * 255


def pixels(source):
    photo = open_photo(source)
    assert isinstance(photo, Image.Image) and photo.mode == "RGB"
    return np.asarray(photo).astype(float)


def png(width, height, *chunks):
    """The bytes of a PNG that claims a size, with these chunks and not one pixel."""
    header = (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    parts = [struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
             for kind, data in (header, *chunks, (b"IDAT", b""))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


# ---------------------------------------------------------------------------------------- pictures of every kind

STORED = {      # EXIF orientation: how the camera laid the upright picture into the file (EXIF 2.3, tag 0x0112)
    1: lambda up: up,
    2: np.fliplr,
    3: lambda up: np.rot90(up, 2),
    4: np.flipud,
    5: lambda up: up.swapaxes(0, 1),
    6: lambda up: np.rot90(up, 1),
    7: lambda up: np.rot90(up, 2).swapaxes(0, 1),
    8: lambda up: np.rot90(up, -1),
}


@pytest.mark.parametrize("orientation", STORED)
def test_a_photo_stands_upright(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](RGB)))
    assert np.array_equal(pixels(saved(tmp_path, stored, "png", exif=exif)), RGB)


def _palette():
    image = Image.fromarray(np.arange(35, dtype=np.uint8).reshape(5, 7), "L").convert("P")
    image.putpalette(RGB.reshape(35, 3).tobytes())
    return image


def _with(array, alpha):
    return Image.fromarray(np.dstack([array, alpha]))


def _clear(picture, *place):
    picture = picture.copy()
    picture[place] = 255
    return picture


CMYK = np.dstack([RGB, ALPHA])
KINDS = {   # name -> (image, file type, options of save, the pixels to be seen)
    "RGB": (Image.fromarray(RGB), "png", {}, RGB),
    "grey": (Image.fromarray(GREY), "png", {}, GREY_RGB),
    "black and white": (Image.fromarray(GREY > 99), "png", {}, 255 * (GREY_RGB > 99)),
    "alpha": (_with(RGB, ALPHA), "png", {}, on_white(RGB, ALPHA)),
    "alpha in WebP": (_with(RGB, ALPHA), "webp", {"lossless": True, "exact": True}, on_white(RGB, ALPHA)),
    "grey and alpha": (_with(GREY, ALPHA), "png", {}, on_white(GREY_RGB, ALPHA)),
    "palette": (_palette(), "png", {}, RGB),
    "palette, one entry clear": (_palette(), "png", {"transparency": 9}, _clear(RGB, 1, 2)),
    "palette, alpha for each entry": (_palette(), "png", {"transparency": ALPHA.tobytes()}, on_white(RGB, ALPHA)),
    "one colour clear": (Image.fromarray(RGB), "png", {"transparency": tuple(RGB[3, 4].tolist())}, _clear(RGB, 3, 4)),
    "16 bits": (Image.fromarray(GREY.astype(np.uint16) * 257), "png", {}, GREY_RGB),
    "16 bits in TIFF": (Image.fromarray(GREY.astype(np.uint16) * 257), "tiff", {}, GREY_RGB),
    "32-bit integers": (Image.fromarray(GREY.astype(np.int32) * 257), "tiff", {}, GREY_RGB),
    "floats": (Image.fromarray(GREY.astype(np.float32) / 255), "tiff", {}, GREY_RGB),
    "CMYK": (Image.fromarray(CMYK, "CMYK"), "tiff", {}, (255.0 - RGB) * (255.0 - ALPHA[..., None]) / 255),
}


@pytest.mark.filterwarnings("ignore:'mode' parameter:DeprecationWarning")
@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_picture_becomes_RGB(tmp_path, name):
    image, kind, options, expected = KINDS[name]
    assert np.abs(pixels(saved(tmp_path, image, kind, **options)) - expected).max() <= 1
    if not options:
        assert np.abs(pixels(image) - expected).max() <= 1      # as a PIL image that never was a file


@pytest.mark.parametrize("kind", ["gif", "png", "webp", "tiff"])
def test_of_an_animation_the_first_frame_is_taken_and_said(tmp_path, kind):
    frames = [Image.new("RGB", (7, 5), color) for color in ("red", "lime", "blue")]
    path = saved(tmp_path, frames[0], kind, save_all=True, append_images=frames[1:],
                 **{"lossless": True} if kind == "webp" else {})
    with pytest.warns(UserWarning, match=r"photo\.\w+: holds more than one frame; the first one is used"):
        assert (pixels(path) == (255, 0, 0)).all()


ARRAYS = {
    "uint8": RGB,
    "uint16": RGB.astype(np.uint16) * 257,
    "float": RGB / 255,
    "grey": GREY,
    "alpha": np.dstack([RGB, np.full((5, 7), 255, np.uint8)]),
    "tensor": torch.from_numpy(RGB),
    "big-endian": (RGB.astype(">u2") * 257).astype(">u2"),
    "big-endian floats": (RGB / 255).astype(">f4"),
    "backwards": RGB[::-1, ::-1].copy()[::-1, ::-1],
    "float16": (RGB / 255).astype(np.float16),
    "a negated tensor": torch._neg_view(torch.from_numpy(RGB / -255)),
    "tensor in a graph": torch.from_numpy(RGB / 255).requires_grad_(),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_are_pictures_too(name):
    assert np.array_equal(pixels(ARRAYS[name]), GREY_RGB if name == "grey" else RGB)


def test_sixteen_bits_become_the_nearest_eight():
    photo = open_photo(np.array([[0, 128, 129, 1000, 40000, 65535]], np.uint16))
    assert np.asarray(photo)[0, :, 0].tolist() == [0, 0, 1, 4, 156, 255]


@pytest.mark.parametrize("limits", [np.array([[0.0, 1.0]]), np.array([[0, 65535]], np.uint16)], ids=["float", "uint16"])
def test_black_and_white_are_the_limits_and_are_allowed(limits):
    assert pixels(limits)[0].tolist() == [[0] * 3, [255] * 3]


@pytest.mark.parametrize("exif", [b"rubbish", b"II*\0\xff\xff\xff\xff", b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0",
                                  b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x63\0\0\0\0\0\0"])
def test_broken_exif_does_not_cost_the_photo(tmp_path, exif):
    assert np.array_equal(pixels(saved(tmp_path, Image.fromarray(RGB), "png", exif=b"Exif\0\0" + exif)), RGB)


# ------------------------------------------------------------------------------------------- files that are none

def _write(data):
    def make(folder):
        path = folder / "photo.png"
        path.write_bytes(data)
        return path
    return make


def _half_of(kind):
    def make(folder):
        path = saved(folder, Image.fromarray(np.random.default_rng(2).integers(0, 256, (64, 48, 3), np.uint8)), kind)
        path.write_bytes(path.read_bytes()[:-2000])
        return path
    return make


def _folder(folder):
    path = folder / "photo.png"
    path.mkdir()
    return path


def _tiff(values):
    return lambda folder: saved(folder, Image.fromarray(values), "tiff")


BAD_FILES = {   # name -> (what makes it, the cause to be named)
    "missing": (lambda folder: folder / "photo.png", "no such file"),
    "below a file": (lambda folder: _write(b"x")(folder) / "photo.png", "not a directory"),
    "name too long": (lambda folder: folder / ("x" * 300 + ".png"), "name too long"),
    "empty": (_write(b""), "empty"),
    "text": (_write(b"This is not a picture.\n" * 99), "not an image"),
    "a folder": (_folder, "a folder"),
    "JPEG cut short": (_half_of("jpg"), "cut short"),
    "PNG cut short": (_half_of("png"), "cut short"),
    "GIF cut short": (_half_of("gif"), "cut short"),
    "PNG without pixels": (_write(png(7, 5)), "cut short"),
    "zero-sized": (_write(png(0, 5)), "not an image"),
    "64 megapixels are allowed": (_write(png(8000, 8000)), "cut short"),
    "one row more": (_write(png(8000, 8001)), "8000x8001 is over 64 megapixels"),
    "a bomb": (_write(png(65000, 65000)), "more than 64 megapixels"),
    "a bomb in a text": (_write(png(7, 5, (b"zTXt", b"k\0\0" + zlib.compress(bytes(2_000_000))))), "[Dd]ecompressed"),
    "floats out of range": (_tiff(np.full((5, 7), 255, np.float32)), "must lie in 0 to 1, got 255"),
    "NaN": (_tiff(np.full((5, 7), np.nan, np.float32)), "must lie in 0 to 1, got nan"),
    "integers out of range": (_tiff(np.full((5, 7), 65536, np.int32)), "must lie in 0 to 65535, got 65536"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_one_line_that_names_file_and_cause(tmp_path, name):
    make, cause = BAD_FILES[name]
    path = make(tmp_path)
    with pytest.raises(ImageError, match=f"(?i){cause}") as error:
        open_photo(str(path))
    assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)
    assert error.value.__suppress_context__ or error.value.__context__ is None


@pytest.mark.parametrize("refuses", ["os.stat", "builtins.open", "PIL.Image.open"])
def test_no_permission_for_the_file_or_its_folder(tmp_path, monkeypatch, refuses):
    path = saved(tmp_path, Image.fromarray(RGB), "png")
    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied")
    with monkeypatch.context() as patch, pytest.raises(ImageError, match=f"{path.name}: no permission"):
        patch.setattr(refuses, refuse)
        open_photo(path)


BAD_SOURCES = {
    "no pixels": (np.zeros((0, 7, 3), np.uint8), "no pixels"),
    "PIL image of no size": (Image.new("RGB", (7, 0)), "7x0 pixels"),
    "channels first": (np.zeros((3, 5, 7), np.uint8), r"\(H,W,3\)"),
    "a batch": (np.zeros((1, 5, 7, 3), np.uint8), r"\(H,W,3\)"),
    "floats to 255": (RGB.astype(float), "0 to 1"),
    "negative": (RGB / -255, "0 to 1"),
    "NaN": (RGB * np.nan, "0 to 1"),
    "integers that say no top": (RGB.astype(np.int64), "int64 pixels; give uint8"),
    "a mask": (RGB > 99, "bool pixels; give uint8"),
    "too large": (np.broadcast_to(np.uint8(0), (8000, 8001)), "64 megapixels"),
    "far too large": (np.broadcast_to(np.float64(0), (10**6, 10**6)), "64 megapixels"),
    "objects": (np.full((5, 7), None), "object pixels"),
    "one number": (np.array(3.0), "not a picture"),
    "masked": (np.ma.array(RGB, mask=RGB > 99), "a masked array"),
    "a sparse tensor": (torch.zeros(5, 7).to_sparse(), "not an array of plain numbers"),
    "a tensor without numbers": (torch.zeros(5, 7, device="meta"), "not an array of plain numbers"),
    "bfloat16": (torch.zeros(5, 7, dtype=torch.bfloat16), "not an array of plain numbers"),
}


@pytest.mark.parametrize("name", BAD_SOURCES)
def test_a_bad_array_or_image_says_what_is_wrong(name):
    source, cause = BAD_SOURCES[name]
    with pytest.raises(ImageError, match=f"^the (array|image): .*{cause}"):
        open_photo(source)


def test_an_image_that_was_closed_is_an_ImageError(tmp_path):
    with Image.open(saved(tmp_path, Image.fromarray(RGB), "png")) as image:
        pass
    with pytest.raises(ImageError, match="^the image: "):
        open_photo(image)


def test_a_damaged_file_that_pillow_opened_already_is_an_ImageError_too(tmp_path):
    with Image.open(_half_of("png")(tmp_path)) as image, pytest.raises(ImageError, match="the image: .*cut short"):
        open_photo(image)


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_every_cut_of_a_file_of_two_pages_is_one_line(tmp_path, compression):
    pages = [Image.fromarray(RGB), Image.fromarray(RGB[::-1])]
    path = saved(tmp_path, pages[0], "tiff", save_all=True, append_images=pages[1:], compression=compression)
    whole, refused = path.read_bytes(), 0
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message=".*more than one frame")
                assert np.array_equal(pixels(path), RGB)
        except ImageError as error:
            refused += 1
            assert str(error).startswith(f"{path}: ") and str(error).isprintable()
    assert refused > len(whole) / 3


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 7 5\n%%EndComments\n0 0 7 5 rectfill\nshowpage\n%%EOF\n"


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for Ghostscript is a shell script")
@pytest.mark.parametrize("read, name", [(open_photo, "photo.jpg"), (read_map, "map.png")])
def test_no_other_program_is_started_to_read_a_picture(tmp_path, monkeypatch, read, name):
    from PIL import EpsImagePlugin
    ghostscript, sign = tmp_path / "gs", tmp_path / "it ran"
    ghostscript.write_text(f"#!/bin/sh\ntouch '{sign}'\n")
    ghostscript.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None, raising=False)       # what Pillow found before
    (tmp_path / name).write_bytes(EPS)
    with pytest.raises(ValueError, match=f"{name}: not an image"):
        read(tmp_path / name)
    assert not sign.exists()
    with Image.open(tmp_path / name) as eps, pytest.raises(OSError):
        eps.load()
    assert sign.exists()            # the stand-in is one that Pillow starts


def test_the_endings_are_those_of_what_is_read():
    assert {".png", ".jpg", ".jpeg", ".mpo", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".ppm"} <= endings()
    assert not endings() & {".eps", ".ps", ".wmf", ".emf", ".mpg", ".pdf"}


def test_a_phone_picture_with_a_second_one_in_it_is_read(tmp_path):
    second = Image.new("RGB", (7, 5), "red")
    saved(tmp_path, Image.new("RGB", (7, 5), "white"), "mpo", save_all=True, append_images=[second])
    (tmp_path / "photo.mpo").rename(tmp_path / "photo.jpg")
    with pytest.warns(UserWarning, match="photo.jpg: holds more than one frame"):
        assert (pixels(tmp_path / "photo.jpg") > 250).all()


def test_a_picture_that_an_icon_hides_is_measured_too(tmp_path, monkeypatch):
    path, inside = saved(tmp_path, Image.new("RGB", (16, 16)), "ico"), io.BytesIO()
    Image.new("RGB", (40, 40)).save(inside, "png")
    header = bytearray(path.read_bytes()[:22])
    header[14:18] = len(inside.getvalue()).to_bytes(4, "little")
    path.write_bytes(header + inside.getvalue())
    assert open_photo(path).size == (40, 40)
    monkeypatch.setattr(images, "MAX_PIXELS", 1000)
    with pytest.raises(ImageError, match="40x40 is over"):
        open_photo(path)


def test_a_file_of_too_many_bytes_is_not_read(tmp_path):
    path = saved(tmp_path, Image.fromarray(RGB), "webp")
    with open(path, "r+b") as file:
        file.truncate((1 << 30) + 1)            # a hole, which takes no room on most disks
    with pytest.raises(ImageError, match="too many for a picture"):
        open_photo(path)


@pytest.mark.parametrize("error, cause", [
    (MemoryError(), "not enough memory"), (RecursionError("too deep"), "damaged.*too deep"),
    (TypeError("two\nlines"), r"damaged.*two\\nlines"), (OSError(errno.EIO, "Input/output error"), "put error$")])
def test_whatever_a_decoder_raises_is_one_line(tmp_path, monkeypatch, error, cause):
    path = saved(tmp_path, Image.fromarray(RGB), "png")
    def fail(self):
        raise error
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", fail)
    with pytest.raises(ImageError, match=cause) as refused:
        open_photo(path)
    assert str(refused.value).startswith(f"{path}: ") and str(refused.value).isprintable()


@pytest.mark.parametrize("name", ["a\nb.png", "\x1b[31mred.png", os.fsdecode(b"caf\xe9.png"), "x" * 300 + ".png",
                                  "a\0b.png"])
def test_the_name_in_a_message_is_one_line_that_no_terminal_obeys(tmp_path, name):
    path = tmp_path / name
    try:
        path.write_bytes(b"no picture")
    except (OSError, ValueError):
        pass                        # no such name can be here; it is refused all the same
    with pytest.raises(ImageError) as error:
        open_photo(path)
    assert str(error.value).startswith(f"{shown(path)}: ") and str(error.value).isprintable()


# ------------------------------------------------------------------------------ to the tensor, and back to the photo

GEOMETRIES = [  # size (H,W) of the network, crop, size (width, height) of the photo
    ((12, 20), 1.0, (71, 39)),
    ((12, 20), 1.0, (31, 90)),
    ((20, 12), 0.875, (67, 41)),
    ((16, 16), 0.6, (133, 57)),
    ((15, 11), 0.9, (9, 14)),
]


def center(weights):
    """Where the mass of a map lies, (x, y), with the first pixel from 0 to 1."""
    weights = np.nan_to_num(np.asarray(weights, dtype=float))
    y, x = np.indices(weights.shape) + 0.5
    return np.array([(weights * x).sum(), (weights * y).sum()]) / weights.sum()


@pytest.mark.parametrize("size, crop, photo_size", GEOMETRIES)
def test_the_box_is_centred_and_the_largest_of_its_shape(size, crop, photo_size):
    left, top, right, bottom = Preprocess(size, crop=crop).box(photo_size)
    (H, W), (width, height) = size, photo_size
    assert left >= 0 and top >= 0 and left == pytest.approx(width - right) and top == pytest.approx(height - bottom)
    assert (right - left) / (bottom - top) == pytest.approx(W / H)
    assert max((right - left) / width, (bottom - top) / height) == pytest.approx(crop)


@pytest.mark.parametrize("size, photo_size", [((96, 224), (58, 37)), ((224, 96), (37, 58)), ((7, 7), (1, 999))])
def test_rounding_never_puts_the_box_outside_the_photo(size, photo_size):
    left, top, right, bottom = Preprocess(size).box(photo_size)
    assert 0 <= left < right <= photo_size[0] and 0 <= top < bottom <= photo_size[1]
    assert Preprocess(size)(Image.new("RGB", photo_size)).shape == (1, 3, *size)


@pytest.mark.parametrize("size, crop, photo_size", GEOMETRIES)
def test_a_mark_in_the_photo_lands_at_its_place_in_the_tensor(size, crop, photo_size):
    preprocess = Preprocess(size, mean=(0, 0, 0), std=(1, 1, 1), crop=crop)
    left, top, right, bottom = preprocess.box(photo_size)
    photo = np.zeros((photo_size[1], photo_size[0], 3), np.uint8)
    x, y = int(left + 0.7 * (right - left)), int(top + 0.3 * (bottom - top))
    photo[y - 1:y + 1, x - 2:x + 1] = 200
    seen = center(preprocess(Image.fromarray(photo))[0, 0])
    scale = (right - left) / size[1]
    assert np.abs(seen * scale + (left, top) - (x - 0.5, y)).max() < 0.15 * scale


def bilinear(heatmap, x, y):
    """The heatmap's value at (x, y): cell centres lie at halves, and beyond the edge it goes on as at the edge."""
    H, W = heatmap.shape
    i, j, value = int(np.floor(y - 0.5)), int(np.floor(x - 0.5)), 0.0
    for di, dj in ((0, 0), (0, 1), (1, 0), (1, 1)):
        weight = (1 - abs(y - 0.5 - (i + di))) * (1 - abs(x - 0.5 - (j + dj)))
        value += weight * heatmap[min(max(i + di, 0), H - 1), min(max(j + dj, 0), W - 1)]
    return value


@pytest.mark.parametrize("size, crop, photo_size", GEOMETRIES)
def test_onto_photo_is_the_inverse_of_the_box(size, crop, photo_size):
    preprocess, heatmap = Preprocess(size, crop=crop), torch.rand(size, generator=torch.manual_seed(0))
    left, top, right, bottom = preprocess.box(photo_size)
    wide, high = right - left, bottom - top
    expected = np.full(photo_size[::-1], np.nan)
    for row, column in np.ndindex(expected.shape):
        x, y = column + 0.5 - left, row + 0.5 - top                 # the pixel's centre, in photo pixels from the box
        if 0 <= x <= wide and 0 <= y <= high:
            expected[row, column] = bilinear(heatmap.numpy(), x / wide * size[1], y / high * size[0])
    assert np.isnan(expected).any() and not np.isnan(expected).all()
    np.testing.assert_allclose(preprocess.onto_photo(heatmap, photo_size), expected, atol=1e-4)


@pytest.mark.parametrize("size, crop, photo_size", GEOMETRIES)
def test_a_cell_of_the_heatmap_goes_back_to_where_it_came_from(size, crop, photo_size):
    preprocess, heatmap = Preprocess(size, crop=crop), torch.zeros(size)
    heatmap[8, 5] = 1
    left, top, right, bottom = preprocess.box(photo_size)
    scale = (right - left) / size[1]
    found = center(preprocess.onto_photo(heatmap, photo_size))
    assert np.abs(found - (left + 5.5 * scale, top + 8.5 * scale)).max() < (0.05 * scale if scale > 1 else 0.5)


def test_at_scale_one_the_way_back_is_exact_pixel_by_pixel():
    heatmap = torch.rand(12, 20)
    np.testing.assert_allclose(Preprocess((12, 20)).onto_photo(heatmap, (20, 12)), heatmap, atol=1e-5)
    cropped = Preprocess((12, 20), crop=0.5).onto_photo(heatmap, (40, 24)).numpy()
    np.testing.assert_allclose(cropped[6:-6, 10:-10], heatmap, atol=1e-5)
    cropped[6:-6, 10:-10] = np.nan
    assert np.isnan(cropped).all()


@pytest.mark.parametrize("size, crop, photo_size", GEOMETRIES)
def test_a_part_of_onto_photo_is_that_part_of_the_whole(size, crop, photo_size):
    preprocess, heatmap = Preprocess(size, crop=crop), torch.rand(size, generator=torch.manual_seed(0))
    whole = preprocess.onto_photo(heatmap, photo_size)
    part = preprocess.onto_photo(heatmap, photo_size, (2, 5, 8, 12))
    torch.testing.assert_close(part, whole[5:12, 2:8], rtol=0, atol=0, equal_nan=True)


def test_pixels_are_normalised_channel_by_channel():
    image = Preprocess((5, 7), mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 0.2))(Image.new("RGB", (7, 5), (51, 102, 255)))
    assert image.dtype == torch.float32 and image.shape == (1, 3, 5, 7)
    np.testing.assert_allclose(image[0, :, 4, 6], [0.2, 0.8, 3.5], atol=1e-6)


@pytest.mark.parametrize("size, crop, photo_size", GEOMETRIES)
def test_undo_gives_the_pixels_that_the_network_saw(size, crop, photo_size):
    noise = np.random.default_rng(3).integers(0, 256, (*photo_size[::-1], 3), dtype=np.uint8)
    preprocess, photo = Preprocess(size, crop=crop), Image.fromarray(noise)
    seen = photo.resize(size[::-1], Image.Resampling.BICUBIC, box=preprocess.box(photo_size))
    undone = preprocess.undo(torch.cat([preprocess(photo), preprocess(Image.new("RGB", photo_size, "white"))]))
    assert undone.dtype == np.uint8 and undone.shape == (2, *size, 3)
    assert np.array_equal(undone[0], np.asarray(seen)) and (undone[1] == 255).all()


def test_undo_shows_what_is_brighter_than_white_as_white():
    image = torch.tensor([-0.5, 0.5, 1.5]).reshape(1, 3, 1, 1).expand(1, 3, 2, 2)
    assert Preprocess((2, 2), mean=(0, 0, 0), std=(1, 1, 1)).undo(image)[0, 0, 0].tolist() == [0, 128, 255]


def test_open_image_asks_the_model_how_it_wants_its_images(tmp_path):
    path, preprocess = saved(tmp_path, Image.fromarray(RGB), "png"), Preprocess((12, 20), crop=0.8)
    model = torch.nn.Identity()
    with pytest.raises(ImageError, match="Identity does not say how it wants its images"):
        open_image(path, model)
    model.preprocess = preprocess
    expected = preprocess(Image.fromarray(RGB))
    assert all(torch.equal(open_image(source, wanted), expected)
               for source in (path, str(path), Image.fromarray(RGB), RGB) for wanted in (model, preprocess))
