"""Attention maps of repositories that cannot be installed, after their formulas and with their faults, in numpy.

Written apart from minixai's stages. Matrices are (T,T), attentions and gradients of a layer (M,T,T), of one image,
where nothing else is said; what is resized goes through the library that the repository takes.
"""
import numpy as np
import torch
from torch.nn import functional as F

REPOSITORIES = ("attention_flow", "DINO", "Transformer-Explainability", "Transformer-MM-Explainability", "vit-explain")
FUSIONS = {"mean": np.mean, "max": np.max, "min": np.min}


def vit_explain_rollout(attentions, fusion, ratio):
    """vit-explain's rollout: the mask (side,side)."""
    fused = [FUSIONS[fusion](attention, axis=0) for attention in attentions]
    return _vit_explain_mask(fused, ratio, keep_entry_0=True)


def vit_explain_gradrollout(attentions, gradients, ratio):
    """vit-explain's grad_rollout, given the two lists as its hooks fill them: the mask (side,side)."""
    # Fault: attentions come from the first layer on, gradients from the last, and they are paired as they come.
    fused = [(attention * gradient).mean(axis=0) for attention, gradient in zip(attentions, gradients)]
    return _vit_explain_mask([np.where(matrix < 0, 0, matrix) for matrix in fused], ratio, keep_entry_0=False)


def _vit_explain_mask(matrices, ratio, keep_entry_0):
    T = len(matrices[0])
    result = np.eye(T)
    for matrix in matrices:
        entries = matrix.reshape(-1).copy()
        lowest = np.argsort(entries, kind="stable")[:int(entries.size * ratio)]     # of the matrix, not of each row
        if keep_entry_0:            # Fault: entry 0 is (CLS,CLS) alone, and not all that has to do with CLS
            lowest = lowest[lowest != 0]
        entries[lowest] = 0
        mixing = (entries.reshape(T, T) + np.eye(T)) / 2
        mixing = mixing / mixing.sum(axis=-1)       # Fault: without keepdims, the sum of row j divides column j
        result = mixing @ result
    side = int((T - 1) ** 0.5)
    mask = result[0, 1:].reshape(side, side)
    return mask / mask.max()                        # the minimum is not subtracted


def resized_by_cv2(mask, image):
    """How vit-explain lays a mask over an image: cv2, linear; not normalised again."""
    import cv2
    return cv2.resize(mask, (image.shape[-1], image.shape[-2]))


def chefer_rollout(attentions, start_layer):
    """Transformer-Explainability's generate_rollout: what CLS has of each patch (gh·gw,)."""
    joint = None
    for attention in attentions[start_layer:]:      # with start_layer 1, the first layer does not count
        augmented = attention.sum(axis=0) / len(attention) + np.eye(attention.shape[-1])
        augmented = augmented / augmented.sum(axis=-1, keepdims=True)
        joint = augmented if joint is None else augmented @ joint
    return joint[0, 1:]


def chefer_visualised(maps):
    """Coarse maps (B,14,14) -> (B,224,224) in [0,1]."""
    full = F.interpolate(torch.from_numpy(maps)[:, None], scale_factor=16, mode="bilinear")[:, 0].numpy()
    return (full - full.min()) / (full.max() - full.min())      # Fault: one minimum and maximum for the whole batch


def chefer_cam_attn(attention, gradient, grid):
    """Transformer-Explainability's generate_cam_attn, of the last block: (gh,gw) in [0,1]."""
    heads = attention[:, 0, 1:].reshape(-1, *grid)
    weights = gradient[:, 0, 1:].mean(axis=-1)
    cam = np.zeros(grid)
    for weight, head in zip(weights, heads):
        cam += weight * head / len(heads)
    cam = np.maximum(cam, 0)                        # after the mean: heads for and against cancel
    return (cam - cam.min()) / (cam.max() - cam.min())


def generic_relevance(attentions, gradients, start_layer=0):
    """Transformer-MM-Explainability's rule for one network: what CLS has of each patch (gh·gw,).

    start_layer=-1 is what the CLIP notebook has: the last layer alone.
    """
    start_layer = len(attentions) - 1 if start_layer == -1 else start_layer
    R = np.eye(attentions[0].shape[-1])
    for attention, gradient in list(zip(attentions, gradients))[start_layer:]:
        R = R + np.maximum(attention * gradient, 0).mean(axis=0) @ R
    return R[0, 1:]


def generic_visualised(relevance, grid, image):
    """(gh·gw,) -> (H,W) in [0,1], one image."""
    coarse = torch.from_numpy(relevance.reshape(1, 1, *grid))
    full = F.interpolate(coarse, size=tuple(image.shape[-2:]), mode="bilinear")[0, 0].numpy()
    return (full - full.min()) / (full.max() - full.min())


def dino_heads(attention, grid, patch_size):
    """visualize_attention's arrays (M,H,W), of the last block."""
    heads = attention[:, 0, 1:].reshape(-1, *grid)      # Their w is the height and their h the width, throughout
    return np.kron(heads, np.ones((patch_size, patch_size)))


def dino_mass(attention, grid, patch_size, threshold=0.6):
    """visualize_attention's masks (M,H,W) of the patches that hold the share `threshold` of the mass."""
    rows = attention[:, 0, 1:]
    kept = np.zeros_like(rows)
    for head, row in enumerate(rows):
        order = np.argsort(row)
        kept[head, order] = np.cumsum(row[order] / row.sum()) > 1 - threshold
    return np.kron(kept.reshape(-1, *grid), np.ones((patch_size, patch_size)))


def joint_attention(attentions, fusion, residual=True):
    """attention_flow's compute_joint_attention of the fused heads: what CLS has of each patch (gh·gw,)."""
    joint = None
    for attention in attentions:
        augmented = FUSIONS[fusion](attention, axis=0)
        if residual:
            augmented = augmented + np.eye(len(augmented))
            augmented = augmented / augmented.sum(axis=-1, keepdims=True)
        joint = augmented if joint is None else augmented @ joint
    return joint[0, 1:]
