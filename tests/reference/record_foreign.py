"""Attention and its gradients as timm, transformers and torchvision give them, for our ViT to reproduce: foreign.npz.

    python -m tests.reference.record_foreign
"""
from importlib.metadata import version

import numpy as np
import torch

from tests.reference.foreign import foreign, own_means
from tests.reference.seeded import FOLDER, pick, sha256, shape_table

PACKAGES = ("torch", "torchvision", "timm", "transformers", "numpy")
# Those that our ViT can be given the weights of: name -> how it differs from ours, and the function that converts.
OURS = {"timm": ({"antialias": True}, "from_timm_vit"),
        "timm, registers": ({"prefix_tokens": 3, "layer_scale": 1.0}, "from_timm_vit"),
        "transformers ViT": ({}, "from_transformers_vit"), "torchvision": ({}, "from_torchvision_vit")}
TARGET, KEPT = [1, 4], 1500


def main():
    torch.set_num_threads(1)
    record = {"versions": np.array([f"{package} {version(package)}" for package in PACKAGES])}
    for case in foreign():
        if case.name in OURS:
            logits, attention, gradients = own_means(case, TARGET)
            record |= {f"{case.name}: shapes": shape_table(case.model.state_dict()),
                       f"{case.name}: image": tuple(case.image.shape),
                       f"{case.name}: image_sha256": sha256(case.image), f"{case.name}: logits": logits.numpy(),
                       f"{case.name}: attention": pick(attention, KEPT),
                       f"{case.name}: gradients": pick(gradients, KEPT)}
    path = FOLDER / "foreign.npz"
    np.savez_compressed(path, **record)
    print(f"{path.name} {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
