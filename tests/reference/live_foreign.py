"""record_vit and record_cnn on other libraries' networks, live: the same numbers, and the network left as it was?

Run it where the libraries are installed (requirements.txt in this folder):

    python -m tests.reference.live_foreign

One line for each network. A ViT's attention and gradients are compared with what its library gives when it is asked to
show its attention, a CNN's Grad-CAM, before its ReLU, with Captum's. It exits 1 if a relative difference is above 1e-5
or a network is not as it was. Then come the networks that have no such attention, with the sentence that says so.
"""
import sys

import torch

from minixai import explain
from minixai.trace import record_vit
from tests.reference.foreign import foreign, hugging, own_means, seeded, timm_vit
from tests.reference.near import relative_difference
from tests.reference.seeded import seeded_image

LIMIT, TARGET = 1e-5, [1, 4]


def main():
    torch.set_num_threads(1)
    print(f"{'network':44s} {'attention':>10s} {'gradients':>10s} {'logits':>10s}  left as it was")
    good = [vit(case) for case in foreign()]
    print(f"\n{'network and layer':44s} {'Grad-CAM':>10s} {'':21s} left as it was")
    good += [cnn(*case) for case in cnns()]
    print()
    good += [refused(*case) for case in refusals()]
    return 0 if all(good) else 1


def vit(case):
    """Record the network as it is, in training mode and frozen, and compare; the logits with its own, unwatched."""
    _, attention, gradients = own_means(case, TARGET)
    with torch.no_grad():
        logits = features(case.model(case.image))
    case.model.train().requires_grad_(False)
    before = state(case.model)
    plain = record_vit(case.model, case.image)
    differences = [relative_difference(plain.attention, attention), None, relative_difference(plain.logits, logits)]
    if gradients is not None:
        trace = record_vit(case.model, case.image, TARGET, gradients=True)
        differences[1] = relative_difference(trace.attention_gradients, gradients)
    return line(case.name, differences, before == state(case.model))


def features(output):
    """Logits (B,C), or the CLS token (B,D) of a network without a head."""
    output = getattr(output, "logits", getattr(output, "last_hidden_state", output))
    return output[:, 0] if output.dim() == 3 else output


def cnn(name, model, layer, image, given=None, theirs=None):
    """given: the model as explain gets it, if wrapped. theirs: Captum's layer, if another has the same maps."""
    from captum.attr import LayerGradCam
    model.eval().requires_grad_(True)
    expected = LayerGradCam(model, model.get_submodule(theirs or layer)).attribute(image, target=TARGET).detach()
    model.train().requires_grad_(False)
    before = state(model)
    ours = explain(model if given is None else given, image, "gradcam", TARGET, layer)["C3"]
    return line(f"{name} {layer}", [relative_difference(ours, expected[:, 0])], before == state(model))


def line(name, differences, as_it_was):
    cells = "".join(f" {'-':>10s}" if difference is None else f" {difference:10.1e}" for difference in differences)
    print(f"{name:44s}{cells:33s}  {'yes' if as_it_was else 'NO'}")
    return as_it_was and all(difference is None or difference <= LIMIT for difference in differences)


def refused(name, model, image):
    try:
        record_vit(model.eval(), image)
    except (TypeError, ValueError) as sentence:
        print(f"{name}: {sentence}")
        return True
    print(f"{name}: NOT REFUSED")
    return False


def cnns():
    import timm
    import torchvision
    image = seeded_image(2, 3, 97, 130)
    resnet, densenet = torchvision.models.resnet18(num_classes=6), torchvision.models.densenet121(num_classes=6)
    efficientnet, convnext = (timm.create_model(name, num_classes=6) for name in ("efficientnet_b0", "convnext_atto"))
    for name, model, layers in [("torchvision resnet18", resnet, ("layer4", "layer4.1.relu", "layer4.1.bn2")),
                                ("torchvision densenet121", densenet, ("features", "features.norm5")),
                                ("timm efficientnet_b0", efficientnet, ("bn2",)),
                                ("timm convnext_atto", convnext, ("stages.3",))]:
        for layer in layers:
            yield name, seeded(model).double(), layer, image.double()
    yield "torch.compile(resnet18)", resnet, "layer4", image.double(), torch.compile(resnet)
    yield "DataParallel(resnet18)", resnet, "layer4", image.double(), torch.nn.DataParallel(resnet)
    swin = torchvision.models.SwinTransformer([4, 4], 16, [1, 1], [2, 2], [4, 4], num_classes=6)
    yield "torchvision Swin", seeded(swin).double(), "norm", image[..., :96, :128].double(), None, "permute"


def refusals():
    import timm
    import torchvision
    image, large = seeded_image(1, 3, 48, 48), seeded_image(1, 3, 64, 64)
    yield "torchvision Swin", torchvision.models.SwinTransformer([4, 4], 16, [1, 1], [2, 2], [4, 4]), large
    yield "timm Swin", timm.create_model("swin_tiny_patch4_window7_224", img_size=64, window_size=4, embed_dim=24,
                                         depths=(1, 1), num_heads=(2, 2)), large
    yield "timm CaiT", timm.create_model("cait_xxs24_224", img_size=48, depth=2, embed_dim=32, num_heads=2), image
    yield "timm ViT, mean of the patches", timm_vit(global_pool="avg"), image
    yield "timm ViT, no CLS", timm_vit(global_pool="avg", class_token=False), image
    yield "timm ViT, attention pooling", timm_vit(global_pool="map"), image
    yield "transformers BEiT", hugging("BeitForImageClassification", "sdpa"), image
    yield "torchvision resnet18", torchvision.models.resnet18(), image


def state(model):
    """All that a recording could disturb, as values that can be compared."""
    config = getattr(model, "config", None)
    return {"modes": [module.training for module in model.modules()],
            "hooks": [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()],
            "fused": [getattr(module, "fused_attn", None) for module in model.modules()],
            "config": config and (config._attn_implementation, getattr(config, "output_attentions", None)),
            "weights": [(weight.requires_grad, weight.grad, weight._version) for weight in model.parameters()]}


if __name__ == "__main__":
    sys.exit(main())
