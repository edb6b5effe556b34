"""A minixai ViT's weights in other libraries' networks, and the attention that these give when asked.

The way back from weights_scripts/convert_vit.py, for the cases, whose networks are made without any library.
"""
import re
import warnings

import torch

from tests.reference.vits import timm_attention

TO_TIMM = ((r"patches\.", "patch_embed.proj."), (r"attention\.qkv", "attn.qkv"), (r"attention\.out", "attn.proj"),
           (r"mlp\.0", "mlp.fc1"), (r"mlp\.2", "mlp.fc2"))
TO_VIT = ((r"patches\.", "embeddings.patch_embeddings.projection."), (r"blocks\.", "layers."),
          (r"norm1", "layernorm_before"), (r"norm2", "layernorm_after"), (r"^norm\.", "layernorm."),
          (r"attention\.out", "attention.o_proj"), (r"mlp\.0", "mlp.fc1"), (r"mlp\.2", "mlp.fc2"))
TO_DINOV2 = ((r"patches\.", "embeddings.patch_embeddings.projection."), (r"blocks\.", "encoder.layer."),
             (r"^norm\.", "layernorm."), (r"attention\.out", "attention.o_proj"), (r"mlp\.0", "mlp.fc1"),
             (r"mlp\.2", "mlp.fc2"))
TOKENS = ("prefix", "positions")


def in_timm(vit, image):
    """timm's VisionTransformer with the weights of our ViT, for images of this size, its fused attention off."""
    from timm.models.vision_transformer import VisionTransformer
    width, hidden = vit.prefix.shape[-1], vit.blocks[0].mlp[0].out_features
    model = VisionTransformer(
        img_size=tuple(image.shape[-2:]), patch_size=vit.patch_size, embed_dim=width, depth=len(vit.blocks),
        num_heads=vit.blocks[0].attention.heads, mlp_ratio=hidden / width, num_classes=vit.classes,
        reg_tokens=vit.prefix_tokens - 1, no_embed_class=True)      # our prefix holds its positions already
    state = _renamed(vit, TO_TIMM) | {"cls_token": vit.prefix[None, :1], "pos_embed": _places(vit, image)}
    if vit.prefix_tokens > 1:
        state["reg_token"] = vit.prefix[None, 1:]
    return _filled(model, state, image)


def in_transformers(vit, image):
    """transformers' ViTModel with the weights of our ViT or, for more prefix tokens than one, Dinov2WithRegisters."""
    import transformers
    width, hidden = vit.prefix.shape[-1], vit.blocks[0].mlp[0].out_features
    sizes = dict(hidden_size=width, num_hidden_layers=len(vit.blocks), patch_size=vit.patch_size, layer_norm_eps=1e-6,
                 num_attention_heads=vit.blocks[0].attention.heads, attn_implementation="eager")
    zero = torch.zeros_like(vit.prefix)[None, :1]                   # our prefix holds its positions already
    if vit.prefix_tokens == 1:
        config = transformers.ViTConfig(image_size=tuple(image.shape[-2:]), intermediate_size=hidden, **sizes)
        model, names, places = transformers.ViTModel(config, add_pooling_layer=False), TO_VIT, _places(vit, image)
    else:
        config = transformers.Dinov2WithRegistersConfig(
            image_size=vit.positions.shape[-1] * vit.patch_size, mlp_ratio=hidden // width,
            num_register_tokens=vit.prefix_tokens - 1, **sizes)
        model, names = transformers.Dinov2WithRegistersModel(config), TO_DINOV2
        places = vit.positions.flatten(1).T[None]                   # interpolated in its own pass
    state = {name: value for name, value in _split_qkv(_renamed(vit, names)).items() if not name.startswith("head")}
    state |= {"embeddings.cls_token": vit.prefix[None, :1],
              "embeddings.position_embeddings": torch.cat([zero, places], dim=1)}
    if vit.prefix_tokens > 1:
        state |= {"embeddings.register_tokens": vit.prefix[None, 1:], "embeddings.mask_token": zero[0]}
        state |= {name: torch.ones_like(value) for name, value in model.state_dict().items() if "lambda1" in name}
    return _filled(model, state, image)


def of_timm(vit, image, targets=None):
    """L attentions (B,M,T,T) of a timm network with our weights, and the gradients of the targets' logits by them."""
    model = in_timm(vit, image)
    logits, attentions = timm_attention(model, image)
    if targets is None:
        return [attention.detach() for attention in attentions], None
    gradients = torch.autograd.grad(logits[range(len(logits)), targets].sum(), attentions)
    return [attention.detach() for attention in attentions], list(gradients)


def of_transformers(vit, image):
    """L attentions (B,M,T,T) of a transformers network with our weights."""
    with torch.no_grad():
        return in_transformers(vit, image)(image, output_attentions=True).attentions


def as_hooked(vit, image, target):
    """What hooks on timm's attn_drop collect, as vit-explain sets them: attentions and 'gradients', two lists."""
    model, attentions, gradients = in_timm(vit, image), [], []
    for block in model.blocks:
        block.attn.fused_attn = False
        block.attn.attn_drop.register_forward_hook(lambda module, inputs, output: attentions.append(output.detach()))
        # Fault: this old kind of hook sits on whatever made the output. A dropout in eval mode makes nothing, so it
        # sits on the softmax, and grad_input is the gradient in front of that. It also fires from the last block on.
        block.attn.attn_drop.register_backward_hook(
            lambda module, grad_input, grad_output: gradients.append(grad_input[0]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")         # torch says that such hooks may give something else
        model(image)[:, target].sum().backward()
    return attentions, gradients


def _places(vit, image):
    """(1,gh·gw,D): the positions for this image's grid, in the order of its patches."""
    return vit._positions_for(vit.grid(image)).flatten(1).T[None]


def _renamed(vit, names):
    state = {}
    for name, value in vit.state_dict().items():
        for ours, theirs in names:
            name = re.sub(ours, theirs, name)
        state[name] = value
    return {name: value for name, value in state.items() if name not in TOKENS}


def _split_qkv(state):
    """One layer qkv -> three called q_proj, k_proj and v_proj."""
    split = {}
    for name, value in state.items():
        if ".qkv." not in name:
            split[name] = value
            continue
        split |= {name.replace("qkv", part): third for part, third in zip(("q_proj", "k_proj", "v_proj"),
                                                                         value.chunk(3))}
    return split


def _filled(model, state, image):
    model = model.eval().to(image.dtype)
    model.load_state_dict({name: value.detach() for name, value in state.items()})      # strict: nothing left over
    return model
