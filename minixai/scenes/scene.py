"""Scenes: one or two animals on a background, with exact masks, and with a chosen bias that a network may learn.

Each decision has its own random stream: with the same seed, another background shows exactly the same animal.
"""
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from .accessories import ACCESSORIES, wear
from .animals import CLASSES, DRAW, draw_pose
from .backgrounds import BACKGROUNDS, paint_background
from .coats import COATS, draw_look
from .layers import Layer, compose, rasterize
from .shapes import PARTS, extent

# Measured mean area of each animal in its own units. With it, all classes cover the same share of a picture.
AREA = {"cat": 1.439, "dog": 1.470, "wolf": 1.560, "cow": 1.512}
SECOND = 2**31              # appended to the seed of a second animal
SCALES = (0.29, 0.38)       # side of a square with the animal's mean area, as a fraction of the picture's side
_STREAMS = ("class", "pose", "coat", "place", "wears", "cloth", "kind", "background", "second")


@dataclass(frozen=True)
class Scene:
    """A drawn picture, with the ground truth for every pixel.

    image uint8 (H,W,3). owners uint8 (H,W): 0 background, 1 animal, 2 second animal, whichever is in front.
    part_map uint8 (H,W): 0 background, else 1 + index into PARTS. label and second_label are indices into CLASSES.
    """
    image: np.ndarray
    owners: np.ndarray
    part_map: np.ndarray
    label: int
    background: str
    second_label: int | None = None

    @property
    def animal(self) -> str:
        """The class of the animal."""
        return CLASSES[self.label]

    @property
    def second(self) -> str | None:
        """The class of the second animal, or None."""
        return None if self.second_label is None else CLASSES[self.second_label]

    @property
    def mask(self) -> np.ndarray:
        """bool (H,W): the visible part of the animal, without its accessory."""
        return (self.owners == 1) & ~self._worn

    @property
    def second_mask(self) -> np.ndarray:
        """bool (H,W): the visible part of the second animal, without its accessory."""
        return (self.owners == 2) & ~self._worn

    @property
    def accessory(self) -> np.ndarray:
        """bool (H,W): the visible part of the animal's accessory; all False if it has none."""
        return (self.owners == 1) & self._worn

    @property
    def second_accessory(self) -> np.ndarray:
        """bool (H,W): the visible part of the second animal's accessory."""
        return (self.owners == 2) & self._worn

    @property
    def parts(self) -> dict[str, np.ndarray]:
        """{part: bool (H,W)}. The masks are disjoint, and their union is `mask`."""
        return self._parts_of(1)

    @property
    def second_parts(self) -> dict[str, np.ndarray]:
        """{part: bool (H,W)} of the second animal."""
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
    """The random generator of one decision. It does not depend on the arguments for other decisions."""
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
    """A random coordinate between low and high, more often near the ends than in the middle."""
    return low + (high - low) * rng.beta(.25, .25) if high > low else (low + high) / 2


def draw_place(rng: np.random.Generator, width: float, height: float) -> tuple[float, float]:
    """A random centre (x, y) for a box that stands on the ground, inside the picture. All are fractions of its side."""
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


def draw_animal(seed: int | tuple[int, ...], size: int = 96, *, animal: str | None = None, scale: float | None = None,
                place: tuple[float, float] | None = None, coat: str | tuple[float, float, float] | None = None,
                facing: str | None = None, accessory: str | None = "none") -> Layer:
    """A cut-out of one animal, which `compose` lays on a background.

    accessory: a name from ACCESSORIES, "none", or None for any of them. Other arguments as in `draw_scene`.
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


def draw_background(seed: int | tuple[int, ...], size: int = 96, background: str | None = None) -> np.ndarray:
    """A background without animals, uint8 (size,size,3). background: a name from BACKGROUNDS, or None for any."""
    _check_size(size)
    _check("background", background, BACKGROUNDS)
    kind = background or _pick(_stream(seed, "kind"), BACKGROUNDS)
    return paint_background(_stream(seed, "background"), size, kind)


def home(label: int) -> str:
    """The home background of the class with this index."""
    return BACKGROUNDS[label]


def _choose_background(seed, label, background, bias):
    """The named background, or a random one with P(home) = bias + (1 - bias) / 4."""
    rng = _stream(seed, "kind")
    anywhere, chance, elsewhere = _pick(rng, BACKGROUNDS), rng.random(), rng.integers(1, len(BACKGROUNDS))
    if background == "home" or (background is None and chance < bias):
        return home(label)
    if background == "away":
        return BACKGROUNDS[(label + elsewhere) % len(BACKGROUNDS)]
    return background or anywhere


def _wears(seed, label, accessory, bias, favoured):
    """The accessory: the named one, or with a bias a random choice, as for backgrounds."""
    if bias is None:
        return accessory or "none"
    rng = _stream(seed, "wears")
    chance, share = rng.random(), (1 - bias) / len(CLASSES)
    return accessory if chance < share + bias * (CLASSES[label] == favoured) else "none"


def draw_scene(seed: int | tuple[int, ...], size: int = 96, *, animal: str | None = None, background: str | None = None,
               scale: float | None = None, place: tuple[float, float] | None = None,
               coat: str | tuple[float, float, float] | None = None, facing: str | None = None,
               accessory: str | None = None, second: str | None = None, bias: float = 0.0,
               accessory_bias: float | None = None, accessory_class: str = "dog") -> Scene:
    """Draw one scene. The same arguments give the same scene.

    An argument that is None is chosen at random, from the same distribution for all classes.
    size: side in pixels, 16 to 2048. animal: a name from CLASSES.
    background: a name from BACKGROUNDS, "home" (that of the class, BACKGROUNDS[label]) or "away" (another one). With
    None it is the home with probability bias + (1 - bias) / 4.
    scale: side of a square with the animal's mean area; place: the animal's centre (x, y). Both are fractions of the
    picture's side. coat: a name from COATS or an RGB triple. facing: "left" or "right".
    accessory: a name from ACCESSORIES, or None for nothing. With accessory_bias b, an animal of accessory_class wears
    it with probability b + (1 - b) / 4 and others with (1 - b) / 4; None then means any accessory.
    second: the class of a second animal, "any" for any class other than the first, or None for no second animal.
    ValueError lists the choices if an argument is wrong.
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
    """The scene with a second animal, in front of the first or behind it, and far from it if there is room."""
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


def draw_scenes(count: int, seed: int = 0, size: int = 96, *, start: int = 0, **knobs) -> Iterator[Scene]:
    """An iterator over `count` scenes. Scene i is draw_scene((seed, start + i), size, **knobs)."""
    return (draw_scene((seed, start + index), size, **knobs) for index in range(count))


def stack(scenes: Iterable[Scene]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scenes -> images uint8 (N,H,W,3), labels int64 (N,), masks bool (N,H,W)."""
    scenes = list(scenes)
    return (np.stack([s.image for s in scenes]), np.array([s.label for s in scenes], np.int64),
            np.stack([s.mask for s in scenes]))
