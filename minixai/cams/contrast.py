"""C1 replaced: another score is differentiated.

Letters: C classes. A batch passes through in front.
"""
from torch import Tensor

from minixai.score import class_score

SIMILAR = 3             # classes to compare with
STRENGTH = 0.6          # gamma: the share of the similar classes' mean score that is subtracted


def difference_to_similar_classes(logits: Tensor, target: Tensor) -> Tensor:
    """C1 class score minus that of similar classes: logits (C), target (1) -> score (1)

    Finer-CAM (Zhang et al. 2025, https://arxiv.org/abs/2501.11309, eq. 5 and 8): y_c - gamma y_d, averaged over the
    three classes d most similar to c, with gamma = 0.6. Features shared by similar classes lose weight. Similar are
    the classes with the nearest logits, as in the authors' code. ValueError if there is no other class.
    """
    score, others = class_score(logits, target), logits.shape[-1] - 1
    if others == 0:
        raise ValueError("Finer-CAM compares a class with those most like it; this network has one class")
    distance = (logits - score).abs().detach().scatter(-1, target, float("inf"))
    similar = distance.topk(min(SIMILAR, others), largest=False).indices
    return score - STRENGTH * logits.gather(-1, similar).mean(dim=-1, keepdim=True)


def residual_softmax_target(logits: Tensor, target: Tensor) -> Tensor:
    """C1 residual softmax target: logits (C), target (1) -> score (1)

    "ReST" (Cai 2025, https://arxiv.org/abs/2501.06261), made for Shapley-CAM: logit plus log-probability. The logit
    alone does not depend on the other classes, and the gradient of a log-probability vanishes where the class is
    nearly certain. The sum avoids both.
    """
    return class_score(logits, target) + class_score(logits.log_softmax(dim=-1), target)
