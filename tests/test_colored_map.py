"""A heatmap saved as a picture: how it was drawn is found, and what went wrong in drawing it; nothing is made up."""
from copy import deepcopy

import matplotlib
import numpy as np
import pytest
import torch

from minixai import explain, verify
from minixai.compat import jet_of_opencv
from minixai.images import Preprocess
from tests.reference import networks

IMAGE = networks.images()[:1]
NET = deepcopy(networks.small())
NET.preprocess = Preprocess((40, 56), (0.4, 0.5, 0.6), (0.1, 0.07, 0.08))
PHOTO = NET.preprocess.undo(IMAGE)[0] / 255
RIGHT = explain(NET, IMAGE, target=1)
HEATMAP = RIGHT.heatmap[0].numpy().astype(float)


def table(name):
    """256 colours, red green blue, in [0,1]."""
    return jet_of_opencv() / 255 if name == "opencv" else matplotlib.colormaps[name](np.arange(256))[:, :3]


def colours(heatmap, name):
    """OpenCV cuts 255 times the value off to a row of its table, matplotlib 256 times."""
    rows = np.floor((255 if name == "opencv" else 256) * heatmap).astype(int)
    return table(name)[rows.clip(0, 255)]


def blend(heatmap=HEATMAP, colors="turbo", weight=0.5, photo=PHOTO, turn=slice(None)):
    return weight * colours(heatmap, colors)[..., turn] + (1 - weight) * photo


def whole(values):
    return (255 * values).round().astype(np.uint8)


def over_the_largest(values):
    return (255 * (values / values.max())).astype(np.uint8)


def ask(picture, network=NET):
    return verify(picture, network, IMAGE, target=1)


BACKWARDS = slice(None, None, -1)
WAYS = {
    "as minixai.overlay does": whole(blend()),
    "as show_cam_on_image does": over_the_largest(blend(colors="opencv")),
    "in OpenCV's jet without the photo": whole(colours(HEATMAP, "opencv")),
    **{f"in matplotlib's {name} without the photo": whole(colours(HEATMAP, name)) for name in
       ("turbo", "jet", "viridis")},
}
WRONG = [
    ("M3: red and blue of the colours exchanged, not of the photo", "as show_cam_on_image",
     over_the_largest(blend(colors="opencv", turn=BACKWARDS))),
    ("M3: red and blue of the photo exchanged, not of the colours", "as minixai.overlay",
     whole(blend(photo=PHOTO[..., ::-1]))),
    ("M3: red and blue exchanged (BGR)", "as minixai.overlay", whole(blend())[..., ::-1]),
    ("M3: red and blue exchanged (BGR)", "in matplotlib's viridis", whole(colours(HEATMAP, "viridis"))[..., ::-1]),
    ("M3: the heatmap inverted", "as show_cam_on_image", over_the_largest(blend(1 - HEATMAP, "opencv"))),
    ("M3: the heatmap inverted", "in OpenCV's jet", whole(colours(1 - HEATMAP, "opencv"))),
    ("M3: not divided by the blend's maximum", "as show_cam_on_image", whole(blend(colors="opencv"))),
    ("M3: matplotlib's jet in place of OpenCV's", "as show_cam_on_image", over_the_largest(blend(colors="jet"))),
    ("M3: the colours count 0.4, the photo 0.6 (the usual is half and half)", "as minixai.overlay",
     whole(blend(weight=0.4))),
    ("M3: the colours count 0.7, the photo 0.3 (the usual is half and half)", "as show_cam_on_image",
     over_the_largest(blend(colors="opencv", weight=0.7))),
]


@pytest.mark.parametrize("how", WAYS)
def test_how_a_picture_was_drawn_is_named(how):
    verdict = ask(WAYS[how])
    assert verdict.agrees and verdict.profile == f"the paper, coloured {how}"
    assert verdict.max_difference <= 2 / 255 and verdict.theirs.shape == verdict.ours.shape == (1, 40, 56, 3)
    assert f"coloured {how}" in str(verdict)


@pytest.mark.parametrize("expected, drawn, picture", WRONG, ids=lambda value: value if isinstance(value, str) else "")
def test_a_mistake_in_drawing_is_named(expected, drawn, picture):
    verdict = ask(np.ascontiguousarray(picture))
    named = [finding for finding in verdict.findings if str(finding) == expected]
    assert verdict.explained and not verdict.agrees and named and drawn in named[0].profiles[0], str(verdict)


def test_a_mistake_in_the_map_is_named_through_its_colours():
    other = explain(NET, IMAGE, target=2).heatmap[0].numpy().astype(float)
    for picture in (whole(blend(other)), over_the_largest(blend(other, "opencv")), whole(colours(other, "viridis"))):
        verdict = ask(picture)
        assert [str(finding) for finding in verdict.findings] == ["C1: another class (class 2)"] and verdict.explained
    verdict = ask(whole(blend(HEATMAP[:, ::-1])))
    assert "M1: the map mirrored" in [str(finding) for finding in verdict.findings] and not verdict.agrees
    nearest = np.kron(RIGHT["C4"][0].numpy(), np.ones((8, 8)))
    ways, = ask(whole(blend(nearest / nearest.max()))).findings
    assert any(name.startswith("Captum 0.9.0, relu, nearest") for name in ways.profiles)


def test_a_small_map_drawn_at_layer_size_agrees():
    coarse = RIGHT["C4"][0].numpy().astype(float)
    coarse = (coarse - coarse.min()) / (coarse.max() - coarse.min())
    verdict = ask(whole(colours(coarse, "viridis")))
    assert verdict.agrees and "torch-cam 0.5.0" in str(verdict) and "viridis" in verdict.profile


def wrong_pictures():
    random = np.random.RandomState(0)
    yield "noise", random.randint(0, 256, (40, 56, 3)).astype(np.uint8)
    yield "the photo alone", whole(PHOTO)
    yield "another photo under it", whole(blend(photo=random.rand(40, 56, 3)))
    yield "mirrored", whole(blend())[:, ::-1]
    yield "other colours", whole(blend(colors="hot"))
    other = explain(NET, networks.images()[1:2], target=1).heatmap[0].numpy().astype(float)
    yield "the map of another photo", over_the_largest(blend(other, "opencv"))
    yield "a little brighter", (WAYS["as minixai.overlay does"] * 0.97).astype(np.uint8)


@pytest.mark.parametrize("picture", [pytest.param(picture, id=name) for name, picture in wrong_pictures()])
def test_other_pictures_are_not_explained_and_the_verdict_says_what_to_save(picture):
    verdict = ask(np.ascontiguousarray(picture))
    assert not verdict.explained and not verdict.agrees
    assert "save the map itself before it is coloured" in str(verdict) and "one known mistake" in str(verdict)


def test_without_a_preprocess_the_colours_alone_are_compared_and_that_is_said():
    plain = networks.small()
    assert getattr(plain, "preprocess", None) is None
    assert ask(WAYS["in OpenCV's jet without the photo"], plain).agrees
    verdict = ask(WAYS["as minixai.overlay does"], plain)
    assert not verdict.explained and "no overlay was tried" in str(verdict)


def test_what_does_not_fit_is_one_clear_error():
    with pytest.raises(ValueError, match="the map is 33x44; the image is 40x56"):
        ask(np.random.RandomState(1).randint(0, 256, (33, 44, 3)).astype(np.uint8))
    with pytest.raises(ValueError, match="one map for each image"):
        verify(WAYS["as minixai.overlay does"], NET, networks.images(), target=1)


def test_a_verdict_on_a_picture_is_drawn_and_leaves_the_picture_alone():
    picture = WRONG[0][2].copy()
    figure = ask(picture).figure(whole(PHOTO))
    assert np.array_equal(picture, WRONG[0][2])
    shown = [axes for axes in figure.axes if axes.get_images() and axes.get_title()]
    assert [axes.get_title() for axes in shown][:3] == ["input", "theirs (40x56)", "ours (40x56)"]
    np.testing.assert_allclose(shown[1].get_images()[0].get_array(), picture / 255, atol=1e-6)


def test_an_attention_map_too():
    vit = deepcopy(networks.tiny_vit())
    vit.preprocess = NET.preprocess
    heatmap = explain(vit, IMAGE, "rollout").heatmap[0].numpy().astype(float)
    assert verify(over_the_largest(blend(heatmap, "opencv")), vit, IMAGE, "rollout").agrees
    wrong = verify(torch.from_numpy(whole(blend(1 - heatmap))), vit, IMAGE, "rollout")
    assert "M3: the heatmap inverted" in [str(finding) for finding in wrong.findings]
