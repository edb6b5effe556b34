"""Four animals that differ only in their shapes.

Each function turns a Pose into shapes. All animals are seen from the side and face right. Cat, dog and cow look at the
viewer; the wolf looks ahead. The sizes of light, dark and pink parts follow the same distribution for all classes.
"""
from typing import NamedTuple

import numpy as np

from .shapes import Shape, blob, curve, ellipse, mirror, moved, outlined, polygon, tube

CLASSES = ("cat", "dog", "wolf", "cow")


class Pose(NamedTuple):
    """What varies between animals of one class. The distributions are the same for all classes."""
    stride: float       # distance of the legs
    nod: float          # turn of the head, radians
    lift: float         # how much lower the head is; negative is higher
    sway: float         # bend of the tail
    girth: float        # height of the body
    legs: float         # length of the legs
    head: float         # size of the head
    ears: float         # length of the ears
    eyes: float         # size of the eyes
    pale: float         # size of the light muzzle and chest
    dark: float         # size of the nose and the pupils
    socks: float        # height of the paint on the feet


class Animal(NamedTuple):
    """An animal in its own units: x to the right, y down, the ground at y = 0."""
    shapes: list[Shape]
    neck: tuple         # (x, y, size): where a tie, a bow or a scarf sits
    crown: tuple        # (x, y, size): where a hat sits


def draw_pose(rng: np.random.Generator) -> Pose:
    """A random pose."""
    low = Pose(stride=-1, nod=-.16, lift=-.06, sway=-1, girth=.92, legs=.88, head=.93, ears=.9, eyes=.8,
               pale=.7, dark=.7, socks=.5)
    high = Pose(stride=1, nod=.16, lift=.06, sway=1, girth=1.1, legs=1.12, head=1.08, ears=1.1, eyes=1.2,
                pale=1.3, dark=1.3, socks=1.9)
    return Pose(*rng.uniform(low, high).tolist())


def _coat(part, points):
    return Shape(part, "coat", points)


def _pair(part, role, points):
    """The shape and its mirror image: two ears, two eyes."""
    return Shape(part, role, points), Shape(part, role, mirror(points))


def _resized(points, factor):
    middle = points.mean(0)
    return middle + (points - middle) * factor


def _leg(x, top, step, width, role, foot):
    """A leg and its foot. The leg goes from the hip (x, top) to the ground at x + step."""
    end = x + step
    leg = polygon((x - width * .72, top), (x + width * .72, top), (end + width * .45, -.03),
                  (end - width * .45, -.03))
    toe = blob((end - width * .52, -foot), (end + width * .52, -foot), (end + width * .8, -.02), (end, 0),
               (end - width * .55, -.02))
    return Shape("legs", role, leg), Shape("legs", "feet", toe)


def _legs(pose, hind, front, top, width, foot):
    """(far legs, near legs). When the near legs move apart, the far legs move together."""
    step, foot, behind = .07 * pose.stride, foot * pose.socks, .02 + width * .75
    far = (*_leg(hind + behind, top, -step, width * .95, "far", foot),
           *_leg(front + behind - .02, top, step, width * .95, "far", foot))
    near = (*_leg(hind, top, step, width, "coat", foot), *_leg(front, top, -step, width, "coat", foot))
    return far, near


def _eyes(pose, x, y, rx, ry, pupil):
    iris = ellipse(x, y, rx * pose.eyes, ry * pose.eyes)
    dark = ellipse(x, y, pupil * pose.dark, ry * pose.eyes * .85)
    shine = [Shape("face", "light", ellipse(side * x + .05, y - ry * .4, .06, .06)) for side in (-1, 1)]
    return [*outlined(*_pair("face", "iris", iris)), *_pair("face", "dark", dark), *shine]


def cat(pose: Pose) -> Animal:
    """A cat."""
    hip = -.38 * pose.legs
    back, bend = hip - .40 * pose.girth, .08 * pose.sway
    far, near = _legs(pose, -.40, .34, hip - .08, .145, .09)
    tail = tube(((-.48, back + .14), (-.76, back + .06), (-.88 + bend, back - .28), (-.74 + bend, back - .56),
                 (-.56 + bend, back - .50)), (.15, .14, .13, .12, .08))
    body = blob((-.50, back + .06), (-.10, back + .03), (.30, back - .06), (.56, back + .02),
                (.52, hip - .06), (.20, hip + .03), (-.15, hip), (-.45, hip + .03), (-.60, hip - .16))
    chest = blob((.50, back + .16), (.57, back + .28), (.47, hip - .03), (.20, hip + .02), (.35, hip - .10))
    shapes = [*outlined(*far), *outlined(_coat("tail", tail), *near, _coat("body", body)),
              Shape("body", "light", _resized(chest, pose.pale)),
              *moved(_cat_head(pose), .52, back - .24 + pose.lift, .37 * pose.head, pose.nod)]
    return Animal(shapes, (.52, back + .10 + pose.lift, .34), (.52, back - .54 + pose.lift, .34))


def _cat_head(pose):
    """A round head with pointed ears and whiskers. The radius of every head is about 1."""
    tip = -1.38 * pose.ears
    skull = blob((0, -.86), (.62, -.70), (.98, -.18), (1.12, .28), (.72, .68), (0, .86),
                 (-.72, .68), (-1.12, .28), (-.98, -.18), (-.62, -.70))
    whiskers = [tube(((.45, .36 + d * .2), (1.0, .30 + d), (1.42, .34 + 1.9 * d)), (.05, .05, .03))
                for d in (-.1, .1)]
    ear = polygon((.98, -.15), (.24, -.78), (.84, tip))
    return [*outlined(*_pair("ears", "coat", ear), _coat("head", skull)),
            *_pair("ears", "pink", polygon((.81, -.60), (.58, -.76), (.79, tip * .72))),
            *_pair("face", "light", ellipse(.22, .45, .28 * pose.pale, .23 * pose.pale)),
            *_eyes(pose, .45, -.08, .18, .23, .09),
            Shape("face", "pink", blob((-.16, .22), (.16, .22), (0, .40))),
            *_pair("face", "dark", whiskers[0]), *_pair("face", "dark", whiskers[1])]


def dog(pose: Pose) -> Animal:
    """A dog."""
    hip = -.42 * pose.legs
    back, bend = hip - .44 * pose.girth, .10 * pose.sway
    far, near = _legs(pose, -.40, .38, hip - .08, .15, .09)
    tail = tube(((-.50, back + .14), (-.70, back - .02), (-.80 + bend, back - .24),
                 (-.78 + bend, back - .40)), (.17, .14, .10, .03))
    body = blob((-.52, back + .06), (-.10, back + .04), (.32, back - .05), (.60, back + .06),
                (.58, hip - .10), (.30, hip + .05), (-.10, hip - .04), (-.42, hip + .02), (-.60, hip - .16))
    chest = blob((.52, back + .12), (.62, back + .26), (.56, hip - .08), (.36, hip + .03), (.42, hip - .14))
    shapes = [*outlined(*far), *outlined(_coat("tail", tail), *near, _coat("body", body)),
              Shape("body", "light", _resized(chest, pose.pale)),
              *moved(_dog_head(pose), .56, back - .20 + pose.lift, .37 * pose.head, pose.nod)]
    return Animal(shapes, (.56, back + .16 + pose.lift, .36), (.56, back - .54 + pose.lift, .36))


def _dog_head(pose):
    """A long head with hanging ears, a big nose, and the tongue out."""
    drop = .80 * pose.ears
    skull = blob((0, -.95), (.58, -.82), (.86, -.30), (.80, .35), (.48, .82), (0, .95),
                 (-.48, .82), (-.80, .35), (-.86, -.30), (-.58, -.82))
    ear = blob((.50, -.84), (.86, -.86), (1.18, -.30), (1.26, drop * .55), (1.02, drop), (.80, drop * .65),
               (.74, -.20))
    tongue = blob((-.17, .78), (.17, .78), (.19, 1.14), (0, 1.30), (-.19, 1.14))
    return [*outlined(_coat("head", skull)), *outlined(*_pair("ears", "coat", ear)),
            *outlined(Shape("face", "pink", tongue)),
            Shape("face", "light", ellipse(0, .48, .48 * pose.pale, .42 * pose.pale ** .5)),
            *_eyes(pose, .36, -.20, .20, .22, .10),
            Shape("face", "dark", ellipse(0, .26, .24 * pose.dark, .17 * pose.dark)),
            Shape("face", "dark", tube(((-.24, .66), (0, .74), (.24, .66)), (.04, .09, .04)))]


def _fur(start, end, teeth, depth):
    """A ragged edge from start to end. Its teeth point to the left of the direction, with y pointing down."""
    start, end = np.array(start), np.array(end)
    outwards = np.array([end[1] - start[1], start[0] - end[0]]) / np.hypot(*(end - start))
    along, out = np.linspace(0, 1, 2 * teeth + 1)[:, None], (np.arange(2 * teeth + 1) % 2)[:, None]
    return start + (end - start) * along + outwards * depth * out


def wolf(pose: Pose) -> Animal:
    """A wolf."""
    hip = -.50 * pose.legs
    back, bend = hip - .38 * pose.girth, .09 * pose.sway
    far, near = _legs(pose, -.44, .36, hip - .10, .14, .095)
    tail = tube(((-.50, back + .10), (-.70, back + .12), (-.82 + bend, hip), (-.88 + 2 * bend, hip + .32)),
                (.12, .24, .29, .03))
    body = blob((-.54, back + .08), (-.15, back + .05), (.20, back - .04), (.50, back - .06),
                (.62, back + .16), (.50, hip + .06), (.20, hip + .02), (-.15, hip - .08), (-.42, hip),
                (-.60, hip - .16))
    neck = polygon(*_fur((.08, back + .02), (.34, back - .38), 2, .06), (.62, back - .42), (.82, back - .10),
                   *_fur((.82, back - .10), (.52, hip + .04), 3, .09), (.30, hip - .06))
    ruff = polygon((.72, back - .16), *_fur((.82, back - .08), (.54, hip + .02), 3, .08), (.52, back + .12))
    torso = (_coat("body", body), _coat("body", neck))
    shapes = [*outlined(*far), *outlined(_coat("tail", tail), *near, *torso),
              Shape("body", "light", _resized(ruff, .85 * pose.pale ** .5)),
              *moved(_wolf_head(pose), .58, back - .32 + pose.lift, .37 * pose.head, pose.nod)]
    return Animal(shapes, (.66, back + .02, .34), (.50, back - .62 + pose.lift, .34))


def _wolf_head(pose):
    """A head in profile with a long muzzle, pointed ears and a ragged cheek."""
    tip = -1.60 * pose.ears
    skull = polygon(*curve((-.62, -.50), (-.10, -.82), (.42, -.68), (.80, -.32), (1.42, -.16), (1.66, .04),
                           (1.56, .32), (1.00, .52), (.60, .64)),
                    *_fur((.60, .64), (-.70, .62), 3, .24), (-.84, .1))
    cheek = polygon(*curve((1.50, .32), (1.06, .24), (.60, .30), (.26, .26)),
                    *_fur((-.30, .58), (.56, .60), 2, -.16),
                    (1.00, .48))
    eye = blob((.14, -.14), (.38, -.50), (.74, -.38), (.58, -.12))
    return [*outlined(_coat("ears", polygon((-.05, -.60), (.44, -.66), (.36, tip * .96)))),
            *outlined(_coat("ears", polygon((-.62, -.40), (.04, -.74), (-.34, tip))), _coat("head", skull)),
            Shape("ears", "pink", polygon((-.50, -.54), (-.09, -.74), (-.33, tip * .84))),
            Shape("face", "light", _resized(cheek, .95 * pose.pale ** .3)),
            *outlined(Shape("face", "iris", _resized(eye, pose.eyes))),
            Shape("face", "dark", ellipse(.48, -.29, .13 * pose.dark, .15)),
            Shape("face", "dark", ellipse(1.53, .03, .23 * pose.dark, .18 * pose.dark)),
            Shape("face", "dark", tube(((1.52, .28), (1.15, .30), (.78, .38)), (.10, .10, .05)))]


def cow(pose: Pose) -> Animal:
    """A cow."""
    hip = -.34 * pose.legs
    back, bend = hip - .58 * pose.girth, .06 * pose.sway
    far, near = _legs(pose, -.48, .38, hip - .10, .17, .08)
    tail = tube(((-.60, back + .10), (-.76, back + .16), (-.78 + bend, hip - .02)), (.07, .06, .05))
    tuft = ellipse(-.78 + bend, hip + .06, .06, .11)
    body = blob((-.64, back + .08), (-.48, back), (0, back + .03), (.40, back), (.62, back + .10),
                (.66, hip - .20), (.52, hip + .02), (0, hip + .06), (-.46, hip + .02), (-.66, hip - .14))
    udder = blob((-.36, hip), (-.08, hip + .02), (-.11, hip + .13), (-.23, hip + .18), (-.34, hip + .13))
    shapes = [*outlined(*far), *outlined(_coat("tail", tail), Shape("body", "pink", udder)),
              *outlined(Shape("tail", "dark", tuft)), *outlined(*near, _coat("body", body)),
              *moved(_cow_head(pose), .68, back + .06 + pose.lift, .31 * pose.head, pose.nod)]
    return Animal(shapes, (.66, back + .40 + pose.lift, .38), (.68, back - .22 + pose.lift, .30))


def _cow_head(pose):
    """A long head with horns, ears to the sides and a broad muzzle."""
    skull = blob((0, -.86), (.52, -.84), (.70, -.40), (.60, .20), (.56, .80), (0, .98),
                 (-.56, .80), (-.60, .20), (-.70, -.40), (-.52, -.84))
    ear = blob((.60, -.55), (1.00, -.66), (1.34 * pose.ears, -.40), (1.05, -.22), (.66, -.28))
    horn = tube(((.40, -.78), (.80, -.95), (.98, -1.25), (.92, -1.60)), (.28, .24, .17, .03))
    muzzle = blob((-.64, .52), (0, .46), (.64, .52), (.72, .84), (.40, 1.10), (-.40, 1.10), (-.72, .84))
    return [*outlined(*_pair("horns", "light", horn)), *outlined(*_pair("ears", "coat", ear)),
            *outlined(_coat("head", skull)),
            *outlined(Shape("face", "light", _resized(muzzle, .6 + .4 * pose.pale))),
            *_pair("face", "dark", ellipse(.30, .72, .10 * pose.dark, .13 * pose.dark)),
            *_eyes(pose, .40, -.20, .20, .22, .10)]


DRAW = {"cat": cat, "dog": dog, "wolf": wolf, "cow": cow}
