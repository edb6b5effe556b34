"""What many lessons ask of many scenes at once."""
from pathlib import Path

import numpy as np
import torch

import minixai
from minixai.scenes import stack


def batch(scenes, model):
    """Scenes -> images (N,3,H,W) as the model wants them, labels (N,), masks bool (N,H,W)."""
    pictures, labels, masks = stack(scenes)
    images = torch.cat([minixai.open_image(picture, model) for picture in pictures])
    return images, torch.from_numpy(labels), torch.from_numpy(masks)


def two_animals(scenes, model):
    """Scenes with two animals -> images (N,3,H,W), [first's class (N,), second's], [first's mask (N,H,W), second's]."""
    scenes = list(scenes)
    images, labels, masks = batch(scenes, model)
    others = torch.tensor([scene.second_label for scene in scenes])
    return images, [labels, others], [masks, torch.from_numpy(np.stack([scene.second_mask for scene in scenes]))]


@torch.no_grad()
def answers(model, scenes):
    """The class that the model names for each scene: [str]."""
    images, _, _ = batch(scenes, model)
    return [model.labels[index] for part in images.split(100) for index in model(part).argmax(dim=-1)]


def accuracy(model, scenes):
    """The share of scenes whose animal the model names."""
    return float(np.mean([said == scene.animal for said, scene in zip(answers(model, scenes), scenes)]))


def maps(model, images, target=None, **how):
    """Images (N,3,H,W) -> maps (N,H,W) before min-max, which would move the zero that an energy counts from.

    target: (N,) classes, or one class for all, or None for the top class of each; how: as for minixai.explain.
    """
    targets = [target] * len(images) if target is None or not np.ndim(target) else target
    parts = zip(images.split(50), [targets[at:at + 50] for at in range(0, len(images), 50)])
    return torch.cat([minixai.explain(model, part, target=None if target is None else torch.as_tensor(chosen), **how)
                      ["M1"] for part, chosen in parts])


def mean(values):
    """The mean of a tensor of numbers or of yes and no, as a number."""
    return values.double().mean().item()


def edges(rgb):
    """How strongly the brightness changes from pixel to pixel: uint8 (H,W,3) -> (H,W)."""
    brightness = torch.from_numpy(np.asarray(rgb).mean(axis=-1) / 255).float()
    down, right = torch.gradient(brightness)
    return torch.hypot(down, right)


def recorded(name):
    """What other libraries gave, {name: array}; tests/reference/record_lesson_maps.py says how."""
    with np.load(Path(__file__).parent / "recorded" / f"{name}.npz", allow_pickle=False) as arrays:
        return dict(arrays)
