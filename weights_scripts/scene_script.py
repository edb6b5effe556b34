"""The command line that train_scenes_cnn.py and train_scenes_vit.py share: train, write, test the file, note it."""
import argparse
import hashlib
import inspect
import sys
from dataclasses import replace
from pathlib import Path

import torch

from minixai.networks.registry import PACKAGED, build, cache_folder, load_into
from weights_scripts import muon, scene_data, scene_training
from weights_scripts.scene_data import Bank, cached, draw_bank, normalised, test_scenes
from weights_scripts.scene_scores import README, Row, accuracy, baselines, localisations, note
from weights_scripts.scene_training import Training, in_half, train, write

TESTS = {"fair": (None, 2000), "matched": ("home", 1000), "swapped": ("away", 1000)}     # background, scenes
LOCALISED = 400                                                                          # of the fair ones


def main(module, about, fair, biased):
    """Train one network as the command line says."""
    options = read_options(module, about)
    recipe = biased if options.biased else fair
    recipe = replace(recipe, passes=options.passes or recipe.passes)
    torch.set_num_threads(options.threads)
    file = options.out or PACKAGED / f"{name_of(recipe)}.pt"
    scratch = options.scratch / drawing()
    training = Training(recipe, stored_bank(scratch), options.seed, pick_device(options.device))
    train(training, checkpoint_of(training, scratch), look=held_out(scratch))
    write(in_half(training.averaged().state_dict()), file)
    report(module, file, training, scratch, options.note)


def drawing():
    """A name for how scenes are drawn now: what an earlier version of the drawing left behind must not be mixed in."""
    images, _, masks = test_scenes(20)
    return short_hash(images.numpy().tobytes(), masks.numpy().tobytes(), inspect.getsource(scene_data).encode())


def short_hash(*parts):
    return hashlib.sha256(b"".join(parts)).hexdigest()[:8]


def name_of(recipe):
    return recipe.network + "_biased" * (recipe.bias > 0)


def checkpoint_of(training, scratch):
    """Its name says of which recipe it is: a run never goes on from the checkpoint of another."""
    recipe = training.recipe
    code = [inspect.getsource(module) for module in (inspect.getmodule(recipe.logits), muon, scene_training)]
    recipe = short_hash(str(recipe.passes).encode(), *(text.encode() for text in code))
    return scratch / f"{name_of(training.recipe)}-seed{training.seed}-{recipe}.checkpoint"


def stored_bank(scratch):
    def drawn():
        print("drawing what the training pictures are made of: a few minutes, once", file=sys.stderr)
        return draw_bank()
    return Bank(*cached(scratch / "bank.pt", drawn))


def stored_scenes(scratch, kind):
    """(images normalised, labels, masks) of one of the TESTS."""
    background, count = TESTS[kind]
    images, labels, masks = cached(scratch / f"{kind}.pt", lambda: test_scenes(count, background=background))
    return normalised(images), labels, masks


def held_out(scratch):
    """What the progress line shows: model -> accuracy on a few of the fair test scenes. Nothing is chosen by it."""
    images, labels, _ = stored_scenes(scratch, "fair")
    return lambda model: accuracy(model, images[:300], labels[:300])


def report(module, file, training, scratch, noted):
    """Test the file as it was written, print what came out, and put it into the table of README.md."""
    model = build(training.recipe.network)
    load_into(model, torch.load(file, weights_only=True))
    right = {kind: accuracy(model, *stored_scenes(scratch, kind)[:2]) for kind in TESTS}
    images, labels, masks = (part[:LOCALISED] for part in stored_scenes(scratch, "fair"))
    looks = localisations(model, images, labels, masks)
    row = row_of(module, file, training, right, looks)
    for name, value in row._asdict().items():
        print(f"{name:14s}{value}")
    for way, score in {**baselines(masks), **looks}.items():
        print(f"{way:18s}energy / pointing {score}")
    if noted:
        note(README, row)


def row_of(module, file, training, right, looks):
    data, name = file.read_bytes(), name_of(training.recipe)
    shipped = file.parent == PACKAGED
    command = (f"python -m weights_scripts.{module}" + " --biased" * name.endswith("_biased")
               + f" --seed {training.seed}" * (training.seed > 0) + f" --out {file.name}" * (not shipped))
    return Row(f"`weights/{name}.pt`" if shipped else name, training.seed, f"`{command}`",
               training.passes, f"{training.seconds / 60:.1f}", f"{len(data) / 1e6:.2f} MB",
               f"`{hashlib.sha256(data).hexdigest()}`" if shipped else "not shipped",
               *(f"{right[kind]:.1%}" for kind in TESTS), "; ".join(f"{way} {score}" for way, score in looks.items()))


def pick_device(name):
    return ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name


def read_options(module, about):
    command = f"python -m weights_scripts.{module}"
    parser = argparse.ArgumentParser(prog=command, description=about, epilog=f"example: {command} --seed 1 --out x.pt",
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--biased", action="store_true", help="train the twin: 0.9625 of its animals are at home")
    parser.add_argument("--seed", type=int, default=0, help="of everything that is random (default 0)")
    parser.add_argument("--out", type=Path, help="file to write (default: the one in minixai/weights)")
    parser.add_argument("--passes", type=int, help="pictures to learn from (default: see the script); another number "
                                                   "is another run, curriculum and learning rate are stretched to it")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default auto: cuda if there is one)")
    parser.add_argument("--threads", type=int, default=1, help="other numbers round differently (default 1)")
    parser.add_argument("--scratch", type=Path, default=cache_folder() / "scene_training",
                        help="folder for what was drawn and for checkpoints, from which a killed run goes on by itself")
    parser.add_argument("--note", action=argparse.BooleanOptionalAction, default=True,
                        help="write the outcome into the table of weights_scripts/README.md")
    return parser.parse_args()
