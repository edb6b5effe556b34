"""Convert other libraries' ViT weights: functions from state dict to state dict, or to a list of moves.

Names and layouts change, and numbers with one exception do not: libraries add a learned position to CLS (and to
registers) in every forward pass; here the sum of these two constants is stored. `misfits` and `load_into` in
minixai/networks/state_dict.py say whether the result fits a network.
"""
import math

import torch
from torch import Tensor

from weights_scripts.moves import ONLY_TRAINING, Move, renamed, state_of

TIMM = (
    (r"patch_embed\.proj", r"patches"),
    (r"blocks\.(\d+)\.norm(\d)", r"blocks.\1.norm\2"),
    (r"blocks\.(\d+)\.attn\.qkv", r"blocks.\1.attention.qkv"),
    (r"blocks\.(\d+)\.attn\.proj", r"blocks.\1.attention.out"),
    (r"blocks\.(\d+)\.mlp\.fc1", r"blocks.\1.mlp.0"),
    (r"blocks\.(\d+)\.mlp\.fc2", r"blocks.\1.mlp.2"),
    (r"blocks\.(\d+)\.ls(\d)\.gamma", r"blocks.\1.scale\2.factor"),
    (r"norm", r"norm"),
    (r"head", r"head"),
)
TORCHVISION = (
    (r"conv_proj", r"patches"),
    (r"encoder\.layers\.encoder_layer_(\d+)\.ln_(\d)", r"blocks.\1.norm\2"),
    (r"encoder\.layers\.encoder_layer_(\d+)\.self_attention\.in_proj_(weight|bias)", r"blocks.\1.attention.qkv.\2"),
    (r"encoder\.layers\.encoder_layer_(\d+)\.self_attention\.out_proj", r"blocks.\1.attention.out"),
    (r"encoder\.layers\.encoder_layer_(\d+)\.mlp\.(?:0|linear_1)", r"blocks.\1.mlp.0"),     # linear_1: as in the files
    (r"encoder\.layers\.encoder_layer_(\d+)\.mlp\.(?:3|linear_2)", r"blocks.\1.mlp.2"),
    (r"encoder\.ln", r"norm"),
    (r"heads\.head", r"head"),
)
LAYER = r"(?:encoder\.)?layers?\.(\d+)"             # encoder.layer.0 in published files, layers.0 in transformers 5
TRANSFORMERS = (
    (r"embeddings\.patch_embeddings\.projection", r"patches"),
    (LAYER + r"\.(?:norm1|layernorm_before)", r"blocks.\1.norm1"),
    (LAYER + r"\.(?:norm2|layernorm_after)", r"blocks.\1.norm2"),
    (LAYER + r"\.attention\.(?:attention\.)?qkv", r"blocks.\1.attention.qkv"),
    (LAYER + r"\.attention\.(?:output\.dense|o_proj)", r"blocks.\1.attention.out"),
    (LAYER + r"\.(?:mlp\.fc1|intermediate\.dense)", r"blocks.\1.mlp.0"),
    (LAYER + r"\.(?:mlp\.fc2|output\.dense)", r"blocks.\1.mlp.2"),
    (LAYER + r"\.layer_scale(\d)\.lambda1", r"blocks.\1.scale\2.factor"),
    (r"layernorm", r"norm"),
    (r"classifier", r"head"),
)
QUERY_KEY_VALUE = (("attention.query", "attention.key", "attention.value"), ("q_proj", "k_proj", "v_proj"))
POOLER = "its output is not used"


def timm_vit(state: dict[str, Tensor]) -> list[Move]:
    """State dict of a timm VisionTransformer, or of the publishers' DeiT, DINO and DINOv2 -> moves to our ViT.

    Registers are taken along. A distilled DeiT is refused with a ValueError.
    """
    state = dict(state)
    _refuse_distilled("dist_token" in state)
    tokens = _tokens(state, "cls_token", ("reg_token", "register_tokens"), "pos_embed")
    return tokens + renamed(state, TIMM, {"mask_token": ONLY_TRAINING})


def torchvision_vit(state: dict[str, Tensor]) -> list[Move]:
    """State dict of a torchvision VisionTransformer -> moves to our ViT."""
    state = dict(state)
    return _tokens(state, "class_token", (), "encoder.pos_embedding") + renamed(state, TORCHVISION)


def transformers_vit(state: dict[str, Tensor]) -> list[Move]:
    """State dict of transformers' ViT, DINO or DINOv2 (with or without registers) -> moves to our ViT."""
    state = {name.removeprefix("vit."): value for name, value in state.items()}
    _refuse_distilled(any(name.endswith("distillation_token") for name in state))
    tokens = _tokens(state, "embeddings.cls_token", ("embeddings.register_tokens",), "embeddings.position_embeddings")
    left_out = {"embeddings.mask_token": ONLY_TRAINING, "pooler.dense.weight": POOLER, "pooler.dense.bias": POOLER}
    joined, made_of = _join_qkv(state)
    moves = renamed(joined, TRANSFORMERS, left_out)
    return tokens + [move._replace(theirs=made_of.get(move.theirs, move.theirs)) for move in moves]


def from_timm_vit(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """State dict of a timm VisionTransformer (ViT, DeiT, DINO, DINOv2; with or without registers) -> ours."""
    return state_of(timm_vit(state))


def from_torchvision_vit(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """State dict of a torchvision VisionTransformer -> ours."""
    return state_of(torchvision_vit(state))


def from_transformers_vit(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """State dict of transformers' ViT or DINO -> ours. The pooler is left out."""
    return state_of(transformers_vit(state))


def from_transformers_dinov2(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """State dict of a transformers Dinov2Model -> ours. The mask token is left out."""
    return state_of(transformers_vit(state))


def _refuse_distilled(is_distilled):
    if is_distilled:
        raise ValueError("a distilled DeiT has a second head, which reads a distillation token; our ViT has one head, "
                         "which reads CLS: take the DeiT without distillation")


def _tokens(state, cls, registers, positions):
    """Take the tokens and positions out of a state dict, and return the moves to our prefix and positions."""
    if missing := [name for name in (cls, positions) if name not in state]:
        raise ValueError(f"no {' and no '.join(missing)}: this ViT has no CLS token or learns no positions")
    names = [cls, *(name for name in registers if name in state)]
    tokens, places = torch.cat([state.pop(name) for name in names], dim=1)[0], state.pop(positions)[0]
    prefix, patches = _split_positions(tokens, places)
    own = len(places) - patches[0].numel()
    made_of = f"{' and '.join(names)}" + (f" + {positions}[:{own}]" if own else "")
    return [Move(made_of, "prefix", prefix), Move(f"{positions}[{own}:]", "positions", patches)]


def _split_positions(tokens, positions):
    """Tokens (P,D), positions (n+N,D) with N a square -> prefix (P,D), positions (D,side,side).

    n is P if every prefix token has a position, 1 if only CLS has one (DINOv2 with registers), 0 if none has.
    """
    side = math.isqrt(len(positions))
    own = len(positions) - side * side
    if own not in (0, 1, len(tokens)):
        raise ValueError(f"{len(positions)} positions, {len(tokens)} of them a prefix: no square is left")
    prefix = torch.cat([tokens[:own] + positions[:own], tokens[own:]])
    return prefix, positions[own:].T.reshape(-1, side, side)


def _join_qkv(state):
    """Three (D,D) layers called query, key and value -> one (3D,D) layer called qkv, in this order.

    Returns the state dict, and {new name: the names that it was made of}.
    """
    joined, made_of = {}, {}
    for name, value in state.items():
        parts = next((parts for parts in QUERY_KEY_VALUE if any(f".{part}." in name for part in parts)), None)
        if parts is None:
            joined[name] = value
            continue
        here = next(part for part in parts if f".{part}." in name)
        names, qkv = [name.replace(here, part) for part in parts], name.replace(here, "qkv")
        if missing := [each for each in names if each not in state]:
            raise ValueError(f"no {missing[0]} beside {name}")
        if qkv not in joined:
            joined[qkv], made_of[qkv] = torch.cat([state[each] for each in names]), ", ".join(names)
    return joined, made_of
