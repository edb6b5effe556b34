"""Muon: momentum whose matrices are made orthogonal before they are applied (Jordan et al. 2024).

https://kellerjordan.github.io/posts/muon. A gradient matrix is mostly a few directions; made orthogonal, all its
directions are of one strength, and the rare ones are learned too. For the matrices inside the blocks only; biases,
norms, patches, positions and head are left to AdamW. torch.optim.Muon is the same method, but computes in bfloat16,
which took 15 times as long on the processor without bfloat16 units that these networks were trained on.
"""
import torch

COEFFICIENTS = (3.4445, -4.7750, 2.0315)    # of the polynomial that drives singular values from (0, 1] to about 1


class Muon(torch.optim.Optimizer):
    """With steps of the size of AdamW's (Liu et al. 2025, https://arxiv.org/abs/2502.16982): one rate fits both."""

    def __init__(self, matrices, lr, momentum=0.95, weight_decay=0.0):
        super().__init__(matrices, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for matrices in _by_shape(group["params"]):
                self._step(matrices, **{key: group[key] for key in ("lr", "momentum", "weight_decay")})

    def _step(self, matrices, lr, momentum, weight_decay):
        """Matrices of one shape in one go: small ones cost more to call than to multiply."""
        updates = torch.stack([self._look_ahead(matrix, momentum) for matrix in matrices])
        size = 0.2 * max(matrices[0].shape) ** 0.5
        for matrix, update in zip(matrices, orthogonal(updates)):
            matrix.mul_(1 - lr * weight_decay).sub_(lr * size * update)

    def _look_ahead(self, matrix, momentum):
        """Nesterov: the gradient, mixed with the running mean that it has just entered."""
        state = self.state[matrix]
        mean = state.setdefault("mean", torch.zeros_like(matrix))
        mean.lerp_(matrix.grad, 1 - momentum)
        return matrix.grad.lerp(mean, momentum)


def orthogonal(matrices, steps=5):
    """(N,rows,columns) -> the same with singular values near 1, by Newton and Schulz's iteration: no decomposition."""
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
