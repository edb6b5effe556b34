"""The command line that train_scenes_cnn.py and train_scenes_vit.py share: train, write, test, and note the result."""
import argparse
import hashlib
import inspect
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from minixai.networks.registry import PACKAGED, build, cache_folder
from minixai.networks.state_dict import load_into
from weights_scripts import muon, scene_data, scene_training
from weights_scripts.scene_data import Bank, cached, draw_bank, normalised, test_scenes
from weights_scripts.scene_scores import README, Localisation, Row, accuracy, baselines, localisations, note
from weights_scripts.scene_training import Recipe, Training, train
from weights_scripts.state_file import in_half, write

TESTS = {"fair": (None, 2000), "matched": ("home", 1000), "swapped": ("away", 1000)}     # background, scenes
LOCALISED = 400                                                                          # of the fair ones


def main(module: str, about: str, fair: Recipe, biased: Recipe) -> None:
    """Train one network. module: name of the script; about: its docstring; fair, biased: its two recipes."""
    options = read_options(module, about)
    recipe = biased if options.biased else fair
    recipe = replace(recipe, passes=options.passes or recipe.passes)
    torch.set_num_threads(options.threads)
    file = options.out or PACKAGED / f"{name_of(recipe)}.pt"
    scratch = options.scratch / drawing()
    training = Training(recipe, stored_bank(scratch), options.seed, pick_device(options.device))
    train(training, checkpoint_of(training, scratch), look=held_out(scratch))
    write(in_half(training.averaged().cpu().state_dict()), file)
    report(module, file, training, scratch, options.note)


def drawing() -> str:
    """A name for the present version of the drawings, so that stored pictures of another version are not used."""
    images, _, masks = test_scenes(20)
    return short_hash(images.numpy().tobytes(), masks.numpy().tobytes(), inspect.getsource(scene_data).encode())


def short_hash(*parts: bytes) -> str:
    """8 hexadecimal digits."""
    return hashlib.sha256(b"".join(parts)).hexdigest()[:8]


def name_of(recipe: Recipe) -> str:
    """The name of the trained network, such as small_cnn_biased."""
    return recipe.network + "_biased" * (recipe.bias > 0)


def checkpoint_of(training: Training, scratch: Path) -> Path:
    """The path of a run's checkpoint. It depends on the code, so a run never goes on from another recipe's one."""
    recipe = training.recipe
    code = [inspect.getsource(module) for module in (inspect.getmodule(recipe.logits), muon, scene_training)]
    recipe = short_hash(str(recipe.passes).encode(), *(text.encode() for text in code))
    return scratch / f"{name_of(training.recipe)}-seed{training.seed}-{recipe}.checkpoint"


def stored_bank(scratch: Path) -> Bank:
    """The bank of cut-outs and backgrounds, which is drawn if it is not stored yet."""
    def drawn():
        print("drawing animals and backgrounds for the training pictures: a few minutes, once", file=sys.stderr)
        return draw_bank()
    return Bank(*cached(scratch / "bank.pt", drawn))


def stored_scenes(scratch: Path, kind: str) -> tuple[Tensor, Tensor, Tensor]:
    """(normalised images, labels, masks) of one of the TESTS, which are drawn if they are not stored yet."""
    background, count = TESTS[kind]
    images, labels, masks = cached(scratch / f"{kind}.pt", lambda: test_scenes(count, background=background))
    return normalised(images), labels, masks


def held_out(scratch: Path) -> Callable[[nn.Module], float]:
    """A function from a model to its accuracy on 300 fair test scenes. It is printed, and decides nothing."""
    images, labels, _ = stored_scenes(scratch, "fair")
    return lambda model: accuracy(model, images[:300], labels[:300])


def report(module: str, file: Path, training: Training, scratch: Path, noted: bool) -> None:
    """Test the written file, print the results and, if `noted`, write them into the table of README.md."""
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


def row_of(module: str, file: Path, training: Training, right: dict[str, float],
           looks: dict[str, Localisation]) -> Row:
    """The table's row for a written file."""
    data, name = file.read_bytes(), name_of(training.recipe)
    shipped = file.parent == PACKAGED
    command = (f"python -m weights_scripts.{module}" + " --biased" * name.endswith("_biased")
               + f" --seed {training.seed}" * (training.seed > 0) + f" --out {file.name}" * (not shipped))
    return Row(f"`weights/{name}.pt`" if shipped else name, training.seed, f"`{command}`",
               training.passes, f"{training.seconds / 60:.1f}", f"{len(data) / 1e6:.2f} MB",
               f"`{hashlib.sha256(data).hexdigest()}`" if shipped else "not shipped",
               *(f"{right[kind]:.1%}" for kind in TESTS), "; ".join(f"{way} {score}" for way, score in looks.items()))


def pick_device(name: str) -> str:
    """"auto" -> "cuda" if there is one, else "cpu"; other names stay."""
    return ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name


def read_options(module: str, about: str) -> argparse.Namespace:
    """The options of the command line."""
    command = f"python -m weights_scripts.{module}"
    parser = argparse.ArgumentParser(prog=command, description=about, epilog=f"example: {command} --seed 1 --out x.pt",
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--biased", action="store_true",
                        help="train the biased twin: 96.25%% of its animals are at home")
    parser.add_argument("--seed", type=int, default=0, help="seed of all random numbers (default 0)")
    parser.add_argument("--out", type=Path, help="file to write (default: the one in minixai/weights)")
    parser.add_argument("--passes", type=int, help="number of training pictures (default: see the script); "
                                                   "curriculum and learning rate are stretched to it")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default auto: cuda if there is one)")
    parser.add_argument("--threads", type=int, default=1, help="other numbers round differently (default 1)")
    parser.add_argument("--scratch", type=Path, default=cache_folder() / "scene_training",
                        help="folder for drawn pictures and checkpoints; a killed run goes on from there")
    parser.add_argument("--note", action=argparse.BooleanOptionalAction, default=True,
                        help="write the results into the table of weights_scripts/README.md")
    return parser.parse_args()
