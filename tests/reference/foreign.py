"""Other libraries' ViTs, small and with seeded weights, and their attention in the graph by the library's own means."""
from typing import NamedTuple

import torch

from tests.reference.seeded import seeded_image, seeded_state
from tests.reference.vits import timm_attention, transformers_attention, transformers_logits

DEPTH, HEADS, WIDTH, CLASSES = 3, 4, 32, 6


class Foreign(NamedTuple):
    name: str
    model: torch.nn.Module      # as a user has it: fused attention, sdpa, need_weights=False
    eager: torch.nn.Module      # the same network as its library shows its attention
    attention_of: object        # (eager, image) -> logits (B,C), L attentions (B,M,T,T) in the graph
    image: torch.Tensor


def foreign():
    """Every ViT that record_vit is to read, one after another."""
    square, wide = seeded_image(2, 3, 48, 48), seeded_image(2, 3, 32, 64)
    for name, options, image in [
            ("timm", {"dynamic_img_size": True}, wide), ("timm, no qkv bias", {"qkv_bias": False}, square),
            ("timm, registers", {"reg_tokens": 2, "init_values": 0.5}, square),
            ("timm, no head", {"num_classes": 0}, square)]:
        yield Foreign(name, timm_vit(**options), timm_vit(**options), timm_attention, image)
    yield Foreign("timm, distilled DeiT", timm_deit(), timm_deit(), timm_attention, square)
    for name, kind, image in [("transformers ViT", "ViTForImageClassification", square),
                              ("transformers DeiT", "DeiTForImageClassification", square),
                              ("transformers DINOv2", "Dinov2ForImageClassification", wide),
                              ("transformers DINOv2, registers", "Dinov2WithRegistersForImageClassification", wide)]:
        yield Foreign(name, hugging(kind, "sdpa"), hugging(kind, "eager"), transformers_logits, image)
    for name, kind in [("transformers DINOv2, no head", "Dinov2Model"), ("transformers CLIP", "CLIPVisionModel")]:
        yield Foreign(name, hugging(kind, "sdpa"), hugging(kind, "eager"), transformers_attention, square)
    yield Foreign("torchvision", torchvision_vit(), torchvision_vit(), torchvision_head_by_head, square)


def timm_vit(**options):
    from timm.models.vision_transformer import VisionTransformer
    return seeded(VisionTransformer(**{**_timm(), **options}))


def timm_deit():
    from timm.models.deit import VisionTransformerDistilled
    return seeded(VisionTransformerDistilled(**_timm()))


def _timm():
    return dict(img_size=48, patch_size=8, embed_dim=WIDTH, depth=DEPTH, num_heads=HEADS, mlp_ratio=2,
                num_classes=CLASSES)


def hugging(kind, attention):
    """A transformers network; its kind is the name of its class."""
    import transformers
    configs = {"Dinov2Model": "Dinov2Config", "CLIPVisionModel": "CLIPVisionConfig"}
    config = getattr(transformers, configs.get(kind, kind.removesuffix("ForImageClassification") + "Config"))(
        hidden_size=WIDTH, num_hidden_layers=DEPTH, num_attention_heads=HEADS, intermediate_size=2 * WIDTH, mlp_ratio=2,
        image_size=48, patch_size=8, num_labels=CLASSES, layer_norm_eps=1e-6, attn_implementation=attention)
    return seeded(getattr(transformers, kind)(config))


def torchvision_vit():
    from torchvision.models import VisionTransformer
    return seeded(VisionTransformer(48, 8, DEPTH, HEADS, WIDTH, 2 * WIDTH, num_classes=CLASSES))


def seeded(model):
    model.load_state_dict(seeded_state({name: tuple(value.shape) for name, value in model.state_dict().items()}))
    return model.eval()


def torchvision_head_by_head(model, image):
    """Logits (B,C) and attentions, each head computed by itself, after the formula, in place of the module's forward.

    The weights that nn.MultiheadAttention itself returns are a copy on which nothing depends.
    """
    attentions = []

    def forward(module):
        def by_heads(query, key, value, need_weights):
            of_q, of_k, of_v = module.in_proj_weight.chunk(3)
            b_q, b_k, b_v = module.in_proj_bias.chunk(3)
            size = module.embed_dim // module.num_heads
            rows = [slice(start, start + size) for start in range(0, module.embed_dim, size)]
            heads = [torch.softmax((query @ of_q[r].T + b_q[r]) @ (key @ of_k[r].T + b_k[r]).transpose(1, 2)
                                   / size ** 0.5, dim=-1) for r in rows]
            attention = torch.stack(heads, dim=1)
            attentions.append(attention)
            parts = [attention[:, index] @ (value @ of_v[r].T + b_v[r]) for index, r in enumerate(rows)]
            return module.out_proj(torch.cat(parts, dim=-1)), None
        return by_heads

    for layer in model.encoder.layers:
        layer.self_attention.forward = forward(layer.self_attention)
    return model(image), attentions


def own_means(case, target):
    """Logits (B,C), attention and d logit of the target / d attention, each (B,L,M,T,T), by the library's own means.

    The gradients are None for a network without a class head.
    """
    logits, attentions = case.attention_of(case.eager, case.image)
    gradients = None
    if "no head" not in case.name and "CLIP" not in case.name:
        gradients = torch.stack(torch.autograd.grad(logits[range(len(logits)), target].sum(), attentions), dim=1)
    return logits.detach(), torch.stack(list(attentions), dim=1).detach(), gradients
