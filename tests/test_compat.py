"""minixai.compat: the article's code runs with only its imports changed, and gives what pytorch-grad-cam gives."""
import re

import numpy as np
import pytest
import torch

from minixai import build, explain
from minixai.compat import (
    ClassifierOutputTarget,
    GradCAM,
    get_last_attention_from_model,
    jet_of_opencv,
    show_cam_on_image,
)
from tests.reference import record_compat
from tests.reference.near import DOUBLE, relative_difference
from tests.reference.networks import small
from tests.reference.seeded import recorded, seeded_image

THE_ARTICLE_ON_CNNS = """
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.image import show_cam_on_image

# model and target_layer are defined elsewhere
cam = GradCAM(model=model, target_layers=[target_layer])
grayscale_cam = cam(input_tensor=image_tensor, targets=None)

# Overlay the heatmap on the original image
visualization = show_cam_on_image(rgb_image, grayscale_cam[0,:], use_rgb=True)
"""

THE_ARTICLE_ON_VITS = """
# Assume a helper function gets the attention from the last layer
attention_scores = get_last_attention_from_model(vit_model, image_tensor)

# Get attention from the [CLS] token and average across heads
cls_attention = attention_scores[0, :, 0, 1:].mean(dim=0)
heatmap = cls_attention.reshape(14, 14) # Reshape to patch grid

# Now, resize and plot the heatmap over the image
plt.imshow(heatmap.cpu().numpy(), cmap='jet', alpha=0.5)
"""


@pytest.fixture(scope="module")
def record():
    return recorded("compat")


@pytest.mark.parametrize("name", record_compat.cases())
def test_a_heatmap_is_what_pytorch_grad_cam_gives(name, record):
    model, layers, image, classes = record_compat.cases()[name]
    targets = classes and [ClassifierOutputTarget(index) for index in classes]
    heatmap = GradCAM(model=model, target_layers=layers)(input_tensor=image, targets=targets)
    assert heatmap.dtype == np.float32 and heatmap.shape == (3, 40, 56)
    assert relative_difference(heatmap, record[f"cam {name}"]) <= DOUBLE
    assert heatmap.max() > 0.9      # the record is not empty


@pytest.mark.parametrize("name", record_compat.OVERLAYS)
def test_an_overlay_is_what_pytorch_grad_cam_draws(name, record):
    ours = show_cam_on_image(*record_compat.picture(), **record_compat.OVERLAYS[name])
    assert ours.dtype == np.uint8 and np.array_equal(ours, record[f"overlay {name}"])


def test_the_colours_are_those_of_opencv_and_not_those_of_matplotlib(record):
    assert np.array_equal(jet_of_opencv(), record["jet"])
    from matplotlib import colormaps
    others = (255 * colormaps["jet"](np.arange(256))[:, :3]).astype(int)
    assert np.abs(others - jet_of_opencv()).max() == 33


def test_the_documented_formula_is_not_what_is_drawn():
    rgb, mask = record_compat.picture()
    documented = np.uint8(255 * (0.5 * rgb + 0.5 * jet_of_opencv()[np.uint8(255 * mask)] / 255))
    drawn = show_cam_on_image(rgb, mask, use_rgb=True)
    assert drawn.max() == 255 and drawn.astype(int).sum() > documented.astype(int).sum()


def test_the_articles_code_on_cnns_runs_with_its_imports_changed():
    code = re.sub(r"from pytorch_grad_cam\S* ", "from minixai.compat ", THE_ARTICLE_ON_CNNS)
    model, image = small(), seeded_image(1, 3, 48, 64)
    names = {"model": model, "target_layer": model.stage4, "image_tensor": image,
             "rgb_image": record_compat.picture()[0].repeat(4, axis=0)[:, :1].repeat(64, axis=1)}
    exec(code, names)
    expected = explain(model, image, "gradcam", layer="stage4").heatmap
    torch.testing.assert_close(torch.from_numpy(names["grayscale_cam"]), expected, rtol=0, atol=1e-5)
    assert names["visualization"].shape == (48, 64, 3) and names["visualization"].dtype == np.uint8


def test_the_articles_code_on_vits_runs_with_its_helper_imported():
    import matplotlib.pyplot as plt
    torch.manual_seed(0)
    model, image = build("small_vit"), seeded_image(2, 3, 112, 112)
    names = {"vit_model": model, "image_tensor": image, "plt": plt}
    exec("from minixai.compat import get_last_attention_from_model\n" + THE_ARTICLE_ON_VITS, names)
    plt.close("all")
    assert names["attention_scores"].shape == (2, 4, 1 + 14 * 14, 1 + 14 * 14)
    torch.testing.assert_close(names["heatmap"], explain(model, image, "attention")["A5"][0])


def test_the_attention_comes_from_the_last_layer():
    model, image = build("small_vit"), seeded_image(1, 3, 32, 48)
    with torch.no_grad():
        _, attentions = model.forward_with_attention(image)
    assert torch.equal(get_last_attention_from_model(model, image), attentions[-1])


def test_a_with_statement_and_a_dotted_name_do_as_well():
    model, image = small(), seeded_image(2, 3, 48, 64)
    with GradCAM(model=model, target_layers=["stage4"]) as cam:
        assert np.array_equal(cam(image), GradCAM(model, [model.stage4])(image))
    with pytest.raises(IndexError), GradCAM(model, [model.stage4]):
        raise IndexError


def test_the_model_is_left_in_training_and_without_gradients():
    model = small().train()
    GradCAM(model, [model.stage4])(seeded_image(2, 3, 48, 64))
    assert all(module.training for module in model.modules())
    assert all(weight.grad is None for weight in model.parameters())


class BinaryClassifierOutputTarget:
    category = 1


@pytest.mark.parametrize("call, kind, message", [
    (lambda cam, image: cam(image, [ClassifierOutputTarget(1)]), ValueError, r"2 image\(s\) need 2 targets, got 1"),
    (lambda cam, image: cam(image, [ClassifierOutputTarget(5)] * 2), ValueError, "classes 0 to 4"),
    (lambda cam, image: cam(image, [BinaryClassifierOutputTarget()] * 2), TypeError, "for a BinaryClassifierOutputT"),
    (lambda cam, image: cam(image, [1, 2]), TypeError, "a target is a ClassifierOutputTarget, .* for a int"),
    (lambda cam, image: cam(image, eigen_smooth=True), ValueError, "not done here"),
    (lambda cam, image: GradCAM(cam.model, cam.target_layers, reshape_transform=len), ValueError, "leave reshape_tr"),
    (lambda cam, image: GradCAM(cam.model, []), ValueError, "a list of modules"),
    (lambda cam, image: GradCAM(cam.model, cam.model.stage4), ValueError, "a list of modules"),
    (lambda cam, image: show_cam_on_image(np.full((4, 5, 3), 2.0), np.zeros((4, 5))), ValueError, "floats in"),
    (lambda cam, image: show_cam_on_image(np.ones((4, 5, 3), np.uint8), np.zeros((4, 5))), ValueError, "floats in"),
    (lambda cam, image: show_cam_on_image(np.ones((4, 5, 3)), np.zeros((5, 4))), ValueError, "as large as img"),
    (lambda cam, image: show_cam_on_image(np.ones((4, 5, 3)), np.ones((4, 5)), colormap=4), ValueError, "only OpenCV"),
    (lambda cam, image: show_cam_on_image(np.ones((4, 5, 3)), np.ones((4, 5)), image_weight=2), ValueError, "image_we"),
], ids=range(13))
def test_what_is_not_done_is_refused(call, kind, message):
    model = small()
    with pytest.raises(kind, match=message):
        call(GradCAM(model, [model.stage4]), seeded_image(2, 3, 48, 64))
