"""The backgrounds "beach", "snow" and "grass"."""
import numpy as np

from .brush import Brush, Ground
from .coats import jitter, mix


def _cloud(brush, rng, colour):
    x, y, r = rng.uniform(0, 1), rng.uniform(.03, .16), rng.uniform(.02, .035)
    for dx, dy, k in ((-1.5, .2, .8), (0, 0, 1.2), (1.5, .3, .9), (.6, -.5, .8)):
        brush.disc(colour, x + dx * r, y + dy * r, 1.3 * k * r, .7 * k * r)


def beach(brush: Brush, rng: np.random.Generator) -> Ground:
    """Draw a beach: sky, sea and sand, with shells, and sometimes a boat and an umbrella."""
    sea, sand = rng.uniform(.17, .24), rng.uniform(.33, .42)
    dusk = rng.random() < .25
    brush.fade(jitter(rng, (240, 176, 140) if dusk else (96, 178, 234)),
               jitter(rng, (250, 222, 180) if dusk else (206, 234, 248)), 0, sea)
    brush.disc((255, 238, 170), rng.uniform(.1, .9), rng.uniform(.05, sea), rng.uniform(.04, .06))
    for _ in range(rng.integers(0, 3)):
        _cloud(brush, rng, (255, 244, 236))
    water = jitter(rng, (34, 124, 170), 12)
    brush.fade(water * .9, mix(water, (140, 222, 214), .6), sea, sand + .03)
    for _ in range(10):
        x, y = rng.uniform(0, 1), rng.uniform(sea + .02, sand)
        brush.line(mix(water, (255, 255, 255), .45), .006, (x, y), (x + rng.uniform(.04, .12), y))
    if rng.random() < .5:
        _boat(brush, rng, sea)
    ground = jitter(rng, (234, 206, 152))
    _shore(brush, rng, sand, ground)
    for _ in range(rng.integers(3, 9)):
        _shell(brush, rng, sand)
    if rng.random() < .6:
        _umbrella(brush, rng, sand)
    return Ground(sand + .05, 24, .05)


def _boat(brush, rng, sea):
    x = rng.uniform(.1, .9)
    brush.fill((250, 250, 246), (x, sea - .10), (x, sea + .005), (x + .07, sea + .005))
    brush.fill((240, 226, 214), (x - .01, sea - .08), (x - .01, sea + .005), (x - .05, sea + .005))
    brush.fill((150, 70, 56), (x - .06, sea + .01), (x + .08, sea + .01), (x + .05, sea + .04),
               (x - .04, sea + .04))


def _shore(brush, rng, sand, ground):
    x = np.linspace(0, 1, 25)
    wave = sand + .014 * np.sin(rng.uniform(6, 12) * x + rng.uniform(0, 6))
    wave += .01 * np.sin(rng.uniform(14, 24) * x)
    for drop, colour in ((0, (250, 252, 252)), (.02, ground * .84), (.055, ground)):
        edge = np.stack([x, wave + drop], 1)
        brush.fill(colour, *edge, (1, 1), (0, 1))
    for _ in range(14):
        a, y = rng.uniform(-.1, 1), rng.uniform(sand + .1, 1)
        brush.line(ground * .93, .006, (a, y), (a + .05, y - .008), (a + .1, y))


def _shell(brush, rng, sand):
    x, y, r = rng.uniform(0, 1), rng.uniform(sand + .12, 1), rng.uniform(.010, .018)
    colour = jitter(rng, [(250, 236, 226), (226, 148, 120), (176, 140, 120)][rng.integers(3)])
    if rng.random() < .4:
        angles = np.arange(10) * np.pi / 5 + rng.uniform(0, 1)
        reach = np.where(np.arange(10) % 2, .8, 2) * r
        brush.fill(colour, *np.stack([x + reach * np.cos(angles), y + reach * np.sin(angles)], 1))
    else:
        brush.disc(colour, x, y, r, r * .7)


def _umbrella(brush, rng, sand):
    x, foot, r = rng.uniform(.08, .92), rng.uniform(sand + .06, sand + .16), rng.uniform(.13, .17)
    top, lean = foot - .34, rng.uniform(-.04, .04)
    brush.line((130, 98, 70), .012, (x + lean, top), (x, foot))
    cloth = jitter(rng, [(216, 66, 60), (46, 112, 176), (238, 170, 50)][rng.integers(3)])
    edges = np.linspace(-1, 1, 6)
    for index, (a, b) in enumerate(zip(edges, edges[1:])):
        arc = [(x + lean + r * np.sin(t * np.pi / 2), top + r * .8 * (1 - np.cos(t * np.pi / 2)))
               for t in np.linspace(a, b, 4)]
        brush.fill(cloth if index % 2 == 0 else (250, 246, 238), (x + lean, top - .01), *arc)


def snow(brush: Brush, rng: np.random.Generator) -> Ground:
    """Draw a snowy landscape with mountains and firs, while it is snowing."""
    land = rng.uniform(.28, .38)
    pink = rng.random() < .3
    glow = (240, 214, 212) if pink else (220, 230, 240)
    brush.fade(jitter(rng, (150, 172, 206)), jitter(rng, glow), 0, land)
    for _ in range(rng.integers(2, 4)):
        _mountain(brush, rng, land)
    white = jitter(rng, (238, 243, 250), 4, .03)
    brush.fade(white * .95, white, land, 1)
    _drifts(brush, rng, land, white)
    for y in np.sort(rng.uniform(land - .02, land + .10, rng.integers(3, 8))):
        _fir(brush, rng, rng.uniform(0, 1), y)
    for x, y in rng.uniform(0, 1, (40, 2)):
        brush.disc((255, 255, 255), x, y, rng.uniform(.004, .009))
    return Ground(land + .12, 6, .02)


def _mountain(brush, rng, land):
    x, top, half = rng.uniform(0, 1), rng.uniform(.04, .14), rng.uniform(.2, .35)
    rock = jitter(rng, (130, 148, 178))
    slope = half / (land - top)
    brush.fill(rock, (x, top), (x + half, land), (x - half, land))
    cap = .4 * (land - top)
    side = cap * slope
    brush.fill((240, 244, 250), (x, top), (x + side, top + cap), (x + .3 * side, top + .75 * cap),
               (x, top + 1.1 * cap), (x - .4 * side, top + .7 * cap), (x - side, top + cap))


def _drifts(brush, rng, land, white):
    x = np.linspace(0, 1, 25)
    for y in np.linspace(land + .10, .95, 5) + rng.uniform(-.03, .03, 5):
        edge = y + .03 * np.sin(rng.uniform(3, 7) * x + rng.uniform(0, 6))
        brush.fill(white * (.93, .955, .985), *np.stack([x, edge], 1), *np.stack([x, edge + .045], 1)[::-1])
        brush.fill(white, *np.stack([x, edge + .015], 1), *np.stack([x, edge + .12], 1)[::-1])


def _fir(brush, rng, x, foot):
    height, green = rng.uniform(.18, .34), jitter(rng, (46, 92, 82), 10)
    brush.box((92, 70, 58), x - .012, foot - .03, x + .012, foot)
    for tier in range(3):
        y, half = foot - .03 - height * .26 * tier, height * (.30 - .07 * tier)
        tip = y - height * .40
        brush.fill(green, (x - half, y), (x, tip), (x + half, y))
        low = y - height * .2
        brush.fill((236, 242, 248), (x, tip), (x + half * .55, y - height * .18),
                   (x + half * .15, y - height * .15), (x - half * .2, low), (x - half * .5, low))


def grass(brush: Brush, rng: np.random.Generator) -> Ground:
    """Draw a meadow with trees and flowers, and sometimes a fence."""
    land = rng.uniform(.28, .38)
    brush.fade(jitter(rng, (112, 178, 236)), jitter(rng, (214, 236, 250)), 0, land)
    for _ in range(rng.integers(1, 4)):
        _cloud(brush, rng, (252, 253, 255))
    green = jitter(rng, (112, 172, 72), 12)
    for tone in (.82, .9):
        x, half = rng.uniform(0, 1), rng.uniform(.4, .7)
        brush.disc(mix(green * tone, (150, 190, 200), .25), x, land + .06, half, rng.uniform(.1, .16))
    brush.fade(green * .92, green * 1.04, land, 1)
    if rng.random() < .5:
        _fence(brush, rng, land)
    for _ in range(rng.integers(1, 4)):
        _tree(brush, rng, land)
    _tufts(brush, rng, green, land)
    for _ in range(rng.integers(4, 14)):
        _flower(brush, rng, land)
    return Ground(land, 9, .10)


def _fence(brush, rng, land):
    colour, y = jitter(rng, (222, 206, 178)), land + .02
    for rail in (-.05, -.015):
        brush.line(colour, .010, (0, y + rail), (1, y + rail))
    for x in np.arange(rng.uniform(0, .1), 1, .11):
        brush.box(colour * .94, x, y - .08, x + .018, y + .02)


def _tree(brush, rng, land):
    x, foot, r = rng.uniform(0, 1), land + rng.uniform(0, .06), rng.uniform(.07, .11)
    leaf = jitter(rng, (62, 124, 62), 12)
    brush.box((112, 80, 54), x - .016, foot - .10, x + .016, foot)
    for dx, dy, tone in ((0, 0, .9), (-.5, .3, .95), (.5, .25, 1), (.1, -.3, 1.12)):
        brush.disc(leaf * tone, x + dx * r, foot - .09 - r + dy * r, r * .8)


def _tufts(brush, rng, green, land):
    """Tufts of three blades, which are taller near the viewer."""
    y = np.sort(rng.uniform(land + .02, 1.02, 70))
    x, near, tone = rng.uniform(0, 1, 70), .4 + (y - land), rng.uniform(.74, 1.2, 70)
    lean = np.array([-.012, 0, 0, 0, .012])             # tip, root, tip, root, tip
    rise = np.array([.05, 0, .05, 0, .05])
    blades = np.stack([x[:, None] + lean * near[:, None], y[:, None] - rise * near[:, None]], 2)
    for points, strength in zip(blades, tone):
        brush.line(green * strength, .005, points)


def _flower(brush, rng, land):
    x, y, r = rng.uniform(0, 1), rng.uniform(land + .08, 1), rng.uniform(.007, .012)
    colour = [(250, 232, 110), (252, 250, 246), (226, 110, 140), (170, 130, 210)][rng.integers(4)]
    for dx, dy in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        brush.disc(colour, x + dx * r, y + dy * r, r * .8)
    brush.disc((236, 170, 60), x, y, r * .6)
