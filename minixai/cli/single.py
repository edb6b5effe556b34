"""`minixai explain` for one image: print every stage, save the pictures."""
from argparse import Namespace

import torch
from PIL import Image

from minixai.attention import Attn
from minixai.cli.pictures import every_head, fitting, save
from minixai.cli.question import Question, model_and_method
from minixai.figures import on_photo
from minixai.files import shown
from minixai.images import PHOTOS, open_photo

EXAMPLES = (    # photo, model, method
    ("cat.png", "efficientnet_lite0", "gradcam"),
    ("scene.png", "small_vit", "attention"),
    ("scene.png", "small_vit", "rollout"),
)


def explain_examples(options: Namespace) -> int:
    """A shipped photo through the CNN and a shipped scene through the ViT, or those of them that were asked for.

    Returns the exit code. ValueError if there is no such example.
    """
    asked = [(photo, model, method) for photo, model, method in EXAMPLES
             if options.model in (None, model) and options.method in (None, method)]
    if not asked:
        asked = options.method if options.model is None else options.model
        raise ValueError(f"no shipped example for {asked!r}; name an image")
    for photo, model, method in asked:
        _explain(Question(options, model, method), PHOTOS / photo, options.out)
    return 0


def explain_file(options: Namespace) -> int:
    """The one image named. Returns the exit code; ImageError if the image cannot be read."""
    (path,) = options.images
    _explain(Question(options, *model_and_method(options)), path, options.out)
    return 0


def _explain(question, path, out):
    photo = open_photo(path)
    preprocess = question.model.preprocess
    result = question.explain(preprocess(photo))
    _print_stages(path, photo, result)
    name = f"{fitting(path.stem)}_{question.model.name}_{question.method}"
    overlaid = Image.fromarray(on_photo(photo, result.heatmap[0], preprocess))
    saved = [save(out / f"{name}_stages.png", result.figure().savefig, format="png"),
             save(out / f"{name}_overlay.png", overlaid.save, format="png")]
    if isinstance(result.recipe, Attn):
        saved.append(save(out / f"{name}_heads.png", every_head(result).savefig, format="png"))
    print("\n".join(f"  saved {shown(path)}" for path in saved), end="\n\n")


def _print_stages(path, photo, result):
    H, W = result.model.preprocess.size
    print(f"{shown(path)}: {photo.width}x{photo.height} pixels, seen by {result.model.name} at {W}x{H}")
    for line in _top_classes(result.trace.logits[0], result.model.labels):
        print(f"  {line}")
    print(f"  {result.title()}")
    for step in result.steps:
        values = step.value if isinstance(step.value, tuple) else (step.value,)
        print(f"    {step.id}  {step.title:34s}" + ", ".join(_shape_and_range(value[0]) for value in values))
    print(f"    M3  {'overlay':34s}({H},{W},3)")
    if why := result.why_empty[0]:
        print(f"  the heatmap is empty: {why}")


def _top_classes(logits, labels):
    if not labels:
        return ["this network has no class head; its attention knows no class"]
    probability, classes = logits.softmax(dim=-1).topk(min(5, len(logits)))
    return [f"{p:.3f}  {index:3d} {labels[index]}" for p, index in zip(probability.tolist(), classes.tolist())]


def _shape_and_range(value: torch.Tensor):
    shape = ",".join(str(size) for size in value.shape)
    return f"({shape}) {value.min():.3g} to {value.max():.3g}"
