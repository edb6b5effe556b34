"""Perturbations on cases whose answer is known: a network whose score is the brightness of one region, maps of a few
pixels, and slow loops that share no line with the code."""
import itertools
import math
import re

import numpy as np
import pytest
import torch
from torch import nn

import minixai
from minixai import evaluation
from minixai.evaluation import masking, occlusion
from minixai.evaluation.randomization import top_down
from minixai.images import Preprocess
from minixai.networks.vit import ViT
from minixai.scenes import BACKGROUNDS
from minixai.trace import logits_of

H, W = 12, 20
COLOURS = Preprocess(size=(H, W), mean=(0.4, 0.5, 0.7), std=(0.2, 0.3, 0.25))
LOW, SPAN = 0.1, 0.8        # the region's class has the probability 0.1 + 0.8 · brightness


class Brightness(nn.Module):
    """Class 1 is as likely as one region of the picture is bright. Remembers how many images it saw at once."""

    def __init__(self, region):
        super().__init__()
        self.region, self.preprocess, self.seen = region, COLOURS, []
        self.dropout = nn.Dropout(0.5)      # only eval mode gives the numbers below

    def forward(self, images):
        self.seen.append(len(images))
        mean, std = (torch.tensor(values).reshape(3, 1, 1) for values in (COLOURS.mean, COLOURS.std))
        pixels = self.dropout(images * std + mean).mean(dim=1)
        likely = LOW + SPAN * pixels[:, self.region].mean(dim=-1)
        return torch.stack([1 - likely, likely], dim=-1).log()


def normalised(pixels):
    """Pixels (B,H,W) in [0,1], grey -> (B,3,H,W) as the network wants it."""
    mean, std = (torch.tensor(values).reshape(3, 1, 1) for values in (COLOURS.mean, COLOURS.std))
    return (pixels[:, None] - mean) / std


def random(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def a_region(top=4, left=8, high=4, wide=8):
    region = torch.zeros(H, W, dtype=torch.bool)
    region[top:top + high, left:left + wide] = True
    return region


@pytest.fixture
def region():
    return a_region()


@pytest.fixture
def model(region):
    return Brightness(region)


WHITE = normalised(torch.ones(1, H, W))


# Hiding

def test_black_is_black_in_pixels_and_not_a_zero_after_normalisation():
    image, masks = normalised(random(2, H, W)), random(2, H, W, seed=1) > 0.5
    hidden = evaluation.hide(image, masks, "black", COLOURS)
    for before, after, mask in zip(COLOURS.undo(image), COLOURS.undo(hidden), masks):
        assert (after[mask] == 0).all() and (after[~mask] == before[~mask]).all()
    assert torch.equal(hidden.movedim(1, -1)[~masks], image.movedim(1, -1)[~masks])
    by_network = evaluation.hide(image, masks, "black", minixai.build("small_cnn")).movedim(1, -1)
    assert (by_network[masks] == -1).all()      # scenes are normalised as (pixel - 0.5) / 0.5


def test_the_mean_colour_is_that_of_each_image():
    image = torch.randn(3, 3, H, W, generator=torch.Generator().manual_seed(0)) + torch.arange(3.)[:, None, None, None]
    hidden = evaluation.hide(image, torch.ones(H, W, dtype=torch.bool), "mean")
    for one, filled in zip(image, hidden):
        for channel in range(3):
            assert torch.allclose(filled[channel], torch.full((H, W), sum(one[channel].flatten().tolist()) / (H * W)))


def test_blur_is_the_slow_sum_over_a_mirrored_picture():
    image = random(2, 3, 5, 8)
    everywhere = torch.ones(5, 8, dtype=torch.bool)
    blurred = evaluation.hide(image, everywhere, "blur")
    width = masking.BLUR * 5
    for channel, (i, j) in itertools.product(range(3), [(0, 0), (4, 7), (2, 3), (1, 7)]):
        total = weights = 0.0
        for y, x in itertools.product(range(-5, 10), range(-8, 16)):
            weight = math.exp(-((i - y) ** 2 + (j - x) ** 2) / (2 * width ** 2))
            row = -1 - y if y < 0 else 9 - y if y > 4 else y            # mirrored at the border between two pixels
            column = -1 - x if x < 0 else 15 - x if x > 7 else x
            total, weights = total + weight * image[1, channel, row, column].item(), weights + weight
        assert blurred[1, channel, i, j].item() == pytest.approx(total / weights, abs=1e-6)


def test_blur_keeps_the_mean_and_takes_the_detail():
    image, everywhere = random(2, 3, H, W), torch.ones(H, W, dtype=torch.bool)
    blurred = evaluation.hide(image, everywhere, "blur")
    assert torch.allclose(blurred.mean(dim=(-2, -1)), image.mean(dim=(-2, -1)), atol=1e-6)
    assert (blurred.std(dim=(-2, -1)) < 0.5 * image.std(dim=(-2, -1))).all()
    flat = torch.full((1, 3, H, W), 0.3)
    assert torch.allclose(evaluation.hide(flat, everywhere, "blur"), flat)


def test_a_coarse_mask_hides_whole_cells():
    cells = torch.zeros(2, 3, 4, dtype=torch.bool)
    cells[0, 2, 1] = cells[1, 0, 3] = True
    hidden = evaluation.hide(WHITE.expand(2, -1, -1, -1), cells, "black", COLOURS)
    dark = torch.from_numpy(COLOURS.undo(hidden)[..., 0] == 0)
    expected = torch.zeros(2, H, W, dtype=torch.bool)
    expected[0, 8:12, 5:10] = expected[1, 0:4, 15:20] = True
    assert torch.equal(dark, expected)


def test_one_image_may_be_given_alone_and_with_many_masks():
    image, masks = random(3, H, W), random(4, H, W) > 0.5
    assert torch.equal(evaluation.hide(image, masks[0], "mean"), evaluation.hide(image[None], masks[:1], "mean")[0])
    many = evaluation.hide(image[None].expand(4, -1, -1, -1), masks.numpy(), "mean")
    assert torch.equal(many[2], evaluation.hide(image, masks[2], "mean"))


@pytest.mark.parametrize("share, count", [(0, 0), (0.1, 24), (0.5, 120), (1, 240)])
def test_the_top_share_is_hidden_and_no_pixel_more(share, count):
    image, heatmap = normalised(0.5 + 0.5 * random(2, H, W)), random(2, H, W, seed=3)
    for heat, values in ((heatmap, heatmap), (-heatmap, -heatmap)):
        dark = COLOURS.undo(evaluation.hide_top(image, heat, share, "black", COLOURS)).sum(axis=-1) == 0
        for one, mask in zip(values.flatten(1), torch.from_numpy(dark).flatten(1)):
            assert mask.sum() == count
            assert not 0 < count < 240 or one[mask].min() > one[~mask].max()


def test_where_a_heatmap_ties_the_seed_decides_and_no_place_is_preferred():
    flat = torch.zeros(50, 4, 6)
    ranks = evaluation.masking.ranking(flat)
    assert torch.equal(ranks, masking.ranking(flat)) and not torch.equal(ranks, masking.ranking(flat, seed=1))
    assert torch.equal(ranks.flatten(1).sort(dim=1).values, torch.arange(24).expand(50, -1))
    assert not torch.equal(ranks[0], ranks[1])
    assert (ranks.float().mean(dim=0) - 11.5).abs().max() < 4      # 6.9 / sqrt(50) is one standard deviation: 0.98
    half = torch.zeros(50, 4, 6)
    half[:, 2:] = 1
    assert (masking.ranking(half)[:, 2:] < 12).all()
    known = torch.tensor([[0.2, 0.9, 0.1], [0.5, 0.3, 0.8]])
    assert masking.ranking(known).tolist() == [[4, 0, 5], [2, 3, 1]]


def test_the_same_animal_stands_on_every_background():
    scenes = evaluation.on_every_background(7, size=64, animal="cow")
    assert tuple(scenes) == BACKGROUNDS and {scene.animal for scene in scenes.values()} == {"cow"}
    first, *others = scenes.values()
    window = np.lib.stride_tricks.sliding_window_view(np.pad(first.mask, 1), (3, 3))
    inside = window.all(axis=(-2, -1))          # away from edges, whose pixels are half background
    assert inside.sum() > 100
    for name, scene in scenes.items():
        assert scene.background == name and np.array_equal(scene.mask, first.mask)
        same = (scene.image == first.image).all(axis=-1)
        assert same[inside].mean() > 0.95       # but for a pixel or two in a gap between two shapes
    assert all((scene.image != first.image)[~first.mask].mean() > 0.5 for scene in others)


# The network asked again

def test_occlusion_of_a_region_is_known_by_hand(model, region):
    """Squares of 4 side by side: hiding one of the region's two blackens half of it, and so costs half of 0.8."""
    found = evaluation.occlusion_map(model, WHITE, target=1, patch=4, stride=4, fill="black")
    assert found.shape == (1, H, W) and torch.allclose(found[0], 0.4 * region, atol=1e-6)
    lost = evaluation.occlusion_map(model, WHITE, target=1, patch=4, stride=4, fill="black", score="logit")
    assert torch.allclose(lost[0], (math.log(0.9) - math.log(0.5)) * region, atol=1e-6)
    other = evaluation.occlusion_map(model, WHITE, target=0, patch=4, stride=4, fill="black")
    assert torch.allclose(other, -found, atol=1e-6)
    assert torch.allclose(evaluation.occlusion_map(model, WHITE, patch=4, stride=4, fill="black"), found)
    assert evaluation.occlusion_map(model, WHITE, target=1, patch=4, stride=4).abs().max() < 1e-6     # white


@pytest.mark.parametrize("fill", ["black", "mean", "blur"])
@pytest.mark.parametrize("patch, stride", [(5, 3), (7, 7), (4, 1)])
def test_occlusion_equals_slow_loops(model, patch, stride, fill):
    image, target = normalised(random(2, H, W)), [1, 0]
    found = evaluation.occlusion_map(model, image, target, patch, stride, fill)
    for index, wanted in enumerate(target):
        total, times = torch.zeros(H, W), torch.zeros(H, W)
        plain = logits_of(model, image[index:index + 1]).softmax(-1)[0, wanted]
        for top in sorted({min(step * stride, H - patch) for step in range(H)}):
            for left in sorted({min(step * stride, W - patch) for step in range(W)}):
                square = a_region(top, left, patch, patch)
                hidden = evaluation.hide(image[index:index + 1], square, fill, COLOURS)
                total[square] += plain - logits_of(model, hidden).softmax(-1)[0, wanted]
                times[square] += 1
        assert times.min() >= 1
        assert torch.allclose(found[index], total / times, atol=1e-6)


def test_a_perfect_map_gives_the_curves_and_areas_known_by_hand(model, region):
    """The region is 32 of 240 pixels. Hidden first, the score falls from 0.9 to 0.1 on a line, and stays there."""
    perfect, target = region.float(), 1
    falling = evaluation.deletion_curve(model, WHITE, perfect, target, steps=30)
    assert falling.shares.shape == (31,) and falling.scores.shape == (1, 31)
    known = (0.9 - 0.8 * torch.arange(31) * 8 / 32).clamp(min=0.1)
    assert torch.allclose(falling.scores[0], known, atol=1e-6)
    assert torch.allclose(falling.shares, torch.arange(31) / 30)
    assert evaluation.area(falling).item() == pytest.approx(0.1 + 0.8 * (32 / 240) / 2, abs=1e-6)
    rising = evaluation.insertion_curve(model, WHITE, perfect, target, steps=30, fill="black")
    assert torch.allclose(rising.scores[0], 1 - known, atol=1e-6)
    assert evaluation.area(rising).item() == pytest.approx(0.9 - 0.8 * (32 / 240) / 2, abs=1e-6)


def test_no_order_falls_faster_than_the_perfect_map(model, region):
    def both(heatmap):
        how = dict(target=1, steps=24)
        return (evaluation.area(evaluation.deletion_curve(model, WHITE, heatmap, **how)).item(),
                evaluation.area(evaluation.insertion_curve(model, WHITE, heatmap, fill="black", **how)).item())

    perfect, least = both(region.float()), both(-region.float())
    for heatmap in (torch.zeros(H, W), random(H, W), random(H, W) + 0.5 * region, random(3, 5)):
        area = both(heatmap)
        assert perfect[0] + 0.05 < area[0] < least[0] and perfect[1] > area[1] + 0.05 > least[1]


def test_one_step_is_the_whole_image_and_nothing_of_it(model):
    curve = evaluation.deletion_curve(model, WHITE, torch.zeros(H, W), 1, steps=1)
    assert curve.shares.tolist() == [0, 1] and torch.allclose(curve.scores, torch.tensor([[0.9, 0.1]]))


@pytest.mark.parametrize("patch", [1, H])
def test_the_square_may_be_one_pixel_or_as_high_as_the_image(model, region, patch):
    found = evaluation.occlusion_map(model, WHITE, 1, patch=patch, stride=patch, fill="black")[0]
    by_columns = torch.tensor(8 * [0.4] + 4 * [0.6] + 8 * [0.8])      # 0 to 11 hides half of the region, 8 to 19 all
    assert torch.allclose(found, 0.8 * region / 32 if patch == 1 else by_columns.expand(H, W), atol=1e-6)


def test_what_is_left_out_has_the_documented_value(model):
    """The seed decides, since a flat heatmap ties everywhere."""
    image, flat = normalised(random(1, H, W)), torch.zeros(H, W)
    for curve, fill in ((evaluation.deletion_curve, "black"), (evaluation.insertion_curve, "blur")):
        given = curve(model, image, flat, 1, steps=50, fill=fill, score="probability", seed=0)
        assert torch.equal(curve(model, image, flat, 1).scores, given.scores) and given.scores.shape == (1, 51)
    assert torch.equal(evaluation.hide_top(image, flat, 0.3, "mean"),
                       evaluation.hide_top(image, flat, 0.3, "mean", seed=0))
    large, image = Brightness(torch.ones(30, 30, dtype=torch.bool)), random(1, 3, 30, 30)
    given = evaluation.occlusion_map(large, image, 1, patch=16, stride=8, fill="mean", score="probability")
    assert torch.equal(evaluation.occlusion_map(large, image, 1), given)


def test_inserting_the_most_is_deleting_the_least_backwards(model):
    image, heatmap = normalised(random(2, H, W)), random(2, H, W, seed=5)
    rising = evaluation.insertion_curve(model, image, heatmap, [0, 1], steps=12, fill="mean")
    falling = evaluation.deletion_curve(model, image, -heatmap, [0, 1], steps=12, fill="mean")
    assert torch.allclose(rising.scores, falling.scores.flip(-1), atol=1e-6)
    assert torch.allclose(rising.scores[:, -1], logits_of(model, image).softmax(-1)[[0, 1], [0, 1]])


def test_a_coarse_map_is_deleted_cell_by_cell(model):
    """Cells of 4x4. The region is the two middle ones of row 1; a curve has no more steps than the map has cells."""
    cells = torch.zeros(3, 5)
    cells[1, 2], cells[1, 3] = 2, 1
    falling = evaluation.deletion_curve(model, WHITE, cells.numpy(), 1)
    assert falling.scores.shape == (1, 16)
    assert torch.allclose(falling.scores[0], torch.tensor([0.9, 0.5] + 14 * [0.1]), atol=1e-6)
    assert evaluation.area(falling).item() == pytest.approx((0.7 + 0.3 + 13 * 0.1) / 15, abs=1e-6)


def test_a_batch_says_what_each_image_alone_says(model):
    image, heatmap = normalised(random(3, H, W)), random(3, H, W, seed=5)
    whole = evaluation.insertion_curve(model, image, heatmap, [0, 1, 1], steps=7, score="logit")
    squares = evaluation.occlusion_map(model, image, [0, 1, 1], patch=6, stride=5)
    for index, target in enumerate([0, 1, 1]):
        one = slice(index, index + 1)
        alone = evaluation.insertion_curve(model, image[one], heatmap[one], target, steps=7, score="logit")
        assert torch.allclose(alone.scores[0], whole.scores[index], atol=1e-5)
        assert torch.allclose(evaluation.area(alone)[0], evaluation.area(whole)[index], atol=1e-5)
        assert torch.allclose(evaluation.occlusion_map(model, image[one], target, 6, 5)[0], squares[index], atol=1e-6)
    again = evaluation.insertion_curve(model, image, heatmap, [0, 1, 1], steps=7, score="logit")
    assert torch.equal(whole.scores, again.scores)


def test_the_model_is_asked_in_chunks_and_left_as_it_was(model, monkeypatch):
    monkeypatch.setattr(occlusion, "AT_ONCE", occlusion.TIMES_ITS_IMAGE * 3 * H * W * 7 + 1)
    image = normalised(random(9, H, W)).requires_grad_()
    before = image.detach().clone()
    model.train()
    model.dropout.eval()
    found = evaluation.occlusion_map(model, image, 1, patch=6, stride=6, fill="black")
    curve = evaluation.deletion_curve(model, image, found, 1, steps=5)
    assert max(model.seen) == 7 and sum(model.seen) == 9 + 9 * 8 + 9 + 9 * 6
    assert model.training and not model.dropout.training
    assert not found.requires_grad and not curve.scores.requires_grad and torch.equal(image.detach(), before)


def test_long_work_says_how_far_it_is(model, monkeypatch, capsys):
    evaluation.occlusion_map(model, WHITE, 1, patch=6, stride=6)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("minixai.progress.PATIENCE", -1)
    monkeypatch.setattr("minixai.progress.PAUSE", 0)
    monkeypatch.setattr(occlusion, "AT_ONCE", 1)
    evaluation.occlusion_map(model, WHITE, 1, patch=6, stride=6)
    assert "occlusion map in 8 parts: part 8" in capsys.readouterr().err
    evaluation.deletion_curve(model, WHITE, torch.zeros(H, W), 1, steps=2)
    evaluation.insertion_curve(model, WHITE, torch.zeros(H, W), 1, steps=2)
    first, second = re.findall(r"(\w+ curve in 3 parts): part 3", capsys.readouterr().err)
    assert first.startswith("deletion") and second.startswith("insertion")


def test_on_a_trained_network_the_animal_counts_and_the_black_patch_is_black():
    model = minixai.load("small_cnn")
    scene = evaluation.on_every_background(3, animal="cow")["grass"]
    image = minixai.open_image(scene.image, model)
    found = evaluation.occlusion_map(model, image, patch=24, stride=12).clamp(min=0)
    assert evaluation.energy_inside(found, scene.mask) > 1.5 * scene.mask.mean()
    assert (model.preprocess.undo(evaluation.hide(image, scene.mask, "black", model))[0][scene.mask] == 0).all()


def test_a_curve_figure_names_every_curve_and_its_area():
    shares = torch.tensor([0, 0.5, 1])
    curves = {"most first": evaluation.Curve(shares, torch.tensor([[1.0, 0, 0], [0.5, 0, 0]])),
              "random": evaluation.Curve(shares, torch.tensor([[1.0, 0.5, 0]]))}
    figure = evaluation.curve_figure(curves, "deletion")
    (axes,), (legend,) = figure.axes, figure.legends
    legend = [text.get_text() for text in legend.get_texts()]
    assert legend == ["most first (area 0.19)", "random (area 0.50)"]
    assert axes.get_lines()[0].get_ydata().tolist() == [0.75, 0, 0] and axes.get_title() == "deletion"
    assert axes.get_xlabel() == "share of the image hidden or shown" and axes.get_ylabel() == "score of the class"
    assert axes.get_xlim() == (0, 1) and axes.get_ylim()[0] == 0          # from zero: small differences look small
    negative = evaluation.curve_figure({"logit": evaluation.Curve(shares, torch.tensor([[-2.0, 1, 1]]))})
    assert negative.axes[0].get_ylim()[0] < -2


def test_the_legend_of_a_curve_figure_stands_below_its_axes_without_a_frame():
    curve = evaluation.Curve(torch.tensor([0, 1.0]), torch.tensor([[1.0, 0]]))
    figure = evaluation.curve_figure({f"curve {number}": curve for number in range(4)}, "four")
    figure.draw_without_rendering()
    (axes,), (legend,) = figure.axes, figure.legends
    box, (width, height) = legend.get_window_extent(), figure.canvas.get_width_height()
    assert (width, height) == (594, 462) and not legend.get_frame_on()
    assert 0 <= box.y0 and box.y1 <= axes.get_tightbbox().y0 and 0 <= box.x0 and box.x1 <= width
    assert all(text.get_fontsize() < 10 for text in legend.get_texts())


# Maps against masks, and against one another

MASK = torch.tensor([[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0]], dtype=torch.bool)
MAPS = torch.tensor([[[0., 0, 0, 0], [0, 3, 0, 0], [0, 0, 1, 0]],           # all on the mask
                     [[4., 1, 0, 0], [0, 3, 0, 0], [0, 0, 0, 0]],           # 3 of 8 on it, the highest outside
                     [[0., 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]],           # empty
                     [[2., 2, 2, 2], [2, 2, 2, 2], [2, 2, 2, 2]]])          # flat


def test_pointing_and_energy_of_maps_that_can_be_counted():
    assert evaluation.points_at(MAPS, MASK).tolist() == [True, False, False, False]
    assert evaluation.points_at(MAPS, ~MASK).tolist() == [False, True, False, False]
    assert evaluation.energy_inside(MAPS, MASK).tolist() == pytest.approx([1, 3 / 8, 0, 4 / 12])
    assert evaluation.energy_inside(MAPS, ~MASK).tolist() == pytest.approx([0, 5 / 8, 0, 8 / 12])
    assert evaluation.peak(MAPS).tolist() == [[1, 1], [0, 0], [0, 0], [0, 0]]
    assert evaluation.peak(MAPS[0].flip(-1)).tolist() == [1, 2]


def test_of_pixels_that_only_rounding_sets_apart_the_first_is_the_highest():
    """The border of an enlarged map repeats its outermost cells, with other last digits on other processors."""
    tied = torch.tensor([[0., 0, 0, 0], [0, 3, 1, 0], [0, 0, 0, 3.000001]])
    assert evaluation.peak(torch.stack([tied, -tied])).tolist() == [[1, 1], [0, 0]]
    assert evaluation.peak(1000 * tied).tolist() == [1, 1]          # the difference counts as a share
    assert evaluation.peak(tied + torch.eye(3, 4) * 1e-3).tolist() == [1, 1]
    assert evaluation.peak(tied.double() + 1e-3 * (tied > 3)).tolist() == [2, 3]
    assert evaluation.points_at(tied, tied == 3) and not evaluation.points_at(tied, tied > 3)


def test_each_map_meets_its_own_mask():
    masks = torch.stack([MASK, ~MASK, MASK, ~MASK])
    assert evaluation.energy_inside(MAPS, masks).tolist() == pytest.approx([1, 5 / 8, 0, 8 / 12])
    assert evaluation.points_at(MAPS, masks).tolist() == [True, True, False, False]
    assert evaluation.points_at(MAPS[0].numpy(), MASK.numpy()).item() is True
    folded = evaluation.energy_inside(MAPS.reshape(2, 2, 3, 4), MASK)
    assert folded.shape == (2, 2) and torch.equal(folded.flatten(), evaluation.energy_inside(MAPS, MASK))


@pytest.mark.parametrize("metric, besides", [
    (evaluation.peak, None), (evaluation.entropy, None), (evaluation.points_at, "mask"),
    (evaluation.energy_inside, "mask"), (evaluation.correlation, "map"), (evaluation.rank_correlation, "map"),
    (evaluation.top_overlap, "map")])
def test_a_stack_of_maps_says_what_each_map_alone_says(metric, besides):
    one, others = random(2, 3, 4, 5), random(2, 3, 4, 5, seed=1)
    one[0, 1], others[1, 2] = 0.5, 0.25                 # flat
    given = [one, *{"mask": [random(2, 3, 4, 5, seed=2) > 0.5], "map": [others], None: []}[besides]]
    found = metric(*given)
    expected = torch.stack([torch.stack([metric(*(maps[i, j] for maps in given)) for j in range(3)]) for i in range(2)])
    torch.testing.assert_close(found, expected, equal_nan=True)
    assert len(found.flatten(0, 1).unique(dim=0)) > 1


def test_the_share_of_the_energy_does_not_depend_on_the_scale():
    assert evaluation.energy_inside(MAPS / 100, MASK).tolist() == pytest.approx([1, 3 / 8, 0, 4 / 12])
    assert evaluation.energy_inside(MAPS.int(), MASK).tolist() == pytest.approx([1, 3 / 8, 0, 4 / 12])


def test_maps_of_one_row_and_of_double_precision_are_maps():
    assert evaluation.peak(torch.tensor([[0.0, 2.0, 1.0]])).tolist() == [0, 1]
    assert evaluation.entropy(torch.ones(2, 2).double()).dtype == torch.float64


def slow_ranks(values):
    """A number's rank: how many are smaller, plus half of the others that are equal."""
    return [sum(b < a for b in values) + (sum(b == a for b in values) - 1) / 2 for a in values]


@pytest.mark.parametrize("levels", [3, 10, 10**6])
def test_rank_correlation_equals_slow_loops_also_with_ties(levels):
    one, other = ((random(2, 5, 7, seed=seed) * levels).floor() for seed in (1, 2))
    other = other + (one * 0.4).floor()
    found = evaluation.rank_correlation(one, other)
    for index in range(2):
        ranks = [slow_ranks(maps[index].flatten().tolist()) for maps in (one, other)]
        assert found[index].item() == pytest.approx(np.corrcoef(*ranks)[0, 1], abs=1e-6)
        assert evaluation.correlation(one, other)[index].item() == pytest.approx(
            np.corrcoef(one[index].flatten(), other[index].flatten())[0, 1], abs=1e-6)


def test_rank_correlation_known_by_hand():
    """Ranks 0 1 2.5 2.5 and 0 2 1 3: covariance 3, variances 4.5 and 5 (all times 4)."""
    one, other = torch.tensor([[1., 2], [7, 7]]), torch.tensor([[1., 3], [2, 4]])
    assert evaluation.rank_correlation(one, other).item() == pytest.approx(3 / math.sqrt(4.5 * 5))


def test_only_the_order_counts_for_ranks():
    one = random(4, 6, seed=1)
    assert evaluation.rank_correlation(one, 3 * one ** 5 - 2).item() == 1
    assert evaluation.rank_correlation(one, -one.exp()).item() == -1
    assert evaluation.correlation(one, one ** 5).item() < 0.95
    assert evaluation.correlation(one, 7 - 2 * one).item() == pytest.approx(-1)


def test_what_a_flat_map_says_is_not_a_number():
    for same in (evaluation.correlation, evaluation.rank_correlation, evaluation.top_overlap):
        found = same(MAPS, MAPS[:1])
        assert found.isnan().tolist() == [False, False, True, True] and found[0] == 1


def test_a_flat_map_of_double_precision_is_flat_in_spite_of_rounding():
    """The mean of three times 0.1 is not 0.1."""
    flat, ramp = torch.full((1, 3), 0.1, dtype=torch.float64), torch.arange(3.0)[None].double()
    for one, other in ((flat, ramp), (ramp, flat)):
        assert evaluation.correlation(torch.stack([one, ramp]), torch.stack([other, ramp])).isnan().tolist() == [1, 0]


def test_top_overlap_of_maps_that_can_be_counted():
    ten = torch.arange(20.).reshape(4, 5)
    assert evaluation.top_overlap(ten, ten, 0.2).item() == 1
    assert evaluation.top_overlap(ten, -ten, 0.5).item() == 0
    assert evaluation.top_overlap(ten, ten.roll(2, -1), 0.25).item() == pytest.approx(1)      # the last row, turned
    assert evaluation.top_overlap(ten, ten.roll(1, -2), 0.5).item() == pytest.approx(5 / 15)       # rows 2, 3 and 3, 0
    two, = random(1, 40, 50, seed=2)
    assert evaluation.top_overlap(random(40, 50, seed=1), two, 0.4).item() == pytest.approx(0.4 / 1.6, abs=0.03)


def test_places_without_evidence_are_no_agreement():
    """Two pixels of evidence each, at other places, of 12: the ten zeros that tie are not in anybody's top half."""
    one, other = torch.zeros(2, 3, 4)
    one[0, :2], other[2, 1:3] = 1, 1
    assert evaluation.top_overlap(one, other, 0.5).item() == 0 and evaluation.top_overlap(one, one, 0.5).item() == 1
    other[0, 0] = 0.1
    assert evaluation.top_overlap(one, other, 0.5).item() == pytest.approx(1 / 4)
    assert evaluation.top_overlap(one, other, 0.1).item() == 0         # one pixel, and the one that ties with it


def test_entropy_counts_cells():
    even = torch.full((2, 4), 0.7)
    one_cell = torch.zeros(2, 4)
    one_cell[1, 2] = 0.3
    three = torch.tensor([[0.5, 0, 0.25, 0], [0, 0.25, 0, 0]])
    assert evaluation.entropy(torch.stack([even, one_cell, three])).tolist() == pytest.approx([3, 0, 1.5])
    assert evaluation.entropy(9 * three).item() == pytest.approx(1.5) and evaluation.entropy(torch.zeros(2, 4)).isnan()
    attention = torch.randn(5, 2, 3, 6, generator=torch.Generator().manual_seed(0)).exp()
    slow = [-sum(p * math.log2(p) for p in (one / one.sum()).flatten().tolist()) for one in attention.flatten(0, 1)]
    assert evaluation.entropy(attention).shape == (5, 2)
    assert evaluation.entropy(attention).flatten().tolist() == pytest.approx(slow, abs=1e-5)


# The network made random, from the top down

class Foreign(nn.Module):
    """Not ours: layers inside layers, a weight shared by two, a constant, and batch-norm statistics."""

    def __init__(self):
        super().__init__()
        self.register_buffer("colours", torch.tensor([0.4, 0.5, 0.6]))
        self.body = nn.Sequential(nn.Conv2d(3, 7, 3), nn.BatchNorm2d(7), nn.Sequential(nn.Conv2d(7, 5, 3)))
        self.scale = nn.Module()
        self.scale.weight = nn.Parameter(torch.arange(5.))
        self.shared = nn.Linear(5, 5)
        self.head = nn.Linear(5, 5)
        self.head.weight = self.shared.weight
        self.body[1].running_mean += torch.arange(7)

    def forward(self, images):
        features = self.body(images - self.colours[:, None, None]).mean(dim=(-2, -1)) * self.scale.weight
        return self.head(self.shared(features))


def make(name):
    torch.manual_seed(0)
    network = Foreign() if name == "foreign" else minixai.build(name)
    for parameter in network.parameters():          # as if trained: else biases and norms are constants
        nn.init.normal_(parameter)
    return network.train()


def state(network):
    return {name: value.clone() for name, value in network.state_dict().items()}


TOP_DOWN = {
    "small_cnn": ["head", "stage4", "stage3", "stage2", "stage1", "stem"],
    "small_vit": ["head", "norm", "blocks.4", "blocks.3", "blocks.2", "blocks.1", "blocks.0", "patches"],
    "foreign": ["head", "shared", "scale", "body.2.0", "body.1", "body.0"],
}


@pytest.mark.parametrize("name", TOP_DOWN)
def test_the_cascade_is_cumulative_and_leaves_the_model_bit_for_bit(name):
    network = make(name)
    before = state(network)
    previous, so_far = before, []
    for layer, copy in evaluation.randomised_copies(network):
        so_far.append(layer)
        now = state(copy)
        for key, value in now.items():
            belongs = key.startswith(layer + ".") or layer == "patches" and key in ("prefix", "positions")
            shared = layer == "head" and key == "shared.weight" or layer == "shared" and key == "shared.weight"
            learned = value.is_floating_point() and key != "colours"
            if layer == "shared" and shared:
                assert torch.equal(value, previous[key])        # was shuffled with the head, and not twice
            elif (belongs or shared) and learned:
                few = len(value.unique()) < 5           # so few numbers may be where they were by chance
                assert few or not torch.equal(value, previous[key]), key
                assert torch.equal(value.flatten().sort().values, before[key].flatten().sort().values), key
            else:
                assert torch.equal(value, previous[key]), key
        previous = now
    assert so_far == TOP_DOWN[name]
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert network.training and all(part.training for part in network.modules())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in network.parameters())


def test_copies_made_in_inference_mode_can_be_explained():
    network, image = make("small_cnn"), random(1, 3, 24, 32)
    with torch.inference_mode():
        copies = [copy for _, copy in evaluation.randomised_copies(network)]
    for copy, (_, usual) in zip(copies, evaluation.randomised_copies(network)):
        found, expected = (minixai.explain(one, image, target=1).heatmap for one in (copy, usual))
        assert torch.equal(found, expected)


def test_what_is_drawn_does_not_depend_on_the_default_dtype():
    expected = masking.ranking(torch.zeros(6, 4), seed=3)
    torch.set_default_dtype(torch.float64)
    try:
        assert torch.equal(masking.ranking(torch.zeros(6, 4), seed=3), expected)
    finally:
        torch.set_default_dtype(torch.float32)


def test_copies_are_networks_of_their_own_and_the_seed_decides():
    network = make("small_cnn")
    first, again = dict(evaluation.randomised_copies(network)), dict(evaluation.randomised_copies(network))
    other = dict(evaluation.randomised_copies(network, seed=1))
    image = random(2, 3, 24, 32)
    for layer, copy in first.items():
        answer = logits_of(copy, image)
        assert torch.equal(answer, logits_of(again[layer], image))
        assert not torch.equal(answer, logits_of(other[layer], image))
        assert copy.preprocess == network.preprocess and copy.labels == network.labels
    distinct = [logits_of(copy, image) for copy in [network, *first.values()]]
    assert not any(torch.equal(one, two) for one, two in itertools.combinations(distinct, 2))


def test_the_global_random_numbers_are_left_alone():
    network = make("small_cnn")
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    list(evaluation.randomised_copies(network))
    evaluation.masking.ranking(torch.zeros(3, 4))
    assert torch.equal(torch.rand(3), expected)


def test_layers_may_be_named_in_an_order_of_ones_own():
    network = make("foreign")
    (first, copy), (second, _) = evaluation.randomised_copies(network, layers=["scale", "body"])
    assert (first, second) == ("scale", "body")
    changed = {key for key, value in copy.state_dict().items() if not torch.equal(value, network.state_dict()[key])}
    assert changed == {"scale.weight"}
    assert top_down(make("foreign")) == TOP_DOWN["foreign"]


def test_a_constant_below_a_layer_is_not_shuffled_with_its_weights():
    """A buffer of a module without weights is no part of what was learned, wherever the module stands."""
    network = nn.Sequential(nn.Linear(4, 4))
    network[0].constant = nn.Module()
    network[0].constant.register_buffer("values", torch.arange(50.0))
    (_, copy), = evaluation.randomised_copies(network)
    assert torch.equal(copy[0].constant.values, torch.arange(50.0))
    assert not torch.equal(copy[0].weight, network[0].weight)


def test_a_map_of_the_random_network_is_another_map():
    model = minixai.load("small_cnn")
    scene = evaluation.on_every_background(3, animal="cow")["grass"]
    image = minixai.open_image(scene.image, model)
    heatmap = minixai.explain(model, image, target=3).heatmap
    *_, (_, random_network) = evaluation.randomised_copies(model)
    other = minixai.explain(random_network, image, target=3).heatmap
    assert abs(evaluation.rank_correlation(heatmap, other).item()) < 0.9
    assert torch.equal(minixai.explain(model, image, target=3).heatmap, heatmap)


# What does not fit is said in one line

HEADLESS = ViT(16, 8, width=8, depth=1, heads=2, classes=0)


@pytest.mark.parametrize("call, says", [
    (lambda m: evaluation.hide(WHITE, MASK, "grey", m), "no fill 'grey'; there are black, mean, blur"),
    (lambda m: evaluation.hide(WHITE, torch.zeros(5, 7, dtype=torch.bool), "mean"),
     "5x7 does not fit an image of 12x20"),
    (lambda m: evaluation.hide(WHITE, torch.zeros(H, W), "mean"), "a mask is boolean"),
    (lambda m: evaluation.hide(WHITE, torch.zeros(H, W, dtype=torch.bool), "black", nn.Linear(1, 1)), "what black is"),
    (lambda m: evaluation.hide(WHITE.expand(2, -1, -1, -1), torch.zeros(3, H, W, dtype=torch.bool), "mean"),
     "for each"),
    (lambda m: evaluation.hide(np.zeros((1, 3, H, W)), torch.zeros(H, W, dtype=torch.bool), "mean"), "an image is a"),
    (lambda m: evaluation.hide(WHITE[:0], torch.zeros(H, W, dtype=torch.bool), "mean"), "an image is a"),
    (lambda m: evaluation.hide(WHITE.long(), torch.zeros(H, W, dtype=torch.bool), "mean"), "floats .* got .*int64"),
    (lambda m: evaluation.hide(WHITE, torch.zeros(W, dtype=torch.bool), "mean"), "a mask is boolean"),
    (lambda m: evaluation.peak(torch.zeros(0, 4)), r"got \(0, 4\)"),
    (lambda m: evaluation.hide_top(WHITE, torch.zeros(H, W), 1.2, "mean"), "between 0 and 1, got 1.2"),
    (lambda m: evaluation.hide_top(WHITE, torch.full((H, W), torch.nan), 0.2, "mean"), "NaN or infinity"),
    (lambda m: evaluation.hide_top(WHITE, torch.zeros(4), 0.2, "mean"), r"shape \(H,W\) or \(B,H,W\), got \(4,\)"),
    (lambda m: evaluation.occlusion_map(m, WHITE, 1, patch=13), "patch is .* from 1 to 12 here; got 13"),
    (lambda m: evaluation.occlusion_map(m, WHITE, 1, patch=0), "patch is"),
    (lambda m: evaluation.occlusion_map(m, WHITE, 1, patch=4, stride=5), "stride is .* from 1 to 4.* got 5"),
    (lambda m: evaluation.occlusion_map(m, WHITE, 1, patch=4, stride=0), "stride is"),
    (lambda m: evaluation.occlusion_map(m, WHITE, 1, patch=4, stride=2.5), "stride is"),
    (lambda m: evaluation.occlusion_map(m, WHITE, 2, 4, 4), "classes 0 to 1; got target 2"),
    (lambda m: evaluation.occlusion_map(m, WHITE, 1, 4, 4, score="loss"),
     "no score 'loss'; there are probability, logit"),
    (lambda m: evaluation.occlusion_map(m, WHITE, 1, 4, 4, "noise"), "no fill 'noise'"),
    (lambda m: evaluation.occlusion_map(HEADLESS, random(1, 3, 16, 24)), "no class head"),
    (lambda m: evaluation.occlusion_map(m, WHITE[0], 1, 3, 3), r"\(B,3,H,W\)"),
    (lambda m: evaluation.deletion_curve(m, WHITE, torch.zeros(2, H, W), 1), "not one map or mask for each image"),
    (lambda m: evaluation.deletion_curve(m, WHITE, torch.zeros(7, 7), 1), "7x7 does not fit an image of 12x20"),
    (lambda m: evaluation.deletion_curve(m, WHITE, torch.zeros(H, W), 1, steps=0), "from 1 on; got 0"),
    (lambda m: evaluation.points_at(MAPS, torch.zeros(3, 4, dtype=torch.bool)), "a mask is empty"),
    (lambda m: evaluation.energy_inside(MAPS[:2], torch.stack([MASK, MASK & ~MASK])), "a mask is empty"),
    (lambda m: evaluation.energy_inside(MAPS, MASK[:, :3]), "3x4 and a mask of 3x3 .* M1"),
    (lambda m: evaluation.energy_inside(MAPS - 1, MASK), r"goes down to -1.*clamp\(min=0\)"),
    (lambda m: evaluation.points_at(MAPS, MASK.float()), "a mask is boolean"),
    (lambda m: evaluation.points_at(MAPS, torch.stack(3 * [MASK])), "do not belong together"),
    (lambda m: evaluation.correlation(MAPS, MAPS[..., :2]), "3x4 and 3x2 cannot be compared"),
    (lambda m: evaluation.rank_correlation(MAPS, MAPS[:3]), "do not belong together"),
    (lambda m: evaluation.top_overlap(MAPS, MAPS, 0), "more than 0 and less than 1; got 0"),
    (lambda m: evaluation.top_overlap(MAPS, MAPS, 1), "more than 0 and less than 1; got 1"),
    (lambda m: evaluation.entropy(-MAPS), "goes down to -4"),
    (lambda m: list(evaluation.randomised_copies(m)), "has no layers with weights"),
    (lambda m: list(evaluation.randomised_copies(make("foreign"), layers=["hed"])), "no layer named 'hed'"),
])
def test_what_does_not_fit_is_said_in_one_line(model, call, says):
    with pytest.raises(ValueError, match=says) as error:
        call(model)
    assert "\n" not in str(error.value)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here: that the device follows the model "
                                                          "is checked where there is one")
def test_everything_runs_where_the_model_is():
    model = minixai.load("small_cnn").cuda()
    scene = evaluation.on_every_background(3, animal="cow")["grass"]
    for image in (minixai.open_image(scene.image, model), minixai.open_image(scene.image, model).cuda()):
        found = evaluation.occlusion_map(model, image, patch=24, stride=24)
        assert found.is_cuda and evaluation.energy_inside(found.clamp(min=0), scene.mask).is_cuda
        for fill in evaluation.FILLS:
            curve = evaluation.deletion_curve(model, image, found.cpu(), steps=3, fill=fill)
            assert evaluation.area(curve).is_cuda
            assert evaluation.hide_top(image, found, 0.2, fill, model).device == image.device
    on_cpu = evaluation.occlusion_map(model.cpu(), image.cpu(), patch=24, stride=24)
    assert torch.allclose(found.cpu(), on_cpu, atol=1e-4)
    assert torch.allclose(evaluation.rank_correlation(found, found.cpu()).cpu(), torch.tensor(1.0))
    for (_, one), (_, two) in zip(evaluation.randomised_copies(model), evaluation.randomised_copies(model.cuda())):
        assert all(torch.equal(a, b.cpu()) for a, b in zip(one.state_dict().values(), two.state_dict().values()))
