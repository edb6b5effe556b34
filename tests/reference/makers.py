"""Maps as people make them, and what `verify` says of them: python -m tests.reference.makers [--only WORD]

A maker takes a network, a photo, a class and a layer, and returns a map: with a library, with code as blogs have it, or
with an image library's resizing, compression and curves. None of it shares code with the search. Each maker says what
the truth is. A verdict is true if it says so, unhelpful if it explains nothing, and false if it names something else.

It needs the environment of requirements.txt. Exit code 1 if a verdict is false.
"""
import argparse
import io
import sys
import time
from collections import Counter
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
import torch
from PIL import Image
from scipy import ndimage
from torch.nn import functional as F

import minixai
from minixai.images import PHOTOS


@dataclass
class Place:
    """A network, a photo, a class and a layer."""
    name: str
    model: torch.nn.Module
    image: torch.Tensor
    target: int
    layer: str

    def coarse(self, target=None, layer=None, image=None, score=None, relu=True):
        """Grad-CAM at layer size by hooks and backward(), as blogs write it: numpy (h,w)."""
        kept = {}
        module = self.model.get_submodule(layer or self.layer)
        hooks = [module.register_forward_hook(lambda module, inputs, output: kept.update(A=output)),
                 module.register_full_backward_hook(lambda module, inputs, outputs: kept.update(G=outputs[0]))]
        logits = self.model((self.image if image is None else image).requires_grad_())
        target = self.target if target is None else target
        (logits[0, target] if score is None else score(logits, target)).backward()
        for hook in hooks:
            hook.remove()
        self.model.zero_grad()
        weights = kept["G"][0].mean(dim=(1, 2))
        cam = (weights[:, None, None] * kept["A"][0]).sum(dim=0).detach()
        return (cam.clamp(min=0) if relu else cam).numpy()

    @property
    def size(self):
        return tuple(self.image.shape[-2:])


def places():
    """Trained networks on photos and a drawn scene, and a ResNet-18 with random weights."""
    lite = minixai.load("efficientnet_lite0")
    for photo, target, layer in (("cat.png", 281, "stage6"), ("cat.png", 285, "stage5"), ("coffee.png", 967, "stage6")):
        image = minixai.open_image(PHOTOS / photo, lite)
        yield Place(f"EfficientNet-Lite0, {photo}, {layer}", lite, image, target, layer)
    torch.manual_seed(0)
    resnet = minixai.build("resnet18")
    yield Place("ResNet-18, random weights", resnet, minixai.open_image(PHOTOS / "cat.png", resnet), 3, "layer4")


# ------------------------------------------------------- what is done to a coarse map (h,w), for an image (H,W)

def unit(x):
    return (x - x.min()) / (x.max() - x.min())


def bilinear(coarse, size):
    return cv2.resize(np.float32(coarse), size[::-1])


def pillow(coarse, size, how, eight_bits=False):
    picture = Image.fromarray(np.uint8(255 * unit(coarse)) if eight_bits else np.float32(coarse))
    return unit(np.asarray(picture.resize(size[::-1], how), np.float32))


def saved(heatmap, form, **options):
    """As a grey picture, written and read again: uint8 (H,W)."""
    file = io.BytesIO()
    Image.fromarray(np.uint8(255 * unit(heatmap))).save(file, form, **options)
    return np.array(Image.open(file))


def zoomed(coarse, size, order):
    return ndimage.zoom(coarse, [pixels / cells for pixels, cells in zip(size, coarse.shape)], order=order)


def by_torch(coarse, size, **options):
    return F.interpolate(torch.from_numpy(coarse)[None, None], size, **options)[0, 0].numpy()


def then(function):
    return lambda coarse, size: function(unit(bilinear(coarse, size)))


FINISHES = {
    "cv2 bilinear, min-max": then(lambda x: x),
    "at layer size": lambda coarse, size: coarse,
    "at layer size, 8 bits": lambda coarse, size: np.uint8(255 * unit(coarse)),
    "times 100": then(lambda x: 100 * x),
    "z-score": then(lambda x: (x - x.mean()) / x.std()),
    "png": then(lambda x: saved(x, "png")),
    "jpeg 95": then(lambda x: saved(x, "jpeg", quality=95)),
    "jpeg 75": then(lambda x: saved(x, "jpeg", quality=75)),
    "jpeg 50": then(lambda x: saved(x, "jpeg", quality=50)),
    "float16": then(lambda x: x.astype(np.float16)),
    "two decimals": then(lambda x: x.round(2)),
    "square root": then(np.sqrt),
    "square": then(np.square),
    "cube": then(lambda x: x ** 3),
    "tanh": then(lambda x: np.tanh(2 * x)),
    "log": then(lambda x: np.log1p(10 * x)),
    "sigmoid": then(lambda x: 1 / (1 + np.exp(-8 * (x - 0.5)))),
    "clip at percentiles 1 and 99": then(lambda x: unit(x.clip(*np.percentile(x, [1, 99])))),
    "above the 80th percentile": then(lambda x: x * (x > np.percentile(x, 80))),
    "binary at 0.5": then(lambda x: (x > 0.5).astype(np.float32)),
    "Otsu": then(lambda x: cv2.threshold(np.uint8(255 * x), 0, 255, cv2.THRESH_OTSU)[1]),
    "equalizeHist": then(lambda x: cv2.equalizeHist(np.uint8(255 * x))),
    "inverted": then(lambda x: 1 - x),
    "Gaussian blur": then(lambda x: ndimage.gaussian_filter(x, 7)),
    "GaussianBlur 11x11": then(lambda x: cv2.GaussianBlur(x, (11, 11), 0)),
    "cv2 cubic": lambda coarse, size: cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC),
    "cv2 Lanczos": lambda coarse, size: cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_LANCZOS4),
    "cv2 nearest": lambda coarse, size: cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_NEAREST),
    "cv2 of 8 bits": lambda coarse, size: cv2.resize(np.uint8(255 * unit(coarse)), size[::-1]),
    "Pillow bilinear": partial(pillow, how=Image.Resampling.BILINEAR),
    "Pillow bicubic": partial(pillow, how=Image.Resampling.BICUBIC),
    "Pillow Lanczos": partial(pillow, how=Image.Resampling.LANCZOS),
    "Pillow bilinear of 8 bits": partial(pillow, how=Image.Resampling.BILINEAR, eight_bits=True),
    "Pillow bicubic of 8 bits": partial(pillow, how=Image.Resampling.BICUBIC, eight_bits=True),
    "scipy zoom, order 3": partial(zoomed, order=3),
    "scipy zoom, order 1": partial(zoomed, order=1),
    "torch corners aligned": partial(by_torch, mode="bilinear", align_corners=True),
    "torch bicubic": partial(by_torch, mode="bicubic"),
    "512 pixels": lambda coarse, size: unit(bilinear(coarse, (512, 512))),
    "112 pixels": lambda coarse, size: unit(bilinear(coarse, (112, 112))),
    "by way of 448 pixels": lambda coarse, size: bilinear(bilinear(coarse, (448, 448)), size),
}
A_FEW = ("cv2 bilinear, min-max", "at layer size", "jpeg 75", "Pillow bicubic", "square root")

# ---------------------------------------------------------------- what is done wrong before: (how, words that say so)

def _second(place):
    with torch.no_grad():
        ranked = place.model(place.image)[0].argsort(descending=True).tolist()
    return next(index for index in ranked if index != place.target)


def _pixels(place):
    own = place.model.preprocess
    return place.image * torch.tensor(own.std).reshape(3, 1, 1) + torch.tensor(own.mean).reshape(3, 1, 1)


WRONG = {       # several words where the truth has several names
    "the class next to it": (lambda p: p.coarse(target=p.target + 1), "another class"),
    "the second class": (lambda p: p.coarse(target=_second(p)), "another class"),
    "no ReLU": (lambda p: p.coarse(relu=False), ("no ReLU", "no mistake")),     # C4's mistake, or Captum's way
    "absolute value": (lambda p: np.abs(p.coarse(relu=False)), "absolute"),
    "the loss": (lambda p: p.coarse(score=lambda logits, c: F.cross_entropy(logits, torch.tensor([c]))), "loss"),
    "the probability": (lambda p: p.coarse(score=lambda logits, c: logits.softmax(dim=1)[0, c]), "probability"),
    "the sum of all logits": (lambda p: p.coarse(score=lambda logits, c: logits.sum()), "sum of all logits"),
    "an earlier stage": (lambda p: p.coarse(layer=p.model.layers[p.model.layers.index(p.layer) - 1]), "another layer"),
    "BGR": (lambda p: p.coarse(image=p.image.flip(1)), "red and blue"),
    "a mirrored photo": (lambda p: p.coarse(image=p.image.flip(-1)), "mirrored"),
    "not normalised": (lambda p: p.coarse(image=_pixels(p)), "not normalised"),
    "transposed": (lambda p: p.coarse().T.copy(), "transposed"),
}


def unrelated(place, random):
    """(name, map) of maps that the network did not make."""
    H, W = place.size
    y, x = np.mgrid[:H, :W]
    yield "noise", random.rand(H, W)
    for cells in (3, 5, 7, 14):
        few = random.rand(cells, cells)
        yield f"smooth noise of {cells} cells", cv2.resize(few, (W, H), interpolation=cv2.INTER_CUBIC)
    yield "a centre blob", np.exp(-((y - H / 2) ** 2 + (x - W / 2) ** 2) / (0.08 * H * W))
    yield "edges", np.abs(ndimage.sobel(place.image[0].mean(dim=0).detach().numpy()))
    other = minixai.build(place.model.name)
    yield "another network", Place("", other, place.image, place.target, place.layer).coarse()
    yield "another photo", place.coarse(image=torch.roll(place.image, (H // 3, W // 4), (2, 3)).flip(2))


def libraries(place):
    """(name, map, method) of the installed libraries."""
    import pytorch_grad_cam
    from captum.attr import LayerAttribution, LayerGradCam
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
    module = place.model.get_submodule(place.layer)
    for name, method in (("GradCAM", "gradcam"), ("GradCAMPlusPlus", "gradcampp"), ("HiResCAM", "hirescam"),
                         ("XGradCAM", "xgradcam"), ("LayerCAM", "layercam"), ("EigenCAM", "eigencam")):
        cam = getattr(pytorch_grad_cam, name)(model=place.model, target_layers=[module])
        yield f"pytorch-grad-cam {name}", cam(place.image, [ClassifierOutputTarget(place.target)])[0], method
    coarse = LayerGradCam(place.model, module).attribute(place.image, place.target, relu_attributions=True).detach()
    yield "Captum LayerGradCam", LayerAttribution.interpolate(coarse, place.size, "bilinear")[0, 0].numpy(), "gradcam"
    import torchcam.methods
    for name, method in (("GradCAM", "gradcam"), ("LayerCAM", "layercam"), ("XGradCAM", "xgradcam")):
        with getattr(torchcam.methods, name)(place.model, target_layer=place.layer) as cam:
            yield f"torch-cam {name}", cam(place.target, place.model(place.image))[0][0].detach().numpy(), method


def cases(place, random):
    """(name, map, method, the truth): "right", words of the cause, or None where nothing made it."""
    for name, values, method in libraries(place):
        yield name, values, method, "right"
    right = place.coarse()
    for name, finish in FINISHES.items():
        yield f"right, {name}", finish(right, place.size), "gradcam", "right"
    for wrong, (how, words) in WRONG.items():
        coarse = how(place)
        if coarse.shape == right.shape and np.allclose(coarse, right, rtol=1e-4, atol=1e-6 * np.abs(right).max()):
            continue        # on this network and photo it is no mistake: without negative values |x| is x
        for name in A_FEW:
            yield f"{wrong}, {name}", FINISHES[name](coarse, place.size), "gradcam", words
    for name, values in unrelated(place, random):
        yield name, np.float32(values), "gradcam", None


def judged(verdict, truth):
    """"true", "unhelpful" or "false"."""
    if not verdict.explained:
        return "true" if truth is None else "unhelpful"
    if truth == "right":        # the finish may be called a mistake of M1 or M2, such as "M2: inverted"
        only_finish = all(mistake.stage in ("M1", "M2") for mistake, _ in verdict.findings[0].mistakes)
        return "true" if only_finish else "false"
    words = (truth,) if isinstance(truth, str) else truth or ()
    named = any(word in str(finding) for word in words for finding in verdict.findings)
    return "true" if named else "false"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="cases with this word in their name")
    parser.add_argument("--places", type=int, default=10)
    options = parser.parse_args()
    table, seconds = Counter(), []
    for place in list(places())[:options.places]:
        for name, values, method, truth in cases(place, np.random.RandomState(0)):
            if options.only not in name or values.max() == values.min():
                continue
            start = time.perf_counter()
            theirs = np.ascontiguousarray(values)
            verdict = minixai.verify(theirs, place.model, place.image, method, place.target, place.layer)
            seconds.append(time.perf_counter() - start)
            result = judged(verdict, truth)
            table[truth if truth in ("right", None) else "cause", result] += 1
            if result != "true":
                print(f"{result:10s}{place.name}: {name}\n    {verdict!r}", flush=True)
    for kind in ("right", "cause", None):
        counts = "  ".join(f"{how} {table[kind, how]}" for how in ("true", "unhelpful", "false"))
        print(f"{kind or 'unrelated':12s}{counts}")
    print(f"median {np.median(seconds):.1f} s, longest {max(seconds):.1f} s")
    sys.exit(any(how == "false" for (_, how), count in table.items() if count))


if __name__ == "__main__":
    main()
