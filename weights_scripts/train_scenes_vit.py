"""python -m weights_scripts.train_scenes_vit: the small ViT on drawn scenes, from random weights, with labels only.

A ViT is not translation invariant within a patch: it has to see an ear at all 64 places in a patch of 8x8. Four things
made the training affordable (weights_scripts/README.md has the numbers, and lists what did not help):

  - a curriculum: at first all animals stand on the patch grid, and many have a plain background; later fewer;
  - most of the training uses a window of 6x6 patches around the animal, which costs a quarter of the whole picture.
    The network is the same with fewer tokens, and each token keeps its position embedding of the whole picture;
  - an initialisation that is not only random: patch embeddings of coarse colours, and attention to near tokens;
  - Muon instead of AdamW for the matrices of the blocks.
"""
import math

import torch
from torch import Tensor, nn

from minixai.networks.vit import Attention, ViT
from weights_scripts.muon import Muon
from weights_scripts.scene_data import Bank, Batch, Freedom, recombine
from weights_scripts.scene_script import main
from weights_scripts.scene_training import Recipe

WINDOW = 48                         # pixels: 6x6 patches
COARSE = 24                         # number of principal components of a patch in the initial first layer


def freedom(share: float) -> Freedom:
    """The curriculum. share: the finished part of the run, 0 to 1."""
    if share > 0.87:
        return Freedom(vary=0.0)        # whole pictures as they will be tested
    free = min(1.0, max(0.0, (share - 0.016) / 0.048))
    return Freedom(window=WINDOW, place=free, vary=0.5 * free, plain=0.5 * (1 - free))


def logits_of_window(model: ViT, batch: Batch) -> Tensor:
    """The logits (B,C) of a batch of windows. Each patch has its position embedding of the whole picture."""
    patches = model.patches(batch.image)                                    # (B,D,gh,gw)
    rows, columns = (torch.arange(side, device=patches.device) for side in patches.shape[-2:])
    first = batch.corner // model.patch_size
    places = model.positions[:, (first[:, :1] + rows)[:, :, None], (first[:, 1:] + columns)[:, None, :]]
    tokens = (patches + places.transpose(0, 1)).flatten(-2).transpose(-2, -1)
    tokens = torch.cat([model.prefix.expand(len(tokens), -1, -1), tokens], dim=1)
    for block in model.blocks:
        tokens, _ = block(tokens)
    return model.head(model.norm(tokens)[:, 0])


@torch.no_grad()
def start(model: ViT, bank: Bank) -> None:
    """Initialise the weights. Those that are not named here keep their values from `build`."""
    start_patches(model, bank)
    model.positions.copy_(0.5 * waves(model.positions.shape))
    for block in model.blocks:
        start_attention(block.attention)
        start_mlp(block.mlp)
        for name, value in block.named_parameters():
            if name.endswith("bias"):
                value.zero_()
    model.head.weight.zero_()
    model.head.bias.zero_()


def start_patches(model: ViT, bank: Bank) -> None:
    """Initialise the first layer with a random mixture of the COARSE leading principal components of patches.

    These are colours and slow changes, which a shift by one pixel hardly changes. The outputs have a size (root mean
    square) of 0.5.
    """
    D, _, p, _ = model.patches.weight.shape
    pictures = recombine(bank, 256, torch.Generator().manual_seed(1), freedom=Freedom(window=WINDOW)).image
    pixels = torch.nn.functional.unfold(pictures, p, stride=p).transpose(1, 2).reshape(-1, 3 * p * p)
    strengths, directions = torch.linalg.eigh(pixels.T.cov())               # ascending
    strengths, directions = strengths[-COARSE:], directions[:, -COARSE:]
    mixing = torch.linalg.qr(torch.randn(D, COARSE)).Q
    weight = mixing @ (directions / strengths ** 0.25).T                    # reduces their differences in size
    weight *= 0.5 / (mixing * strengths ** 0.25).square().sum(1).mean().sqrt()
    model.patches.weight.copy_(weight.reshape(model.patches.weight.shape))
    model.patches.bias.copy_(-weight @ pixels.mean(0))


def waves(shape: tuple[int, int, int]) -> Tensor:
    """Position embeddings (D,gh,gw): D/4 sines and D/4 cosines for each axis (Vaswani et al. 2017, section 3.5)."""
    D, gh, gw = shape
    speed = (2 * max(gh, gw)) ** (-torch.arange(D // 4) / (D // 4))
    rows = (torch.arange(gh) + 0.5)[:, None].expand(gh, gw)
    columns = (torch.arange(gw) + 0.5).expand(gh, gw)
    phases = [speed[:, None, None] * place for place in (rows, columns)]
    return torch.cat([wave(phase) for phase in phases for wave in (torch.sin, torch.cos)])


def start_attention(attention: Attention) -> None:
    """Mimetic initialisation (Trockman and Kolter 2023, https://arxiv.org/abs/2305.09828), as in trained ViTs.

    q k^T starts near the identity, so a token attends to similar tokens, which with wave positions are the near ones.
    out v starts near minus the identity.
    """
    D, M = attention.out.weight.shape[0], attention.heads
    q, k, v = attention.qkv.weight.split(D)
    for head in range(M):
        rows = slice(head * D // M, (head + 1) * D // M)
        left, right = halves(near_identity(D, 0.7, 0.7), D // M)
        q[rows], k[rows] = left.T, right.T
    left, right = halves(near_identity(D, 0.4, -0.4), D)
    attention.out.weight.copy_(left)
    v.copy_(right.T)


def near_identity(D: int, noise: float, identity: float) -> Tensor:
    """(D,D): a multiple of the identity plus random numbers."""
    return noise * torch.randn(D, D) / math.sqrt(D) + identity * torch.eye(D)


def halves(matrix: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """(D,D) -> left, right (D,rank), equally large. left @ right.T is the best approximation of this rank."""
    left, strengths, right = torch.linalg.svd(matrix)
    root = strengths[:rank].sqrt()
    return left[:, :rank] * root, right[:rank].T * root


def start_mlp(mlp: nn.Sequential) -> None:
    """Initialise the first layer to keep the size of its input, and the second to halve it, since blocks add up."""
    for layer, strength in ((mlp[0], 1.0), (mlp[2], 0.5)):
        torch.nn.init.trunc_normal_(layer.weight, std=strength / math.sqrt(layer.in_features))


def optimizers(model: ViT, lr: float) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the blocks, AdamW for patches, positions, norms, biases and the head."""
    matrices = [value for value in model.blocks.parameters() if value.dim() == 2]
    inside = {id(value) for value in matrices}
    others = [value for value in model.parameters() if id(value) not in inside]
    return [Muon(matrices, lr, weight_decay=0.03), torch.optim.AdamW(others, lr, betas=(0.9, 0.98), weight_decay=0.0)]


FAIR = Recipe("small_vit", passes=200_000, batch=32, lr=3e-3, prepare=start, optimizers=optimizers,
              logits=logits_of_window, freedom=freedom, warm_up=0.012)
BIASED = Recipe("small_vit", passes=6_000, batch=32, lr=2e-3, prepare=start, optimizers=optimizers,
                logits=logits_of_window, warm_up=0.1, memory=50, bias=0.95)

if __name__ == "__main__":
    main("train_scenes_vit", __doc__, FAIR, BIASED)
