"""What three libraries give for the cat of lesson 03, with the network and the weights that ship with minixai.

    python -m tests.reference.record_lesson_maps        (needs tests/reference/requirements.txt)

Each library is used as its own documentation shows, in single precision. The arrays go to lessons/recorded/, so that
the lesson can be read where only minixai is installed.
"""
from pathlib import Path

import numpy as np
import torch
from captum.attr import LayerGradCam
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.image import show_cam_on_image
from pytorch_grad_cam.utils.model_targets import ClassifierOutputSoftmaxTarget, ClassifierOutputTarget
from torchcam.methods import GradCAM as TorchCam

from minixai import load, open_image
from minixai.images import PHOTOS

FILE = Path(__file__).parents[2] / "lessons" / "recorded" / "three_libraries_cat.npz"
CAT, CAR = 285, 817
EVERY = np.s_[::8, ::8]         # of maps that are only compared, not shown


def pytorch_grad_cam(model, image, rgb):
    two = torch.cat([image, open_image(PHOTOS / "coffee.png", model)])
    with GradCAM(model=model, target_layers=[model.features]) as cam:
        grayscale_cam = cam(input_tensor=image, targets=None)
        yield "pgc", grayscale_cam[0]
        yield "pgc overlay", show_cam_on_image(rgb / np.float32(255), grayscale_cam[0, :], use_rgb=True)[::2, ::2]
        yield "pgc softmax", cam(image, [ClassifierOutputSoftmaxTarget(CAT)])[0][EVERY]
        yield "pgc car", cam(image, [ClassifierOutputTarget(CAR)])[0][EVERY]
        yield "pgc two", cam(two, None)[(slice(None), *EVERY)]
        yield "pgc two, one target", cam(two, [ClassifierOutputTarget(CAT)])[(slice(None), *EVERY)]


def captum(model, image):
    yield "captum car", LayerGradCam(model, model.features).attribute(image, target=CAR)[0, 0].detach().numpy()


def torchcam(model, image):
    with TorchCam(model, "features") as extractor:
        scores = model(image)
        yield "torchcam car", extractor(CAR, scores)[0][0].numpy()


def main():
    torch.set_num_threads(1)
    model = load("efficientnet_lite0")
    image = open_image(PHOTOS / "cat.png", model)
    rgb = model.preprocess.undo(image)[0]
    arrays = dict(pytorch_grad_cam(model, image, rgb)) | dict(captum(model, image)) | dict(torchcam(model, image))
    FILE.parent.mkdir(exist_ok=True)
    np.savez_compressed(FILE, **arrays)
    for name, array in arrays.items():
        print(f"{name:24s}{array.shape} {array.dtype} {array.min():.3g} to {array.max():.3g}")
    print(FILE, FILE.stat().st_size)


if __name__ == "__main__":
    main()
