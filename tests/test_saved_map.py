"""Heatmaps from elsewhere: every format gives the same numbers, and what is no heatmap is refused in one line."""
import io
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from minixai import files
from minixai.verification import saved_map
from minixai.verification.saved_map import ColouredMap, SavedMap, read_map

VALUES = np.random.RandomState(0).rand(5, 7)


def test_an_array_a_tensor_and_every_file_give_the_same_map(tmp_path):
    np.save(tmp_path / "map.npy", VALUES)
    np.savez(tmp_path / "map.npz", VALUES)
    torch.save(torch.from_numpy(VALUES), tmp_path / "map.pt")
    files = [tmp_path / f"map.{ending}" for ending in ("npy", "npz", "pt")]
    for source in (VALUES, torch.from_numpy(VALUES), *files, str(files[0])):
        saved = read_map(source)
        assert saved.values.shape == (1, 5, 7) and saved.values.dtype == torch.float64 and saved.step == 0
        np.testing.assert_array_equal(saved.values[0], VALUES)


@pytest.mark.parametrize("shape", [(5, 7), (3, 5, 7), (3, 1, 5, 7), (1, 1, 5, 7), (1, 3, 4)])
def test_one_map_or_a_batch(shape):
    values = np.random.RandomState(1).randn(*shape)
    np.testing.assert_array_equal(read_map(values).values, values.reshape(-1, *shape[-2:]))


@pytest.mark.parametrize("dtype, top", [(np.uint8, 255), (np.uint16, 65535)])
def test_whole_numbers_are_levels_of_zero_to_one(dtype, top):
    saved = read_map((VALUES * top).round().astype(dtype))
    assert saved.step == 1 / top and np.abs(saved.values[0].numpy() - VALUES).max() <= 0.5 / top


@pytest.mark.parametrize("mode, dtype", [("L", np.uint8), ("I;16", np.uint16), ("RGB", np.uint8)])
def test_a_grey_png_is_read_whatever_its_mode(mode, dtype, tmp_path):
    levels = (VALUES * np.iinfo(dtype).max).astype(dtype)
    picture = Image.fromarray(levels)
    (picture.convert("RGB") if mode == "RGB" else picture).save(tmp_path / "map.png")
    np.testing.assert_allclose(read_map(tmp_path / "map.png").values[0], levels / np.iinfo(dtype).max, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_float_with_few_digits_says_so(dtype):
    exact = 40 * torch.from_numpy(VALUES)
    saved = read_map(exact.to(dtype))
    assert 0 < float((saved.values[0] - exact).abs().max()) <= saved.step / 2 < 0.2


def test_a_picture_in_colours_is_read_as_one(tmp_path):
    colours = np.random.RandomState(2).randint(0, 255, (5, 7, 3), np.uint8)
    Image.fromarray(colours).save(tmp_path / "colours.png")
    np.save(tmp_path / "colours.npy", colours)
    for source in (colours, torch.from_numpy(colours), tmp_path / "colours.png", tmp_path / "colours.npy"):
        saved = read_map(source)
        assert isinstance(saved, ColouredMap) and read_map(saved) is saved
        np.testing.assert_array_equal(saved.rgb, colours)
    grey = np.repeat(colours[..., :1], 3, axis=-1)
    np.testing.assert_allclose(read_map(grey).values[0], grey[..., 0] / 255, atol=1e-12)


def test_raw_maps_keep_their_signs_and_a_map_that_was_read_passes_through():
    saved = read_map(VALUES - 0.5)
    assert saved.values.min() < 0 and read_map(saved) is saved and isinstance(saved, SavedMap)


@pytest.mark.parametrize("values, message", [
    (np.full((3, 4), np.nan), "NaN or infinity"),
    (np.zeros((3, 4), np.int64), "unsigned 8 or 16 bits"),
    (np.zeros((3, 4), bool), "a heatmap is numbers"),
    (np.zeros((3, 4), complex), "a heatmap is numbers"),
    (np.array([["a"]]), "a heatmap is numbers"),
    (np.zeros(5), "no heatmap"),
    (np.zeros((2, 3, 4, 5)), "no heatmap"),
    (np.zeros((0, 4)), "no heatmap"),
    (np.zeros((20, 30, 3)), "a picture in colours as 8 bits"),
    (np.zeros((20, 30, 4), np.uint8), "a picture in colours as 8 bits"),
    ("nowhere.npy", "no such file"),
    ("photo.jpg", "JPEG changes the values"),
    ("map.txt", "a heatmap is read from .npy"),
])
def test_what_is_no_heatmap_is_refused_in_one_line(values, message):
    with pytest.raises(ValueError, match=message) as refused:
        read_map(values)
    assert "\n" not in str(refused.value)


def test_files_that_are_damaged_or_hold_something_else_are_refused(tmp_path):
    np.savez(tmp_path / "two.npz", a=VALUES, b=VALUES)
    torch.save({"map": torch.zeros(2, 3)}, tmp_path / "dict.pt")
    np.save(tmp_path / "object.npy", np.array([{}], dtype=object), allow_pickle=True)
    (tmp_path / "text.npy").write_text("not an array")
    (tmp_path / "text.pt").write_text("not a tensor")
    Image.fromarray((VALUES * 255).astype(np.uint8)).convert("RGB").save(tmp_path / "grey.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "grey.png").read_bytes()[:60])
    for name, message in (("two.npz", "holds 2 arrays"), ("dict.pt", "holds a dict"), ("object.npy", "object.npy"),
                          ("text.npy", "damaged"), ("text.pt", "damaged"),
                          ("cut.png", "cut.png")):
        with pytest.raises(ValueError, match=message) as refused:
            read_map(tmp_path / name)
        assert "\n" not in str(refused.value)


def _refused(path):
    """What read_map says of a file: one line that begins with its name."""
    with pytest.raises(ValueError) as refused:
        read_map(path)
    assert str(refused.value).startswith(f"{files.shown(path)}: ") and str(refused.value).isprintable()
    return str(refused.value)


TENSOR = torch.from_numpy(VALUES)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("values", [
    TENSOR.to_sparse(), TENSOR.to_sparse_csr(), TENSOR.to("meta"), TENSOR.to(torch.complex64), TENSOR > 0.5,
    TENSOR.to(torch.float8_e4m3fn), torch.quantize_per_tensor(TENSOR.float(), 0.1, 0, torch.quint8),
    torch.nested.nested_tensor([torch.zeros(2, 3), torch.zeros(4, 3)]), torch.tensor(3.0)],
    ids=["sparse", "csr", "meta", "complex", "bool", "float8", "quantised", "nested", "one number"])
def test_tensors_that_are_no_plain_numbers_are_refused_also_out_of_a_file(values, tmp_path):
    torch.save(values, tmp_path / "map.pt")
    assert "damaged" not in _refused(tmp_path / "map.pt")
    with pytest.raises(ValueError, match="^the map: "):
        read_map(values)


@pytest.mark.parametrize("values", [
    torch._neg_view(-TENSOR), (TENSOR * 1j).conj().imag.neg(), torch.nn.Parameter(TENSOR),
    TENSOR.clone().requires_grad_(), TENSOR.T.contiguous().T],
    ids=["negative bit", "of a conjugate", "parameter", "in a graph", "transposed"])
def test_tensors_that_look_odd_and_are_plain_numbers_are_read(values, tmp_path):
    torch.save(values, tmp_path / "map.pt")
    for source in (values, tmp_path / "map.pt"):
        np.testing.assert_array_equal(read_map(source).values[0], VALUES)


@pytest.mark.parametrize("values", [VALUES.astype(">f8"), np.asfortranarray(VALUES), VALUES[::-1].copy()[::-1]],
                         ids=["big-endian", "Fortran", "backwards"])
def test_arrays_in_any_order_are_read(values, tmp_path):
    np.save(tmp_path / "map.npy", values)
    for source in (values, tmp_path / "map.npy"):
        np.testing.assert_array_equal(read_map(source).values[0], VALUES)


@pytest.mark.parametrize("values, message", [
    ([[1, 2], [3]], "not an array"), (np.ma.array(VALUES, mask=VALUES > 0.5), "masked"),
    (np.broadcast_to(0.0, (10**6, 10**6)), "too many"), (torch.zeros(1, 1).expand(10**6, 10**6), "too many"),
    (object(), "numbers"), (np.zeros(3, "f4,f4"), "numbers")])
def test_other_sources_are_refused_before_they_fill_the_memory(values, message):
    with pytest.raises(ValueError, match=f"^the map: .*{message}"):
        read_map(values)


def _header(descr, shape):
    """A .npy file that claims a type and a shape, with 8 bytes of numbers."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": descr, "fortran_order": False, "shape": shape})
    return buffer.getvalue() + bytes(8)


@pytest.mark.parametrize("data, message", [
    (_header("<f8", (10**6, 10**6)), "too many"), (_header("<f8", (2**40, 2**40, 2**40)), "too many"),
    (_header("<f8", (1000, 1000)), "map"), (_header("<f8", (-1, 5)), "map"), (_header("|O", (1, 1)), "numbers"),
    (_header("|S9999999", (64, 64)), "numbers"), (_header([("a", "<f8")], (1, 1)), "numbers"),
    (b"\x93NUMPY\x03\0" + _header("<f8", (1, 1))[8:], "version"), (b"\x93NUMPY\1\0\xff\xff" + b"(" * 65535, "map"),
    (b"\x93NUMPY", "map")],
    ids=["large", "beyond numbers", "more than is there", "negative", "objects", "text", "records", "version", "deep",
         "nothing"])
@pytest.mark.parametrize("ending", ["npy", "npz"])
def test_a_header_that_lies_is_refused(data, message, ending, tmp_path):
    path = tmp_path / f"map.{ending}"
    path.write_bytes(data)
    if ending == "npz":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("arr_0.npy", data)
    assert message in _refused(path)


def test_a_small_file_does_not_unpack_to_a_large_one(tmp_path, monkeypatch):
    """1000 times smaller than what it unpacks to: refused before torch unpacks it."""
    torch.save(torch.zeros(1000, 1000), tmp_path / "plain.pt")
    with zipfile.ZipFile(tmp_path / "plain.pt") as plain, \
            zipfile.ZipFile(tmp_path / "map.pt", "w", zipfile.ZIP_DEFLATED) as packed:
        for name in plain.namelist():
            packed.writestr(name, plain.read(name))
    assert read_map(tmp_path / "plain.pt").values.shape == (1, 1000, 1000)
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("it was unpacked"))
    assert "unpacks to more than its own size" in _refused(tmp_path / "map.pt")


def test_many_numbers_in_a_small_file_are_refused_before_room_is_made(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "map.npz", np.zeros((50, 50)))
    monkeypatch.setattr(saved_map, "MOST", 2499)
    monkeypatch.setattr(np.lib.format, "read_array", lambda *_, **__: pytest.fail("it was read"))
    assert "2,500 numbers are too many" in _refused(tmp_path / "map.npz")


def test_zip_files_of_other_kinds_are_one_line(tmp_path, monkeypatch):
    np.savez(tmp_path / "map.npz", VALUES)
    data = bytearray((tmp_path / "map.npz").read_bytes())
    for header, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(header) + flags] |= 1           # encrypted
    (tmp_path / "secret.npz").write_bytes(data)
    assert "RuntimeError" in _refused(tmp_path / "secret.npz")
    monkeypatch.setattr(files, "LONGEST_LIST", 10)
    monkeypatch.setattr(zipfile, "ZipFile", lambda *_: pytest.fail("its list was read"))
    assert "too many parts" in _refused(tmp_path / "map.npz")
    (tmp_path / "map.pt").write_bytes((tmp_path / "map.npz").read_bytes())
    assert "too many parts" in _refused(tmp_path / "map.pt")


def test_no_more_memory_is_one_line(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise MemoryError
    np.save(tmp_path / "map.npy", VALUES)
    torch.save(TENSOR, tmp_path / "map.pt")
    monkeypatch.setattr(np.lib.format, "read_array", fail)
    monkeypatch.setattr(torch, "load", fail)
    for ending in ("npy", "pt"):
        assert "not enough memory" in _refused(tmp_path / f"map.{ending}")


def test_a_name_is_printed_on_one_line(tmp_path):
    for name in ("a\nb.npy", "\x1b[31m.png", "a\0b.pt", "x" * 300 + ".npz", "a\nb.txt"):
        _refused(tmp_path / name)


def test_of_an_animated_png_the_first_frame_is_the_map(tmp_path):
    levels = [Image.fromarray((255 * values).astype(np.uint8)) for values in (VALUES, 1 - VALUES)]
    levels[0].save(tmp_path / "map.png", save_all=True, append_images=levels[1:])
    with pytest.warns(UserWarning, match="map.png: holds more than one frame"):
        np.testing.assert_allclose(read_map(tmp_path / "map.png").values[0], VALUES, atol=1 / 255)


def test_a_jpeg_is_refused_whatever_its_name(tmp_path):
    Image.fromarray((255 * VALUES).astype(np.uint8)).save(tmp_path / "map.png", "jpeg")
    assert "not an image, or not of a kind that is read here (PNG)" in _refused(tmp_path / "map.png")


def test_a_png_with_a_wrong_checksum_is_refused(tmp_path):
    Image.fromarray((255 * VALUES).astype(np.uint8)).save(tmp_path / "map.png")
    data = bytearray((tmp_path / "map.png").read_bytes())
    data[data.index(b"IDAT") + 5] ^= 255
    (tmp_path / "map.png").write_bytes(data)
    _refused(tmp_path / "map.png")
