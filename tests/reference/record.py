"""Records what other libraries compute, so that tests can compare with it where they are not installed.

    pip install -r tests/reference/requirements.txt      # an environment of its own, please
    python -m tests.reference.record                     # writes tests/reference/*.npz
    python -m tests.reference.record --check             # compares with what is written, writes nothing
"""
import argparse
import sys
from importlib.metadata import version

import numpy as np
import torch

from tests.reference import record_maps, record_networks
from tests.reference.near import relative_difference
from tests.reference.seeded import FOLDER, recorded

PACKAGES = ("torch", "torchvision", "timm", "transformers", "grad-cam", "numpy")
LIMIT = 1e-5


def main():
    parser = argparse.ArgumentParser(description="Record reference arrays from the installed libraries.")
    parser.add_argument("--check", action="store_true", help="compare with the recorded files, write nothing")
    check = parser.parse_args().check
    torch.set_num_threads(1)
    versions = np.array([f"{package} {version(package)}" for package in PACKAGES])
    ok = True
    for name, record in {**record_networks.records(), **record_maps.records()}.items():
        path = FOLDER / f"{name}.npz"
        if check:
            ok &= compare(path, record)
        else:
            np.savez_compressed(path, versions=versions, **record)
            print(f"{path.name:44s} {path.stat().st_size / 1000:6.0f} kB")
    return 0 if ok else 1


def compare(path, record):
    """Print the largest relative difference between a recorded file and what the libraries give now."""
    known = recorded(path.stem)
    del known["versions"]
    arrays = [name for name, value in known.items() if value.dtype.kind == "f" and value.size]
    others_equal = known.keys() == record.keys() and all(
        np.array_equal(known[name], record[name]) for name in known if name not in arrays)
    worst = np.max([relative_difference(record[name], known[name]) for name in arrays])
    print(f"{path.name:44s} {worst:.1e}{'' if others_equal else '   shapes, targets or hashes differ'}")
    return others_equal and worst <= LIMIT


if __name__ == "__main__":
    sys.exit(main())
