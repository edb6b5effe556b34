"""minixai: Grad-CAM and attention maps from scratch, as readable numbered stages.

    import minixai
    model = minixai.load("efficientnet_lite0")
    result = minixai.explain(model, minixai.open_image("cat.jpg", model))
    result.figure().savefig("cat_explained.png")
"""
from minixai.explain import METHODS, Explanation, explain
from minixai.heatmap import overlay
from minixai.images import ImageError, open_image
from minixai.tensors import from_tensors
from minixai.verdict import Verdict
from minixai.verify import verify
from minixai.weights import build, load

__all__ = ["METHODS", "Explanation", "ImageError", "Verdict", "build", "explain", "from_tensors", "load", "open_image",
           "overlay", "verify"]
