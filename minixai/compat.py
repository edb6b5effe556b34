"""The names that an article on Grad-CAM and attention maps imports from pytorch-grad-cam, so that its code runs here.

    from minixai.compat import GradCAM, show_cam_on_image
    cam = GradCAM(model=model, target_layers=[target_layer])
    grayscale_cam = cam(input_tensor=image_tensor, targets=None)
    visualization = show_cam_on_image(rgb_image, grayscale_cam[0,:], use_rgb=True)

The arrays are pytorch-grad-cam 1.5.7's, in its conventions, of which some are not what its documentation says:

- `show_cam_on_image` promises image_weight * img + (1 - image_weight) * mask, and then divides by the largest value of
  that, so the picture is brighter by a factor that differs from picture to picture.
- On a CPU the activations of a layer whose output is overwritten afterwards (a batch norm before a ReLU in place) are
  those after the overwriting, with the gradients from before it. Of a layer that runs several times the first counts.

Its side effects are left out: it leaves the model in eval mode and its weights with a `.grad`, returns zeros for images
without a target, and swallows every IndexError inside `with`. Here the model is left as it was, and an argument that
does not fit is an error.

New code should use `minixai.explain`, which has none of these conventions and keeps every step.
"""
import numpy as np
from torch import Tensor, nn

from minixai.trace import record_vit
from minixai.verification.colormaps import COLORMAP_JET, jet_of_opencv, show_cam_on_image  # noqa: F401
from minixai.verification.profiles import heatmap_as
from minixai.verification.profiles.pytorch_grad_cam import GRADCAM_OF_LAYERS, GRADCAM_OF_LAYERS_ON_A_GPU


class ClassifierOutputTarget:
    """The score to explain: the logit of one class, the index `category`."""

    def __init__(self, category: int):
        self.category = category


class GradCAM:
    """Grad-CAM at one or several layers of a network, with or without a `with` statement.

    model: any network that returns logits (B,C). target_layers: its modules. A ViT's tokens are folded into maps.
    ValueError for a reshape_transform, which is not needed, or target_layers that is no list of modules.
    """

    def __init__(self, model: nn.Module, target_layers: list[nn.Module], reshape_transform=None):
        if reshape_transform is not None:
            raise ValueError("leave reshape_transform out: the tokens of a ViT are folded into their grid as they are "
                             "recorded, and other networks' layers have to return maps (B,K,h,w)")
        if not isinstance(target_layers, list | tuple) or not target_layers:
            raise ValueError(f"target_layers is a list of modules of the model, got {target_layers!r}")
        self.model, self.target_layers = model, list(target_layers)

    def __call__(self, input_tensor: Tensor, targets: list | None = None, aug_smooth: bool = False,
                 eigen_smooth: bool = False) -> np.ndarray:
        """Images (B,3,H,W) -> heatmaps (B,H,W), float32 numpy in [0,1].

        targets: None for each image's top class, or a list of one ClassifierOutputTarget for each image, this module's
        or pytorch-grad-cam's. The maps of several layers are averaged.
        ValueError for a list of another length, aug_smooth or eigen_smooth; TypeError for any other kind of target.
        """
        if aug_smooth or eigen_smooth:
            raise ValueError("aug_smooth and eigen_smooth are not done here; minixai.explain has methods of that kind")
        classes = None if targets is None else _classes(targets, len(input_tensor))
        on_a_cpu = next(self.model.parameters(), input_tensor).is_cpu
        profile = GRADCAM_OF_LAYERS if on_a_cpu else GRADCAM_OF_LAYERS_ON_A_GPU
        return heatmap_as(profile, self.model, input_tensor, classes, self.target_layers).cpu().numpy()

    def __enter__(self):
        return self

    def __exit__(self, *raised):
        """There is nothing to undo, and no error is swallowed."""


def get_last_attention_from_model(vit_model: nn.Module, image_tensor: Tensor) -> Tensor:
    """The attention of a ViT's last layer, (B,M,T,T): row 0 is the attention of CLS to each of the T tokens, CLS first.

    vit_model: ours, or one of timm, torchvision or transformers. image_tensor: (B,3,H,W).
    """
    return record_vit(vit_model, image_tensor).attention[:, -1]


def _classes(targets, B):
    targets = list(targets)
    if len(targets) != B:
        raise ValueError(f"{B} image(s) need {B} targets, got {len(targets)}")
    for target in targets:
        if type(target).__name__ != "ClassifierOutputTarget":
            raise TypeError(f"a target is a ClassifierOutputTarget, the logit of a class; for a {type(target).__name__}"
                            " give minixai.explain a recipe with its own score: Cam(C1=score)")
    return [int(target.category) for target in targets]
