"""Records what the libraries give for the cases, so that tests can compare with it where they are not installed.

    python -m tests.reference.record_cases                      # all libraries: writes cases_<library>.npz
    python -m tests.reference.record_cases torchcam captum      # some
    python -m tests.reference.record_cases --check              # compares with what is written, writes nothing
"""
import argparse
import sys
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import torch

from tests.reference.cases import cases_of, difference, libraries, scattered, theirs
from tests.reference.near import DOUBLE
from tests.reference.seeded import FOLDER, recorded

PACKAGES = ("torch", "torchvision", "timm", "transformers", "grad-cam", "captum", "torchcam", "numpy", "scikit-learn",
            "opencv-python-headless")


def main():
    parser = argparse.ArgumentParser(description="Record the cases of installed libraries.")
    parser.add_argument("libraries", nargs="*", metavar="library", help=f"of {', '.join(libraries())}; default: all")
    parser.add_argument("--check", action="store_true", help="compare with the recorded files, write nothing")
    arguments = parser.parse_args()
    if unknown := set(arguments.libraries) - set(libraries()):
        parser.error(f"no cases of {', '.join(sorted(unknown))}; there are {', '.join(libraries())}")
    torch.set_num_threads(1)
    ok = True
    for library in arguments.libraries or libraries():
        path, record = FOLDER / f"cases_{library}.npz", record_of(library)
        if arguments.check:
            ok &= compare(path, record)
        else:
            np.savez_compressed(path, versions=versions(), **record)
            print(f"{path.name:36s} {len(record):4d} cases {path.stat().st_size / 1000:6.0f} kB", flush=True)
    return 0 if ok else 1


def record_of(library):
    """{case's name: (B,n) numbers of the library's map}."""
    return {case.name: scattered(theirs(case)) for case in cases_of(library)}


def versions():
    """'torch 2.14.1' for each package that is installed."""
    found = []
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return np.array(found)


def compare(path, record):
    """Print the largest difference between a recorded file and what the library gives now; false if it is too large."""
    known = recorded(path.stem)
    del known["versions"]
    if known.keys() != record.keys():
        print(f"{path.name:36s} {len(record.keys() ^ known.keys())} cases are only here or only there: record again")
        return False
    worst = max(((float(difference(record[name], known[name])), name) for name in known), default=(0.0, ""))
    print(f"{path.name:36s} {worst[0]:.1e}  {worst[1]}", flush=True)
    return worst[0] <= DOUBLE


if __name__ == "__main__":
    sys.exit(main())
