"""The training of the scene networks: pictures put together rightly, and a killed run that ends as if it lived on."""
import io
from dataclasses import replace

import pytest
import torch

from minixai.networks.registry import build
from weights_scripts import train_scenes_cnn, train_scenes_vit
from weights_scripts.muon import orthogonal
from weights_scripts.scene_data import Freedom, draw_bank, recombine
from weights_scripts.scene_scores import MARK, MARK_END, Row, baselines, localise, note
from weights_scripts.scene_training import Training, height, train
from weights_scripts.state_file import in_half, write


@pytest.fixture(scope="module")
def bank():
    return draw_bank(animals=24, backgrounds=2, size=96)


def random(seed=0):
    return torch.Generator().manual_seed(seed)


def painted(bank):
    """The same bank, each animal one flat colour that says its class, all backgrounds black."""
    colours = torch.tensor([[250, 0, 0], [0, 250, 0], [0, 0, 250], [250, 250, 0]], dtype=torch.uint8)
    solid = (bank.cutouts[:, 3] == 255)[:, None]
    cutouts = torch.cat([colours[bank.labels][:, :, None, None] * solid, 255 * solid], 1).to(torch.uint8)
    return bank._replace(cutouts=cutouts, backgrounds=torch.zeros_like(bank.backgrounds))


@pytest.mark.parametrize("freedom", [Freedom(), Freedom(window=48), Freedom(window=48, place=0, vary=0)])
def test_a_recombined_animal_keeps_its_label_and_is_all_there(bank, freedom):
    batch = recombine(painted(bank), 64, random(), freedom=freedom)
    seen = batch.image > 0
    by_colour = torch.stack([seen[:, 0] & ~seen[:, 1], seen[:, 1] & ~seen[:, 0], seen[:, 2],
                             seen[:, 0] & seen[:, 1]], 1).flatten(2).sum(2)         # (B,4) pixels of each colour
    assert torch.equal(by_colour.argmax(1), batch.label)
    assert (by_colour.topk(2).values[:, 1] == 0).all()
    if freedom.window is None:
        assert by_colour.amax(1).min() > 500        # of 9216: no animal is cut off or lies outside
    assert (batch.corner % 8 == 0).all()


@pytest.mark.parametrize("bias, low, high", [(0.0, 0.20, 0.30), (0.95, 0.94, 0.985)])
def test_bias_is_the_share_of_animals_at_home(bank, bias, low, high):
    kinds = torch.arange(4, dtype=torch.uint8).reshape(4, 1, 1, 1, 1) * 60
    marked = bank._replace(backgrounds=kinds.expand_as(bank.backgrounds).contiguous(),
                           cutouts=torch.zeros_like(bank.cutouts))
    batch = recombine(marked, 1000, random(), bias=bias, freedom=Freedom(window=16))
    kind = ((batch.image[:, 0, 0, 0] + 1) * 127.5 / 60).round()
    assert low < (kind == batch.label).float().mean() < high


def test_the_vit_of_the_script_is_the_vit_of_the_package(bank):
    """On a whole picture the window's logits are the model's; in a window each patch has its own place's position."""
    model = build("small_vit")
    batch = recombine(bank, 3, random())
    assert torch.allclose(train_scenes_vit.logits_of_window(model, batch), model(batch.image), atol=1e-5)
    whole = batch._replace(image=batch.image[:, :, 16:64, 24:72], corner=torch.tensor([[16, 24]] * 3))
    model.positions.data[:, :2], model.positions.data[:, 8:] = 1e3, 1e3         # positions that the window has not
    model.positions.data[:, :, :3], model.positions.data[:, :, 9:] = 1e3, 1e3
    there = model.positions.data[:, 2:8, 3:9]
    small = build("small_vit")
    small.load_state_dict({**model.state_dict(), "positions": small.positions.data})
    small.positions = torch.nn.Parameter(there.clone())
    assert torch.allclose(train_scenes_vit.logits_of_window(model, whole), small(whole.image), atol=1e-5)


@pytest.mark.parametrize("script", [train_scenes_vit, train_scenes_cnn])
def test_ten_steps_on_one_batch_reduce_its_loss(bank, script):
    run = Training(replace(script.FAIR, passes=100_000, batch=8, warm_up=1e-4), bank)
    fixed = run.batch()
    before = run.loss_on(fixed).item()
    run.batch = lambda: fixed
    for _ in range(10):
        run.step()
    assert run.loss_on(fixed).item() < 0.5 * before


def test_no_batch_comes_twice(bank):
    run, other = (Training(train_scenes_cnn.FAIR, bank, seed) for seed in (0, 1))
    first, run.steps = run.batch(), 1
    assert not any(torch.equal(first.label, later.batch().label) for later in (run, other))


@pytest.mark.parametrize("script, batch", [(train_scenes_vit, 4), (train_scenes_cnn, 8)])
def test_a_killed_run_ends_with_the_same_bits(bank, script, batch, tmp_path):
    recipe = replace(script.FAIR, passes=6 * batch, batch=batch)
    whole, killed, resumed = (Training(recipe, bank, seed=5) for _ in range(3))
    train(whole, tmp_path / "whole", look=lambda model: 0, out=io.StringIO())
    for _ in range(3):
        killed.step()
    torch.save(killed.state(), tmp_path / "killed")
    train(resumed, tmp_path / "killed", look=lambda model: 0, out=io.StringIO())
    for one in (whole, resumed):
        write(in_half(one.averaged().state_dict()), tmp_path / f"{one is whole}.pt")
    assert resumed.steps == 6
    assert (tmp_path / "True.pt").read_bytes() == (tmp_path / "False.pt").read_bytes()


def test_the_learning_rate_rises_stays_and_falls_to_zero():
    rate = [height(share, train_scenes_vit.FAIR) for share in (0, 0.01, 0.5, 0.85, 1.0)]
    assert rate[0] < rate[1] < rate[2] == 1 and rate[3] == pytest.approx(0.5) and rate[4] == 0


@pytest.mark.parametrize("shape", [(2, 7, 5), (2, 5, 7)])
def test_muon_makes_singular_values_alike(shape):
    matrices = torch.randn(shape, generator=random())
    U, _, V = torch.linalg.svd(matrices, full_matrices=False)
    inside = U.mT @ orthogonal(matrices) @ V.mT         # diagonal: the directions stay, only their strengths change
    strengths = inside.diagonal(dim1=-2, dim2=-1)
    assert 0.6 < strengths.min() and strengths.max() < 1.3
    assert torch.allclose(inside, strengths.diag_embed(), atol=1e-4)


def test_localisation_counts_what_lies_on_the_animal():
    masks = torch.zeros(3, 4, 6, dtype=torch.bool)
    masks[:, 1:3, 2:5] = True                       # 6 of 24 pixels
    maps = torch.ones(3, 4, 6)
    maps[0, 1, 2] = 7                               # energy 12/30, its highest pixel on the animal
    maps[1, 0, 0] = 7                               # energy 6/30, elsewhere
    maps[2], masks[2] = 0, masks[2].roll((-1, -2), (0, 1))      # an empty map, whose first pixel is on the animal
    energy, pointing = localise(maps, masks)
    assert energy == pytest.approx((12 / 30 + 6 / 30) / 3) and pointing == pytest.approx(1 / 3)
    area, centre = baselines(masks[:2]).values()
    assert area.energy == pytest.approx(0.25) and centre.energy > 0.25 and centre.pointing == 1


def test_a_row_is_replaced_not_added(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(f"above\n{MARK}\n| file | seed |\n|---|---|\n| b | 0 | old |\n{MARK_END}\nbelow\n")
    for file, seed, text in (("b", 0, "new"), ("a", 1, "x")):
        note(readme, Row(file, seed, text, *[""] * 8))
    lines = readme.read_text().splitlines()
    assert lines[:2] == ["above", MARK] and lines[-2:] == [MARK_END, "below"]
    assert [line[:12] for line in lines[4:-2]] == ["| a | 1 | x ", "| b | 0 | ne"]
