"""What the libraries' own networks give for seeded weights and images: a few numbers of every layer."""
import numpy as np
import timm
import torch
from safetensors.torch import save
from timm.models.vision_transformer import checkpoint_filter_fn
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet
from torchvision.models.vgg import VGG, make_layers
from torchvision.models.vision_transformer import VisionTransformer
from transformers import Dinov2Config, Dinov2Model, ViTConfig, ViTForImageClassification

from tests.reference.seeded import LITE0_GAIN, norm_eps, pick, seeded_image, seeded_state, sha256, shape_table
from tests.reference.vits import (
    timm_attention,
    torchvision_attention,
    transformers_attention,
    transformers_logits,
)

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
    yield "torchvision_vit", seeded(VisionTransformer(96, 16, 3, 3, 48, 192, num_classes=10)), torchvision_attention, [
        (2, 3, 96, 96)]


def published_vits():
    """As `vits`, with the shapes that publishers' files have, which are not those of the libraries' networks.

    DINO's and DINOv2's own networks are in no package. timm reads their files; what it makes of them is recorded.
    """
    sizes = dict(depth=2, embed_dim=48, num_heads=3, num_classes=0, dynamic_img_size=True)
    dino = timm.create_model("vit_small_patch8_224", img_size=56, **sizes)
    yield "timm_dino", *_through_timm(dino, dino_shapes(8, 7)), timm_attention, [(2, 3, 56, 56)]
    dinov2 = timm.create_model("vit_small_patch14_dinov2", img_size=98, **sizes)
    shapes = dino_shapes(14, 7) | {"mask_token": (1, 48)} | layer_scales()
    yield "timm_dinov2", *_through_timm(dinov2, shapes), timm_attention, [(2, 3, 98, 98)]
    registers = timm.create_model("vit_small_patch14_reg4_dinov2", img_size=98, **sizes)
    shapes |= {"register_tokens": (1, 4, 48)}
    yield "timm_dinov2_reg", *_through_timm(registers, shapes), timm_attention, [(2, 3, 98, 98), (2, 3, 70, 126)]
    # transformers wants 1e-12 in its norms where the networks that these files come from have 1e-6.
    config = ViTConfig(hidden_size=48, num_hidden_layers=2, num_attention_heads=3, intermediate_size=192, image_size=96,
                       num_labels=10, layer_norm_eps=1e-6, attn_implementation="eager")
    state = seeded_state(transformers_vit_shapes())
    vit = ViTForImageClassification.from_pretrained(None, config=config, state_dict=dict(state)).eval()
    yield "transformers_vit", vit, state, transformers_logits, [(2, 3, 96, 96)]


def dino_shapes(patch, side, D=48, depth=2):
    """{name: shape} of a file that DINO's authors publish."""
    shapes = {"cls_token": (1, 1, D), "pos_embed": (1, 1 + side * side, D),
              "patch_embed.proj.weight": (D, 3, patch, patch), "patch_embed.proj.bias": (D,),
              "norm.weight": (D,), "norm.bias": (D,)}
    linear = {"attn.qkv": (3 * D, D), "attn.proj": (D, D), "mlp.fc1": (4 * D, D), "mlp.fc2": (D, 4 * D)}
    for block in range(depth):
        shapes |= {f"blocks.{block}.{name}.weight": shape for name, shape in linear.items()}
        shapes |= {f"blocks.{block}.{name}.bias": shape[:1] for name, shape in linear.items()}
        shapes |= {f"blocks.{block}.norm{n}.{part}": (D,) for n in (1, 2) for part in ("weight", "bias")}
    return shapes


def layer_scales(D=48, depth=2):
    """What DINOv2's files have besides."""
    return {f"blocks.{block}.ls{number}.gamma": (D,) for block in range(depth) for number in (1, 2)}


def transformers_vit_shapes(D=48, depth=2, patch=16, side=6, classes=10):
    """{name: shape} of a file that transformers' ViT is published as: its network of today has other names."""
    shapes = {"vit.embeddings.cls_token": (1, 1, D), "vit.embeddings.position_embeddings": (1, 1 + side * side, D),
              "vit.embeddings.patch_embeddings.projection.weight": (D, 3, patch, patch),
              "vit.embeddings.patch_embeddings.projection.bias": (D,), "vit.layernorm.weight": (D,),
              "vit.layernorm.bias": (D,), "classifier.weight": (classes, D), "classifier.bias": (classes,)}
    linear = {f"attention.attention.{part}": (D, D) for part in ("query", "key", "value")} | {
        "attention.output.dense": (D, D), "intermediate.dense": (4 * D, D), "output.dense": (D, 4 * D)}
    for layer in (f"vit.encoder.layer.{number}" for number in range(depth)):
        shapes |= {f"{layer}.{name}.weight": shape for name, shape in linear.items()}
        shapes |= {f"{layer}.{name}.bias": shape[:1] for name, shape in linear.items()}
        shapes |= {f"{layer}.layernorm_{n}.{part}": (D,) for n in ("before", "after") for part in ("weight", "bias")}
    return shapes


def _through_timm(model, shapes):
    """timm's network with a publisher's state dict, and that state dict."""
    state = seeded_state(shapes)
    model.load_state_dict(checkpoint_filter_fn(dict(state), model))
    return model.eval(), state


def safetensors_file():
    """A file of the safetensors package with each kind of number that weights come in, and the same numbers."""
    random = torch.Generator().manual_seed(0)
    values = torch.randn(3, 5, generator=random)
    tensors = {"full": values, "half": values.half(), "brain": values.bfloat16(), "double": values.double(),
               "count": torch.tensor(7), "none": torch.zeros(0, 4), "bytes": torch.arange(3, dtype=torch.uint8)}
    data = np.frombuffer(save(tensors, {"format": "pt"}), np.uint8)
    return {"stored": data} | {name: value.double().numpy() for name, value in tensors.items()}


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


def record_vit(model, attention_of, image_shapes, state=None):
    """For a square image and, where the network takes one, a wide one: features, and of each layer's attention the CLS
    row of every head and scattered numbers."""
    record = described(model, state)
    for case, shape in zip(("square", "wide"), image_shapes):
        image = seeded_image(*shape)
        with torch.no_grad():
            features, attentions = attention_of(model, image)
        record |= {f"image {case}": shape, f"image_sha256 {case}": sha256(image),
                   f"features {case}": features.numpy(),
                   f"cls rows {case}": torch.stack([A[:, :, 0] for A in attentions], dim=1).numpy()}
        record |= {f"attention {layer} {case}": pick(A) for layer, A in enumerate(attentions)}
    return record


def described(model, state=None):
    return {"shapes": shape_table(state or model.state_dict()), "norm eps": norm_eps(model)}


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
    result |= {f"network_{name}": record_vit(model, attention_of, shapes)
               for name, model, attention_of, shapes in vits()}
    result |= {f"network_{name}": record_vit(model, attention_of, shapes, state)
               for name, model, state, attention_of, shapes in published_vits()}
    return result | {"file_safetensors": safetensors_file()}
