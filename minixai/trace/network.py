"""The network again, for methods that ask it more than once."""
import torch

from minixai.networks.cnn import CNN, Head
from minixai.score import class_score
from minixai.trace.bias_terms import full_gradient
from minixai.trace.common import hooked, logits_in, logits_of, undisturbed
from minixai.trace.foreign.tokens import channels_last, unfold, with_first
from minixai.trace.vit import is_vit


class Network:
    """The network that was recorded, for methods that ask it again, in eval mode; what it gives has no graph.

    Threads may share the network.
    image: (B,3,H,W), target: (B,), score: a C1 stage, all as they were recorded.
    """

    def __init__(self, model, image, layer, target, by_stages, record, score=class_score):
        self.model, self.image, self.layer, self.target, self.score = model, image, layer, target, score
        self._by_stages, self._record = by_stages, record

    def again(self, **changes):
        """Record once more with another target, layer, score or image: a CnnTrace."""
        return self._record(**{"target": self.target, "layer": self.layer, **changes})

    def of(self, images):
        """Images (N,3,H,W) -> logits (N,C)."""
        return logits_of(self.model, images)

    def after(self, maps, index):
        """Feature maps (N,K,h,w) in place of those that the layer returned for image `index` -> logits (N,C)."""
        maps = maps.to(self.image)
        with undisturbed(self.model), torch.no_grad():
            return self._logits_from(maps, self.image[index].expand(len(maps), -1, -1, -1))

    def curvature_along(self, maps):
        """H A (B,K,h,w): how the score's gradient changes along A, the feature maps (B,K,h,w) of all images.

        H is the Hessian of the score with respect to A, and too large to build; its product with one vector is the
        gradient of (gradient times that vector). Zero where the score is piecewise linear in A.
        """
        along = maps.to(self.image)
        with undisturbed(self.model), torch.inference_mode(False), torch.enable_grad():
            maps = along.clone().requires_grad_()
            score = self.score(self._logits_from(maps, self.image), self.target[:, None]).sum()
            slope, = torch.autograd.grad(score, maps, create_graph=True)
            if not slope.requires_grad:
                return torch.zeros_like(along).float()
            change, = torch.autograd.grad(slope, maps, grad_outputs=along, allow_unused=True)
        return torch.zeros_like(along).float() if change is None else change.detach().float()

    def full_gradient(self):
        """The score of each image as a sum: [(name, term)], terms (B,3,H,W), (B,K,h,w) and (B,K); see additions.py.

        ValueError for a ViT: attention multiplies what depends on the image, so such a sum does not give the score.
        """
        if is_vit(self.model):
            raise ValueError("FullGrad takes apart the score of a convolutional network; in a ViT attention multiplies "
                             "numbers that all depend on the image, and no such sum gives the score")
        with undisturbed(self.model), torch.inference_mode(False), torch.enable_grad():
            return full_gradient(self.model, self.image, self.target, self.score)

    def _logits_from(self, maps, images):
        """Logits of images (N,3,H,W) with the feature maps (N,K,h,w) in place of the layer's own."""
        if self._by_stages:
            return self.model.after(maps, self.layer).float()
        return _instead(self.model, images, self.layer, maps).float()

    def linear_weights(self):
        """(B,K): how much each channel's mean counts for the class. ValueError unless that is all that follows."""
        head = getattr(self.model, "head", None)
        if not isinstance(self.model, CNN) or not isinstance(head, Head) or self.layer != self.model.layers[-1]:
            raise ValueError("CAM needs what follows the layer to be global average pooling and one linear layer, "
                             "as in minixai's CNNs at their last stage; use gradcam, which needs neither")
        return head.fc.weight[self.target].detach().float()


def _instead(model, image, layer, maps):
    """The logits of a forward pass in which the last run of the layer returns the given maps."""
    module = model.get_submodule(layer)
    runs = 0

    def count(module, inputs, output):
        nonlocal runs
        runs += 1

    def replace_the_last(module, inputs, output):
        nonlocal runs
        runs -= 1
        if runs:
            return None
        first = output[0] if isinstance(output, tuple) else output
        if first.dim() != 4:
            return with_first(output, unfold(maps, first))
        return with_first(output, (maps.movedim(1, -1) if channels_last(first, image) else maps).clone())

    for hook in (count, replace_the_last):
        with hooked([(module.register_forward_hook, hook)]):
            output = model(image[:1] if hook is count else image)
    return logits_in(output)
