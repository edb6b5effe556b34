"""The score that C1 and A1 differentiate, as a stage that can be replaced like any other.

Letters: C classes. A batch passes through in front.
"""
from torch import Tensor


def class_score(logits: Tensor, target: Tensor) -> Tensor:
    """C1 class score: logits (C), target (1) -> score (1)

    The logit of the class. After the softmax it would depend on every other class (Selvaraju et al. 2017, section 3:
    "before the softmax").
    """
    return logits.gather(-1, target)
