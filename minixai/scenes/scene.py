"""Scenes: an animal or two on a background, with exact masks and a knob for each shortcut a net may learn.

Each decision has a random stream of its own: the same seed on another background shows the very same animal.
"""
from dataclasses import dataclass

import numpy as np

from .accessories import ACCESSORIES, wear
from .animals import CLASSES, DRAW, draw_pose
from .backgrounds import BACKGROUNDS, paint_background
from .coats import COATS, draw_look
from .layers import compose, rasterize
from .shapes import PARTS, extent

# Mean area of each animal in its own units, measured; so that all classes cover the same share of a picture.
AREA = {"cat": 1.439, "dog": 1.470, "wolf": 1.560, "cow": 1.512}
SECOND = 2**31              # marks the seed of a second animal
SCALES = (0.29, 0.38)       # side of a square of the animal's mean area, in fractions of the frame
_STREAMS = ("class", "pose", "coat", "place", "wears", "cloth", "kind", "background", "second")


@dataclass(frozen=True)
class Scene:
    """A picture that was drawn, with the truth about every pixel.

    image uint8 (H,W,3); owners uint8 (H,W): 0 background, 1 animal, 2 second animal, whichever is in front;
    part_map uint8 (H,W): 0 background, else 1 + index into PARTS; label and second_label index CLASSES.
    """
    image: np.ndarray
    owners: np.ndarray
    part_map: np.ndarray
    label: int
    background: str
    second_label: int | None = None

    @property
    def animal(self):
        return CLASSES[self.label]

    @property
    def second(self):
        return None if self.second_label is None else CLASSES[self.second_label]

    @property
    def mask(self):
        """bool (H,W): the visible animal, without what it wears."""
        return (self.owners == 1) & ~self._worn

    @property
    def second_mask(self):
        return (self.owners == 2) & ~self._worn

    @property
    def accessory(self):
        """bool (H,W): what the animal wears; all False when it wears nothing."""
        return (self.owners == 1) & self._worn

    @property
    def second_accessory(self):
        return (self.owners == 2) & self._worn

    @property
    def parts(self):
        """Part name -> bool (H,W); disjoint, and together they are `mask`."""
        return self._parts_of(1)

    @property
    def second_parts(self):
        return self._parts_of(2)

    @property
    def _worn(self):
        return self.part_map == PARTS.index("accessory") + 1

    def _parts_of(self, owner):
        return {part: (self.owners == owner) & (self.part_map == index)
                for index, part in enumerate(PARTS, 1) if part != "accessory"}


def _numbers(seed):
    return (seed,) if isinstance(seed, (int, np.integer)) else tuple(seed)


def _stream(seed, decision):
    """A generator of its own for each decision, so that turning one knob leaves everything else as it was."""
    return np.random.default_rng([*_numbers(seed), _STREAMS.index(decision)])


def _pick(rng, choices):
    return choices[rng.integers(len(choices))]


def _check(what, value, choices):
    if value is not None and value not in choices:
        raise ValueError(f"unknown {what} {value!r}; choose from {', '.join(choices)}, or None")


def _check_share(what, value):
    if value is not None and not 0 <= value <= 1:
        raise ValueError(f"{what} is a share and must be between 0 and 1, not {value!r}")


def _check_size(size):
    if not isinstance(size, (int, np.integer)) or not 16 <= size <= 2048:
        raise ValueError(f"size is the side of the picture in pixels, an int from 16 to 2048, not {size!r}")


def _away_from_centre(rng, low, high):
    """A coordinate between low and high, mostly near an end: the middle of the picture should be no clue."""
    return low + (high - low) * rng.beta(.25, .25) if high > low else (low + high) / 2


def draw_place(rng, width, height):
    """Centre (x, y) of a box that stands on the ground within the frame; all in fractions of the frame."""
    return (_away_from_centre(rng, width / 2 + .015, .985 - width / 2),
            _away_from_centre(rng, max(height / 2 + .02, .50 - height / 2), .97 - height / 2))


def _check_animal(size, animal, scale, place, coat, facing, accessory):
    _check_size(size)
    _check("animal", animal, CLASSES)
    _check("facing", facing, ("left", "right"))
    _check("accessory", accessory, ("none", *ACCESSORIES))
    if isinstance(coat, str):
        _check("coat", coat, COATS)
    elif coat is not None and (np.shape(coat) != (3,) or min(coat) < 0 or max(coat) > 255):
        raise ValueError(f"coat is three numbers from 0 to 255 or one of {', '.join(COATS)}, not {coat!r}")
    if scale is not None and not 0 < scale <= 2:
        raise ValueError(f"scale is a fraction of the frame, more than 0 and at most 2, not {scale!r}")
    if place is not None and (np.shape(place) != (2,) or not np.isfinite(place).all()):
        raise ValueError(f"place is the centre (x, y) of the animal in fractions of the frame, not {place!r}")


def draw_animal(seed, size=96, *, animal=None, scale=None, place=None, coat=None, facing=None,
                accessory="none"):
    """One animal as a cut-out `Layer`, to be laid on any background with `compose`.

    accessory: a name from ACCESSORIES, "none", or None for any of them; the rest as in `draw_scene`.
    """
    _check_animal(size, animal, scale, place, coat, facing, accessory)
    name = animal or _pick(_stream(seed, "class"), CLASSES)
    figure = DRAW[name](draw_pose(_stream(seed, "pose")))
    rng = _stream(seed, "place")
    any_scale, any_facing = rng.uniform(*SCALES), _pick(rng, ("left", "right"))
    unit = (scale or any_scale) / AREA[name] ** .5
    low, high = extent(figure.shapes)
    x, y = draw_place(rng, *((high - low) * unit)) if place is None else place
    cloth = _stream(seed, "cloth")
    any_kind = _pick(cloth, ACCESSORIES)
    kind = accessory or any_kind
    shapes = figure.shapes if kind == "none" else figure.shapes + wear(figure, kind)
    look, flip = draw_look(_stream(seed, "coat"), cloth, coat), (facing or any_facing) == "left"
    return rasterize(shapes, look, unit * size, (x * size, y * size), flip, CLASSES.index(name),
                     fineness=min(max(192 // size, 2), 6))


def draw_background(seed, size=96, background=None):
    """uint8 (size,size,3), without animals; background is a name from BACKGROUNDS, or None for any."""
    _check_size(size)
    _check("background", background, BACKGROUNDS)
    kind = background or _pick(_stream(seed, "kind"), BACKGROUNDS)
    return paint_background(_stream(seed, "background"), size, kind)


def home(label):
    """The background where the animal of this label is at home."""
    return BACKGROUNDS[label]


def _choose_background(seed, label, background, bias):
    """The named background, or one by the law P(home) = bias + (1 - bias) / 4."""
    rng = _stream(seed, "kind")
    anywhere, chance, elsewhere = _pick(rng, BACKGROUNDS), rng.random(), rng.integers(1, len(BACKGROUNDS))
    if background == "home" or (background is None and chance < bias):
        return home(label)
    if background == "away":
        return BACKGROUNDS[(label + elsewhere) % len(BACKGROUNDS)]
    return background or anywhere


def _wears(seed, label, accessory, bias, favoured):
    """What to wear: without a bias just what is named; else by the law that backgrounds follow too."""
    if bias is None:
        return accessory or "none"
    rng = _stream(seed, "wears")
    chance, share = rng.random(), (1 - bias) / len(CLASSES)
    return accessory if chance < share + bias * (CLASSES[label] == favoured) else "none"


def draw_scene(seed, size=96, *, animal=None, background=None, scale=None, place=None, coat=None, facing=None,
               accessory=None, second=None, bias=0.0, accessory_bias=None, accessory_class="dog"):
    """One `Scene`, the same for the same arguments.  What is None is drawn, from one law for all classes.

    seed: an int or a tuple of ints; size: side in pixels; animal: a name from CLASSES.
    background: a name from BACKGROUNDS, "home", "away" (anywhere but home), or None: with probability
    bias + (1 - bias) / 4 the home of the animal, BACKGROUNDS[label].
    scale: side of a square of the animal's mean area; place: its centre (x, y); fractions of the frame.
    coat: a name from COATS or an RGB triple; facing: "left" or "right".
    accessory: a name from ACCESSORIES to wear, or None for nothing.  With accessory_bias b it is worn
    with probability b + (1 - b) / 4 by accessory_class and (1 - b) / 4 by the others; None means any kind.
    second: the class of another animal, "any" for another class than the first, or None for no other animal.
    Raises ValueError, which lists the choices, for anything else.
    """
    _check("background", background, (*BACKGROUNDS, "home", "away"))
    _check("second", second, (*CLASSES, "any"))
    _check("accessory_class", accessory_class, CLASSES)
    _check_share("bias", bias)
    _check_share("accessory_bias", accessory_bias)
    _check("animal", animal, CLASSES)
    label = CLASSES.index(animal or _pick(_stream(seed, "class"), CLASSES))
    layer = draw_animal(seed, size, animal=CLASSES[label], scale=scale, place=place, coat=coat, facing=facing,
                        accessory=_wears(seed, label, accessory, accessory_bias, accessory_class))
    kind = _choose_background(seed, label, background, bias)
    backdrop = draw_background(seed, size, kind)
    if second is None:
        return Scene(*compose(backdrop, [layer]), label, kind)
    return _with_second(seed, size, label, layer, second, kind, backdrop)


def _with_second(seed, size, label, layer, second, kind, backdrop):
    """The scene with another animal, well apart from the first where there is room, in front or behind."""
    rng = _stream(seed, "second")
    other = (label + rng.integers(1, len(CLASSES))) % len(CLASSES)
    name = CLASSES[other] if second == "any" else second
    height, width = layer.parts.shape
    centre = np.array([layer.left + width / 2, layer.top + height / 2]) / size
    places = [draw_place(rng, .56, .44) for _ in range(4)]
    place = max(places, key=lambda spot: np.hypot(*(spot - centre)))
    guest = draw_animal((*_numbers(seed), SECOND), size, animal=name, place=place)
    if rng.random() < .5:
        return Scene(*compose(backdrop, [layer, guest]), label, kind, guest.label)
    image, owners, part_map = compose(backdrop, [guest, layer])
    return Scene(image, np.array([0, 2, 1], np.uint8)[owners], part_map, label, kind, guest.label)


def draw_scenes(count, seed=0, size=96, *, start=0, **knobs):
    """Iterator over `count` scenes; scene i is draw_scene((seed, start + i), size, **knobs)."""
    return (draw_scene((seed, start + index), size, **knobs) for index in range(count))


def stack(scenes):
    """Scenes -> images uint8 (N,H,W,3), labels int64 (N,), masks bool (N,H,W)."""
    scenes = list(scenes)
    return (np.stack([s.image for s in scenes]), np.array([s.label for s in scenes], np.int64),
            np.stack([s.mask for s in scenes]))
