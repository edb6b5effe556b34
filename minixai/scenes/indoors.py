"""The background "room": a wall with wallpaper and furniture, a wooden floor, and often a rug."""
import numpy as np

from .brush import Brush, Ground
from .coats import jitter, mix


def room(brush: Brush, rng: np.random.Generator) -> Ground:
    """Draw a room."""
    floor = rng.uniform(.36, .46)
    wall = jitter(rng, [(214, 176, 164), (176, 196, 176), (188, 182, 212), (226, 206, 164), (160, 186, 206)]
                  [rng.integers(5)])
    brush.fade(wall * 1.03, wall * .94, 0, floor)
    _wallpaper(brush, rng, wall, floor)
    wood = jitter(rng, [(172, 120, 78), (146, 98, 64), (196, 150, 104)][rng.integers(3)])
    brush.fade(wood * .88, wood * 1.08, floor, 1)
    _planks(brush, rng, wood, floor)
    brush.box((244, 240, 232), 0, floor - .025, 1, floor)
    brush.line(wall * .7, .006, (0, floor - .028), (1, floor - .028))
    spots = rng.permutation(3)
    things = (_window, _picture, _plant, _shelf, _lamp)
    for spot, thing in zip(spots, rng.permutation(len(things))[:rng.integers(2, 4)]):
        things[thing](brush, rng, .17 + .33 * spot + rng.uniform(-.05, .05), floor)
    if rng.random() < .7:
        _rug(brush, rng, floor)
    return Ground(floor, 9, .04)


def _wallpaper(brush, rng, wall, floor):
    step, kind = rng.uniform(.05, .09), rng.integers(3)
    if kind == 0:
        for x in np.arange(rng.uniform(-step, 0), 1, 2 * step):
            brush.box(wall * .93, x, 0, x + step, floor)
    elif kind == 1:
        for row, y in enumerate(np.arange(.03, floor, step)):
            for x in np.arange((row % 2) * step / 2, 1, step):
                brush.disc(wall * .88, x, y, .008)


def _planks(brush, rng, wood, floor):
    y, height = floor, .03
    while y < 1:
        brush.line(wood * .74, .005, (0, y), (1, y))
        for x in rng.uniform(0, 1, 2):
            brush.line(wood * .74, .005, (x, y), (x, y + height))
        y, height = y + height, height * 1.25


def _window(brush, rng, x, floor):
    top, bottom, half = .04, floor - .13, .11
    brush.box((250, 248, 244), x - half, top, x + half, bottom)
    for side in (-1, 1):
        middle = (top + bottom) / 2
        for low, high in ((top + .015, middle - .006), (middle + .006, bottom - .015)):
            near, far = x + side * .006, x + side * (half - .014)
            brush.box((168, 212, 240), min(near, far), low, max(near, far), high)
    curtain = jitter(rng, [(196, 92, 86), (92, 130, 168), (222, 190, 110), (120, 150, 110)][rng.integers(4)])
    for side in (-1, 1):
        brush.fill(curtain, (x + side * half * 1.25, top - .02), (x + side * half * .55, top - .02),
                   (x + side * half * .95, bottom + .02), (x + side * half * 1.25, bottom + .02))
    rod = half * 1.35
    brush.line(mix(curtain, (40, 30, 30), .5), .012, (x - rod, top - .02), (x + rod, top - .02))


def _picture(brush, rng, x, floor):
    half, top, bottom = rng.uniform(.06, .1), .07, floor - .16
    brush.box((112, 78, 48), x - half, top, x + half, bottom)
    sky, land = jitter(rng, (200, 214, 226), 25), jitter(rng, (122, 140, 108), 40)
    middle = (top + bottom) / 2 + rng.uniform(-.03, .03)
    brush.box(sky, x - half + .015, top + .015, x + half - .015, middle)
    brush.box(land, x - half + .015, middle, x + half - .015, bottom - .015)


def _plant(brush, rng, x, floor):
    green = jitter(rng, (74, 128, 78), 14)
    for angle in np.linspace(-1.1, 1.1, 7) + rng.uniform(-.1, .1, 7):
        tip = np.array([x + .14 * np.sin(angle), floor - .10 - .16 * np.cos(angle)])
        side = np.array([np.cos(angle), np.sin(angle)]) * .022
        middle = (tip + (x, floor - .06)) / 2
        brush.fill(green * rng.uniform(.8, 1.15), (x, floor - .06), middle + side, tip, middle - side)
    brush.fill((196, 112, 78), (x - .055, floor - .08), (x + .055, floor - .08), (x + .04, floor + .03),
               (x - .04, floor + .03))


def _shelf(brush, rng, x, floor):
    top, half = floor - .30, .11
    brush.box((120, 84, 56), x - half, top, x + half, floor + .02)
    for shelf in (0, 1):
        y = top + .015 + shelf * .145
        brush.box((88, 60, 42), x - half + .012, y, x + half - .012, y + .13)
        left = x - half + .016
        while left < x + half - .035:
            width = rng.uniform(.014, .028)
            book = jitter(rng, (150, 120, 110), 70)
            brush.box(book, left, y + rng.uniform(.02, .05), left + width, y + .13)
            left += width + .003


def _lamp(brush, rng, x, floor):
    brush.line((70, 62, 58), .012, (x, floor - .26), (x, floor + .02))
    brush.disc((70, 62, 58), x, floor + .025, .05, .014)
    brush.fill(jitter(rng, (246, 222, 160)), (x - .045, floor - .33), (x + .045, floor - .33),
               (x + .085, floor - .22), (x - .085, floor - .22))


def _rug(brush, rng, floor):
    x, y, half = rng.uniform(.2, .8), rng.uniform(.66, .86), rng.uniform(.24, .36)
    colour = jitter(rng, [(176, 74, 70), (74, 104, 150), (104, 134, 98), (206, 160, 90)][rng.integers(4)], 14)
    for share, tone in ((1, .8), (.9, 1), (.66, 1.18), (.58, 1)):
        brush.disc(colour * tone, x, y, half * share, half * .36 * share)
