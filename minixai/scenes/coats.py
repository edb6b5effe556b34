"""The one palette law of all animals, and the patterns of their coats.

Were eyes green for cats only, or udders pink for cows only, a network could name the animal without a look at
its shape.  So every colour is drawn here, from the same law, without knowing which animal will wear it.
"""
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .shapes import ROLES

COATS = {"black": (62, 60, 64), "charcoal": (92, 90, 94), "gray": (132, 130, 130), "silver": (178, 176, 174),
         "white": (232, 229, 223), "cream": (226, 208, 176), "sand": (200, 174, 138), "tan": (168, 138, 110),
         "brown": (126, 98, 78), "chocolate": (90, 70, 60)}
MARKINGS = {"plain": .25, "patches": .3, "stripes": .15, "belly": .15, "saddle": .15}
IRISES = ((168, 184, 116), (204, 172, 106), (138, 166, 188), (156, 116, 80))
CLOTHS = ((214, 48, 62), (42, 92, 190), (240, 180, 40), (120, 60, 160), (30, 150, 140))
_COAT, _PATTERN = ROLES.index("coat") + 1, ROLES.index("pattern") + 1


def mix(first, second, share):
    return np.asarray(first, float) * (1 - share) + np.asarray(second, float) * share


def jitter(rng, colour, hue=8.0, light=0.1):
    """A colour near this one: brightness and each channel vary independently."""
    brighter = np.asarray(colour, float) * rng.uniform(1 - light, 1 + light)
    return (brighter + rng.uniform(-hue, hue, 3)).clip(0, 255)


class Look(NamedTuple):
    table: np.ndarray       # uint8 (256,4): paint code of shapes.py -> RGBA
    mark: Callable          # (codes (h,w), x (w,), y (h,) in animal units) -> codes with some coat repainted
    light: tuple            # change of brightness from the left to the right edge, and from top to bottom
    line: float             # strength of the outlines, 1 for LINE of shapes.py


def draw_look(rng, cloth_rng, coat=None):
    """Everything about an animal's colours, drawn without knowing which animal it is."""
    palette = draw_palette(rng, coat)
    mark = draw_marking(rng)
    light = (rng.uniform(-.2, .2), -rng.uniform(0, .25))
    line = rng.uniform(.5, 1.5)
    return Look(paint_table(palette | cloth_palette(cloth_rng)), mark, light, line)


def draw_palette(rng, coat=None):
    """Paint of every role but the cloth; coat is a name from COATS, an RGB triple, or None for any."""
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


def cloth_palette(rng):
    """Paint of the accessory."""
    cloth = jitter(rng, CLOTHS[rng.integers(len(CLOTHS))])
    return {"cloth": cloth, "trim": mix(cloth, (255, 250, 240), .65)}


def paint_table(palette):
    """uint8 (256,4); the shadow is translucent, nothing is transparent, and the part does not matter."""
    roles = np.zeros((16, 4))
    for index, role in enumerate(ROLES, 1):
        roles[index] = (*palette[role], 255) if role in palette else (24, 22, 34, 80)
    return np.tile(np.clip(roles, 0, 255).astype(np.uint8), (16, 1))


def draw_marking(rng):
    """How the coat is marked: a function for `Look.mark`."""
    kind = rng.choice(list(MARKINGS), p=list(MARKINGS.values()))
    phase, wave, level = rng.uniform(0, 2 * np.pi, 3), rng.uniform(.75, 1.25, 3), rng.uniform(-.25, .25)

    def chosen(x, y):
        if kind == "patches":    # a sum of waves makes smooth islands
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
