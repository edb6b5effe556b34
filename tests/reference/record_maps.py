"""What pytorch-grad-cam's GradCAM gives, on the libraries' networks and on ours, and vit-explain's attention rollout.

pytorch-grad-cam 1.5.7 is run as installed. vit-explain is no package; its rollout (vit_rollout.py of its repository,
mean of the heads, nothing discarded) is short and written down again here. Every other method and library is a case
(cases.py), on networks that need no library.
"""
import cv2
import numpy as np
import timm
import torch
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from timm.models.vision_transformer import VisionTransformer
from torchvision.models.resnet import BasicBlock, ResNet
from transformers import Dinov2Config, Dinov2Model

from minixai import load, open_image
from minixai.networks import zoo
from minixai.networks.cnn import small_cnn
from tests.reference.record_networks import narrow_vgg16, seeded
from tests.reference.seeded import CAT, LITE0_GAIN, pick, seeded_image, sha256, shape_table
from tests.reference.vits import timm_attention, transformers_attention

KEPT = 3000             # pixels of each heatmap, scattered; all of them where there are fewer


def cnns():
    """File name, network, {our stage name: the module that ends there}, images, a target for each."""
    resnet, vgg = seeded(ResNet(BasicBlock, [2, 2, 2, 2], 10)), seeded(narrow_vgg16())
    lite0 = seeded(timm.create_model("tf_efficientnet_lite0", num_classes=10), LITE0_GAIN)
    image, targets = seeded_image(2, 3, 97, 130), [5, 1]
    yield "torchvision_resnet18", resnet, named(resnet, "layer2", "layer3", "layer4"), image, targets
    yield "torchvision_vgg16", vgg, {"block5": vgg.features[29], "block3": vgg.features[15]}, image, targets
    yield "timm_efficientnet_lite0", lite0, {"features": lite0.bn2, "stage7": lite0.blocks[6],
                                             "stage4": lite0.blocks[3]}, image, targets
    small, narrow = seeded(small_cnn()), seeded(zoo.resnet18(classes=4, width=1 / 8))
    image, targets = seeded_image(3, 3, 40, 56), [0, 3, 2]         # nothing speaks for the third: PGC gives zeros
    yield "our_small_cnn", small, named(small, *small.layers), image, targets
    yield "our_resnet18", narrow, named(narrow, *narrow.layers), image, targets


def named(model, *layers):
    return {layer: getattr(model, layer) for layer in layers}


def record_gradcam(model, stages, image, targets):
    """For each stage the final map of GradCAM, for one target an image.

    In double precision. In single, rounding decides on which side of a ReLU's kink a few values lie, and with them
    their gradient: between two processors, or one thread and two, a map of a deep network then differs by up to 4e-2.
    """
    record = {"shapes": shape_table(model.state_dict()), "image": tuple(image.shape), "image_sha256": sha256(image),
              "targets": targets}
    for name, module in stages.items():
        with GradCAM(model.double(), [module]) as gradcam:
            heatmap = gradcam(image.double(), [ClassifierOutputTarget(target) for target in targets])
        record[f"heatmap {name}"] = pick(torch.from_numpy(heatmap), KEPT)
    return record


def real_photo():
    """GradCAM on our EfficientNet-Lite0 with its real weights and a real cat: 'Egyptian cat', then 'tiger cat'."""
    model = load("efficientnet_lite0")
    image = open_image(CAT, model).repeat(2, 1, 1, 1)
    record = record_gradcam(model, named(model, "features", "stage7", "stage5", "stage3"), image, [285, 282])
    return {**record, "image pixels": pick(image)}


def vits():
    """File name, library network with seeded weights, function image -> features, attentions, and an image."""
    vit = VisionTransformer(img_size=96, patch_size=8, embed_dim=96, depth=5, num_heads=4, mlp_ratio=2, num_classes=4)
    config = Dinov2Config(hidden_size=48, num_hidden_layers=6, num_attention_heads=3, image_size=140, patch_size=14,
                          attn_implementation="eager")
    yield "timm_small_vit", seeded(vit), timm_attention, seeded_image(1, 3, 96, 96)
    yield "transformers_tiny_dinov2", seeded(Dinov2Model(config)), transformers_attention, seeded_image(1, 3, 112, 112)


def record_rollout(model, attention_of, image):
    with torch.no_grad():
        _, attentions = attention_of(model, image)
    grids = {"rollout": vit_explain_rollout(attentions), "attention": cls_map(attentions[-1].mean(dim=1)),
             "attention head 1": cls_map(attentions[-1][:, 1])}
    heatmaps = {f"heatmap {name}": pick(torch.from_numpy(finish(grid, image)), KEPT) for name, grid in grids.items()}
    return {"shapes": shape_table(model.state_dict()), "image": tuple(image.shape), "image_sha256": sha256(image),
            "coarse rollout": grids["rollout"], **heatmaps}


def vit_explain_rollout(attentions):
    """vit-explain's rollout(attentions, discard_ratio=0, head_fusion="mean"), for one image."""
    result = torch.eye(attentions[0].size(-1))
    for attention in attentions:
        fused = attention.mean(axis=1)
        a = (fused + 1.0 * torch.eye(fused.size(-1))) / 2
        assert torch.allclose(a.sum(dim=-1), torch.ones(()))    # so the next line, which lacks keepdim, does nothing
        a = a / a.sum(dim=-1)
        result = torch.matmul(a, result)
    return cls_map(result)


def cls_map(matrix):
    """The row of CLS without its own column, as a square grid over its largest value, for one image."""
    mask = matrix[0, 0, 1:]
    side = int(mask.size(-1) ** 0.5)
    return (mask.reshape(side, side) / mask.max()).numpy()


def finish(grid, image):
    """vit-explain's resizing (cv2, linear), then min-max, which it leaves out."""
    full = cv2.resize(grid, (image.shape[-1], image.shape[-2]))
    return (full - full.min()) / np.ptp(full)


def records():
    """{file name: record} of every network."""
    gradcam = {name: record_gradcam(model, stages, image, targets) for name, model, stages, image, targets in cnns()}
    rollout = {name: record_rollout(model, attention_of, image) for name, model, attention_of, image in vits()}
    together = {**gradcam, "real_efficientnet_lite0": real_photo(), **rollout}
    return {f"maps_{name}": record for name, record in together.items()}
