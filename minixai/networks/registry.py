"""Names to networks: `build` gives the architecture with random weights, `load` with trained ones.

Weights are state dicts in half precision. They are in this package or, if they are large, in your cache folder; their
hash is checked before they are read. A file of your own may hold any weights that fit. No code in a file is run.
"""
import hashlib
import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path

import torch
from torch import nn

from minixai.files import opened, shown
from minixai.images import Preprocess
from minixai.networks import zoo
from minixai.networks.cnn import small_cnn
from minixai.networks.state_dict import in_short, load_into, misfits, read_state_dict, state_dict_in
from minixai.networks.vit import SIZES, ViT

CONVERTER = "python -m weights_scripts.convert {} --download"
PACKAGED = Path(__file__).parents[1] / "weights"
SCENES = Preprocess(size=(96, 96), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
IMAGENET = Preprocess(size=(224, 224))
FINE = Preprocess(size=(448, 448))       # 32x32 patches of 14 pixels: at 224 its heads are a blur on small things
TF_IMAGENET = Preprocess(size=(224, 224), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


@dataclass(frozen=True)
class Entry:
    """A named network: its architecture, its preprocessing, its classes and its weights' file."""
    network: Callable               # () -> the network with random weights
    preprocess: Preprocess
    labels: Callable                # () -> the names of its classes, in order; empty for a network without a head
    about: str                      # one line for a person
    sha256: str | None = None       # of the weights' file; None where minixai has none to load
    script: str | None = None       # the module that puts the file into the cache folder; None if it is packaged


def _vit(name):
    return partial(ViT, **SIZES[name])


def _imagenet_classes():
    return tuple((PACKAGED / "imagenet_classes.txt").read_text(encoding="utf-8").splitlines())


def _animals():
    from minixai.scenes import CLASSES  # late: most programs draw no scenes
    return CLASSES


NETWORKS = {
    "efficientnet_lite0": Entry(zoo.efficientnet_lite0, TF_IMAGENET, _imagenet_classes,
                                "EfficientNet-Lite0, 4.7 M weights, trained on ImageNet",
                                "bec3503ecb3bb3d358c2b2c9cc44b8c424b301d8a5ab3472ebfbae8b51375b44"),
    "small_cnn": Entry(small_cnn, SCENES, _animals, "small residual CNN, trained on drawn scenes",
                       "de1a83fa4c158a3fb908bab3aed61c37532a4291677cbb7de9fb25a53109b590"),
    "small_cnn_biased": Entry(small_cnn, SCENES, _animals,
                              "its twin, trained where the background gives the class away",
                              "a85d8a1e68cac6960251bdec8e725cfa3fb402ed02f73458c3ed3fd318e417e0"),
    "small_vit": Entry(_vit("small_vit"), SCENES, _animals, "small ViT, trained on drawn scenes",
                       "d49c025402e09fa80872729d9a8c4007b0d9a5312f7b03f561fbccee623c0cb8"),
    "small_vit_biased": Entry(_vit("small_vit"), SCENES, _animals,
                              "its twin, trained where the background gives the class away",
                              "979b555c32d5bde8c6ef907071e959fb56ffec27e526d206fb52c778224526b4"),
    "dinov2_small": Entry(_vit("dinov2_small"), FINE, tuple,
                          "DINOv2 ViT-S/14, 22 M weights, trained without labels",
                          "0ae795fc65c497bfd492e2ce74ce28f5cd6210084692388e197072ed0f68a2c5",
                          script="weights_scripts.dinov2_small"),
    "resnet18": Entry(zoo.resnet18, IMAGENET, _imagenet_classes, "ResNet-18, 11.7 M weights"),
    "resnet34": Entry(zoo.resnet34, IMAGENET, _imagenet_classes, "ResNet-34, 21.8 M weights"),
    "resnet50": Entry(zoo.resnet50, IMAGENET, _imagenet_classes, "ResNet-50, 25.6 M weights"),
    "vgg16": Entry(zoo.vgg16, IMAGENET, _imagenet_classes, "VGG16, 138 M weights"),
    # One architecture may have several names: published weights differ in their preprocessing.
    "deit_tiny": Entry(_vit("deit_tiny"), IMAGENET, _imagenet_classes, "DeiT-Tiny/16, 5.7 M weights"),
    "deit_small": Entry(_vit("vit_small"), IMAGENET, _imagenet_classes, "DeiT-Small/16, 22 M weights"),
    "deit_base": Entry(_vit("vit_base"), IMAGENET, _imagenet_classes, "DeiT-Base/16, 86 M weights"),
    "vit_tiny": Entry(_vit("deit_tiny"), TF_IMAGENET, _imagenet_classes, "timm's ViT-Ti/16, 5.7 M weights"),
    "vit_small": Entry(_vit("vit_small"), TF_IMAGENET, _imagenet_classes, "timm's ViT-S/16, 22 M weights"),
    "vit_base": Entry(_vit("vit_base"), TF_IMAGENET, _imagenet_classes, "timm's ViT-B/16, 86 M weights"),
    "vit_b_16": Entry(_vit("vit_base"), IMAGENET, _imagenet_classes, "torchvision's ViT-B/16, 86 M weights"),
    "dino_small": Entry(_vit("dino_small"), IMAGENET, tuple, "DINO ViT-S/16, 22 M weights, trained without labels"),
    "dino_small8": Entry(_vit("dino_small8"), IMAGENET, tuple, "DINO ViT-S/8, 22 M weights, trained without labels"),
    "dino_base": Entry(_vit("dino_base"), IMAGENET, tuple, "DINO ViT-B/16, 86 M weights, trained without labels"),
    "dinov2_base": Entry(_vit("dinov2_base"), FINE, tuple, "DINOv2 ViT-B/14, 87 M weights, trained without labels"),
    "dinov2_small_reg": Entry(_vit("dinov2_small_reg"), FINE, tuple, "DINOv2 ViT-S/14 with four registers"),
    "dinov2_base_reg": Entry(_vit("dinov2_base_reg"), FINE, tuple, "DINOv2 ViT-B/14 with four registers"),
}


def build(name: str) -> nn.Module:
    """The named network with random weights, in eval mode. torch.manual_seed makes the weights repeatable.

    It has `name`, `preprocess` (how an image is prepared for it) and `labels` (the names of its classes).
    ValueError for an unknown name.
    """
    entry = _entry(name)
    model = entry.network()
    model.name, model.preprocess, model.labels = name, entry.preprocess, entry.labels()
    return model.eval()


def load(name: str, file: str | PathLike | None = None) -> nn.Module:
    """The named network with trained weights, in eval mode: minixai's own, or those in a file of yours.

    file: a state dict under minixai's names in half or full precision, such as `python -m weights_scripts.convert`
    makes of other libraries' files. Raises ValueError for a name without weights, a hash that is not the recorded one,
    a file that is damaged or does not fit; FileNotFoundError, with the command that gets it, for one not fetched yet.
    """
    entry = _entry(name)
    if file is None and entry.sha256 is None:
        raise ValueError(
            f"minixai has no trained weights for {name!r}, only the architecture: minixai.build({name!r}); published "
            f"ones: in a checkout of minixai, {CONVERTER.format(name)}, then minixai.load({name!r}, file=…)")
    state = _read(weights_path(name), entry) if file is None else _of_user(name, file, entry)
    model = build(name)
    load_into(model, state)
    return model


def describe() -> str:
    """A table of all networks for a person: name, input, layers, and how to get the weights."""
    table = "\n".join(_describe(name, entry) for name, entry in NETWORKS.items())
    return f"{table}\n\n* published weights, in a checkout of minixai: {CONVERTER.format('NAME')}"


def _describe(name, entry):
    H, W = entry.preprocess.size
    classes = len(entry.labels())
    return (f"{name:20s}{entry.about}\n{'':20s}{_how_to_get(name, entry)}\n{'':20s}input {W}x{H}, "
            f"{f'{classes} classes' if classes else 'no classes'}, layers: {_layers(entry)}")


def _layers(entry):
    if isinstance(entry.network, partial):      # a ViT, whose sizes are written out in SIZES
        return f"blocks 0 to {entry.network.keywords['depth'] - 1}"
    with torch.device("meta"):                  # names without numbers: VGG16 would fill half a gigabyte
        return " ".join(entry.network().layers)


def _how_to_get(name, entry):
    if entry.sha256 is None:
        return "architecture only, random weights: minixai.build; published ones: see * below"
    if weights_path(name).exists():
        return "ready to load"
    if entry.script:
        return f"not fetched yet: in a checkout of minixai, python -m {entry.script}"
    return "missing from this installation"


def weights_path(name: str) -> Path:
    """The file of a network's weights, which may not exist yet. ValueError for an unknown name."""
    return (cache_folder() if _entry(name).script else PACKAGED) / f"{name}.pt"


def cache_folder() -> Path:
    """The folder of large weights: MINIXAI_CACHE, else minixai in XDG_CACHE_HOME, else ~/.cache/minixai."""
    own = os.environ.get("MINIXAI_CACHE")
    shared = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(own) if own else Path(shared) / "minixai"


def _entry(name):
    if name not in NETWORKS:
        raise ValueError(f"no network named {name!r}; there are {', '.join(NETWORKS)}")
    return NETWORKS[name]


def _read(path, entry):
    try:
        with opened(path) as file:
            data = file.read()
    except FileNotFoundError:
        how = "the installation is incomplete"
        if entry.script:
            how = f"in a checkout of minixai, python -m {entry.script} fetches it"
        raise FileNotFoundError(f"{shown(path)} is not there; {how}") from None
    found = hashlib.sha256(data).hexdigest()
    if found != entry.sha256:
        raise ValueError(f"{shown(path)} is not the file it should be: sha256 {found[:12]}…, expected "
                         f"{entry.sha256[:12]}…")
    return state_dict_in(io.BytesIO(data), path)


def _of_user(name, path, entry):
    state = read_state_dict(path)
    with torch.device("meta"):                      # names and shapes are enough
        lines = misfits(state, entry.network())
    if lines:
        raise ValueError(f"{shown(path)} does not fit {name}: {in_short(lines)}; another library's file goes through "
                         f"python -m weights_scripts.convert {name} --file FILE first")
    return state
