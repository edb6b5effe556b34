"""The .npz that a folder run saves for each image: the heatmap, and what it was made from and with.

    heatmap         (H,W) float32 in [0,1], at the network's size
    coarse          (h,w) float32, the map before M1
    empty           why the heatmap is all zeros, or ""
    target, label   the index and the name of the class explained; -1 and "no class" for a network without classes
    logits, score   (C,) float32, empty without classes; the softmax probability of the target, NaN without classes
    method, layer   names; layer is the index of a ViT's block
    head            an index, or -1 for the mean of all heads
    model, minixai, torch       the network's name; the versions
    photo, photo_size           the file's path; (width, height) in pixels
    box             left, top, right, bottom: the part of the photo that the network saw, in its pixels
    asked           all that decided the result, as JSON: what --resume compares
"""
import json
import math
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch

from minixai.attention import Attn
from minixai.cli.index_page import Card
from minixai.cli.question import Question
from minixai.explain import Explanation
from minixai.files import shown
from minixai.trace import NO_CLASS


def record_of(question: Question, result: Explanation, index: int) -> dict:
    """What is saved of one image of a batch, apart from what is known of its file."""
    target, logits, trace = int(result.target[index]), result.trace.logits, result.trace
    label = "no class" if target == NO_CLASS else question.model.labels[target]
    coarse = result["A5" if isinstance(result.recipe, Attn) else "C4"][index]
    return {"heatmap": result.heatmap[index].cpu().numpy(), "coarse": coarse.cpu().numpy(),
            "target": -1 if target == NO_CLASS else target, "label": label,
            "logits": np.zeros(0, np.float32) if logits is None else logits[index].cpu().numpy(),
            "score": question.score(result, index), "layer": str(result.layer),
            "head": -1 if getattr(trace, "head", None) is None else trace.head,
            "method": question.method, "model": question.model.name, "minixai": _version(), "torch": torch.__version__,
            "empty": result.why_empty[index] or ""}


def asked_json(asked: dict, photo: Path) -> str:
    """What decides the result for one photo: the question, and which file it is in which state. OSError without it."""
    state = photo.stat()
    return json.dumps({**asked, "photo": str(photo.absolute()), "bytes": state.st_size, "modified": state.st_mtime_ns})


def read_record(path: Path) -> dict | None:
    """What a run wrote, the arrays left out; None if there is no such file or not a whole one."""
    try:
        with np.load(path, allow_pickle=False) as parts:
            return {name: parts[name].item() for name in ("asked", "photo", "label", "score", "empty")}
    except Exception:       # a file that is damaged, or was not written here, fails in many ways
        return None


def card_of(record: dict, name: str, photo: Path, further: list) -> Card:
    """What the page says of a record. name, further: of its files."""
    score = "" if math.isnan(record["score"]) else f"{record['score']:.3f}"
    return Card(name, shown(photo), record["label"], score, record["empty"], further)


def _version():
    try:
        return version("minixai")
    except PackageNotFoundError:        # run from a folder, not installed
        return "unknown"
