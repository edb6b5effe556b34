"""The finish is estimated: which enlargement, which curve. Then `verify` says so, or explains nothing if none fits."""
import numpy as np
import pytest
import torch
from matplotlib.text import Text
from PIL import Image
from torch.nn import functional as F

from minixai import explain, verify
from minixai.verification import finish
from tests.reference import networks

NET, IMAGE = networks.small(), networks.images()[:1]
RIGHT = explain(NET, IMAGE, target=1)
COARSE = torch.from_numpy(np.random.RandomState(0).randn(5, 7, 6).astype(np.float32))
HEIGHT, WIDTH = 86, 95


def torch_made(mode, **options):
    return lambda maps: F.interpolate(maps[:, None], (HEIGHT, WIDTH), mode=mode, **options)[:, 0]


def pillow_made(how):
    return lambda maps: torch.stack([resized(one, (WIDTH, HEIGHT), how) for one in maps])


def resized(values, size, how):
    return torch.from_numpy(np.array(Image.fromarray(values.numpy()).resize(size, how)))


MADE = {
    "bilinear": torch_made("bilinear"),
    "nearest neighbour": torch_made("nearest"),
    "nearest neighbour, by centres": torch_made("nearest-exact"),
    "bilinear, corners aligned": torch_made("bilinear", align_corners=True),
    "bicubic, as torch and OpenCV do it": torch_made("bicubic"),
    "bicubic, corners aligned": torch_made("bicubic", align_corners=True),
    "bicubic, as Pillow does it": pillow_made(Image.Resampling.BICUBIC),
    "Lanczos, as Pillow does it": pillow_made(Image.Resampling.LANCZOS),
}


@pytest.mark.parametrize("name", MADE)
def test_an_enlargement_is_that_of_the_library(name):
    rows, columns = (finish.ENLARGEMENTS[name](n, m) for n, m in ((7, HEIGHT), (6, WIDTH)))
    torch.testing.assert_close(rows @ COARSE.double() @ columns.T, MADE[name](COARSE).double(), rtol=0, atol=2e-5)


@pytest.mark.parametrize("name", MADE)
def test_the_enlargement_and_the_map_are_found(name):
    theirs = MADE[name](COARSE)[3]
    best = finish.estimate(theirs, COARSE)[0]
    assert (best.index, best.enlargement, best.inverted) == (3, name, False) and best.worst < 1e-5


SMALL = torch.tensor([[0, 3, 1, 2, -2], [2, -1, 4, 0, 1], [1, 1, -3, 5, 2], [-1, 2, 0, 1, 3]], dtype=torch.float64)
# The first and the last row of SMALL, enlarged to 7 x 9 by OpenCV 5.0.0 and SciPy 1.17.1.
RECORDED = {
    "Lanczos, as OpenCV does it": [[-0.747, 1.2917, 3.4403, 2.1538, 0.3922, 1.6385, 2.2717, -0.5161, -2.9056],
                                   [-1.5166, -0.0907, 1.763, 1.914, 0.6078, -0.152, 0.655, 2.3169, 3.3852]],
    "a cubic spline, corners aligned (scipy.ndimage.zoom)": [
        [0, 1.3929, 3, 2.1607, 1, 1.7143, 2, -0.2679, -2], [-1, 0.3527, 2, 1.3616, 0, -0.0491, 1, 2.3348, 3]],
    "a cubic spline (scikit-image)": [[-0.9856, 1.349, 3.5518, 2.2357, 0.3145, 1.6201, 2.3072, -0.4861, -3.178],
                                      [-1.7057, -0.048, 1.8381, 1.8659, 0.6855, -0.0352, 0.4903, 2.1788, 3.5189]],
}


@pytest.mark.parametrize("name", RECORDED)
def test_an_enlargement_is_as_recorded(name):
    rows, columns = finish.ENLARGEMENTS[name](4, 7), finish.ENLARGEMENTS[name](5, 9)
    expected = torch.tensor(RECORDED[name], dtype=torch.float64)
    torch.testing.assert_close((rows @ SMALL @ columns.T)[[0, -1]], expected, rtol=0, atol=1e-4)


def test_every_enlargement_is_compared_with_its_library():
    assert {*MADE, *RECORDED} == set(finish.ENLARGEMENTS)


def test_a_blur_is_as_recorded():
    blurred = finish.blurred(1.5, 4) @ SMALL @ finish.blurred(1.5, 5).T         # scipy.ndimage.gaussian_filter
    expected = torch.tensor([1.0615, 1.1297, 1.1223, 0.9439, 0.7325], dtype=torch.float64)
    torch.testing.assert_close(blurred[0], expected, rtol=0, atol=1e-4)


CURVES = {
    "": lambda x: 100 * x + 3,
    "to the power of 0.5": lambda x: x ** 0.5,
    "to the power of 3": lambda x: 7 * x ** 3,
    "through log(1 + 10 x)": lambda x: torch.log1p(10 * x),
    "through tanh(2 x)": lambda x: torch.tanh(2 * x),
    "the lowest 40 % of the pixels set to one value": lambda x: torch.where(x > x.quantile(0.4), x, 0),
    "cut off at both ends: 10 % of the pixels below, 20 % above": lambda x: x.clamp(x.quantile(0.1), x.quantile(0.8)),
    "a threshold: the upper of two values for 25 % of the pixels": lambda x: (x > x.quantile(0.75)).double(),
    "an increasing curve that has no name here": lambda x: x + 2 * (x > x.quantile(0.5)),
}


@pytest.mark.parametrize("name", CURVES)
def test_a_curve_gets_its_name(name):
    ours = MADE["bilinear"](COARSE)[0].double()
    scaled = (ours - ours.min()) / (ours.max() - ours.min())
    theirs = CURVES[name](scaled)
    best = finish.named(finish.estimate(theirs, COARSE)[0], theirs, COARSE)
    assert best.index == 0 and best.rms < 1e-6
    assert best.curve == name


def test_eight_bits_are_a_straight_line():
    ours = MADE["bilinear"](COARSE)[0].double()
    theirs = (255 * (ours - ours.min()) / (ours.max() - ours.min())).round()
    best = finish.named(finish.estimate(theirs, COARSE)[0], theirs, COARSE)
    assert (best.index, best.curve) == (0, "") and best.rms < 1e-6        # rounding is an increasing curve too


def test_an_inverted_map_is_found():
    best = finish.estimate(1 - MADE["bilinear"](COARSE)[2], COARSE)[0]
    assert best.index == 2 and best.inverted and best.worst < 1e-5


def test_a_blurred_map_is_found():
    full = MADE["bilinear"](COARSE)[1].double()
    theirs = finish.blurred(4.3, HEIGHT) @ full @ finish.blurred(4.3, WIDTH).T
    best = finish.estimate(theirs, COARSE)[0]
    assert best.index == 1 and best.rms < 1e-3 and abs(best.blur - 4.3) < 0.1


def test_the_error_is_half_of_the_deepest_fall():
    """By trying: no increasing curve through three points is nearer to 0, 3, 1 than half of the fall from 3 to 1."""
    ours, theirs = torch.tensor([[10.0, 20.0, 30.0]]), torch.tensor([0.0, 3.0, 1.0])
    off = finish.off_increasing(ours, theirs)
    tried = torch.cartesian_prod(*[torch.linspace(0, 3, 61)] * 3)
    rising = tried[(tried.diff(dim=1) >= 0).all(dim=1)]
    assert float((rising - theirs).abs().amax(dim=1).min() / 3) == pytest.approx(float(off.worst), abs=1e-6)


def test_a_flat_map_of_ours_explains_nothing():
    """Its pixels have no order. Theirs must not seem to rise because pixels happen to be listed row by row."""
    downwards = torch.linspace(0, 1, 400)
    assert finish.off_increasing(torch.ones(1, 400), downwards).rms > 0.2


COARSE_MAP = RIGHT["C4"][0]
AS_PEOPLE_SAVE_IT = {
    "to the power of 0.5": RIGHT.heatmap[0] ** 0.5,
    "bicubic, as Pillow does it": resized(COARSE_MAP, IMAGE.shape[:1:-1], Image.Resampling.BICUBIC),
    "cut off at both ends": RIGHT.heatmap[0].clamp(0.1, 0.8),
}


@pytest.mark.parametrize("words", AS_PEOPLE_SAVE_IT)
def test_verify_says_how_the_right_map_was_finished(words):
    verdict = verify(AS_PEOPLE_SAVE_IT[words], NET, IMAGE, target=1)
    assert verdict.explained and not verdict.agrees and str(verdict.findings[0]) == "no mistake"
    assert str(verdict).startswith("the same coarse map") and words in str(verdict)
    assert verdict.degree == "the same coarse map, " + ("enlarged otherwise" if "Pillow" in words else "up to a curve")


def test_the_picture_says_how_the_map_was_finished():
    verdict = verify(RIGHT.heatmap[0] ** 0.5, NET, IMAGE, target=1)
    texts = [text.get_text() for text in verdict.figure().findobj(Text)]
    assert "finished otherwise: bilinear, then to the power of 0.5" in texts


def test_another_class_is_named_behind_a_curve():
    other = explain(NET, IMAGE, target=2).heatmap[0] ** 0.5
    verdict = verify(other, NET, IMAGE, target=1)
    assert {str(finding) for finding in verdict.findings} == {"C1: another class (class 2)"}
    assert "to the power of 0.5" in str(verdict) and verdict.degree == "a known mistake"
    assert "C1: another class (class 2)" in repr(verdict)


def test_a_map_of_another_size_is_compared():
    H, W = IMAGE.shape[-2:]
    larger = F.interpolate(COARSE_MAP[None, None], (3 * H, 3 * W), mode="bilinear")[0, 0]
    verdict = verify(larger, NET, IMAGE, target=1)
    assert verdict.explained and str(verdict.findings[0]) == "no mistake"


@pytest.mark.parametrize("seed", range(2))
def test_what_no_map_of_ours_gives_is_not_explained(seed):
    random = np.random.RandomState(seed)
    smooth = F.interpolate(torch.from_numpy(random.rand(1, 1, 6, 6)), IMAGE.shape[-2:], mode="bicubic")[0, 0]
    for theirs in (smooth, torch.from_numpy(random.rand(*IMAGE.shape[-2:]))):
        assert not verify(theirs, NET, IMAGE, target=1).explained


def test_the_nearest_in_order_is_told_if_nothing_explains_the_map():
    other = explain(NET, IMAGE, target=2).heatmap[0]
    noise = torch.from_numpy(np.random.RandomState(0).randn(*other.shape)).float()
    verdict = verify(other + 0.005 * noise, NET, IMAGE, target=1)
    assert not verdict.explained and verdict.degree == "near"
    (right, _), (nearest, what) = verdict.in_order
    assert right < 0.8 < 0.9 < nearest and what == "another class (class 2)" and what in str(verdict)
    assert verify(noise, NET, IMAGE, target=1).degree == "unlike"


def test_degrees_of_an_agreeing_map():
    right = RIGHT.heatmap[0]
    assert verify(right, NET, IMAGE, target=1).degree == "the same numbers"
    assert verify((255 * right).round().to(torch.uint8), NET, IMAGE, target=1).degree == "the same up to rounding"
    assert verify(3 * right - 7, NET, IMAGE, target=1).degree == "the same up to scale and offset"


def test_a_turned_map_is_named_behind_a_curve():
    mirrored = F.interpolate(RIGHT["C4"].flip(-1)[None], IMAGE.shape[-2:], mode="bicubic")[0, 0]
    verdict = verify(mirrored, NET, IMAGE, target=1)
    assert {str(finding) for finding in verdict.findings} == {"M1: the map mirrored"}


def test_a_library_whose_coarse_map_it_is_is_named():
    signed = explain(NET, IMAGE, target=1)["C3"][0]
    verdict = verify(resized(signed, IMAGE.shape[:1:-1], Image.Resampling.BICUBIC), NET, IMAGE, target=1)
    assert verdict.degree == "the same coarse map, enlarged otherwise"
    assert "its coarse map is as computed by Captum" in str(verdict)
    assert "The ReLU is an option, and off." in str(verdict)


def test_a_flat_map_has_no_order():
    verdict = verify(torch.full(IMAGE.shape[-2:], 0.7), NET, IMAGE, target=1)
    assert not verdict.explained and verdict.in_order == () and "rank correlation" not in str(verdict)
