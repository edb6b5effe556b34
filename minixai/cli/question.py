"""What is asked of a network: which network, which method, which class, layer and head."""
import hashlib
from argparse import Namespace

import torch

from minixai.course.mine import with_mine
from minixai.explain import Explanation, explain, recipe_named
from minixai.files import must_take_files
from minixai.gradcam import Cam
from minixai.networks.labels import find_class, is_integer
from minixai.networks.registry import load, weights_path
from minixai.recipe import reads_class
from minixai.trace import NO_CLASS

VITS = ("vit", "deit", "dino")      # in the names of the networks whose default method is attention


class Question:
    """A loaded network and the options of `minixai explain` or `verify`, checked as far as no image is needed."""

    def __init__(self, options: Namespace, model: str, method: str):
        """options: the parsed command line. OSError if --out takes no files, ValueError if an option does not fit."""
        must_take_files(options.out)        # before the network is loaded, which takes longer
        self.device = _device(options.device)
        self.model = load(model, options.weights).to(self.device)
        self.method, self.recipe, self.head = method, recipe_named(method), options.head
        self.named = method                 # what `explain` is given: the method's name, or the recipe with own stages
        self.own_overlay = False            # whether a function of the user's draws the overlays
        mine = getattr(options, "mine", None) or []
        if mine:
            self.recipe, names = with_mine(self.recipe, mine)
            self.named = self.recipe
            self.method = f"{method}_mine"
            self.own_overlay = "overlay" in names
            print(f"yours: {', '.join(names)}")
        self.layer = int(options.layer) if is_integer(options.layer or "") else options.layer
        self.target = None if options.target is None else find_class(options.target, self.model.labels)
        self.files = [path for path in (options.weights, *mine) if path]

    def explain(self, images: torch.Tensor) -> Explanation:
        """images: (B,3,H,W), preprocessed. Errors as in minixai.explain."""
        return explain(self.model, images.to(self.device), self.named, self.target, self.layer, self.head)

    def asked(self) -> dict:
        """All that decides what the heatmap of an image is. A file counts by its contents."""
        return {"model": self.model.name, "method": self.method, "class": self.target, "layer": self.layer,
                "head": self.head, "files": [hashlib.sha256(path.read_bytes()).hexdigest() for path in self.files]}

    def title(self) -> str:
        """All of it in one line."""
        layer = "" if self.layer is None else f" at layer {self.layer}"
        head = "" if self.head is None else f", head {self.head}"
        if not (self.model.labels and reads_class(self.recipe)):
            return f"{self.model.name}, {self.method}{layer}{head}"
        wanted = "each image's top class" if self.target is None else f"class {self.model.labels[self.target]}"
        return f"{self.model.name}, {self.method}{layer}{head}, {wanted}"

    def score(self, result: Explanation, index: int) -> float:
        """The probability, by softmax, of the class explained in one image; NaN for a network without classes."""
        if result.target[index] == NO_CLASS:
            return float("nan")
        return float(result.trace.logits[index].softmax(dim=-1)[result.target[index]])


def model_and_method(options: Namespace) -> tuple[str, str]:
    """The names of the network and the method. Each has a default that follows from the other."""
    wants_vit = options.method is not None and not isinstance(recipe_named(options.method), Cam)
    if options.model is None and wants_vit and not weights_path("dinov2_small").exists():
        raise ValueError(f"{options.method} needs a ViT: --model small_vit for drawn scenes, or for photos "
                         "--model dinov2_small (in a checkout, python -m weights_scripts.dinov2_small fetches it)")
    if options.weights and options.model is None:
        raise ValueError("--weights needs --model, the name of the network that they are for")
    usual = "dinov2_small" if wants_vit else "efficientnet_lite0"
    model = usual if options.model is None else options.model
    return model, options.method or ("attention" if any(kind in model for kind in VITS) else "gradcam")


def _device(name):
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("no CUDA device on this machine; leave --device out to use what there is")
    return "cuda" if name != "cpu" and torch.cuda.is_available() else "cpu"
