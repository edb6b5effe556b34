"""A1: the attention of every layer and head, and the gradient of the class score with respect to each of them."""
from dataclasses import dataclass

import torch

from minixai.score import class_score
from minixai.trace.common import NO_CLASS, as_the_weights, index_in, pick_target, undisturbed
from minixai.vit import ViT


@dataclass(frozen=True, eq=False, repr=False)
class VitTrace:
    """What attention maps read. B images, L layers, M heads, T = prefix_tokens + gh·gw tokens."""
    attention: torch.Tensor         # (B,L,M,T,T), rows sum to one
    attention_gradients: torch.Tensor | None    # (B,L,M,T,T) of the score, for methods that read them
    logits: torch.Tensor | None     # (B,C)
    target: torch.Tensor            # (B,) int64, NO_CLASS without a head; not read by methods that know no class
    layer: int                      # the block to read, -1 for the last
    head: int | None                # the head to read, None for all
    prefix_tokens: int              # CLS and other tokens that are no patch
    grid: tuple                     # (gh,gw)
    size: tuple                     # (H,W) of the image


def record_vit(model, image, target=None, layer=None, head=None, gradients=False, score=class_score):
    """A1: run a ViT once and record the attention of every layer and head. The model is left as it was.

    model: a minixai ViT; image: (B,3,H,W). layer: a block's index, default the last; head: a head's index or None.
    gradients: also record those of the score with respect to every attention, which costs a backward pass.
    score: which number is differentiated, a stage: logits (B,C), target (B,1) -> (B,1).
    Raises ValueError for an index outside the network, or for gradients of a network that has no classes.
    """
    if not isinstance(model, ViT):
        raise TypeError(f"attention is recorded from minixai's own ViT; a {type(model).__name__} does not return it")
    layer = index_in("layer", -1 if layer is None else layer, len(model.blocks))
    if head is not None:
        head = index_in("head", head, model.blocks[0].attention.heads)
    if not model.classes and (gradients or target is not None):
        raise ValueError("this network has no class head: no target to choose, and no score to differentiate")
    with undisturbed(model), torch.inference_mode(False), torch.set_grad_enabled(gradients):
        # Frozen weights give no graph to differentiate; an image that asks for a gradient always does.
        model_input = as_the_weights(image, model).detach().requires_grad_(gradients)
        logits, attentions = model.forward_with_attention(model_input)
        target = pick_target(logits, target) if model.classes else _no_class(logits)
        slopes = None
        if gradients:
            slopes = torch.autograd.grad(score(logits.float(), target[:, None]).sum(), attentions)
    return VitTrace(_stack(attentions), slopes and _stack(slopes), logits.detach().float(), target, layer, head,
                    model.prefix_tokens, model.grid(image), tuple(image.shape[-2:]))


def _stack(layers):
    return torch.stack([layer.detach() for layer in layers], dim=1).float()


def _no_class(logits):
    return torch.full((len(logits),), NO_CLASS, device=logits.device)
