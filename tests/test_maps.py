"""Heatmaps from elsewhere: every format gives the same numbers, and what is no heatmap is refused in one line."""
import numpy as np
import pytest
import torch
from PIL import Image

from minixai.maps import ColouredMap, SavedMap, read_map

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
