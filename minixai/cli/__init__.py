"""What can be asked on the command line: minixai explain, verify, models, and the coursework's start, check, release,
grade. __main__.py says how a command ends.

    single.py   explain one image: every stage            question.py     the network and what is asked of it
    folder.py   explain many: batches, threads, a page    image_files.py  what is saved of each of many images
    verify.py   verify                                    record.py index_page.py quick_overlay.py pictures.py
"""
import argparse
import os
from pathlib import Path
from typing import NoReturn, TextIO

from minixai.course import command

EXAMPLES = """examples:
  minixai explain                                       the shipped examples, a CNN and a ViT
  minixai explain cat.jpg                               what the top class is seen by, stage by stage
  minixai explain cat.jpg --class tabby --layer stage5  another class, another layer
  minixai explain photos/ --out heatmaps                every image of a folder, and heatmaps/index.html of all
  minixai explain photos/ --out heatmaps --resume       go on where it was stopped
  minixai explain cat.jpg --model dinov2_small --method attention --head 5
"""
EXPLAIN = """Explain images; without any, the shipped ones.

One image: its stages are printed, and drawn in a picture beside the overlay.
Several images, or a folder: for each the overlay (.jpg, at most 1280 pixels a side) and a record (.npz: the heatmap,
the class, the logits, the options, the versions), and one page of all, index.html. A file that cannot be used stops
none of the others. Only one run at a time writes into DIR.
Exit code 0: all are explained; 1: some are; 2: none.
"""
VERIFY_EXAMPLES = """examples:
  minixai verify theirs.npy cat.jpg --class tabby                 Grad-CAM at the last layer of efficientnet_lite0
  minixai verify theirs.png cat.jpg --layer stage5 --class 281    8 bits are enough; of colours it can tell less
  minixai verify theirs.npy cat.jpg --method layercam
  minixai verify theirs.npy cat.jpg --model dinov2_small --method rollout
"""


class Parser(argparse.ArgumentParser):
    """A parser that raises its errors, so that they end as all others do. It lets the errors of print pass too."""

    def error(self, message: str) -> NoReturn:
        """Raise ValueError with argparse's own sentence."""
        raise ValueError(f"{message}; {self.prog} --help shows what there is")

    def print_help(self, file: TextIO | None = None) -> None:
        """The same text as argparse's."""
        print(self.format_help(), end="", file=file)


def parser() -> Parser:
    """The whole command line. What is parsed has `run`, the function that takes it and returns an exit code."""
    parser = Parser(prog="minixai", description="Grad-CAM and attention maps, stage by stage.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    raw = argparse.RawDescriptionHelpFormatter
    explain = commands.add_parser("explain", help="what in an image a network's answer rests on", epilog=EXAMPLES,
                                  formatter_class=raw, description=EXPLAIN)
    explain.set_defaults(run=_explain)
    explain.add_argument("images", nargs="*", type=Path, metavar="IMAGE", help="image files or folders of them")
    _add_question(explain)
    explain.add_argument("--out", type=Path, default=Path("minixai-out"), metavar="DIR", help="default: %(default)s")
    explain.add_argument("--mine", type=Path, action="append", metavar="FILE",
                         help="run your own stages, from an exercise's file; may be given more than once")
    explain.add_argument("--stages", action="store_true",
                         help="of several images: save a picture of the stages of each too (0.3 s an image)")
    explain.add_argument("--resume", action="store_true",
                         help="of several images: leave out those that DIR has already, made with the same options")
    verify = commands.add_parser("verify", help="is a heatmap from elsewhere right, and if not, what went wrong",
                                 formatter_class=raw, epilog=VERIFY_EXAMPLES,
                                 description="Compare a heatmap with what every known library and mistake would give.\n"
                                             "Exit code 0: it agrees; 1: it does not; 2: it could not be compared.")
    verify.set_defaults(run=_verify)
    verify.add_argument("map", type=Path, metavar="MAP",
                        help="the heatmap: .npy, .npz, .pt or .png, of the image's or the layer's size")
    verify.add_argument("image", type=Path, metavar="IMAGE", help="the photo that it explains")
    _add_question(verify)
    verify.add_argument("--out", type=Path, default=Path("minixai-out"), metavar="DIR", help="default: %(default)s")
    command.add_to(commands)
    models = commands.add_parser("models", help="the networks that can be loaded", formatter_class=raw,
                                 description="Each network: where its weights are, its input, its layers.",
                                 epilog="example:\n  minixai models")
    models.set_defaults(run=_models)
    return parser


def _add_question(parser):
    """What is asked of the network; the same options for both commands."""
    parser.add_argument("--model", help="a name from `minixai models` (default: efficientnet_lite0)")
    parser.add_argument("--weights", type=Path, metavar="FILE",
                        help="weights for --model, made by python -m weights_scripts.convert")
    parser.add_argument("--method", help="CNN: gradcam (default), hirescam, layercam, …; ViT: attention (default), "
                                         "rollout, chefer, …; an unknown name lists all")
    parser.add_argument("--class", dest="target", metavar="CLASS", help="index or name (default: the top class)")
    parser.add_argument("--layer", help="a CNN's stage or dotted module name, or a ViT's block number (default: last)")
    parser.add_argument("--head", type=int, help="one attention head (default: the mean of all)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto",
                        help="where to compute (default: CUDA if there is any)")


def _explain(options):
    if len(options.images) > 1 or options.images and os.path.isdir(options.images[0]):
        from minixai.cli.folder import explain_folder
        return explain_folder(options)
    from minixai.cli import single
    return single.explain_file(options) if options.images else single.explain_examples(options)


def _verify(options):
    from minixai.cli.verify import verify_file
    return verify_file(options)


def _models(options):
    from minixai.networks.registry import describe
    print(describe())
    return 0
