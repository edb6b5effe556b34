"""Other libraries' ViT weights under our names: pure functions from state dict to state dict.

Only names and layouts differ, never numbers, with one exception: a library adds a learned position to CLS
(and to registers) in every forward pass; here that sum is done once, for it is one constant plus another.
Whether the result fits a network is said, tensor by tensor, by `misfits` and `load_into` of minixai/weights.py.
"""
import math

import torch

TIMM = {
    "patch_embed.proj.": "patches.",
    ".attn.qkv.": ".attention.qkv.",
    ".attn.proj.": ".attention.out.",
    ".mlp.fc1.": ".mlp.0.",
    ".mlp.fc2.": ".mlp.2.",
    ".ls1.gamma": ".scale1.factor",
    ".ls2.gamma": ".scale2.factor",
}
TRANSFORMERS = {
    "embeddings.patch_embeddings.projection.": "patches.",
    "encoder.layer.": "blocks.",
    "layernorm.": "norm.",
    ".attention.output.dense.": ".attention.out.",      # as in published files, and in transformers before 5
    ".attention.o_proj.": ".attention.out.",            # as in transformers 5
    ".mlp.fc1.": ".mlp.0.",
    ".mlp.fc2.": ".mlp.2.",
    ".layer_scale1.lambda1": ".scale1.factor",
    ".layer_scale2.lambda1": ".scale2.factor",
}
QUERY_KEY_VALUE = (("attention.query", "attention.key", "attention.value"), ("q_proj", "k_proj", "v_proj"))


def from_timm_vit(state):
    """State dict of a timm VisionTransformer (ViT, DeiT, DINO; with or without registers) -> ours."""
    state = dict(state)
    tokens = [state.pop(name) for name in ("cls_token", "dist_token", "reg_token") if name in state]
    prefix, positions = _split_positions(torch.cat(tokens, dim=1)[0], state.pop("pos_embed")[0])
    renamed = {_rename(name, TIMM): value for name, value in state.items()}
    return {"prefix": prefix, "positions": positions, **renamed}


def from_transformers_dinov2(state):
    """State dict of a transformers Dinov2Model -> ours. Without the mask token, which only training uses."""
    state = {name: value for name, value in state.items() if name != "embeddings.mask_token"}
    cls = state.pop("embeddings.cls_token")[0]
    prefix, positions = _split_positions(cls, state.pop("embeddings.position_embeddings")[0])
    renamed = {_rename(name, TRANSFORMERS): value for name, value in _join_qkv(state).items()}
    return {"prefix": prefix, "positions": positions, **renamed}


def _rename(name, table):
    for theirs, ours in table.items():
        name = name.replace(theirs, ours)
    return name


def _split_positions(tokens, positions):
    """Tokens (P,D), positions (P+N,D) or (N,D) with N a square -> prefix (P,D), positions (D,side,side)."""
    patches = positions if math.isqrt(len(positions)) ** 2 == len(positions) else positions[len(tokens):]
    side = math.isqrt(len(patches))
    if side * side != len(patches):
        raise ValueError(f"{len(positions)} positions, {len(tokens)} of them a prefix: no square is left")
    own = positions[:len(positions) - len(patches)]
    prefix = tokens + own if len(own) else tokens
    return prefix, patches.T.reshape(-1, side, side)


def _join_qkv(state):
    """Three (D,D) layers called query, key and value -> one (3D,D) layer called qkv, in this order."""
    joined = {}
    for name, value in state.items():
        parts = next((parts for parts in QUERY_KEY_VALUE if any(f".{part}." in name for part in parts)), None)
        if parts is None:
            joined[name] = value
        elif f".{parts[0]}." in name:
            names = [name.replace(parts[0], part) for part in parts]
            joined[name.replace(parts[0], "qkv")] = torch.cat([state[each] for each in names])
    return joined
