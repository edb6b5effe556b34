"""The terms of FullGrad: a score as gradient times image plus one term for every bias of the network.

A network of convolutions, ReLUs and poolings without biases is proportional to its image, piece by piece, so its score
is the sum of gradient times image. Every bias adds its value times the gradient at the place where it is added.
Srinivas and Fleuret 2019 (https://arxiv.org/abs/1905.00780) decompose a score in this way. They count implicit biases
too: a batch norm subtracts its mean, and a curved activation is not proportional to its input.
"""
from collections.abc import Callable

import torch
from torch import Tensor, nn

from minixai.trace.common import hooked, logits_in

AFFINE = (nn.Conv2d, nn.Linear, nn.BatchNorm2d)         # in eval mode
ROUNDING = 1e-5         # of the largest output; below that, a bias term is none


def full_gradient(model: nn.Module, image: Tensor, target: Tensor, score: Callable) -> list[tuple[str, Tensor]]:
    """The terms [(name, term)] of each image's score; for a piecewise linear network their sum is the score.

    image: (B,3,H,W); target: (B,); score: a C1 stage. The model is in eval mode, and gradients are switched on.
    The first term is ("image", gradient times image (B,3,H,W)). Each module with a bias term follows: the gradient of
    the score with respect to its output, times its bias term, (B,K,h,w) or, behind the pooling, (B,K). The sum is not
    the score where two numbers that both depend on the image are multiplied, as in squeeze and excitation, or where
    something is added outside of modules.
    """
    added = []                              # (name, bias term, the module's output)
    image = image.detach().requires_grad_()
    with hooked([hook for name, module in _units(model) for hook in _watch(module, name, added)]):
        logits = logits_in(model(image.clone()))
    outputs = [image, *(output for _, _, output in added)]
    gradients = torch.autograd.grad(score(logits.float(), target[:, None]).sum(), outputs, allow_unused=True)
    factors = [("image", image.detach()), *((name, term) for name, term, _ in added)]
    return [(name, (factor * gradient).float()) for (name, factor), gradient in zip(factors, gradients)
            if gradient is not None]


def _units(module, name=""):
    """(name, module) of each module that has no parts, or has weights of its own beside its parts.

    The second kind may do what two of torch's layers do: a batch norm with an activation inside is one unit.
    """
    for short, part in module.named_children():
        inside = f"{name}.{short}" if name else short
        whole = next(part.children(), None) is None or next(part.parameters(recurse=False), None) is not None
        if not whole:
            yield from _units(part, inside)
        else:
            yield inside, part


def _watch(module, name, added):
    """Two hooks. The one before the module's run notes its bias term, the one after it its output."""
    terms = []

    def before(module, inputs):
        one_tensor = len(inputs) == 1 and isinstance(inputs[0], torch.Tensor)
        terms.append(bias_term(module, inputs[0].detach()) if one_tensor else None)

    def after(module, inputs, output):
        this = terms.pop()
        if this is None:
            return None
        added.append((name, this, output))
        return output.clone()               # an in-place operation that follows must not change what is kept

    return (module.register_forward_pre_hook, before), (module.register_forward_hook, after)


def bias_term(module: nn.Module, x: Tensor) -> Tensor | None:
    """The part of a module's output f(x) that is not proportional to x: f(x) - J x, with J its Jacobian at x.

    It has the output's shape. None where it is zero. Examples: a convolution's bias; beta - gamma mean / deviation of a
    batch norm in eval mode; the 6 of ReLU6 where it cuts off.
    """
    with torch.no_grad():
        if _is_affine(module):
            rest = module.forward(torch.zeros_like(x[:1])).expand(len(x), *[-1] * (x.dim() - 1))        # f(0)
            return rest if rest.any() else None
        value = module.forward(x.clone())                           # a copy: a module may work in place
        if not isinstance(value, torch.Tensor) or torch.equal(module.forward(2 * x), 2 * value):
            return None                                             # a ReLU or a pooling: twice as much in, twice out
    rest = value - _proportional_part(module, x)
    return rest if rest.abs().max() > ROUNDING * value.abs().max() else None


def _is_affine(module):
    """Whether it computes exactly what a layer of torch does. A subclass may compute more, such as an activation."""
    return any(isinstance(module, kind) and type(module).forward is kind.forward for kind in AFFINE)


def _proportional_part(module, x):
    """J x, by two backward passes: J^T v is linear in v, and its derivative along x is J x."""
    with torch.enable_grad():
        x = x.requires_grad_()
        value = module.forward(x.clone())
        v = torch.zeros_like(value, requires_grad=True)
        backwards, = torch.autograd.grad(value, x, v, create_graph=True)
        return torch.autograd.grad(backwards, v, x.detach())[0]
