"""How good a network is on scenes it never saw: accuracy, and whether its maps look at the animal.

    energy      the share of a map that lies on the animal's pixels
    pointing    how often the map's highest pixel is on the animal

Neither means anything alone. A map that is the same everywhere has as its energy the animal's share of the picture
(`area`); a blob in the middle of the picture, which knows nothing of it, scores what `centre` says.
"""
import re
from pathlib import Path
from typing import NamedTuple

import torch

from minixai import explain
from minixai.evaluation import energy_inside, points_at
from minixai.networks.vit import ViT

README = Path(__file__).with_name("README.md")
MARK, MARK_END = "<!-- trained on drawn scenes -->", "<!-- end -->"


class Localisation(NamedTuple):
    energy: float
    pointing: float

    def __str__(self):
        return f"{self.energy:.2f} / {self.pointing:.2f}"


@torch.no_grad()
def accuracy(model, images, labels):
    """Share of right answers; images (N,3,S,S) normalised, labels (N,)."""
    device = next(model.parameters()).device
    answers = torch.cat([model(part.to(device)).argmax(dim=-1).cpu() for part in images.split(100)])
    return (answers == labels).float().mean().item()


def localise(maps, masks):
    """maps (N,H,W) >= 0, masks bool (N,H,W) -> Localisation. An empty map points nowhere and has no energy."""
    return Localisation(energy_inside(maps, masks).mean().item(), points_at(maps, masks).float().mean().item())


def baselines(masks):
    """What maps score that know nothing: one that is flat, and a Gaussian in the middle, 0.2 sides wide."""
    H, W = masks.shape[-2:]
    rows, columns = ((torch.arange(side) + 0.5) / side - 0.5 for side in (H, W))
    centre = torch.exp(-(rows[:, None] ** 2 + columns ** 2) / (2 * 0.2 ** 2))
    area = masks.float().mean().item()
    return {"area": Localisation(area, area), "centre": localise(centre.expand(len(masks), H, W), masks)}


def maps_of(model, images, labels, **how):
    """Heatmaps (N,H,W) before min-max, which would move the zero that `energy` counts from."""
    parts = zip(images.split(50), labels.split(50))
    return torch.cat([explain(model, image, target=label, **how)["M1"].cpu() for image, label in parts])


def localisations(model, images, labels, masks):
    """Every map worth a row: Grad-CAM of each stage of a CNN; of a ViT the last layer's CLS row and rollout."""
    if isinstance(model, ViT):
        ways = {"CLS, last layer": {"method": "attention"}, "rollout": {"method": "rollout"}}
    else:
        ways = {f"Grad-CAM {layer}": {"method": "gradcam", "layer": layer} for layer in model.layers}
    return {way: localise(maps_of(model, images, labels, **how), masks) for way, how in ways.items()}


class Row(NamedTuple):
    """One line of the table in README.md; the file and the seed say which."""
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


def note(readme, row):
    """Put a row into the table between the marks in README.md, in the place of the row of the same file and seed."""
    before, table, after = re.split(f"(?<={MARK})\n|\n(?={MARK_END})", readme.read_text(encoding="utf-8"))
    same = f"| {row.file} | {row.seed} |"
    head, rows = table.splitlines()[:2], [line for line in table.splitlines()[2:] if not line.startswith(same)]
    table = "\n".join(head + sorted([*rows, str(row)]))
    readme.write_text(f"{before}\n{table}\n{after}", encoding="utf-8")
