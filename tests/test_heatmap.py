"""M1 to M3 against loops written from their formulas."""
import numpy as np
import pytest
import torch
from matplotlib import colormaps

from minixai import overlay
from minixai.heatmap import min_max, upsample

pytestmark = pytest.mark.filterwarnings("error")


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def slow_upsample(coarse, size):
    """Bilinear: a pixel's centre in units of cells, its two neighbours on each axis weighted by nearness."""
    (h, w), (H, W) = coarse.shape, size
    full = np.zeros(size)
    for i in range(H):
        for j in range(W):
            y, x = (i + 0.5) * h / H - 0.5, (j + 0.5) * w / W - 0.5
            for cy in (int(np.floor(y)), int(np.floor(y)) + 1):
                for cx in (int(np.floor(x)), int(np.floor(x)) + 1):
                    nearness = (1 - abs(y - cy)) * (1 - abs(x - cx))
                    full[i, j] += nearness * float(coarse[min(max(cy, 0), h - 1), min(max(cx, 0), w - 1)])
    return full


@pytest.mark.parametrize("h, w, H, W", [(3, 5, 14, 11), (7, 2, 21, 20), (1, 4, 9, 16), (5, 3, 4, 7), (6, 6, 6, 6)])
def test_upsample_is_bilinear_between_the_centres_of_cells(h, w, H, W):
    coarse = random(h, w)
    np.testing.assert_allclose(upsample(coarse, (H, W)), slow_upsample(coarse, (H, W)), atol=1e-5)


def test_min_max_brings_each_image_to_0_and_1_by_itself():
    full = random(2, 5, 7) * torch.tensor([1.0, 1e-6]).reshape(2, 1, 1) - 3e-6
    for image, heatmap in zip(full.double(), min_max(full)):
        low, high = min(image.flatten().tolist()), max(image.flatten().tolist())
        expected = [[(value - low) / (high - low) for value in row] for row in image.tolist()]
        np.testing.assert_allclose(heatmap, expected, atol=1e-5)
        assert heatmap.min() == 0 and heatmap.max() == 1


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_min_max_knows_no_scale(scale):
    full = random(5, 7)
    torch.testing.assert_close(min_max(scale * full), min_max(full), rtol=0, atol=1e-6)


@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3, -5.3, 1e-30, 1e30])
@pytest.mark.parametrize("size", [(3, 5), (33, 41), (224, 224)])
def test_a_flat_map_becomes_zeros_and_not_rounding_errors_blown_up(value, size):
    heatmap = min_max(upsample(torch.full((2, 3, 5), value), size))
    assert heatmap.shape == (2, *size) and not heatmap.any()


def test_a_flat_map_in_a_batch_does_not_change_its_neighbours():
    full = random(3, 5, 7)
    full[1] = 0.1
    heatmap = min_max(full)
    assert not heatmap[1].any() and torch.equal(heatmap[::2], min_max(full[::2]))


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_min_max_does_not_hide_a_number_that_is_none(value):
    full = torch.ones(5, 7)
    full[2, 3] = value
    assert min_max(full).isnan().any()


# -------------------------------------------------------------------------------------------------------- M3 overlay

RGB = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
HEAT = np.random.default_rng(1).random((5, 7)).astype(np.float32)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_overlay_mixes_picture_and_colour_pixel_by_pixel(alpha):
    blend = overlay(RGB, HEAT, alpha)
    assert blend.dtype == np.uint8 and blend.shape == RGB.shape
    for place in np.ndindex(HEAT.shape):
        color = np.array(colormaps["turbo"](float(HEAT[place]))[:3])
        np.testing.assert_allclose(blend[place], (1 - alpha) * RGB[place] + alpha * 255 * color, atol=0.51)


def test_overlay_is_blue_at_0_and_red_at_1():
    blend = overlay(np.zeros((1, 2, 3)), np.array([[0.2, 0.9]]), alpha=1.0)
    assert blend[0, 0].argmax() == 2 and blend[0, 1].argmax() == 0


@pytest.mark.parametrize("rgb", [RGB / 255, (RGB / 255).astype(np.float32), torch.from_numpy(RGB)],
                         ids=["float64", "float32", "tensor"])
def test_overlay_takes_floats_and_tensors(rgb):
    assert np.array_equal(overlay(rgb, torch.from_numpy(HEAT)), overlay(RGB, HEAT))


@pytest.mark.parametrize("kind", [bool, np.int64, np.uint8])
def test_overlay_of_a_mask_is_that_of_its_zeros_and_ones(kind):
    mask = HEAT > 0.5
    assert np.array_equal(overlay(RGB, mask.astype(kind)), overlay(RGB, mask.astype(float)))


def test_overlay_leaves_the_picture_alone():
    rgb, heat = RGB.copy(), HEAT.copy()
    overlay(rgb, heat)
    assert np.array_equal(rgb, RGB) and np.array_equal(heat, HEAT)


@pytest.mark.parametrize("rgb, heat, alpha, message", [
    (RGB, HEAT.T, 0.5, r"needs a picture of shape \(7, 5, 3\), got \(5, 7, 3\)"),
    (RGB[..., 0], HEAT, 0.5, "needs a picture of shape"),
    (np.dstack([RGB, RGB[..., :1]]), HEAT, 0.5, "needs a picture of shape"),
    (RGB.astype(float), HEAT, 0.5, r"the picture's values must lie in \[0,1\]"),
    (RGB, 2 * HEAT, 0.5, r"the heatmap's values must lie in \[0,1\]"),
    (RGB, -HEAT, 0.5, r"the heatmap's values must lie in \[0,1\]"),
    (RGB, HEAT * np.nan, 0.5, "the heatmap's values must lie in .* got nan"),
    (RGB, HEAT, 1.5, r"alpha must lie in \[0,1\], got 1.5"),
    (RGB, HEAT, -0.1, r"alpha must lie in \[0,1\]"),
    (RGB, HEAT, float("nan"), r"alpha must lie in \[0,1\]"),
], ids=["axes swapped", "grey", "alpha channel", "floats to 255", "above 1", "below 0", "NaN", "alpha above 1",
        "alpha below 0", "alpha NaN"])
def test_overlay_says_what_does_not_fit(rgb, heat, alpha, message):
    with pytest.raises(ValueError, match=message):
        overlay(rgb, heat, alpha)
