"""The command line: minixai explain, minixai models."""
import argparse
import os
import sys
import warnings
from pathlib import Path

EXAMPLES = """examples:
  minixai explain                                       the shipped examples, a CNN and a ViT
  minixai explain cat.jpg                               what the top class is seen by, stage by stage
  minixai explain cat.jpg --class tabby --layer stage5  another class, another layer
  minixai explain photos/ --out heatmaps                every image of a folder
  minixai explain cat.jpg --model dinov2_small --method attention --head 5
"""


def main(arguments=None):
    """Run one command; returns the exit code: 0 done, 1 some images could not be used, 2 nothing could be done,
    130 or 141 stopped from outside."""
    options = _parser().parse_args(arguments)
    warnings.showwarning = lambda message, *_: print(f"note: {message}", file=sys.stderr)
    try:
        return options.run(options)
    except BrokenPipeError:         # whoever reads us, `head` say, has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())      # or Python complains again at its end
        return 141                  # what a shell reports of a program that a closed pipe ended; it did not finish
    except (ValueError, TypeError, OSError) as error:       # ours say in one line what is wrong, and ImageError is one
        print(f"minixai: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("minixai: stopped", file=sys.stderr)
        return 130


def _parser():
    parser = argparse.ArgumentParser(prog="minixai", description="Grad-CAM and attention maps, stage by stage.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    raw = argparse.RawDescriptionHelpFormatter
    explain = commands.add_parser("explain", help="what in an image a network's answer rests on", epilog=EXAMPLES,
                                  formatter_class=raw, description="Explain images; without any, the shipped ones.")
    explain.set_defaults(run=_explain)
    explain.add_argument("images", nargs="*", type=Path, metavar="IMAGE", help="image files or folders of them")
    explain.add_argument("--model", help="a name from `minixai models` (default: efficientnet_lite0)")
    explain.add_argument("--method", help="CNN: gradcam (default), hirescam, layercam, …; ViT: attention (default), "
                                                  "rollout, chefer, …; an unknown name lists all")
    explain.add_argument("--class", dest="target", metavar="CLASS", help="index or name (default: the top class)")
    explain.add_argument("--layer", help="a CNN's stage or dotted module name, or a ViT's block number (default: last)")
    explain.add_argument("--head", type=int, help="one attention head (default: the mean of all)")
    explain.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    explain.add_argument("--out", type=Path, default=Path("minixai-out"), metavar="DIR", help="default: %(default)s")
    models = commands.add_parser("models", help="the networks that can be loaded", formatter_class=raw,
                                 description="Each network: where its weights are, its input, its layers.",
                                 epilog="example:\n  minixai models")
    models.set_defaults(run=_models)
    return parser


def _explain(options):
    from minixai import session
    if not options.images:
        return session.explain_examples(options)
    return session.explain_files(options)


def _models(options):
    from minixai.weights import describe
    print(describe())
    return 0


if __name__ == "__main__":
    sys.exit(main())
