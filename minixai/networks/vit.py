"""A Vision Transformer with its attention written out (Dosovitskiy et al. 2021; blocks after Vaswani et al. 2017).

    image ─ cut into patches ─ embed ─ put CLS in front ─ block 1 … block L ─ norm ─ CLS token ─ head ─► logits
                                                             └ softmax(q k^T) = A_1 … A_L, the attention ┘

The library call F.scaled_dot_product_attention is faster because it never builds A. This library is about A, so it is
built, used and returned. There is no second path for pictures that could drift from the first.

Letters: B images, M heads, D width, gh x gw patches, T = prefix tokens + gh·gw.
"""
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Attention(nn.Module):
    """Multi-head self-attention that also returns its attention matrices."""

    def __init__(self, width, heads):
        super().__init__()
        if width % heads:
            raise ValueError(f"{heads} heads do not divide a width of {width}")
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """tokens (B,T,D) -> new tokens (B,T,D), attention (B,M,T,T), whose rows sum to 1."""
        q, k, v = self.split(self.qkv(tokens))
        # Without the division by sqrt(D/M) the dot products grow with the width, and the softmax saturates.
        scores = (q / math.sqrt(q.shape[-1])) @ k.transpose(-2, -1)                      # (B,M,T,T)
        attention = scores.softmax(dim=-1)
        mixed = (attention @ v).transpose(1, 2).reshape(tokens.shape)                    # heads side by side again
        return self.out(mixed), attention

    def split(self, qkv: Tensor) -> Tensor:
        """(B,T,3D) -> queries, keys and values of every head, each (B,M,T,D/M)."""
        B, T, width = qkv.shape
        return qkv.reshape(B, T, 3, self.heads, width // (3 * self.heads)).permute(2, 0, 3, 1, 4)


class LayerScale(nn.Module):
    """A learned factor per channel, by which the output of a residual branch is multiplied (Touvron et al. 2021, CaiT,
    eq. 10)."""

    def __init__(self, width, start):
        super().__init__()
        self.factor = nn.Parameter(torch.full((width,), float(start)))

    def forward(self, tokens: Tensor) -> Tensor:
        """(B,T,D) -> (B,T,D)."""
        return tokens * self.factor


class Block(nn.Module):
    """Self-attention, then a per-token MLP, each with a residual connection (pre-norm)."""

    def __init__(self, width, heads, mlp_width, layer_scale):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(width, mlp_width), nn.GELU(), nn.Linear(mlp_width, width))
        self.scale1 = LayerScale(width, layer_scale) if layer_scale else nn.Identity()
        self.scale2 = LayerScale(width, layer_scale) if layer_scale else nn.Identity()

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """tokens (B,T,D) -> tokens (B,T,D), attention (B,M,T,T)."""
        mixed, attention = self.attention(self.norm1(tokens))
        tokens = tokens + self.scale1(mixed)
        return tokens + self.scale2(self.mlp(self.norm2(tokens))), attention


class ViT(nn.Module):
    """A Vision Transformer: patches, CLS, L blocks, head. SIZES lists the arguments of published ViTs."""

    def __init__(self, image_size, patch_size, width, depth, heads, classes, *,
                 mlp_ratio=4.0, prefix_tokens=1, layer_scale=None, antialias=False):
        """image_size: the side in pixels that the positions were learned for (others are interpolated).

        prefix_tokens: CLS is the first; more for registers or a distillation token, which no head here reads.
        classes: 0 for a network without a head, whose `forward` then returns the CLS token (B,D).
        antialias: how the positions are interpolated (timm True, DINOv2 False).
        """
        super().__init__()
        self.patch_size, self.prefix_tokens, self.antialias = patch_size, prefix_tokens, antialias
        self.classes = classes
        side = image_size // patch_size
        self.patches = nn.Conv2d(3, width, patch_size, stride=patch_size)
        # A prefix token and its position are constants that are always added: one parameter holds their sum.
        self.prefix = nn.Parameter(0.02 * torch.randn(prefix_tokens, width))
        self.positions = nn.Parameter(0.02 * torch.randn(width, side, side))
        self.blocks = nn.ModuleList(Block(width, heads, int(mlp_ratio * width), layer_scale) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, classes) if classes else nn.Identity()

    def forward(self, image: Tensor) -> Tensor:
        """image (B,3,H,W) -> logits (B,C)."""
        logits, _ = self.forward_with_attention(image)
        return logits

    def forward_with_attention(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """image (B,3,H,W) -> logits (B,C), [A_1 … A_L] with each A (B,M,T,T) and rows that sum to 1."""
        tokens, attentions = self.embed(image), []
        for block in self.blocks:
            tokens, attention = block(tokens)
            attentions.append(attention)
        cls = self.norm(tokens)[:, 0]
        return self.head(cls), attentions

    def grid(self, image: Tensor) -> tuple[int, int]:
        """(gh, gw), the number of patches of an image (B,3,H,W). ValueError if the patch size does not divide it."""
        H, W = image.shape[-2:]
        if H % self.patch_size or W % self.patch_size:
            raise ValueError(f"an image of {H}x{W} pixels cannot be cut into patches of {self.patch_size}x"
                             f"{self.patch_size}: both sides must be multiples of {self.patch_size}")
        return H // self.patch_size, W // self.patch_size

    def embed(self, image: Tensor) -> Tensor:
        """image (B,3,H,W) -> tokens (B,T,D): the prefix tokens, then a linear map of each patch plus its position.

        A convolution whose stride equals its kernel size applies one linear layer to each patch.
        """
        places = self._positions_for(self.grid(image))
        patches = (self.patches(image) + places).flatten(-2).transpose(-2, -1)           # (B,gh·gw,D)
        prefix = self.prefix.expand(len(image), -1, -1)
        return torch.cat([prefix, patches], dim=1)

    def _positions_for(self, grid):
        if grid == tuple(self.positions.shape[-2:]):
            return self.positions
        return F.interpolate(self.positions[None], grid, mode="bicubic", antialias=self.antialias)[0]


# Published sizes, and ours: what `build` passes to ViT. DeiT: Touvron et al. 2021, table 1. DINO: Caron et al. 2021.
# DINOv2: Oquab et al. 2023, its registers: Darcet et al. 2023.
SMALL = dict(width=384, depth=12, heads=6)
BASE = dict(width=768, depth=12, heads=12)
DINOV2 = dict(image_size=518, patch_size=14, classes=0, layer_scale=1.0)
REGISTERS = dict(prefix_tokens=5, antialias=True)
SIZES = {
    "small_vit": dict(image_size=96, patch_size=8, width=96, depth=5, heads=4, classes=4, mlp_ratio=2.0),
    "deit_tiny": dict(image_size=224, patch_size=16, width=192, depth=12, heads=3, classes=1000, antialias=True),
    "vit_small": dict(image_size=224, patch_size=16, **SMALL, classes=1000, antialias=True),
    "vit_base": dict(image_size=224, patch_size=16, **BASE, classes=1000, antialias=True),
    "dino_small": dict(image_size=224, patch_size=16, **SMALL, classes=0),
    "dino_small8": dict(image_size=224, patch_size=8, **SMALL, classes=0),
    "dino_base": dict(image_size=224, patch_size=16, **BASE, classes=0),
    "dinov2_small": dict(**DINOV2, **SMALL),
    "dinov2_base": dict(**DINOV2, **BASE),
    "dinov2_small_reg": dict(**DINOV2, **SMALL, **REGISTERS),
    "dinov2_base_reg": dict(**DINOV2, **BASE, **REGISTERS),
}
