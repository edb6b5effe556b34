"""What the libraries' own networks give for seeded weights and images: a few numbers of every layer."""
import timm
import torch
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet
from torchvision.models.vgg import VGG, make_layers
from transformers import Dinov2Config, Dinov2Model

from tests.reference.seeded import LITE0_GAIN, norm_eps, pick, seeded_image, seeded_state, sha256, shape_table
from tests.reference.vits import timm_attention, transformers_attention

CNN_IMAGE = (2, 3, 97, 130)         # neither square nor even, so that padding and strides show
VGG16 = [8, 8, "M", 16, 16, "M", 32, 32, 32, "M", 64, 64, 64, "M", 64, 64, 64]


def cnns():
    """File name -> (library network with seeded weights, {our stage name: their module})."""
    resnet18, resnet50 = ResNet(BasicBlock, [2, 2, 2, 2], 10), ResNet(Bottleneck, [3, 4, 6, 3], 10)
    lite0, vgg = timm.create_model("tf_efficientnet_lite0", num_classes=10), narrow_vgg16()
    yield "torchvision_resnet18", seeded(resnet18), _resnet_stages(resnet18)
    yield "torchvision_resnet50", seeded(resnet50), _resnet_stages(resnet50)
    yield "torchvision_vgg16", seeded(vgg), {f"block{number}": vgg.features[place] for number, place in
                                             enumerate((3, 8, 15, 22, 29), start=1)}
    blocks = {f"stage{number}": stage for number, stage in enumerate(lite0.blocks, start=1)}
    yield "timm_efficientnet_lite0", seeded(lite0, LITE0_GAIN), {"stem": lite0.bn1, **blocks, "features": lite0.bn2}


def vits():
    """File name -> (library network with seeded weights, function image -> features, attentions, image shapes)."""
    deit = timm.create_model("deit_tiny_patch16_224", depth=4, num_classes=10, dynamic_img_size=True)
    small = timm.create_model("vit_small_patch16_224", depth=3, num_classes=10, dynamic_img_size=True)
    dinov2 = Dinov2Model(Dinov2Config(hidden_size=384, num_hidden_layers=3, num_attention_heads=6, image_size=518,
                                      patch_size=14, attn_implementation="eager"))
    yield "timm_deit_tiny", seeded(deit), timm_attention, [(1, 3, 224, 224), (2, 3, 96, 160)]
    yield "timm_vit_small", seeded(small), timm_attention, [(1, 3, 224, 224), (2, 3, 96, 160)]
    yield "transformers_dinov2_small", seeded(dinov2), transformers_attention, [(1, 3, 224, 224), (2, 3, 84, 140)]


def record_cnn(model, stages):
    """Logits on two images, and scattered numbers of what each stage returned."""
    record, image = described(model), seeded_image(*CNN_IMAGE)
    hooks = [module.register_forward_hook(lambda module, inputs, output, name=name:
                                          record.update({f"stage {name}": pick(output)}))
             for name, module in stages.items()]
    with torch.no_grad():
        record["logits"] = model(image).numpy()
    for hook in hooks:
        hook.remove()
    return record | {"image": CNN_IMAGE, "image_sha256": sha256(image)}


def record_vit(model, attention_of, image_shapes):
    """For a square image and one twice as wide or so: features, and of each layer's attention the CLS
    row of every head and scattered numbers."""
    record = described(model)
    for case, shape in zip(("square", "wide"), image_shapes, strict=True):
        image = seeded_image(*shape)
        with torch.no_grad():
            features, attentions = attention_of(model, image)
        record |= {f"image {case}": shape, f"image_sha256 {case}": sha256(image),
                   f"features {case}": features.numpy(),
                   f"cls rows {case}": torch.stack([A[:, :, 0] for A in attentions], dim=1).numpy()}
        record |= {f"attention {layer} {case}": pick(A) for layer, A in enumerate(attentions)}
    return record


def described(model):
    return {"shapes": shape_table(model.state_dict()), "norm eps": norm_eps(model)}


def narrow_vgg16():
    """torchvision's VGG16 with an eighth of its channels. Its head has fixed sizes, so it is made anew."""
    model = VGG(make_layers([*VGG16, "M"]), num_classes=10, init_weights=False)
    head = [nn.Linear(64 * 7 * 7, 512), nn.ReLU(True), nn.Dropout(), nn.Linear(512, 512), nn.ReLU(True), nn.Dropout(),
            nn.Linear(512, 10)]
    model.classifier = nn.Sequential(*head)
    return model


def seeded(model, gain=1.0):
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    model.load_state_dict(seeded_state(shapes, gain))
    return model.eval()


def _resnet_stages(model):
    return {"stem": model.maxpool, **{name: getattr(model, name) for name in ("layer1", "layer2", "layer3", "layer4")}}


def records():
    """{file name: record} of every network."""
    result = {f"network_{name}": record_cnn(model, stages) for name, model, stages in cnns()}
    return result | {f"network_{name}": record_vit(model, attention_of, shapes)
                     for name, model, attention_of, shapes in vits()}
