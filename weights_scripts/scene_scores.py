"""Scores of a network on held-out scenes: its accuracy, and how much of its maps is on the animal.

    energy      the share of a map's sum that is on the animal's pixels
    pointing    the share of maps whose maximum is on the animal

Both need a comparison. `baselines` gives the scores of a flat map (`area`) and of a blob in the middle (`centre`).
"""
import re
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from minixai import explain
from minixai.evaluation import energy_inside, points_at
from minixai.networks.vit import ViT

README = Path(__file__).with_name("README.md")
MARK, MARK_END = "<!-- trained on drawn scenes -->", "<!-- end -->"


class Localisation(NamedTuple):
    """Two scores of maps, each from 0 to 1."""
    energy: float
    pointing: float

    def __str__(self):
        return f"{self.energy:.2f} / {self.pointing:.2f}"


@torch.no_grad()
def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """The share of right answers. images (N,3,S,S), normalised; labels (N,)."""
    device = next(model.parameters()).device
    answers = torch.cat([model(part.to(device)).argmax(dim=-1).cpu() for part in images.split(100)])
    return (answers == labels).float().mean().item()


def localise(maps: Tensor, masks: Tensor) -> Localisation:
    """The scores of maps (N,H,W) >= 0 with masks bool (N,H,W). An empty map counts as 0 in both."""
    return Localisation(energy_inside(maps, masks).mean().item(), points_at(maps, masks).float().mean().item())


def baselines(masks: Tensor) -> dict[str, Localisation]:
    """The scores of a flat map, and of a Gaussian in the middle with a deviation of 0.2 of the side."""
    H, W = masks.shape[-2:]
    rows, columns = ((torch.arange(side) + 0.5) / side - 0.5 for side in (H, W))
    centre = torch.exp(-(rows[:, None] ** 2 + columns ** 2) / (2 * 0.2 ** 2))
    area = masks.float().mean().item()
    return {"area": Localisation(area, area), "centre": localise(centre.expand(len(masks), H, W), masks)}


def maps_of(model: nn.Module, images: Tensor, labels: Tensor, **how) -> Tensor:
    """Maps (N,H,W) before min-max, which would change the energy. how: as for minixai.explain."""
    parts = zip(images.split(50), labels.split(50))
    return torch.cat([explain(model, image, target=label, **how)["M1"].cpu() for image, label in parts])


def localisations(model: nn.Module, images: Tensor, labels: Tensor, masks: Tensor) -> dict[str, Localisation]:
    """The scores of Grad-CAM at each stage of a CNN, or of a ViT's attention map (last layer) and rollout."""
    if isinstance(model, ViT):
        ways = {"CLS, last layer": {"method": "attention"}, "rollout": {"method": "rollout"}}
    else:
        ways = {f"Grad-CAM {layer}": {"method": "gradcam", "layer": layer} for layer in model.layers}
    return {way: localise(maps_of(model, images, labels, **how), masks) for way, how in ways.items()}


class Row(NamedTuple):
    """One row of the table in README.md. File and seed identify it."""
    file: str
    seed: int
    command: str
    passes: int
    minutes: str
    size: str
    sha256: str
    fair: str
    matched: str
    swapped: str
    localisation: str

    def __str__(self):
        return "| " + " | ".join(map(str, self)) + " |"


def note(readme: Path, row: Row) -> None:
    """Write a row into the table of README.md. It replaces the row of the same file and seed."""
    before, table, after = re.split(f"(?<={MARK})\n|\n(?={MARK_END})", readme.read_text(encoding="utf-8"))
    same = f"| {row.file} | {row.seed} |"
    head, rows = table.splitlines()[:2], [line for line in table.splitlines()[2:] if not line.startswith(same)]
    table = "\n".join(head + sorted([*rows, str(row)]))
    readme.write_text(f"{before}\n{table}\n{after}", encoding="utf-8")
