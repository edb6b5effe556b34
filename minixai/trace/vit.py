"""A1: the attention of every layer and head, and the gradient of the class score with respect to each of them.

A reader finds the attention in a network: OurViT below in ours, foreign/vit.py in other people's.
"""
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from minixai.networks.vit import ViT
from minixai.score import class_score
from minixai.trace.common import (
    NO_CLASS,
    Target,
    as_the_weights,
    channel_errors,
    check_finite,
    index_in,
    pick_target,
    undisturbed,
    unwrapped,
)
from minixai.trace.heads import outputs_of, score_gradients_of, scores_of, value_norms_of

ALSO = ("scores", "score_gradients", "value_norms")      # recorded only when asked for


@dataclass(frozen=True, eq=False, repr=False)
class VitTrace:
    """What attention maps read. B images, L layers, M heads, T = prefix_tokens + gh·gw tokens."""
    attention: Tensor                       # (B,L,M,T,T), rows sum to one
    attention_gradients: Tensor | None      # (B,L,M,T,T) of the score, for methods that read them
    logits: Tensor | None                   # (B,C)
    target: Tensor                          # (B,) int64, NO_CLASS where the network has no classes
    layer: int                              # the block to read
    head: int | None                        # the head to read, None for all
    prefix_tokens: int                      # CLS and other tokens that are no patch
    grid: tuple                             # (gh,gw)
    size: tuple                             # (H,W) of the image
    scores: Tensor | None = None            # (B,L,M,T,T), before the softmax
    score_gradients: Tensor | None = None   # (B,L,M,T,T) of the class score with respect to those
    value_norms: Tensor | None = None       # (B,L,M,T), the length of each token's value after the output projection


def record_vit(model: nn.Module, image: Tensor, target: Target = None, layer: int | None = None,
               head: int | None = None, gradients: bool = False, score: Callable = class_score,
               also: Sequence[str] = ()) -> VitTrace:
    """A1: run a ViT once and record the attention of every layer and head. The model is left as it was.

    Threads may share the model.
    model: a ViT, ours or one that is built as timm, transformers and torchvision build theirs; image: (B,3,H,W).
    layer: a block's index, default the last; head: a head's index or None.
    gradients: also record those of the score with respect to every attention, which costs a backward pass.
    score: which number is differentiated, a stage: logits (B,C), target (B,1) -> (B,1).
    also: names of ALSO, further tensors to record.
    Raises ValueError for an index outside the network, gradients of a network that has no classes, attention that is
    not one matrix between all tokens, NaN or infinity; TypeError for a network that is no such ViT.
    """
    reader = reader_of(model)
    layer = index_in("layer", -1 if layer is None else layer, reader.layers)
    head = None if head is None else index_in("head", head, reader.heads)
    differentiate = gradients or "score_gradients" in also
    if differentiate or target is not None:
        must_have_classes(model)
    with (undisturbed(model), channel_errors(model, image), torch.inference_mode(False),
          torch.set_grad_enabled(differentiate)):
        # Frozen weights give no graph to differentiate; an image that asks for a gradient always does.
        model_input = as_the_weights(image, model).detach().requires_grad_(differentiate)
        prefix_tokens, grid = reader.token_layout(model_input)
        logits, attentions, more = reader.run(model_input, [name for name in also if name != "score_gradients"])
        target = pick_target(logits, target) if reader.classes else _no_class(logits)
        slopes = None
        if differentiate:
            slopes = torch.autograd.grad(score(logits.float(), target[:, None]).sum(), attentions)
        if "score_gradients" in also:
            more["score_gradients"] = [score_gradients_of(a, g) for a, g in zip(attentions, slopes)]
    tensors = {"attention": _stack(attentions), "attention_gradients": _stack(slopes) if gradients else None,
               **{name: _stack(layers) for name, layers in more.items()}}
    logits = logits.detach().float()
    # A mask is -infinity in the scores, and 0 in the attention.
    finite = {name: values for name, values in tensors.items() if values is not None and name != "scores"}
    check_finite(model, model_input, logits=logits, **finite)
    return VitTrace(**tensors, logits=logits, target=target, layer=layer, head=head, prefix_tokens=prefix_tokens,
                    grid=grid, size=tuple(image.shape[-2:]))


def reader_of(model: nn.Module) -> Any:
    """The reader of this model's attention. TypeError if there is none.

    A reader has `layers`, `heads`, `classes` (0 without a class head) and the four methods of OurViT.
    """
    model = unwrapped(model)
    if isinstance(model, ViT):
        return OurViT(model)
    from minixai.trace.foreign.vit import reader_for  # late: a network of ours needs no search for its blocks
    if (reader := reader_for(model)) is not None:
        return reader
    raise TypeError("attention methods read a ViT, a stack of equal blocks with attention between all patches; a "
                    f"{type(model).__name__} is not built like one, for a CNN use gradcam")


def is_vit(model: nn.Module) -> bool:
    """Whether the attention of this model can be read."""
    try:
        reader_of(model)
    except TypeError:
        return False
    return True


def must_have_classes(model: nn.Module) -> None:
    """ValueError if the ViT has no class head."""
    if not reader_of(model).classes:
        raise ValueError("this network has no class head: no target to choose, and no score to differentiate")


def token_layout(model: nn.Module, image: Tensor) -> tuple[int, tuple[int, int]]:
    """(prefix tokens, (gh,gw)) of a ViT for images (B,3,H,W): the prefix comes first, then the patches row by row."""
    return reader_of(model).token_layout(image)


def token_layer(model: nn.Module, block: int | None = None) -> str:
    """The dotted name of the norm in front of a block's attention (default: the last block's).

    After the last attention the class head reads the CLS token alone, so the patches have no gradient there.
    ValueError for a block that does not exist.
    """
    reader = reader_of(model)
    return reader.token_layer(index_in("layer", -1 if block is None else block, reader.layers))


class OurViT:
    """The reader of minixai's own ViT."""

    def __init__(self, model):
        self.model = model
        self.layers, self.heads, self.classes = len(model.blocks), model.blocks[0].attention.heads, model.classes

    def token_layout(self, image: Tensor) -> tuple[int, tuple[int, int]]:
        """Image (B,3,H,W) -> (prefix tokens, (gh,gw))."""
        return self.model.prefix_tokens, self.model.grid(image)

    def token_layer(self, block: int) -> str:
        """The dotted name of the norm in front of a block's attention."""
        return f"blocks.{block}.norm1"

    def run(self, image: Tensor, also: Sequence[str] = ()) -> tuple[Tensor, list[Tensor], dict[str, list[Tensor]]]:
        """Image -> logits (B,C), L attentions (B,M,T,T), {name: L tensors}: `also` names scores and value_norms.

        The attentions are those that the logits were computed from, so that the logits can be differentiated by them.
        """
        if not also:
            return *self.model.forward_with_attention(image), {}
        with outputs_of([block.attention.qkv for block in self.model.blocks]) as projected:
            logits, attentions = self.model.forward_with_attention(image)
        parts = [block.attention.split(qkv) for block, qkv in zip(self.model.blocks, projected)]
        make = {"scores": lambda block, q, k, v: scores_of(q, k),
                "value_norms": lambda block, q, k, v: value_norms_of(v, _out(block))}
        return logits, attentions, {name: [make[name](block, *each) for block, each in zip(self.model.blocks, parts)]
                                    for name in also}


def _out(block):
    """The output projection, times the factor that LayerScale, where there is one, puts on what the block adds."""
    return block.scale1(block.attention.out.weight.T).T


def _stack(layers):
    return torch.stack([layer.detach() for layer in layers], dim=1).float()


def _no_class(logits):
    return torch.full((len(logits),), NO_CLASS, device=logits.device)
