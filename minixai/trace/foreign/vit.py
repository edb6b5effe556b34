"""A1 for ViTs that are not ours: timm, transformers, torchvision, and what is built like them, without importing any.

The modules of a network show where its blocks are. The number of tokens and patches is found in a forward pass.
"""
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from minixai.networks.cnn import CNN
from minixai.trace.common import logits_in
from minixai.trace.foreign.attention_recorder import AttentionRecorder, StopForward

HOW_MANY = ("num_heads", "num_attention_heads", "n_heads", "n_head", "heads")       # names for the number of heads
HEADS = ("head", "heads", "head_dist", "classifier", "cls_classifier", "distillation_classifier")
POOLED = ("avg", "avgmax", "max")       # timm's names for heads that read the patches, CLS among them or not


def reader_for(model: nn.Module) -> "ForeignViT | None":
    """A reader of this network's attention, or None if it is not built like a ViT.

    TypeError for Swin and CaiT, whose attention has no matrix between all tokens to read.
    """
    if isinstance(model, CNN):
        return None
    modules, name = dict(model.named_modules()), type(model).__name__
    if any(hasattr(module, "shift_size") for module in modules.values()):
        raise TypeError(f"{name} looks through shifted windows (Swin): no token sees the whole image, there is no CLS "
                        "token, and no T x T matrix to read; CNN methods such as gradcam fit it better")
    if any(hasattr(module, "proj_w") and hasattr(module, "proj_l") for module in modules.values()):
        raise TypeError(f"{name} mixes its heads after the softmax (talking heads, CaiT): no head's matrix says what "
                        "a token took")
    stacks = [(path, norm) for path, module in modules.items() if (norm := _norm_of_blocks(module))]
    return ForeignViT(model, *stacks[0]) if len(stacks) == 1 else None


def _norm_of_blocks(module):
    """The name that each block's first norm has, if this is a stack of blocks with attention, or None."""
    if not isinstance(module, nn.Sequential | nn.ModuleList) or not all(_heads(block) for block in module):
        return None
    norms = {next((name for name, part in block.named_children() if "Norm" in type(part).__name__), None)
             for block in module}
    return norms.pop() if len(norms) == 1 else None


def _heads(block):
    """The number of heads of a block's attention, 0 without attention."""
    found = (getattr(module, name, 0) for module in block.modules() for name in HOW_MANY)
    return next((number for number in found if isinstance(number, int) and number), 0)


def _classes(model):
    """The number of classes of a network's head, 0 without a head."""
    linear = [module for name, module in model.named_modules()
              if isinstance(module, nn.Linear) and set(name.split(".")) & set(HEADS)]
    return linear[-1].out_features if linear else 0


class ForeignViT:
    """The reader of other people's ViTs, with the attributes and methods of OurViT."""

    def __init__(self, model, path, norm):
        self.model, self.path, self.norm, self.name = model, path, norm, type(model).__name__
        blocks = model.get_submodule(path)
        self.layers, self.heads, self.classes = len(blocks), _heads(blocks[0]), _classes(model)

    def token_layout(self, image: Tensor) -> tuple[int, tuple[int, int]]:
        """Image (B,3,H,W) -> (prefix tokens, (gh,gw)), found in a pass that ends at the first attention."""
        with torch.no_grad(), AttentionRecorder(last=0) as recorder:
            try:
                self.model(image[:1])
            except StopForward:
                pass
        return self._layout(recorder, B=1)

    def token_layer(self, block: int) -> str:
        """The dotted name of the norm in front of a block's attention."""
        names = [name for name, _ in self.model.get_submodule(self.path).named_children()]
        return f"{self.path}.{names[block]}.{self.norm}"

    def run(self, image: Tensor, also: Sequence[str] = ()) -> tuple[Tensor, list[Tensor], dict[str, list[Tensor]]]:
        """Image -> logits (B,C), L attentions (B,M,T,T), {"scores": L tensors (B,M,T,T)}."""
        if "value_norms" in also:
            raise ValueError(f"value norms are recorded from minixai's own ViT, not from a {self.name}")
        recomputes = any(getattr(module, "grad_checkpointing", False) for module in self.model.modules())
        if recomputes and torch.is_grad_enabled():
            raise ValueError(f"{self.name} recomputes its attention for every gradient; switch that off "
                             "(set_grad_checkpointing(False)), or the recorded attention is not the one differentiated")
        # The last attention always has a gradient. It shows whether the head reads CLS.
        leaf = None if torch.is_grad_enabled() else self.layers - 1
        with torch.set_grad_enabled(leaf is None):
            with AttentionRecorder(leaf) as recorder:
                logits = _class_token_or_logits(self.model(image), self.classes)
            self._check_all(recorder, len(image))
            self._check_cls_is_read(recorder.layers[-1].attention, logits)
        return logits, recorder.attentions, {name: [getattr(layer, name) for layer in recorder.layers] for name in also}

    def _layout(self, recorder, B):
        """(prefix tokens, grid), if the first attention is between all tokens of an image."""
        if not recorder.layers:
            raise ValueError(f"{self.name} has transformer blocks, but no attention was seen in its pass: it runs in a "
                             "kernel of its own (flash-attn, xformers, a scripted module)")
        if recorder.grid is None:
            raise ValueError(f"{self.name} cuts the image without a convolution, so its grid of patches is unknown; "
                             "record the attention yourself and give it to from_tensors with grid=(gh,gw)")
        shape, (gh, gw) = tuple(recorder.layers[0].attention.shape), recorder.grid
        T = shape[-1]
        if shape != (B, self.heads, T, T) or T < gh * gw:
            raise ValueError(f"the first attention of {self.name} is {shape} for {B} image(s) of {gh}x{gw} patches, not"
                             f" ({B},{self.heads},T,T) between all of an image's tokens: it looks through windows, or "
                             "at something else")
        return T - gh * gw, recorder.grid

    def _check_all(self, recorder, B):
        recorder.close()
        prefix_tokens, _ = self._layout(recorder, B)
        shapes = {tuple(attention.shape) for attention in recorder.attentions}
        if len(recorder.layers) != self.layers or len(shapes) > 1:
            raise ValueError(f"{self.name} has {self.layers} blocks and {len(recorder.layers)} attentions of shape "
                             f"{' and '.join(map(str, sorted(shapes)))}, not one of the same shape in each block")
        if prefix_tokens == 0:
            raise ValueError(f"{self.name} has no CLS token: all of its tokens are patches, and no row of its "
                             "attention gathers what the score reads")

    def _check_cls_is_read(self, last, logits):
        # A weighted sum, since a LayerNorm's outputs always add up to the same.
        weights = torch.linspace(1, 2, logits.shape[-1], device=logits.device, dtype=logits.dtype)
        slopes, = torch.autograd.grad((weights * logits).sum(), last, retain_graph=True)
        pooled = getattr(self.model, "global_pool", None) in POOLED
        if pooled or slopes.any() and not slopes[:, :, 0].any():
            raise ValueError(f"the head of {self.name} does not read CLS but pools the patches, so what CLS attends to "
                             f"says little about the score; CAM methods can read {self.token_layer(-1)!r}")


def _class_token_or_logits(output, classes):
    """Logits (B,C) or, from a network without a class head, the CLS token (B,D)."""
    if classes:
        return logits_in(output)
    output = getattr(output, "last_hidden_state", output)
    return output[:, 0] if output.dim() == 3 else logits_in(output)
