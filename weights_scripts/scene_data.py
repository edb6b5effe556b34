"""Training pictures: draw animals and backgrounds once, then combine them at random for each batch.

Drawing a scene takes as long as three training steps on a window of it, so drawings are stored. `Bank` holds cut-outs
and empty backgrounds. `recombine` lays random cut-outs on random backgrounds, at a random place, sometimes mirrored,
turned or resized. A network never sees the same picture twice, and an animal's pixels do not depend on its place.
Training and test scenes are never the same: the first number of their seeds differs.

Letters: B pictures, S the side of a picture in pixels, K the side of the square that a cut-out is kept in.
"""
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from minixai.scenes import BACKGROUNDS, CLASSES, draw_animal, draw_background, draw_scenes, stack

BANK_SEED, TEST_SEED = 11, 22       # the first number of a scene's seed, for training and for tests
CUTOUT = 0.8                        # K / S; the largest animals are 0.76 wide
TURN, RESIZE = 0.17, (0.84, 1.14)   # at most this many radians, and between these factors


class Bank(NamedTuple):
    """The stored drawings.

    cutouts uint8 (N,4,K,K): red, green and blue times alpha, and alpha. boxes (N,4): left, top, right, bottom of the
    animal in its cut-out. labels (N,). backgrounds uint8 (kinds,M,3,S,S).
    """
    cutouts: torch.Tensor
    boxes: torch.Tensor
    labels: torch.Tensor
    backgrounds: torch.Tensor


class Batch(NamedTuple):
    """A training batch.

    image (B,3,side,side) in [-1,1]. label (B,). corner (B,2): row and column of the image's corner in the whole
    picture, in pixels (zeros if the image is the whole picture).
    """
    image: torch.Tensor
    label: torch.Tensor
    corner: torch.Tensor


def draw_bank(animals: int = 10_000, backgrounds: int = 600, size: int = 96) -> Bank:
    """Draw a number of cut-outs, and a number of backgrounds of each kind. The default takes about two minutes."""
    cutouts, boxes, labels = [], [], []
    for index in range(animals):
        layer = draw_animal((BANK_SEED, index), size)
        cutout, box = _centred(layer, int(size * CUTOUT))
        cutouts.append(cutout)
        boxes.append(box)
        labels.append(layer.label)
    pictures = [[draw_background((BANK_SEED, index), size, kind) for index in range(backgrounds)]
                for kind in BACKGROUNDS]
    return Bank(torch.from_numpy(np.stack(cutouts)), torch.tensor(boxes), torch.tensor(labels),
                torch.from_numpy(np.array(pictures)).permute(0, 1, 4, 2, 3).contiguous())


def _centred(layer, side):
    """A drawn cut-out -> (uint8 (4,side,side) with premultiplied colours, box of the animal without its shadow)."""
    rows, columns = (np.flatnonzero((layer.parts > 0).any(axis)) for axis in (1, 0))
    top, left = (side - rows[0] - rows[-1]) // 2, (side - columns[0] - columns[-1]) // 2
    canvas = np.zeros((side, side, 4), np.float32)
    height, width = layer.parts.shape
    here = np.s_[max(top, 0):top + height, max(left, 0):left + width]
    height, width = canvas[here].shape[:2]
    canvas[here] = layer.rgba[max(-top, 0):, max(-left, 0):][:height, :width]
    canvas[..., :3] *= canvas[..., 3:] / 255        # otherwise resampling would mix in colours of transparent pixels
    box = [columns[0] + left, rows[0] + top, columns[-1] + left + 1, rows[-1] + top + 1]
    return canvas.round().astype(np.uint8).transpose(2, 0, 1), [int(edge) for edge in box]


def cached(path: Path, make: Callable[[], tuple]) -> tuple:
    """The tensors stored in a file. If there is no file, `make()` makes them and they are written."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(f".{os.getpid()}")
        torch.save(tuple(make()), draft)
        draft.replace(path)             # in one step, so there is never half a file
    return torch.load(path, weights_only=True)


def test_scenes(count: int, size: int = 96, background: str | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Whole scenes for tests, not recombined: uint8 (N,3,S,S), labels (N,), masks bool (N,S,S)."""
    images, labels, masks = stack(draw_scenes(count, TEST_SEED, size, background=background))
    images = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
    return images, torch.from_numpy(labels), torch.from_numpy(masks)


def normalised(pixels: Tensor) -> Tensor:
    """Pixels from 0 to 255 -> [-1,1], as in minixai.networks.registry.SCENES."""
    return pixels.float() / 127.5 - 1


class Freedom(NamedTuple):
    """How much the pictures vary: the settings of a curriculum that starts with easy pictures.

    window: side in pixels of a part of the picture that contains the animal; None is the whole picture. place: 0 puts
    the middle of the animal on a corner of the patch grid, 1 anywhere. vary: the share of animals that are turned and
    resized. plain: the share of backgrounds of one flat colour.
    """
    window: int | None = None
    place: float = 1.0
    vary: float = 0.5
    plain: float = 0.0


FREE = Freedom()


def recombine(bank: Bank, count: int, random: torch.Generator, bias: float = 0.0, freedom: Freedom = FREE,
              patch: int = 8) -> Batch:
    """A batch of `count` new pictures. bias b: P(home background) = b + (1 - b) / 4. patch: of the grid, in pixels."""
    size = bank.backgrounds.shape[-1]
    side = freedom.window or size
    index = torch.randint(len(bank.labels), (count,), generator=random)
    label = bank.labels[index]
    pose = _pose(bank.boxes[index], size, random, freedom, patch)
    corner = _corner(pose.centre, size, side, random, patch)
    animal = _paste(bank.cutouts[index], pose, corner, side)
    behind = _backgrounds(bank, label, corner, side, random, bias, freedom.plain)
    picture = animal[:, :3] + (1 - animal[:, 3:]) * behind
    light = _uniform(random, 0.88, 1.12, count, 1, 1, 1)
    return Batch(normalised((255 * light * picture).clamp(0, 255)), label, corner)


class Pose(NamedTuple):
    """The place of each animal.

    The point `middle` (B,2) of its cut-out lies on `centre` (B,2) of the picture; both are (x, y) in pixels. The animal
    is resized by scale (B,), turned by angle (B,) in radians, and mirrored where mirror (B,) is -1.
    """
    middle: torch.Tensor
    centre: torch.Tensor
    scale: torch.Tensor
    angle: torch.Tensor
    mirror: torch.Tensor


def _pose(boxes, size, random, freedom, patch):
    count = len(boxes)
    varied = torch.rand(count, generator=random) < freedom.vary
    scale = torch.where(varied, _uniform(random, *RESIZE, count), 1.0)
    angle = torch.where(varied, _uniform(random, -TURN, TURN, count), 0.0)
    mirror = torch.where(torch.rand(count, generator=random) < 0.5, -1.0, 1.0)
    boxes = boxes.float()
    middle, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2 * scale[:, None]
    centre = half + torch.rand(count, 2, generator=random) * (size - 2 * half)
    corner = (centre / patch).round() * patch
    centre = corner + freedom.place * (centre - corner)
    # An animal that is neither turned nor resized lies on whole pixels, and keeps its sharp edges.
    whole = (centre - middle).round() + middle
    return Pose(middle, torch.where(varied[:, None], centre, whole), scale, angle, mirror)


def _corner(centre, size, side, random, patch):
    """The corners (y, x) of windows on the patch grid, with the animals near the middle: int64 (B,2), pixels."""
    wobble = _uniform(random, -0.75, 0.75, len(centre), 2)
    steps = ((centre.flip(1) - side / 2) / patch + wobble).round()
    return (steps * patch).clamp(0, size - side).long()


def _paste(cutouts, pose, corner, side):
    """Cut-outs (B,4,K,K) -> (B,4,side,side) in [0,1], placed by their poses in the windows at these corners."""
    K = cutouts.shape[-1]
    cos, sin = pose.angle.cos() / pose.scale, pose.angle.sin() / pose.scale
    # grid_sample needs the inverse map, from the pixels of the window to the cut-out.
    back = torch.stack([torch.stack([pose.mirror * cos, pose.mirror * sin], 1), torch.stack([-sin, cos], 1)], 1)
    window_middle = corner.flip(1) + side / 2
    start = (back @ (window_middle - pose.centre)[:, :, None])[:, :, 0] + pose.middle
    # Its coordinates run from -1 to 1 over the window (side / 2 pixels each way) and over the cut-out (K / 2).
    theta = torch.cat([back * side / K, (start * 2 / K - 1)[:, :, None]], dim=2)
    grid = F.affine_grid(theta, (len(cutouts), 4, side, side), align_corners=False)
    return F.grid_sample(cutouts.float() / 255, grid, align_corners=False)


def _backgrounds(bank, label, corner, side, random, bias, plain):
    """Random backgrounds (B,3,side,side) in [0,1], cut to the window. Half of them are mirrored."""
    kinds, stock, _, size, _ = bank.backgrounds.shape
    count = len(label)
    kind = torch.randint(kinds, (count,), generator=random)
    kind = torch.where(torch.rand(count, generator=random) < bias, label, kind)
    chosen = bank.backgrounds[kind, torch.randint(stock, (count,), generator=random)]
    mirrored = torch.rand(count, 1, 1, 1, generator=random) < 0.5
    chosen = torch.where(mirrored, chosen.flip(-1), chosen)
    if side < size:
        chosen = torch.stack([one[:, y:y + side, x:x + side] for one, (y, x) in zip(chosen, corner.tolist())])
    flat = torch.rand(count, 3, 1, 1, generator=random)
    return torch.where(torch.rand(count, 1, 1, 1, generator=random) < plain, flat, chosen / 255)


def _uniform(random, low, high, *shape):
    return low + (high - low) * torch.rand(*shape, generator=random)


assert len(CLASSES) == len(BACKGROUNDS)     # the home of class i is background i
