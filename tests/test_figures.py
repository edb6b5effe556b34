"""A figure shows every stage under its number, and nothing of it is cut off."""
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgba
from matplotlib.text import Text
from PIL import Image

import minixai
from minixai import figures
from minixai.figures import on_photo, side_by_side, strip
from minixai.images import Preprocess
from minixai.recipe import Step


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
    overlay, = (axes for axes in figure.axes if axes.get_title().startswith("M3"))
    assert np.array_equal(overlay.images[0].get_array(), result.rgb()[0]) and not overlay.axison
    (why,) = (text for text in figure.findobj(Text) if text.get_text() == figure.get_supxlabel())
    assert why.get_color() == "firebrick" and why.get_fontsize() == 9


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


def test_the_figure_is_of_the_first_image_unless_another_is_named(cnn_result):
    own = cnn_result.rgb()
    given = np.full((96, 96, 3), 7, np.uint8)
    for index, options in ((0, {}), (1, {"index": 1}), (1, {"index": 1, "rgb": given})):
        figure = cnn_result.figure(**options)
        named = {axes.get_title().partition("\n")[0]: axes for axes in figure.axes}
        rgb = options.get("rgb", own[index])
        np.testing.assert_array_equal(named["input (96,96,3)"].images[0].get_array(), rgb)
        np.testing.assert_array_equal(named["M2 min-max"].images[0].get_array(), cnn_result.heatmap[index])
        np.testing.assert_array_equal(named["M3 overlay (96,96,3)"].images[0].get_array(),
                                      minixai.overlay(rgb, cnn_result.heatmap[index]))
        assert figure.get_suptitle() == cnn_result.title(index)
        labels = cnn_result.model.labels
        best = labels[int(cnn_result.trace.logits[index].argmax())]
        assert named[f"logits ({len(labels)})"].texts[0].get_text().endswith(f"  {best}")


def test_a_network_that_knows_no_pixels_and_no_labels_has_neither_panel():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    figure = minixai.explain(model, torch.randn(1, 3, 16, 16), layer="0").figure()
    assert [title.split()[0] for title in titles(figure)] == "C1 C1 C2 C3 C4 M1 M2".split()


@pytest.mark.parametrize("method, first", [("eigencam", "C1"), ("fullgrad", "C2"), ("scorecam", "C1")])
def test_a_layer_is_drawn_if_a_stage_reads_it(method, first):
    torch.manual_seed(0)
    figure = minixai.explain(minixai.build("small_cnn"), torch.randn(1, 3, 96, 96), method).figure()
    assert [title.split()[0] for title in titles(figure)][2] == first


# ------------------------------------------------------------------------------- what a panel draws, on numbers by hand

def panels(*steps, **more):
    """{first line of the title: axes} of a strip."""
    figure = strip("a title", [Step(*step) for step in steps], **more)
    assert figure.get_suptitle() == "a title"
    return {axes.get_title().partition("\n")[0]: axes for axes in figure.axes if axes.get_title()}


def drawn(axes):
    """What the first picture of a panel shows: array, colour map, lowest and highest value."""
    picture = axes.images[0]
    return np.asarray(picture.get_array()), picture.cmap.name, (picture.norm.vmin, picture.norm.vmax)


def tiles_of(sheet, h, w, gap=1):
    """The maps of a mosaic, row by row, without the empty places at its end."""
    rows, columns = (sheet.shape[0] + gap) // (h + gap), (sheet.shape[1] + gap) // (w + gap)
    assert sheet.shape == (rows * (h + gap) - gap, columns * (w + gap) - gap)
    tiles = [sheet[row * (h + gap):, column * (w + gap):][:h, :w] for row in range(rows) for column in range(columns)]
    assert not np.isnan(tiles[-columns]).all()          # no row is empty
    return [tile for tile in tiles if not np.isnan(tile).all()]


def some_maps(K=12, h=3, w=5):
    return torch.randn(K, h, w, generator=torch.Generator().manual_seed(1))


def test_the_channels_that_count_most_are_shown_with_their_gradients():
    activations, gradients = some_maps(), some_maps().flip(0) * torch.arange(12)[:, None, None]
    one = panels(("C1", "recorded", (activations, gradients)))
    counts = [float((activations[k] * gradients[k]).abs().sum()) for k in range(12)]
    most = sorted(range(12), key=lambda k: -counts[k])[:9]
    for title, values, colors in (("C1 activations (12,3,5)", activations, "magma"),
                                  ("C1 gradients (12,3,5)", gradients, "RdBu_r")):
        sheet, cmap, _ = drawn(one[title])
        np.testing.assert_array_equal(np.stack(tiles_of(sheet, 3, 5)), values[most])
        assert cmap == colors
    assert one["C1 activations (12,3,5)"].get_title().endswith("the 9 that count most")


def test_the_gaps_of_a_mosaic_grow_with_its_maps():
    axes = panels(("C1", "recorded", some_maps(K=4, h=40, w=50)))["C1 activations (4,40,50)"]
    assert len(tiles_of(drawn(axes)[0], 40, 50, gap=3)) == 4 and not axes.get_frame_on()
    assert axes.images[0].norm.gamma == 1


def test_without_gradients_the_strongest_channels_are_shown():
    activations = some_maps(K=5).abs()
    axes = panels(("C1", "recorded", activations))["C1 activations (5,3,5)"]
    most = activations.sum(dim=(1, 2)).argsort(descending=True)
    np.testing.assert_array_equal(np.stack(tiles_of(drawn(axes)[0], 3, 5)), activations[most])
    assert axes.get_title().endswith("the 5 strongest")


def test_of_a_vit_the_given_block_is_drawn():
    attention = torch.rand(3, 2, 6, 6, generator=torch.Generator().manual_seed(0))
    gradients = attention - 0.5
    one = panels(("A1", "both", (attention, gradients)), ("A2", "fused", attention[:, 0]), layer=1)
    shown, cmap, limits = drawn(one["A1 attention (3,2,6,6)"])
    np.testing.assert_array_equal(np.stack(tiles_of(shown, 6, 6)), attention[1])
    assert cmap == "magma" and limits == (0, pytest.approx(float(attention[1].max())))
    assert one["A1 attention (3,2,6,6)"].images[0].norm.gamma == 0.5           # faint attention can be seen
    shown, cmap, limits = drawn(one["A1 its gradients"])
    np.testing.assert_array_equal(np.stack(tiles_of(shown, 6, 6)), gradients[1])
    assert cmap == "RdBu_r" and limits[0] == -limits[1]
    shown, cmap, _ = drawn(one["A2 fused"])
    np.testing.assert_array_equal(shown, attention[1, 0])
    assert one["A2 fused"].get_title() == "A2 fused\n(3,6,6), block 1" and one["A2 fused"].images[0].norm.gamma == 0.5
    alone = panels(("A1", "one", attention), layer=2)
    np.testing.assert_array_equal(np.stack(tiles_of(drawn(alone["A1 attention (3,2,6,6)"])[0], 6, 6)), attention[2])
    assert len(alone) == 1


@pytest.mark.parametrize("id, values, colors, limits", [
    ("C3", [[-3.0, 1.0], [0.5, 2.0]], "RdBu_r", (-3, 3)), ("C3", [[-1.0, 4.0], [0.5, 2.0]], "RdBu_r", (-4, 4)),
    ("C4", [[0.0, 1.0], [0.5, 2.0]], "magma", (0, 2)), ("C4", [[1.0, 1.5], [0.5, 2.0]], "magma", (0, 2)),
    ("M1", [[0.0, 1.0], [0.5, 2.0]], "turbo", (0, 2)), ("M1", [[-1.0, 1.0], [0.5, 2.0]], "RdBu_r", (-2, 2)),
    ("M2", [[0.0, 0.0], [0.0, 0.0]], "turbo", (0, 1))])
def test_a_map_is_drawn_from_zero_or_as_far_to_both_sides_with_a_scale_beside_it(id, values, colors, limits):
    axes = panels((id, "a map", torch.tensor(values)))[f"{id} a map"]
    shown, cmap, found = drawn(axes)
    np.testing.assert_array_equal(shown, values)
    assert (cmap, found) == (colors, limits)
    scale = np.asarray(axes.images[1].get_array())
    assert (scale[0, 0], scale[-1, 0]) == limits[::-1] and [text.get_text() for text in axes.texts] == [
        f"{limits[1]:.2g}", f"{limits[0]:.2g}"]
    for text, height, edge in zip(axes.texts, (1, 0), ("top", "bottom")):           # at the ends of the scale
        assert text.get_transform() == axes.transAxes and text.get_va() == edge
        assert 1.08 < text.get_position()[0] < 1.2 and text.get_position()[1] == height
    assert axes.images[1].cmap.name == cmap and not axes.images[1].get_clip_on()
    assert axes.images[0].norm is axes.images[1].norm and axes.images[0].norm.gamma == 1
    assert axes.get_aspect() == 1 and not len(axes.get_xticks()) and not len(axes.get_yticks())
    assert axes.get_xlim() == (-0.5, 1.5) and axes.get_ylim() == (1.5, -0.5)         # the map, without its scale
    left, right, *heights = axes.images[1].get_extent()
    assert 1.5 < left < right < 1.75 and heights == [1.5, -0.5]                      # which is narrow, and beside it


@pytest.mark.parametrize("value, text", [
    (0.12345, "0.12"), (-3.0, "-3"), (99.4, "99"), (99.5, "100"), (99.6, "100"), (-1234.5, "-1234"),
    (99999.0, "99999"), (1e5, "1.0e+05"), (123456.0, "1.2e+05"), (0.000012, "1.2e-05")])
def test_a_scale_has_short_numbers(value, text):
    assert figures._number(value) == text


def test_one_weight_for_each_channel_is_a_line_up_or_down():
    weights = torch.tensor([0.5, -2.0, 0.0, 1.0])[:, None, None]
    axes = panels(("C2", "weights", weights))["C2 weights"]
    lines = axes.collections[0]
    assert [(x, y) for (_, (x, y)) in lines.get_segments()] == [(0, 0.5), (1, -2), (2, 0), (3, 1)]
    assert all(start[1] == 0 for start, _ in lines.get_segments())
    blue, red = (tuple(to_rgba(f"tab:{name}")) for name in ("blue", "red"))
    assert [tuple(color) for color in lines.get_colors()] == [red, blue, red, red]
    assert axes.get_xlim() == pytest.approx((-0.03, 3.03))
    assert list(axes.get_yticks()) == [-2, 1] and [label.get_text() for label in axes.get_yticklabels()] == ["-2", "1"]
    (zero,) = axes.lines
    assert list(zero.get_ydata()) == [0, 0] and zero.get_color() == "black" and zero.get_linewidth() < 1
    assert lines.get_linewidths() < 1 and axes.get_box_aspect() == 1 and axes.yaxis.get_ticks_position() == "right"
    positive = panels(("A4", "row", torch.tensor([[0.1, 0.2, 0.3]])))["A4 row"]
    assert list(positive.get_yticks()) == [0, pytest.approx(0.3)]


def test_of_weights_for_each_place_a_few_channels_are_shown():
    weights = some_maps(K=33)
    axes = panels(("C2", "weights", weights))["C2 weights"]
    shown, cmap, _ = drawn(axes)
    np.testing.assert_array_equal(np.stack(tiles_of(shown, 3, 5)), weights[::4])         # nine, from first to last
    assert cmap == "RdBu_r" and axes.get_title() == "C2 weights\n(33,3,5), 9 shown"
    few = panels(("C2", "weights", weights[:4].clamp(min=0)))["C2 weights"]
    np.testing.assert_array_equal(np.stack(tiles_of(drawn(few)[0], 3, 5)), weights[:4].clamp(min=0))
    assert drawn(few)[1] == "magma" and few.images[0].norm.gamma == 0.5


def test_the_top_classes_are_listed_with_their_probabilities():
    logits, labels = torch.tensor([1.0, 4.0, 0.0, 3.0, 2.0, -1.0]), ["a", "b", "c", "d", "e", "f"]
    figure = strip("a title", [], logits=logits, labels=labels)
    axes = figure.axes[0]
    assert axes.get_title() == "logits (6)\ntop classes after softmax"
    shares = logits.softmax(dim=0)
    order = [1, 3, 4, 0, 2]
    assert [text.get_text() for text in axes.texts] == [f"{shares[c]:.2f}  {labels[c]}" for c in order]
    assert [bar.get_width() for bar in axes.patches] == [pytest.approx(float(shares[c])) for c in order]
    bottom, top = axes.get_ylim()
    assert 4.4 < bottom < 5 and -1 < top < -0.4 and axes.get_xlim() == (0, 1)      # all five, the likeliest at the top
    assert all(bar.get_facecolor() == to_rgba("0.85") for bar in axes.patches)      # light, so that text can be read
    assert [text.get_position() for text in axes.texts] == [(0.02, place) for place in range(5)]
    assert all(text.get_va() == "center" for text in axes.texts) and axes.get_box_aspect() == 1
    assert not len(axes.get_xticks()) and not len(axes.get_yticks())


def test_panels_stand_in_two_rows_and_empty_places_have_no_axes():
    steps = [Step("C3", f"map {number}", torch.ones(2, 2)) for number in range(5)]
    figure = strip("a title", steps)
    assert len(figure.axes) == 6 and [axes.axison for axes in figure.axes] == [True] * 5 + [False]
    assert figure.canvas.get_width_height() == (858, 704)           # of a saved picture, in pixels


def test_panels_fill_the_picture_and_leave_room_for_their_titles_and_scales():
    """In shares of the picture; the gaps in shares of a panel."""
    figure = strip("a title", [Step("C3", f"map {number}", torch.ones(2, 2)) for number in range(6)])
    first, right, _, below, _, last = (axes.get_subplotspec().get_position(figure) for axes in figure.axes)
    assert 0 < first.x0 < 0.05 and 0.8 < first.y1 < 0.87 and 0 < last.y0 < 0.1 and 0.95 < last.x1 < 1
    assert 0.3 < (right.x0 - first.x1) / first.width < 0.5 and 0.22 < (first.y0 - below.y1) / first.height < 0.3


def test_the_text_of_panels_is_smaller_than_usual(cnn_result):
    figure = cnn_result.figure()
    figure.draw_without_rendering()
    for axes in figure.axes:
        scales = [*axes.texts, *(axes.get_yticklabels() if axes.axison else ())]
        size = 8 if axes.get_title().startswith("logits") else 7
        assert axes.title.get_fontsize() == 9 and all(text.get_fontsize() == size for text in scales)


@pytest.mark.parametrize("count, columns, rows_and_columns", [(6, 5, (2, 4)), (4, 5, (1, 5)), (9, 5, (2, 5)),
                                                              (10, 5, (3, 4)), (3, 2, (2, 2)), (0, 5, (1, 1))])
def test_side_by_side_fills_its_rows(count, columns, rows_and_columns):
    rgb = np.zeros((4, 6, 3), np.uint8)
    heatmaps = [torch.full((4, 6), number / count) for number in range(count)]
    figure = side_by_side(rgb, heatmaps, [str(number) for number in range(count)], "a title", columns)
    assert figure.axes[0].get_subplotspec().get_gridspec().get_geometry() == rows_and_columns
    assert figure.get_suptitle() == "a title" and not any(axes.axison for axes in figure.axes)
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), rgb)
    for axes, heatmap in zip(figure.axes[1:], heatmaps):
        np.testing.assert_array_equal(axes.images[0].get_array(), minixai.overlay(rgb, heatmap))
        assert axes.title.get_fontsize() == 9


def test_side_by_side_is_five_pictures_wide_and_keeps_titles_apart():
    figure = side_by_side(np.zeros((6, 6, 3), np.uint8), [torch.ones(6, 6)] * 5, [f"head {n}" for n in range(5)], "six")
    assert figure.canvas.get_width_height() == (858, 682)           # six pictures in two rows, in pixels
    figure.draw_without_rendering()
    boxes = [axes.get_window_extent() for axes in figure.axes]
    for axes in figure.axes:
        assert not any(axes.title.get_window_extent().overlaps(box) for box in boxes)
    assert max(box.x1 for box in boxes) > 840 and min(box.x0 for box in boxes) < 20         # hardly a margin
