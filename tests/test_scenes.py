"""Drawn scenes: their promises about masks, laws of chance, and shortcuts that must not be there."""
import numpy as np
import pytest
import torch
from PIL import Image

from minixai.scenes import (
    ACCESSORIES,
    BACKGROUNDS,
    CLASSES,
    COATS,
    PARTS,
    Scene,
    compose,
    draw_animal,
    draw_background,
    draw_scene,
    draw_scenes,
    stack,
)
from minixai.scenes.scene import _choose_background, _wears
from tests.reference.record_scenes import drawings
from tests.reference.seeded import FOLDER
from weights_scripts.photos import FOLDER as PHOTOS
from weights_scripts.photos import cow_on_the_beach

SIZE = 64


@pytest.fixture(scope="module")
def fair():
    """Scenes of 130 seeds with each of the four animals: of equal coats, scales and backgrounds."""
    scenes = []
    for seed in range(130):
        background = draw_background((3, seed), SIZE)
        for label, animal in enumerate(CLASSES):
            layer = draw_animal((3, seed), SIZE, animal=animal)
            scenes.append(Scene(*compose(background, [layer]), label, "any"))
    return scenes


# ---- the gates: no way to know the animal, or where it is, but by its shape

def colour_histogram(scene):
    """The share of each of 4 x 4 x 4 colours among the animal's pixels, (64,)."""
    red, green, blue = (scene.image[scene.mask] // 64).T.astype(int)
    return np.bincount(red * 16 + green * 4 + blue, minlength=64) / scene.mask.sum()


def colour_accuracy(scenes, trained):
    """Accuracy, after the first `trained` scenes, of a small network that sees nothing but the histogram."""
    generator = torch.Generator().manual_seed(0)
    x = torch.tensor(np.sqrt([colour_histogram(s) for s in scenes]), dtype=torch.float32)
    y = torch.tensor([s.label for s in scenes])
    x = (x - x[:trained].mean(0)) / (x[:trained].std(0) + .02)
    weights = [torch.randn(64, 32, generator=generator) / 8, torch.zeros(32),
               torch.randn(32, 4, generator=generator) / 8, torch.zeros(4)]

    def logits(x, w1, b1, w2, b2):
        return torch.relu(x @ w1 + b1) @ w2 + b2

    for _ in range(300):                                # plain gradient descent with weight decay
        weights = [w.requires_grad_() for w in weights]
        loss = torch.nn.functional.cross_entropy(logits(x[:trained], *weights), y[:trained])
        gradients = torch.autograd.grad(loss, weights)
        weights = [(w - .1 * (g + .02 * w)).detach() for w, g in zip(weights, gradients)]
    return (logits(x[trained:], *weights).argmax(1) == y[trained:]).float().mean().item()


def test_colour_does_not_tell_the_class(fair):
    assert colour_accuracy(fair, trained=360) <= .40     # chance is 0.25


def test_all_classes_cover_the_same_area(fair):
    area = [np.mean([s.mask.mean() for s in fair if s.animal == animal]) for animal in CLASSES]
    assert max(area) / min(area) <= 1.05
    assert .10 <= np.mean(area) <= .14


def test_the_middle_of_the_picture_is_no_answer(fair):
    assert np.mean([s.mask[SIZE // 2, SIZE // 2] for s in fair]) <= .35


# ---- the shipped networks were trained on exactly these drawings

def test_scenes_are_drawn_as_they_were_for_the_training():
    """Where processors round a float differently, single values may differ, but not one in a thousand."""
    now = drawings()
    with np.load(FOLDER / "scenes.npz") as known:
        assert set(now) == set(known)
        for name in now:
            assert now[name].shape == known[name].shape, name
            assert (now[name] != known[name]).mean() < 0.001, name


def test_the_shipped_scene_is_drawn_again():
    with Image.open(PHOTOS / "scene.png") as known:
        assert (cow_on_the_beach() != np.asarray(known)).mean() < 0.001


# ---- masks

def test_masks_are_disjoint_and_parts_make_up_the_animal():
    for scene in draw_scenes(8, 1, SIZE, second="any", accessory="hat"):
        masks = [scene.mask, scene.accessory, scene.second_mask, scene.second_accessory]
        assert np.sum(masks, 0).max() == 1
        assert (np.sum(list(scene.parts.values()), 0) == scene.mask).all()
        assert (np.sum(list(scene.second_parts.values()), 0) == scene.second_mask).all()
        assert scene.accessory.any() and not scene.second_accessory.any()


def test_an_accessory_belongs_to_the_animal_that_wears_it():
    back, front = draw_animal(3, SIZE, place=(.3, .7)), draw_animal(3, SIZE, place=(.7, .7), accessory="hat")
    scene = Scene(*compose(draw_background(1, SIZE), [back, front]), back.label, "beach", front.label)
    assert scene.second_accessory.any() and not scene.accessory.any()
    assert not (scene.second_accessory & scene.second_mask).any()


@pytest.mark.parametrize("animal", CLASSES)
def test_every_part_of_an_animal_is_in_its_mask(animal):
    parts = draw_scene(2, 128, animal=animal).parts
    assert set(parts) == set(PARTS) - {"accessory"}
    missing = {part for part, mask in parts.items() if not mask.any()}
    assert missing == (set() if animal == "cow" else {"horns"})


def test_the_mask_is_where_the_picture_changes():
    scene, empty = draw_scene(4, SIZE, background="grass"), draw_background(4, SIZE, "grass")
    changed = (scene.image != empty).any(2)
    assert (changed | ~scene.mask).all()                             # all of the animal is drawn
    assert (changed & ~scene.mask).sum() < .35 * scene.mask.sum()      # beside it just the rim and the shadow


def test_the_animal_in_front_hides_the_other_one():
    back, front = draw_animal(1, SIZE, place=(.5, .6)), draw_animal(2, SIZE, place=(.6, .65))
    _, alone, _ = compose(draw_background(1, SIZE), [front])
    image, owners, part_map = compose(draw_background(1, SIZE), [back, front])
    _, below, _ = compose(draw_background(1, SIZE), [back])
    hidden = (below == 1) & (alone == 1)
    assert hidden.sum() > 50
    assert ((owners == 2) == (alone == 1)).all()
    assert ((owners == 1) == ((below == 1) & (alone == 0))).all()
    assert ((part_map > 0) == (owners > 0)).all()


def test_either_of_two_animals_may_be_in_front_and_owners_keep_their_names():
    """Where the two overlap, the one in front is as it would be alone, and it is not always the same one."""
    fronts = []
    for scene, alone in zip(draw_scenes(24, 5, 32, second="any"), draw_scenes(24, 5, 32)):
        assert scene.second != scene.animal
        assert (scene.mask <= alone.mask).all()
        fronts.append((scene.mask == alone.mask).all())
    assert 0 < np.mean(fronts) < 1


# ---- one knob at a time

def test_same_arguments_same_scene():
    first, again, other = draw_scene((1, 2), SIZE), draw_scene((1, 2), SIZE), draw_scene((1, 3), SIZE)
    assert (first.image == again.image).all() and (first.part_map == again.part_map).all()
    assert (first.image != other.image).any()


def test_the_very_same_animal_on_every_background():
    scenes = [draw_scene(6, SIZE, background=background) for background in BACKGROUNDS]
    solid = draw_animal(6, SIZE)
    inside = np.zeros((SIZE, SIZE), bool)
    rows, columns = np.nonzero((solid.rgba[..., 3] == 255) & (solid.parts > 0))
    inside[rows + solid.top, columns + solid.left] = True
    assert inside.sum() > .7 * scenes[0].mask.sum()
    for scene in scenes[1:]:
        assert (scene.part_map == scenes[0].part_map).all()
        assert (scene.image[inside] == scenes[0].image[inside]).all()
        assert (scene.image[~inside] != scenes[0].image[~inside]).mean() > .5


def test_the_other_knobs_leave_the_background_alone():
    plain = draw_scene(8, SIZE, animal="cat", background="beach")
    for knob in ({"animal": "cow"}, {"coat": (200, 40, 40)}, {"scale": .2}, {"place": (.7, .7)},
                 {"second": "dog"}):
        other = draw_scene(8, SIZE, **({"animal": "cat", "background": "beach"} | knob))
        clear = (plain.owners == 0) & (other.owners == 0)
        assert (plain.image == other.image).all(2)[clear].mean() > .85      # all but rims and shadows
        assert (plain.image != other.image).any()


def test_facing_mirrors_the_animal():
    left, right = (draw_scene(9, SIZE, facing=facing, place=(.5, .6)).mask for facing in ("left", "right"))
    assert (left[:, ::-1] == right).mean() > .97 and (left != right).mean() > .03


def test_scale_place_and_coat_do_what_they_say():
    for scale in (.2, .4):
        area = np.mean([s.mask.mean() for s in draw_scenes(12, 1, SIZE, scale=scale)])
        assert area ** .5 == pytest.approx(scale, rel=.04)
    rows, columns = np.nonzero(draw_scene(1, SIZE, place=(.3, .6)).mask)
    assert (columns.min() + columns.max() + 1) / 2 / SIZE == pytest.approx(.3, abs=.02)
    assert (rows.min() + rows.max() + 1) / 2 / SIZE == pytest.approx(.6, abs=.02)
    black, white = (draw_scene(1, SIZE, coat=coat) for coat in ("black", (240, 240, 240)))
    assert black.image[black.mask].mean() + 60 < white.image[white.mask].mean()


def test_an_accessory_is_added_and_nothing_moves():
    bare = draw_scene(10, SIZE)
    for kind in ACCESSORIES:
        worn = draw_scene(10, SIZE, accessory=kind)
        assert worn.accessory.sum() > 5 and not bare.accessory.any()
        assert (worn.mask <= bare.mask).all() and (bare.mask <= (worn.mask | worn.accessory)).all()


# ---- laws of chance: of the decisions themselves, then a look at whether scenes obey them

@pytest.mark.parametrize("bias, share", [(0, .25), (.6, .7), (1, 1)])
def test_background_bias_is_the_law_it_says(bias, share):
    for label, home in enumerate(BACKGROUNDS):
        kinds = [_choose_background((11, label, seed), label, None, bias) for seed in range(800)]
        frequency = [kinds.count(kind) / 800 for kind in BACKGROUNDS]
        expected = [share if kind == home else (1 - share) / 3 for kind in BACKGROUNDS]
        assert frequency == pytest.approx(expected, abs=.055)


def test_scenes_obey_bias_home_and_away():
    for knobs, at_home in (({"bias": 1}, 1), ({"background": "home"}, 1), ({"background": "away"}, 0)):
        scenes = draw_scenes(24, 12, 16, **knobs)
        assert np.mean([s.background == BACKGROUNDS[s.label] for s in scenes]) == at_home
    assert len({s.background for s in draw_scenes(24, 12, 16, background="away", animal="cat")}) == 3
    assert {s.background for s in draw_scenes(24, 12, 16)} == set(BACKGROUNDS)


@pytest.mark.parametrize("animal, share", [("wolf", .7), ("cat", .1)])
def test_accessory_bias_is_the_law_it_says(animal, share):
    label = CLASSES.index(animal)
    worn = [_wears((13, seed), label, "tie", .6, "wolf") for seed in range(800)]
    assert worn.count("tie") / 800 == pytest.approx(share, abs=.045)


def test_scenes_obey_the_accessory_bias():
    scenes = list(draw_scenes(24, 13, 32, accessory="tie", accessory_bias=1, accessory_class="wolf"))
    assert all(s.accessory.any() == (s.animal == "wolf") for s in scenes)
    assert 0 < np.mean([s.accessory.any() for s in draw_scenes(24, 14, 32, accessory_bias=0)]) < .6


def test_classes_are_drawn_evenly():
    labels = [draw_animal((15, seed), 16).label for seed in range(240)]
    assert np.bincount(labels, minlength=4) / 240 == pytest.approx([.25] * 4, abs=.08)


# ---- sizes, stacks and mistakes

@pytest.mark.parametrize("size", (32, 64, 100, 224, 97))
def test_any_size_shows_the_same_scene(size):
    scene, other = draw_scene(15, size), draw_scene(15, 96)
    assert scene.image.shape == (size, size, 3) and scene.image.dtype == np.uint8
    assert scene.mask.mean() == pytest.approx(other.mask.mean(), rel=.12)
    assert scene.image.mean((0, 1)) == pytest.approx(other.image.mean((0, 1)), abs=4)


def test_stack_and_start():
    images, labels, masks = stack(draw_scenes(3, 16, SIZE, start=5))
    assert images.shape == (3, SIZE, SIZE, 3) and labels.dtype == np.int64 and masks.dtype == bool
    assert (images[0] == draw_scene((16, 5), SIZE).image).all()
    assert (images[2] == draw_scene((16, 7), SIZE).image).all() and masks.any((1, 2)).all()


def test_a_layer_beyond_the_frame_is_cut_off():
    layer, background = draw_animal(17, SIZE), draw_background(17, SIZE)
    for top, left in ((-500, 3), (500, 3), (3, -500), (3, 500)):
        image, owners, _ = compose(background, [layer.at(top, left)])
        assert (image == background).all() and not owners.any()
    half = compose(background, [layer.at(10, -layer.parts.shape[1] // 2)])[1]
    assert 0 < half.sum() < (layer.parts > 0).sum()


@pytest.mark.parametrize("knobs, listed", [
    ({"animal": "fox"}, CLASSES), ({"background": "moon"}, BACKGROUNDS), ({"coat": "pink"}, COATS),
    ({"accessory": "crown"}, ACCESSORIES), ({"second": "fox"}, CLASSES), ({"facing": "up"}, ("left",)),
    ({"bias": 1.5}, ("0", "1")), ({"scale": -1}, ("scale",)), ({"place": .5}, ("place",)),
    ({"size": 5}, ("16",)), ({"size": 64.5}, ("int",)), ({"coat": (1, 2)}, ("three",)),
    ({"accessory_class": "fox"}, CLASSES),
])
def test_a_wrong_argument_is_told_what_is_right(knobs, listed):
    with pytest.raises(ValueError) as error:
        draw_scene(1, **({"size": SIZE} | knobs))
    assert all(word in str(error.value) for word in listed)


def test_a_background_that_is_not_there_is_told_which_are():
    with pytest.raises(ValueError, match=f"unknown background 'moon'; choose from {', '.join(BACKGROUNDS)}"):
        draw_background(1, SIZE, "moon")
