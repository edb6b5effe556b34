"""Muon: momentum with orthogonalised updates (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon).

A few directions dominate a gradient matrix. Orthogonalised, all its directions have the same strength, so rare
directions are learned too. Muon is for the matrices inside the blocks; AdamW trains biases, norms, patches, positions
and the head. torch.optim.Muon is the same method, but computes in bfloat16, which took 15 times as long on the
processor that these networks were trained on.
"""
from collections.abc import Iterable

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)    # of the polynomial that drives singular values from (0, 1] to about 1


class Muon(torch.optim.Optimizer):
    """The optimizer. Its steps are as large as AdamW's, so both can have one learning rate (Liu et al. 2025,
    https://arxiv.org/abs/2502.16982)."""

    def __init__(self, matrices: Iterable[Tensor], lr: float, momentum: float = 0.95, weight_decay: float = 0.0):
        super().__init__(matrices, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self) -> None:
        """Update the matrices by their gradients."""
        for group in self.param_groups:
            for matrices in _by_shape(group["params"]):
                self._step(matrices, **{key: group[key] for key in ("lr", "momentum", "weight_decay")})

    def _step(self, matrices, lr, momentum, weight_decay):
        """Update matrices of one shape together, which is faster for small matrices."""
        updates = torch.stack([self._look_ahead(matrix, momentum) for matrix in matrices])
        size = 0.2 * max(matrices[0].shape) ** 0.5
        for matrix, update in zip(matrices, orthogonal(updates)):
            matrix.mul_(1 - lr * weight_decay).sub_(lr * size * update)

    def _look_ahead(self, matrix, momentum):
        """Nesterov momentum: the gradient, mixed with the new running mean."""
        state = self.state[matrix]
        mean = state.setdefault("mean", torch.zeros_like(matrix))
        mean.lerp_(matrix.grad, 1 - momentum)
        return matrix.grad.lerp(mean, momentum)


def orthogonal(matrices: Tensor, steps: int = 5) -> Tensor:
    """(N,rows,columns) -> the same with all singular values near 1, by the Newton-Schulz iteration."""
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    a, b, c = COEFFICIENTS
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


def _by_shape(matrices):
    groups = {}
    for matrix in matrices:
        groups.setdefault(matrix.shape, []).append(matrix)
    return groups.values()
