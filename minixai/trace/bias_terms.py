"""What a network adds on its way: where a score comes from that is not gradient times image.

A network of convolutions, ReLUs and poolings without biases is proportional to its image, piece by piece, so its score
is the sum of gradient times image. Every bias adds to that: its value, times the gradient where it is added. Srinivas
and Fleuret 2019 (https://arxiv.org/abs/1905.00780) take a score apart in this way, and count as implicit biases what
other modules add: a batch norm by its mean, a curved activation by not being proportional to its input.
"""
import torch
from torch import nn

from minixai.trace.common import hooked, logits_in

AFFINE = (nn.Conv2d, nn.Linear, nn.BatchNorm2d)         # in eval mode
ROUNDING = 1e-5         # of the largest output; below that, a bias term is none


def full_gradient(model, image, target, score):
    """The score of each image, taken apart: [(name, term)], which add up to it for a piecewise linear network.

    First ("image", gradient times image (B,3,H,W)), then for each module that adds something: gradient of the score
    with respect to its output, times what it added, (B,K,h,w) or, behind the pooling, (B,K). Where two numbers that
    both depend on the image are multiplied, as in squeeze and excitation, or where something is added outside of
    modules, they do not add up to it.
    """
    added = []                              # (name, what was added, the module's output)
    image = image.detach().requires_grad_()
    with hooked([hook for name, module in _units(model) for hook in _watch(module, name, added)]):
        logits = logits_in(model(image.clone()))
    outputs = [image, *(output for _, _, output in added)]
    gradients = torch.autograd.grad(score(logits.float(), target[:, None]).sum(), outputs, allow_unused=True)
    factors = [("image", image.detach()), *((name, term) for name, term, _ in added)]
    return [(name, (factor * gradient).float()) for (name, factor), gradient in zip(factors, gradients)
            if gradient is not None]


def _units(module, name=""):
    """(name, module) of what is taken as one: modules without parts, and those with weights of their own.

    The latter may be more than one of torch's layers: a batch norm with its activation inside is one unit.
    """
    for short, part in module.named_children():
        inside = f"{name}.{short}" if name else short
        whole = next(part.children(), None) is None or next(part.parameters(recurse=False), None) is not None
        if not whole:
            yield from _units(part, inside)
        else:
            yield inside, part


def _watch(module, name, added):
    """Two hooks: before the module runs, what it will add; afterwards its output, and a copy for what follows."""
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


def bias_term(module, x):
    """What a module adds to what is proportional to its input: f(x) - J x, with J its Jacobian at x. None for nothing.

    A convolution's bias, beta - gamma mean / deviation of a batch norm in eval mode, and of ReLU6 the 6 where it cuts.
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
    """Whether it computes just what a layer of torch does: a subclass may compute more, such as an activation."""
    return any(isinstance(module, kind) and type(module).forward is kind.forward for kind in AFFINE)


def _proportional_part(module, x):
    """J x, by differentiating backwards twice: J^T v is linear in v, and its derivative along x is J x."""
    with torch.enable_grad():
        x = x.requires_grad_()
        value = module.forward(x.clone())
        v = torch.zeros_like(value, requires_grad=True)
        backwards, = torch.autograd.grad(value, x, v, create_graph=True)
        return torch.autograd.grad(backwards, v, x.detach())[0]
