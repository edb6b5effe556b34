"""python -m weights_scripts.imagenet_classes: write the names of the 1000 ImageNet classes, one a line. Takes seconds.

They are a list in a source file of the torchvision package. The file is read, not run, and nothing is installed.
"""
import ast
from pathlib import Path

from weights_scripts.packages import files_from, sha256_of

PACKAGE = "torchvision==0.29.1"
SOURCE = {"torchvision/models/_meta.py": "7eaa5e401b1ff441186e602943c4342cac8cf7f505c238ab7882399b00dbc096"}
LIST = "_IMAGENET_CATEGORIES"
FILE = Path(__file__).parents[1] / "minixai" / "weights" / "imagenet_classes.txt"


def main() -> None:
    """Write minixai/weights/imagenet_classes.txt."""
    (source,) = files_from(PACKAGE, SOURCE)
    lines = "".join(name + "\n" for name in list_in(source.decode(), LIST)).encode()
    FILE.write_bytes(lines)
    print(f"wrote {FILE}, {len(lines.splitlines())} names, sha256 {sha256_of(lines)}")


def list_in(source: str, name: str) -> list:
    """The literal list that Python source code assigns to a name. ValueError if there is none."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == name:
            return ast.literal_eval(node.value)
    raise ValueError(f"no list {name} in this source")


if __name__ == "__main__":
    main()
