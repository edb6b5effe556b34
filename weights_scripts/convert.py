"""python -m weights_scripts.convert NAME: convert other libraries' published weights for minixai.

    python -m weights_scripts.convert resnet50 --file resnet50-0676ba61.pth --out resnet50.pt
    python -m weights_scripts.convert dino_small8 --download --half
    >>> model = minixai.load("resnet50", file="resnet50.pt")

It prints both names of every tensor. No code in the file is run. If the library that the weights come from is
installed, its network and ours have to give the same logits, or nothing is written.
"""
import argparse
import sys
from pathlib import Path

import torch
from torch import Tensor, nn

from minixai.networks.registry import NETWORKS, build, load
from minixai.networks.state_dict import in_short, load_into, misfits
from weights_scripts.checkpoint_file import read_checkpoint, sha256_of_file
from weights_scripts.layouts import LAYOUTS, layout_of
from weights_scripts.moves import NO_PLACE, Move, state_of
from weights_scripts.published import PUBLISHED
from weights_scripts.source_network import difference, side_of
from weights_scripts.state_file import in_half, save

LIMIT = 1e-4                            # largest difference, as a share of the largest logit


@torch.no_grad()
def main(arguments: list[str] | None = None) -> None:
    """The command line. It exits with one line if something is wrong."""
    options = _parser().parse_args(arguments)
    try:
        convert(options.name, options.file or download(options.name), options.out or Path(f"{options.name}.pt"),
                half=options.half)
    except (ValueError, OSError) as error:
        sys.exit(f"convert: {error}")


def _parser():
    known = "\n".join(f"  {name:18s}{published.address}" for name, published in PUBLISHED.items())
    titles = "\n  ".join(layout.title for layout in LAYOUTS)
    parser = argparse.ArgumentParser(
        prog="python -m weights_scripts.convert", description=__doc__.partition("\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"layouts of --file:\n  {titles}\n\naddresses of --download:\n{known}")
    parser.add_argument("name", choices=NETWORKS, metavar="NAME", help="a network from `minixai models`")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--file", type=Path, help="a checkpoint of torch.save, or a .safetensors file")
    source.add_argument("--download", action="store_true", help="download the publisher's file into torch.hub's folder")
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: NAME.pt")
    parser.add_argument("--half", action="store_true", help="write half precision: half the size, three digits")
    return parser


def download(name: str) -> Path:
    """The published file of a network, in torch.hub's folder. It is downloaded unless it is there. ValueError if that
    fails or no address is known."""
    if name not in PUBLISHED:
        raise ValueError(f"no address is known for {name}; there are addresses for {', '.join(PUBLISHED)}")
    published = PUBLISHED[name]
    path = Path(torch.hub.get_dir()) / "checkpoints" / published.file
    if not path.exists():
        print(f"fetching {published.address}")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(published.address, str(path), hash_prefix=published.sha256 or None)
        except (OSError, RuntimeError) as error:        # RuntimeError: its hash is another
            raise ValueError(f"could not fetch {published.address}: {error}") from None
    return path


def convert(name: str, path: Path, out: Path, half: bool = False) -> None:
    """Read, check, report, compare and write. ValueError or OSError, in one line, if something is wrong."""
    check_hash(name, path)
    theirs = read_checkpoint(path)
    layout = layout_of(theirs, path)
    print(f"{path}: {len(theirs)} tensors in the layout of {layout.title}")
    state = fitted(name, path, layout.moves(theirs))
    model = build(name)
    load_into(model, state)
    compare(model, theirs)
    save(in_half(state) if half else state, _not_over(path, out))
    prove(model, name, out)


def fitted(name: str, path: Path, moves: list[Move]) -> dict[str, Tensor]:
    """Report the moves and make our state dict of them. ValueError, in one line, if it does not fit the network."""
    with torch.device("meta"):              # names and shapes without numbers, which saves seconds
        model = NETWORKS[name].network()
    state = {move.ours: move.tensor for move in moves if move.ours}
    report(moves, model, state)
    if lines := misfits(state, model) + [f"not ours  {move.theirs}" for move in moves if move.note == NO_PLACE]:
        raise ValueError(f"{path} does not fit {name}: {in_short(lines)}{what_fits(state)}")
    return state_of(moves)


def _not_over(path, out):
    if out.exists() and out.samefile(path):
        raise ValueError(f"{out} is the file that is read; name another one with --out")
    return out


def check_hash(name: str, path: Path) -> None:
    """Print a file's sha256, and whether it is a published one.

    ValueError if the file has the name of a published file and another hash, or if it is the published file of another
    network. Another network may have the same shapes and need another preprocessing.
    """
    found = sha256_of_file(path)
    print(f"{path}: sha256 {found}")
    hashed = {each: published for each, published in PUBLISHED.items() if published.sha256}
    owner = next((each for each, published in hashed.items() if found.startswith(published.sha256)), None)
    if owner:
        print(f"this is the recorded sha256 of {PUBLISHED[owner].address}")
        if owner != name:
            raise ValueError(f"{path} is the published file of {owner}, not of {name}")
    elif expected := [each.sha256 for each in hashed.values() if each.file == Path(path).name]:
        raise ValueError(f"{path} is damaged, or another file under that name: its sha256 should begin with "
                         f"{expected[0]}")
    else:
        print("note: no hash is recorded for this file, so it is not known whether it is the publisher's; keep its "
              "sha256", file=sys.stderr)


def report(moves: list[Move], model: nn.Module, state: dict[str, Tensor]) -> None:
    """Print both names and the shape of each tensor, and which tensors are left out, missing, or of another shape."""
    ours = model.state_dict()
    for move in moves:
        shape = tuple(move.tensor.shape)
        if move.ours is None:
            print(f"  {move.theirs:52} {'NOT OURS' if move.note == NO_PLACE else 'left out'}: {move.note} {shape}")
            continue
        wanted = tuple(ours[move.ours].shape) if move.ours in ours else None
        wrong = "" if shape == wanted else f" OTHER SHAPE, ours is {wanted}" if wanted is not None else " NOT OURS"
        print(f"  {move.theirs:52} -> {move.ours:32} {shape}{wrong} {move.note}".rstrip())
    for name, value in ours.items():
        if name not in state:
            print(f"  {'MISSING':52} -> {name:32} {tuple(value.shape)}")


def what_fits(state: dict[str, Tensor]) -> str:
    """The end of a sentence with the names of the networks that a state dict fits, or ""."""
    with torch.device("meta"):
        names = [name for name, entry in NETWORKS.items() if not misfits(state, entry.network())]
    return f"; it fits {', '.join(names)}" if names else ""


def compare(model: nn.Module, theirs: dict[str, Tensor]) -> None:
    """Print how much our logits and those of the source library's network differ. ValueError if it is too much."""
    print("comparing logits with the source library's network, if it is installed", flush=True)
    library, result = difference(model, theirs)
    if isinstance(result, str):
        print(f"logits not compared with {library}: {result}")
        return
    print(f"the logits of {library} and ours differ by {result:.1e} of the largest logit")
    if not result <= LIMIT:
        raise ValueError(f"the network of {library} gives other logits with these weights, so nothing is written")


def prove(model: nn.Module, name: str, out: Path) -> None:
    """Load the written file, and print how much the logits differ from those before writing."""
    image = torch.randn(1, 3, side_of(model), side_of(model), generator=torch.Generator().manual_seed(0))
    before, after = model(image), load(name, file=out)(image)
    print(f"it loads: minixai.load({name!r}, file={str(out)!r}); its logits differ by "
          f"{(after - before).abs().max():.1e}, the largest is {before.abs().max():.3g}")


if __name__ == "__main__":
    main()
