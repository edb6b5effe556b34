"""minixai: Grad-CAM and attention maps from scratch, as readable numbered stages.

    import minixai
    model = minixai.load("efficientnet_lite0")
    result = minixai.explain(model, minixai.open_image("cat.jpg", model))
    result.figure().savefig("cat_explained.png")
"""
import sys
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

_WHERE = {      # a public name -> the module that it comes from
    "METHODS": "explain",
    "Explanation": "explain",
    "ImageError": "images",
    "Verdict": "verify",
    "build": "networks.registry",
    "explain": "explain",
    "from_tensors": "tensors",
    "load": "networks.registry",
    "open_image": "images",
    "overlay": "heatmap",
    "verify": "verify",
}
__all__ = list(_WHERE)


class _Package(ModuleType):
    """This package. A public name, or a module such as minixai.images, is imported when it is first used.

    torch takes seconds to import. The command answers --help and Ctrl-C without it.
    """

    def __getattr__(self, name):
        if name in _WHERE:
            value = getattr(import_module(f"minixai.{_WHERE[name]}"), name)
            setattr(self, name, value)
            return value
        if name.startswith("_") or find_spec(f"minixai.{name}") is None:
            raise AttributeError(f"module 'minixai' has no attribute {name!r}")
        return import_module(f"minixai.{name}")

    def __setattr__(self, name, value):
        # Python sets minixai.explain to the module of that name whenever it is imported. Here it is the function.
        if not (name in _WHERE and isinstance(value, ModuleType)):
            super().__setattr__(name, value)

    def __dir__(self):
        return [*super().__dir__(), *_WHERE]


sys.modules[__name__].__class__ = _Package
