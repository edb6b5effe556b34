"""What pytorch-grad-cam's GradCAM and show_cam_on_image give, for minixai/compat.py: writes compat.npz.

    python -m tests.reference.record_compat

The networks and pictures are made without any library, so that a test can make them again.
"""
from importlib.metadata import version

import numpy as np
import torch

from tests.reference.networks import Twice, seeded, small
from tests.reference.seeded import FOLDER, seeded_image

PACKAGES = ("grad-cam", "opencv-python-headless", "torch", "numpy")


def cases():
    """{name: (network, its target layers, images, classes or None)}

    In double precision: in single, luck decides on which side of a ReLU's kink some values lie.
    """
    plain, twice = small().double(), seeded(Twice()).double()
    image = seeded_image(3, 3, 40, 56).double()
    return {"last": (plain, [plain.stage4], image, None), "class": (plain, [plain.stage3], image, [2, 0, 4]),
            "layers": (plain, [plain.stage2, plain.stage4], image, [2, 0, 4]),
            "overwritten": (twice, [twice.block2.bn2], image, [1, 3, 0]),
            "runs twice": (twice, [twice.block2.relu], image, [1, 3, 0])}


def picture():
    """rgb (H,W,3) float32 in [0,1], mask (H,W) float32 with every one of the 256 colours."""
    rgb = np.random.RandomState(1).random_sample((12, 30, 3)).astype(np.float32)
    mask = np.linspace(0, 1, 360, dtype=np.float32).reshape(12, 30)
    return 0.8 * rgb, mask


OVERLAYS = {"rgb": dict(use_rgb=True), "bgr": {}, "light": dict(use_rgb=True, image_weight=0.25)}


def main():
    import cv2
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.image import show_cam_on_image
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
    torch.set_num_threads(1)
    record = {"versions": np.array([f"{package} {version(package)}" for package in PACKAGES])}
    for name, (model, layers, image, classes) in cases().items():
        targets = classes and [ClassifierOutputTarget(index) for index in classes]
        with GradCAM(model=model, target_layers=layers) as cam:
            record[f"cam {name}"] = cam(input_tensor=image, targets=targets)
    for name, options in OVERLAYS.items():
        record[f"overlay {name}"] = show_cam_on_image(*picture(), **options)
    record["jet"] = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_JET)[:, 0, ::-1]
    path = FOLDER / "compat.npz"
    np.savez_compressed(path, **record)
    print(f"{path.name} {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
