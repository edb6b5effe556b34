"""Things that an animal may wear. They have a mask of their own, so a map can be tested on a tie."""
import numpy as np

from .animals import Animal
from .shapes import Shape, blob, ellipse, mirror, moved, outlined, polygon

ACCESSORIES = ("tie", "bow", "scarf", "hat")


def _shape(points, role="cloth"):
    return Shape("accessory", role, np.asarray(points, float))


def tie() -> list[Shape]:
    """A striped tie."""
    return [*outlined(_shape(polygon((-.16, .10), (.16, .10), (.34, 1.10), (0, 1.42), (-.34, 1.10)))),
            _shape(polygon((-.22, .52), (.20, .34), (.23, .50), (-.26, .70)), "trim"),
            _shape(polygon((-.30, .98), (.28, .74), (.31, .90), (-.30, 1.14)), "trim"),
            *outlined(_shape(polygon((-.26, -.16), (.26, -.16), (.16, .16), (-.16, .16))))]


def bow() -> list[Shape]:
    """A bow tie."""
    wing = blob((.08, -.10), (.60, -.42), (.84, -.30), (.84, .34), (.60, .44), (.08, .12))
    return [*outlined(_shape(wing), _shape(mirror(wing))), *outlined(_shape(ellipse(0, 0, .20, .22), "trim"))]


def scarf() -> list[Shape]:
    """A scarf with one loose end."""
    end = polygon((.10, .10), (.50, .05), (.66, .95), (.26, 1.02))
    fringe = polygon((.24, .86), (.64, .80), (.66, .95), (.26, 1.02))
    band = blob((-.85, -.30), (0, -.02), (.85, -.30), (.90, .06), (0, .34), (-.90, .06))
    return [*outlined(_shape(end)), _shape(fringe, "trim"), *outlined(_shape(band))]


def hat() -> list[Shape]:
    """A top hat."""
    return [*outlined(_shape(polygon((-.46, -.88), (.46, -.88), (.52, .0), (-.52, .0)))),
            _shape(polygon((-.50, -.30), (.50, -.30), (.52, -.04), (-.52, -.04)), "trim"),
            *outlined(_shape(ellipse(0, .02, .95, .15)))]


WEAR = {"tie": tie, "bow": bow, "scarf": scarf, "hat": hat}


def wear(animal: Animal, kind: str) -> list[Shape]:
    """The shapes of an accessory, in the units of the animal that wears it. kind: a name from ACCESSORIES."""
    x, y, size = animal.crown if kind == "hat" else animal.neck
    return moved(WEAR[kind](), x, y, size)
