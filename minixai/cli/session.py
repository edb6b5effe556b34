"""What `minixai explain` and `minixai verify` do: read files, run, print what was found, save the pictures."""
import os
import sys

import torch
from PIL import Image

from minixai.attention import Attn
from minixai.course.mine import with_mine
from minixai.explain import METHODS, explain, recipe_named
from minixai.figures import on_photo, side_by_side
from minixai.files import must_take_files, one_line, shown, why
from minixai.gradcam import Cam
from minixai.images import PHOTOS, ImageError, endings, open_photo
from minixai.networks.labels import find_class, is_integer
from minixai.networks.registry import load, weights_path
from minixai.trace import NO_CLASS
from minixai.verify import verify

VITS = ("vit", "deit", "dino")      # in the names of the networks whose default is their attention
EXAMPLES = (    # photo, model, method
    ("cat.png", "efficientnet_lite0", "gradcam"),
    ("scene.png", "small_vit", "attention"),
    ("scene.png", "small_vit", "rollout"),
)


def explain_examples(options):
    """A shipped photo through the CNN and a shipped scene through the ViT, or those of them that were asked for."""
    asked = [(photo, model, method) for photo, model, method in EXAMPLES
             if options.model in (None, model) and options.method in (None, method)]
    if not asked:
        asked = options.method if options.model is None else options.model
        raise ValueError(f"no shipped example for {asked!r}; name an image")
    for photo, model, method in asked:
        Session(options, model, method).explain(PHOTOS / photo, verbose=True)
    return 0


def explain_files(options):
    """Every image named, and every one in a folder named. One bad file among several does not stop the rest.
    Returns 0 if all were explained, 1 if some were, 2 if none."""
    paths, problems = _image_paths(options.images)
    for problem in problems:
        print(f"minixai: {problem}", file=sys.stderr)
    if not paths:
        return 2
    session = Session(options, *_model_and_method(options))
    if len(paths) == 1 and not problems:
        session.explain(paths[0], verbose=True)
        return 0
    explained = 0
    for number, path in enumerate(paths, start=1):
        print(f"\r{number}/{len(paths)} ", end="", file=sys.stderr, flush=True)
        try:
            session.explain(path, verbose=False)
            explained += 1
        except (BrokenPipeError, NotImplementedError):      # no fault of this file
            raise
        except (ValueError, OSError, MemoryError, RuntimeError) as error:
            print(f"minixai: {_of_file(path, error)}", file=sys.stderr)
    print(f"{explained} of {len(paths) + len(problems)} explained, pictures in {shown(options.out)}")
    return 0 if explained == len(paths) + len(problems) else 1 if explained else 2


def verify_file(options):
    """One heatmap from elsewhere and the photo that it explains: the verdict, and a picture of it."""
    from minixai.verification.saved_map import read_map  # late: the tree for students has no verification
    saved = read_map(options.map)
    session = Session(options, *_model_and_method(options))
    return session.verify(saved, options.map, options.image)


class Session:
    """A loaded model, a method and a folder for the pictures; nothing of an image stays after it is done."""

    def __init__(self, options, model, method):
        must_take_files(options.out)        # first: who waits for a map wants to keep it
        self.device = _device(options.device)
        self.model = load(model, options.weights).to(self.device)
        self.method, self.recipe, self.out, self.head = method, method, options.out, options.head
        if getattr(options, "mine", None):
            self.recipe, names = with_mine(METHODS[method], options.mine)
            self.method = f"{method}_mine"
            print(f"yours: {', '.join(names)}")
        self.layer = int(options.layer) if is_integer(options.layer or "") else options.layer
        self.target = None if options.target is None else find_class(options.target, self.model.labels)
        self.names = set()

    def explain(self, path, verbose):
        """One image: print it, save its two pictures."""
        photo = open_photo(path)
        image = self.model.preprocess(photo).to(self.device)
        result = explain(self.model, image, self.recipe, self.target, self.layer, self.head)
        stem = self._unused_name(f"{_fitting(path.stem)}_{self.model.name}_{self.method}")
        if verbose:
            self._print_stages(path, photo, result)
        else:
            print(f"{shown(path)}: {self._class_line(result)} -> {shown(stem)}_*.png")
        overlaid = Image.fromarray(on_photo(photo, result.heatmap[0], self.model.preprocess))
        saved = [_save(self.out / f"{stem}_stages.png", result.figure().savefig),
                 _save(self.out / f"{stem}_overlay.png", overlaid.save)]
        if isinstance(result.recipe, Attn):
            saved.append(_save(self.out / f"{stem}_heads.png", _every_head(result).savefig))
        if verbose:
            print("\n".join(f"  saved {shown(path)}" for path in saved), end="\n\n")

    def verify(self, saved, path, photo):
        """A SavedMap read from `path`, and the path of its photo. Returns 0 if the map agrees, 1 if not."""
        image = self.model.preprocess(open_photo(photo)).to(self.device)
        verdict = verify(saved, self.model, image, self.method, self.target, self.layer, self.head)
        print(verdict)
        picture = verdict.figure(self.model.preprocess.undo(image)[0])
        saved = _save(self.out / f"{_fitting(path.stem)}_verdict.png", picture.savefig)
        print(f"saved {shown(saved)}")
        return 0 if verdict.agrees else 1

    def _print_stages(self, path, photo, result):
        H, W = self.model.preprocess.size
        print(f"{shown(path)}: {photo.width}x{photo.height} pixels, seen by {self.model.name} at {W}x{H}")
        for line in self._top_classes(result.trace.logits[0]):
            print(f"  {line}")
        print(f"  {result.title()}")
        for step in result.steps:
            values = step.value if isinstance(step.value, tuple) else (step.value,)
            print(f"    {step.id}  {step.title:34s}" + ", ".join(_shape_and_range(value[0]) for value in values))
        print(f"    M3  {'overlay':34s}({H},{W},3)")
        if why := result.why_empty[0]:
            print(f"  the heatmap is empty: {why}")

    def _top_classes(self, logits):
        if not self.model.labels:
            return ["this network has no class head; its attention knows no class"]
        probability, classes = logits.softmax(dim=-1).topk(min(5, len(logits)))
        return [f"{p:.3f}  {index:3d} {self.model.labels[index]}" for p, index in
                zip(probability.tolist(), classes.tolist())]

    def _class_line(self, result):
        target = int(result.target[0])
        if target == NO_CLASS:
            return "no class"
        return f"{result.trace.logits[0].softmax(dim=-1)[target]:.3f} {target} {self.model.labels[target]}"

    def _unused_name(self, name):
        """Two folders may both hold a cat.jpg; neither picture may overwrite the other."""
        number, unused = 1, name
        while unused in self.names:
            number += 1
            unused = f"{name}-{number}"
        self.names.add(unused)
        return unused


def _every_head(result):
    heads = [head.heatmap[0] for head in result.heads()]
    names = [f"head {number}" for number in range(len(heads))]
    return side_by_side(result.rgb()[0], heads, names, f"{result.method} at block {result.layer}, every head")


def _model_and_method(options):
    """The two belong together: each has a default that follows from the other."""
    wants_vit = options.method is not None and not isinstance(recipe_named(options.method), Cam)
    if options.model is None and wants_vit and not weights_path("dinov2_small").exists():
        raise ValueError(f"{options.method} needs a ViT: --model small_vit for drawn scenes, or for photos "
                         "--model dinov2_small (in a checkout, python -m weights_scripts.dinov2_small fetches it)")
    if options.weights and options.model is None:
        raise ValueError("--weights needs --model, the name of the network that they are for")
    usual = "dinov2_small" if wants_vit else "efficientnet_lite0"
    model = usual if options.model is None else options.model
    return model, options.method or ("attention" if any(kind in model for kind in VITS) else "gradcam")


def _image_paths(paths):
    """(images, problems): the files named and those in folders named; a line for each folder that gives none."""
    images, problems = [], []
    for path in paths:
        try:
            images += _images_in(path) if os.path.isdir(path) else [path]
        except OSError as error:
            problems.append(str(one_line(path, error)))
        except ImageError as error:
            problems.append(str(error))
    return images, problems


def _images_in(folder):
    known = endings()
    if inside := sorted(file for file in folder.iterdir() if file.suffix.lower() in known):
        return inside
    raise ImageError(f"{shown(folder)}: no images in this folder")


def _of_file(path, error):
    """What went wrong with one file, in one line that begins with its name."""
    if isinstance(error, ImageError):
        return error
    return f"{shown(path)}: {'there is not enough memory' if isinstance(error, MemoryError) else why(error)}"


def _device(name):
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("no CUDA device on this machine; leave --device out to use what there is")
    return "cuda" if name != "cpu" and torch.cuda.is_available() else "cpu"


def _save(path, write):
    """Write a PNG; only a whole file ever has the final name. OSError, in one line with that name, if it cannot be."""
    unfinished = path.with_suffix(f".{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write(unfinished, format="png")
            os.replace(unfinished, path)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise one_line(path, error) from None
    return path


def _fitting(stem):
    """As much of a file's name as leaves room, in the 255 bytes of a name, for what is written behind it."""
    while len(os.fsencode(stem)) > 150:
        stem = stem[:-1]
    return stem


def _shape_and_range(value):
    shape = ",".join(str(size) for size in value.shape)
    return f"({shape}) {value.min():.3g} to {value.max():.3g}"
