"""Another number explained: C1, the score that is differentiated, replaced."""
from torch import Tensor

from minixai.score import class_score

SIMILAR = 3             # classes to compare with
STRENGTH = 0.6          # gamma: how much of what they have in common is taken away


def difference_to_similar_classes(logits: Tensor, target: Tensor) -> Tensor:
    """C1 class score less that of similar classes: logits (C), target (1) -> score (1)

    Finer-CAM (Zhang et al. 2025, https://arxiv.org/abs/2501.11309, eq. 5 and 8): y_c - gamma y_d, averaged over the
    three classes d most like c, with gamma = 0.6. What speaks for all of them alike is taken away. Alike are classes
    whose logits are nearest, as in the authors' code. ValueError if there is no other class.
    """
    score, others = class_score(logits, target), logits.shape[-1] - 1
    if others == 0:
        raise ValueError("Finer-CAM compares a class with those most like it; this network has one class")
    distance = (logits - score).abs().detach().scatter(-1, target, float("inf"))
    similar = distance.topk(min(SIMILAR, others), largest=False).indices
    return score - STRENGTH * logits.gather(-1, similar).mean(dim=-1, keepdim=True)


def residual_softmax_target(logits: Tensor, target: Tensor) -> Tensor:
    """C1 logit plus log-probability: logits (C), target (1) -> score (1)

    "ReST" (Cai 2025, https://arxiv.org/abs/2501.06261), made for Shapley-CAM: the logit knows no other class, and the
    gradient of a probability vanishes where the network is sure; their sum has neither fault.
    """
    return class_score(logits, target) + class_score(logits.log_softmax(dim=-1), target)
