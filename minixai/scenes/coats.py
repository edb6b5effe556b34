"""The random colours of all animals, and the patterns of their coats.

If only cats had green eyes, a network could recognise a cat by the colour alone. So all colours are drawn here from
one distribution, which does not depend on the class of the animal.
"""
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .brush import Colour
from .shapes import ROLES

COATS = {"black": (62, 60, 64), "charcoal": (92, 90, 94), "gray": (132, 130, 130), "silver": (178, 176, 174),
         "white": (232, 229, 223), "cream": (226, 208, 176), "sand": (200, 174, 138), "tan": (168, 138, 110),
         "brown": (126, 98, 78), "chocolate": (90, 70, 60)}
MARKINGS = {"plain": .25, "patches": .3, "stripes": .15, "belly": .15, "saddle": .15}
IRISES = ((168, 184, 116), (204, 172, 106), (138, 166, 188), (156, 116, 80))
CLOTHS = ((214, 48, 62), (42, 92, 190), (240, 180, 40), (120, 60, 160), (30, 150, 140))
_COAT, _PATTERN = ROLES.index("coat") + 1, ROLES.index("pattern") + 1


def mix(first: Colour, second: Colour, share: float) -> np.ndarray:
    """A colour between two colours: `first` for a share of 0, `second` for 1."""
    return np.asarray(first, float) * (1 - share) + np.asarray(second, float) * share


def jitter(rng: np.random.Generator, colour: Colour, hue: float = 8.0, light: float = 0.1) -> np.ndarray:
    """A random colour near this one: its brightness varies by `light` (a share), and each channel by `hue` (of 255)."""
    brighter = np.asarray(colour, float) * rng.uniform(1 - light, 1 + light)
    return (brighter + rng.uniform(-hue, hue, 3)).clip(0, 255)


class Look(NamedTuple):
    """The colours of one animal."""
    table: np.ndarray       # uint8 (256,4): paint code of shapes.py -> RGBA
    mark: Callable          # (codes (h,w), x (w,), y (h,) in animal units) -> codes with the pattern painted on
    light: tuple            # relative change of brightness along x, and along y
    line: float             # width of the outlines, as a multiple of LINE in shapes.py


def draw_look(rng: np.random.Generator, cloth_rng: np.random.Generator,
              coat: str | Colour | None = None) -> Look:
    """Random colours for an animal of any class. coat: as in `draw_palette`; cloth_rng: for what it wears."""
    palette = draw_palette(rng, coat)
    mark = draw_marking(rng)
    light = (rng.uniform(-.2, .2), -rng.uniform(0, .25))
    line = rng.uniform(.5, 1.5)
    return Look(paint_table(palette | cloth_palette(cloth_rng)), mark, light, line)


def draw_palette(rng: np.random.Generator, coat: str | Colour | None = None) -> dict[str, np.ndarray]:
    """The colour of every role except cloth and trim. coat: a name from COATS, an RGB triple, or None for any coat."""
    any_coat = list(COATS)[rng.integers(len(COATS))]
    coat = any_coat if coat is None else coat
    base = jitter(rng, COATS[coat] if isinstance(coat, str) else coat)
    dark = mix(base, (34, 30, 34), rng.uniform(.5, .9))
    pale = mix(base, (252, 247, 238), rng.uniform(.35, .75))
    mark = mix(base, (40, 34, 36) if base.mean() > 120 else (250, 244, 236), rng.uniform(.3, .8))
    iris = mix(IRISES[rng.integers(len(IRISES))], base, rng.uniform(.1, .6))
    return {"coat": base, "far": base * rng.uniform(.76, .94), "pattern": mark, "iris": jitter(rng, iris),
            "line": mix(base, (30, 26, 30), rng.uniform(.4, .65)), "light": pale, "dark": dark,
            "feet": (dark, pale, base * .82)[rng.integers(3)],
            "pink": jitter(rng, mix((232, 150, 150), base, rng.uniform(0, .5)))}


def cloth_palette(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The colours of an accessory."""
    cloth = jitter(rng, CLOTHS[rng.integers(len(CLOTHS))])
    return {"cloth": cloth, "trim": mix(cloth, (255, 250, 240), .65)}


def paint_table(palette: dict[str, np.ndarray]) -> np.ndarray:
    """Paint code -> RGBA, uint8 (256,4). A code is part * 16 + role. The shadow is translucent."""
    roles = np.zeros((16, 4))
    for index, role in enumerate(ROLES, 1):
        roles[index] = (*palette[role], 255) if role in palette else (24, 22, 34, 80)
    return np.tile(np.clip(roles, 0, 255).astype(np.uint8), (16, 1))


def draw_marking(rng: np.random.Generator) -> Callable:
    """A random pattern of the coat: a function for `Look.mark`."""
    kind = rng.choice(list(MARKINGS), p=list(MARKINGS.values()))
    phase, wave, level = rng.uniform(0, 2 * np.pi, 3), rng.uniform(.75, 1.25, 3), rng.uniform(-.25, .25)

    def chosen(x, y):
        if kind == "patches":    # smooth islands, from a sum of waves
            return (np.sin(5.2 * wave[0] * x + phase[0]) + np.sin(6.1 * wave[1] * y + phase[1])
                    + 2 * np.sin(3.1 * x + phase[2]) * np.sin(3.7 * wave[2] * y)) > 1 + level
        if kind == "stripes":
            return np.sin(20 * wave[0] * (x + .05 * np.sin(9 * y + phase[1])) + phase[0]) > .5 + level
        edge = y + .05 * np.sin(9 * wave[0] * x + phase[0])
        return edge > level - .5 if kind == "belly" else edge < level - .85

    def mark(codes, x, y):
        if kind == "plain":
            return codes
        repaint = (codes & 15 == _COAT) & chosen(x[None], y[:, None])
        return np.where(repaint, codes + np.uint8(_PATTERN - _COAT), codes)

    return mark
