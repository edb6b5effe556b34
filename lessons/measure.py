"""Measurements on many scenes, which several lessons share."""
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import minixai
from minixai.scenes import Scene, stack


def batch(scenes: Iterable[Scene], model: nn.Module) -> tuple[Tensor, Tensor, Tensor]:
    """Scenes -> images (N,3,H,W) as the model wants them, labels (N,), masks bool (N,H,W)."""
    pictures, labels, masks = stack(scenes)
    images = torch.cat([minixai.open_image(picture, model) for picture in pictures])
    return images, torch.from_numpy(labels), torch.from_numpy(masks)


def two_animals(scenes: Iterable[Scene], model: nn.Module) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Scenes with two animals -> images (N,3,H,W), [first's class (N,), second's], [first's mask (N,H,W), second's]."""
    scenes = list(scenes)
    images, labels, masks = batch(scenes, model)
    others = torch.tensor([scene.second_label for scene in scenes])
    return images, [labels, others], [masks, torch.from_numpy(np.stack([scene.second_mask for scene in scenes]))]


@torch.no_grad()
def answers(model: nn.Module, scenes: Iterable[Scene]) -> list[str]:
    """The predicted class of each scene."""
    images, _, _ = batch(scenes, model)
    return [model.labels[index] for part in images.split(100) for index in model(part).argmax(dim=-1)]


def accuracy(model: nn.Module, scenes: Sequence[Scene]) -> float:
    """The share of scenes whose animal is predicted."""
    return float(np.mean([said == scene.animal for said, scene in zip(answers(model, scenes), scenes)]))


def maps(model: nn.Module, images: Tensor, target: Tensor | int | None = None, **how) -> Tensor:
    """Images (N,3,H,W) -> maps (N,H,W) before min-max, which would change the energy of a part of the map.

    target: (N,) classes, one class for all, or None for the top class of each image. how: as for minixai.explain.
    """
    targets = [target] * len(images) if target is None or not np.ndim(target) else target
    parts = zip(images.split(50), [targets[at:at + 50] for at in range(0, len(images), 50)])
    return torch.cat([minixai.explain(model, part, target=None if target is None else torch.as_tensor(chosen), **how)
                      ["M1"] for part, chosen in parts])


def mean(values: Tensor) -> float:
    """The mean of a tensor of numbers or booleans."""
    return values.double().mean().item()


def edges(rgb: np.ndarray) -> Tensor:
    """An edge map: the size of the gradient of the brightness. rgb uint8 (H,W,3) -> (H,W)."""
    brightness = torch.from_numpy(np.asarray(rgb).mean(axis=-1) / 255).float()
    down, right = torch.gradient(brightness)
    return torch.hypot(down, right)


def recorded(name: str) -> dict[str, np.ndarray]:
    """{name: array} of other libraries' results, which tests/reference/record_lesson_maps.py recorded."""
    with np.load(Path(__file__).parent / "recorded" / f"{name}.npz", allow_pickle=False) as arrays:
        return dict(arrays)
