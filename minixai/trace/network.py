"""The network again, for methods that ask it more than once."""
import torch

from minixai.cnn import CNN, Head
from minixai.trace.common import logits_in, logits_of, undisturbed


class Network:
    """The network that was recorded, for methods that ask it again: in eval mode, without gradients.

    image: (B,3,H,W), target: (B,), both as they were recorded.
    """

    def __init__(self, model, image, layer, target, by_stages, record):
        self.model, self.image, self.layer, self.target = model, image, layer, target
        self._by_stages, self._record = by_stages, record

    def again(self, **changes):
        """Record the same image once more with another target, layer or score: a CnnTrace."""
        return self._record(**{"target": self.target, "layer": self.layer, **changes})

    def of(self, images):
        """Images (N,3,H,W) -> logits (N,C)."""
        return logits_of(self.model, images)

    def after(self, maps, index):
        """Feature maps (N,K,h,w) in place of those that the layer returned for image `index` -> logits (N,C)."""
        maps = maps.to(self.image)
        with undisturbed(self.model), torch.no_grad():
            if self._by_stages:
                return self.model.after(maps, self.layer).float()
            return _instead(self.model, self.image[index].expand(len(maps), -1, -1, -1), self.layer, maps).float()

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
        return maps.clone() if runs == 0 else None

    for hook in (count, replace_the_last):
        handle = module.register_forward_hook(hook)
        try:
            output = model(image[:1] if hook is count else image)
        finally:
            handle.remove()
    return logits_in(output)
