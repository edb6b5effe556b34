"""A figure shows every stage under its number, and nothing of it is cut off."""
import numpy as np
import pytest
import torch
from PIL import Image

import minixai
from minixai import figures
from minixai.figures import on_photo, side_by_side, strip
from minixai.images import Preprocess


@pytest.fixture
def cnn_result():
    torch.manual_seed(0)
    return minixai.explain(minixai.build("small_cnn"), torch.randn(2, 3, 96, 96))


@pytest.fixture
def vit_result():
    torch.manual_seed(0)
    return minixai.explain(minixai.build("small_vit"), torch.randn(2, 3, 96, 96), "rollout")


def titles(figure):
    return [axes.get_title() for axes in figure.axes if axes.get_title()]


@pytest.mark.parametrize("result, stages", [("cnn_result", "input logits C1 C1 C2 C3 C4 M1 M2 M3"),
                                            ("vit_result", "input logits A1 A2 A3 A4 A5 M1 M2 M3")])
def test_every_stage_has_a_panel_in_order(result, stages, request):
    figure = request.getfixturevalue(result).figure(index=1)
    assert [title.split()[0] for title in titles(figure)] == stages.split()


@pytest.mark.parametrize("result", ["cnn_result", "vit_result"])
def test_no_text_is_cut_off_at_the_edge(result, request):
    figure = request.getfixturevalue(result).figure()
    figure.draw_without_rendering()
    for axes in figure.axes:
        box = axes.get_tightbbox()
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1, axes.get_title()


def test_titles_do_not_overlap(cnn_result):
    figure = cnn_result.figure()
    figure.draw_without_rendering()
    boxes = [axes.title.get_window_extent() for axes in figure.axes if axes.get_title()]
    for number, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[number + 1:])


def test_without_pixels_only_the_stages_are_drawn(cnn_result):
    figure = strip("any title", [step._replace(value=step.value[0]) for step in cnn_result.steps[1:]])
    assert [title[:2] for title in titles(figure)] == ["C2", "C3", "C4", "M1", "M2"]


def test_an_empty_heatmap_says_why_and_is_not_painted_blue():
    torch.manual_seed(0)
    model = minixai.build("small_cnn")
    torch.nn.init.zeros_(model.head.fc.weight)
    result = minixai.explain(model, torch.randn(1, 3, 96, 96))
    figure = result.figure()
    assert "the gradient of class" in figure.get_supxlabel()
    overlay = [axes for axes in figure.axes if axes.get_title().startswith("M3")][0].images[0].get_array()
    assert np.array_equal(overlay, result.rgb()[0])


def test_on_the_photo_the_unseen_part_is_dimmed_and_the_size_is_the_photos():
    photo = Image.new("RGB", (300, 200), (90, 90, 90))
    preprocess = Preprocess(size=(96, 96))
    picture = on_photo(photo, torch.linspace(0, 1, 96 * 96).reshape(96, 96), preprocess)
    assert picture.shape == (200, 300, 3)
    assert (picture[:, :50] == 30).all() and (picture[:, 250:] == 30).all()
    assert not (picture[:, 50:250] == 90).all()
    untouched = on_photo(photo, torch.zeros(96, 96), preprocess)
    assert (untouched[:, 50:250] == 90).all()


@pytest.mark.parametrize("tile", [4, 7, 1000])
def test_the_photo_is_the_same_in_whichever_tiles_it_is_drawn(tile, monkeypatch):
    monkeypatch.setattr(figures, "TILE", tile)
    rgb = np.random.default_rng(0).integers(0, 256, (23, 31, 3), dtype=np.uint8)
    heatmap, preprocess = torch.rand(12, 12, generator=torch.manual_seed(0)), Preprocess(size=(12, 12))
    heat = preprocess.onto_photo(heatmap, (31, 23)).numpy()
    expected = minixai.overlay(rgb, np.nan_to_num(heat).clip(0, 1))
    expected[np.isnan(heat)] = rgb[np.isnan(heat)] // 3
    assert np.array_equal(on_photo(Image.fromarray(rgb), heatmap, preprocess), expected)


@pytest.mark.parametrize("size", [(1, 1), (3, 5000), (5000, 3), (70, 50), (10, 10), (11, 9)])
def test_tiles_cover_a_photo_once_and_are_few(size, monkeypatch):
    monkeypatch.setattr(figures, "TILE", 10)
    seen, tiles = np.zeros(size[::-1], int), list(figures._tiles(*size))
    for left, top, right, bottom in tiles:
        seen[top:bottom, left:right] += 1
        assert 0 < (right - left) * (bottom - top) <= 100
    assert (seen == 1).all() and len(tiles) <= 2 * (size[0] * size[1] // 100 + 1) + 2


def test_heads_side_by_side_under_their_names(vit_result):
    heads = vit_result.heads()
    figure = side_by_side(vit_result.rgb()[0], [head.heatmap[0] for head in heads], ["0", "1", "2", "3"], "heads")
    assert titles(figure) == ["input", "0", "1", "2", "3"]
    assert not torch.equal(heads[0].heatmap, heads[1].heatmap)
