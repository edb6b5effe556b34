"""The network once more, for methods that run it more than once."""
import torch
from torch import Tensor

from minixai.networks.cnn import CNN, Head
from minixai.trace.bias_terms import full_gradient
from minixai.trace.cnn import CnnTrace, is_stage, record_cnn
from minixai.trace.common import logits_of, undisturbed
from minixai.trace.vit import is_vit


class Network:
    """The network that was recorded, for methods that run it again. It runs in eval mode; no result has a graph.

    Threads may share the network.
    """

    def __init__(self, model, image, layer, target, score, capture):
        """image: (B,3,H,W), target: (B,), score: a C1 stage, capture: a CaptureMode, all as they were recorded."""
        self.model, self.image, self.layer, self.target, self.score = model, image, layer, target, score
        self.capture = capture

    def again(self, **changes) -> CnnTrace:
        """Record once more with another target, layer, score, image or capture: a CnnTrace."""
        recorded = {name: getattr(self, name) for name in ("image", "target", "layer", "score", "capture")}
        return record_cnn(self.model, **{**recorded, **changes})

    def of(self, images: Tensor) -> Tensor:
        """Images (N,3,H,W) -> logits (N,C), float32. ValueError for NaN or infinity."""
        return logits_of(self.model, images)

    def after(self, maps: Tensor, index: int) -> Tensor:
        """Feature maps (N,K,h,w) in place of those that the layer returned for image `index` -> logits (N,C)."""
        maps = maps.to(self.image)
        with undisturbed(self.model), torch.no_grad():
            return self._logits_from(maps, self.image[index].expand(len(maps), -1, -1, -1))

    def curvature_along(self, maps: Tensor) -> Tensor:
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

    def full_gradient(self) -> list[tuple[str, Tensor]]:
        """The terms [(name, term)] whose sum is each image's score, (B,3,H,W), (B,K,h,w) or (B,K); see bias_terms.py.

        ValueError for a ViT: its attention multiplies numbers that depend on the image, so the sum is not the score.
        """
        if is_vit(self.model):
            raise ValueError("FullGrad takes apart the score of a convolutional network; in a ViT attention multiplies "
                             "numbers that all depend on the image, and no such sum gives the score")
        with undisturbed(self.model), torch.inference_mode(False), torch.enable_grad():
            return full_gradient(self.model, self.image, self.target, self.score)

    def _logits_from(self, maps, images):
        """Logits of images (N,3,H,W) with the feature maps (N,K,h,w) in place of the layer's own."""
        if is_stage(self.model, self.layer):
            return self.model.after(maps, self.layer).float()
        from minixai.trace.foreign.cnn import logits_instead  # late: a stage of ours needs no hook
        return logits_instead(self.model, images, self.layer, maps).float()

    def linear_weights(self) -> Tensor:
        """(B,K): the class's weights of the linear layer that reads the mean of each channel.

        ValueError unless the mean and the linear layer are all that follows the recorded layer.
        """
        head = getattr(self.model, "head", None)
        if not isinstance(self.model, CNN) or not isinstance(head, Head) or self.layer != self.model.layers[-1]:
            raise ValueError("CAM needs what follows the layer to be global average pooling and one linear layer, "
                             "as in minixai's CNNs at their last stage; use gradcam, which needs neither")
        return head.fc.weight[self.target].detach().float()
