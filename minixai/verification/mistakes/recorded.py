"""C1 and A1 done wrong: another class, layer, head, score or image is recorded.

Letters: C classes. A batch passes through in front.
"""
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from minixai.networks.cnn import CNN
from minixai.score import class_score
from minixai.trace import CaptureMode, CnnTrace, VitTrace
from minixai.trace.foreign.layers import layers_to_compare
from minixai.verification.mistakes import Mistake, Recording

WrongTraces = Iterator[tuple[str, CnnTrace | VitTrace]]

FEW = 20            # of networks with at most this many classes, all are tried
NEAR = 10           # of others those with the highest logits, and the class indices next to the target


def probability(logits: Tensor, target: Tensor) -> Tensor:
    """C1 probability: logits (C), target (1) -> score (1)

    The softmax's output in place of the logit. Its gradient is small where the class is nearly certain, and depends on
    every other class.
    """
    return logits.softmax(dim=-1).gather(-1, target)


def log_probability(logits: Tensor, target: Tensor) -> Tensor:
    """C1 log probability: logits (C), target (1) -> score (1)"""
    return logits.log_softmax(dim=-1).gather(-1, target)


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """C1 loss: logits (C), target (1) -> score (1)

    The training loss, which falls where the class score rises. So its gradient has the other sign.
    """
    return -log_probability(logits, target)


def minus_the_logit(logits: Tensor, target: Tensor) -> Tensor:
    """C1 minus the logit: logits (C), target (1) -> score (1)"""
    return -logits.gather(-1, target)


def sum_of_all_logits(logits: Tensor, target: Tensor) -> Tensor:
    """C1 sum of all logits: logits (C), target (1) -> score (1)

    logits.sum().backward(): the gradient of all classes together.
    """
    return logits.sum(dim=-1, keepdim=True)


@dataclass(frozen=True)
class WithScore:
    """A mistake of C1 or A1: the same recording with another score, a stage."""
    score: Callable

    def __call__(self, recording: Recording) -> WrongTraces:
        """Yield the one trace, under an empty name."""
        yield "", recording.again(score=self.score)


def other_class(recording: Recording) -> WrongTraces:
    """Another class was explained. The likeliest come first: those with high logits, then neighbouring indices."""
    logits, target = recording.trace.logits, recording.trace.target
    if logits is None or not isinstance(logits, torch.Tensor):
        return
    C, meant = logits.shape[-1], int(target[0])
    ranked = logits.mean(dim=0).argsort(descending=True).tolist()
    near = ranked if C <= FEW else [*ranked[:NEAR], meant - 1, meant + 1, 0, C - 1]
    for other in dict.fromkeys(near):
        if 0 <= other < C and not bool((target == other).all()):
            yield _named(recording, other), recording.again(target=other)


def _named(recording, target):
    labels = getattr(recording.model, "labels", None) or ()
    return f"class {target}, {labels[target]}" if target < len(labels) else f"class {target}"


def other_class_before_a_linear_head(recording: Recording) -> WrongTraces:
    """Every class of a network with global average pooling and one linear layer, whose gradients need no pass."""
    network = recording.trace.network
    if network is None or not recording.trace.logits.shape[-1] > FEW:
        return
    try:
        network.linear_weights()
    except ValueError:
        return
    head = recording.model.head.fc.weight.detach().float()
    area = recording.trace.activations.shape[-2:].numel()
    for other in range(len(head)):
        if not bool((recording.trace.target == other).all()):
            gradients = (head[other] / area)[None, :, None, None].expand_as(recording.trace.activations)
            target = torch.full_like(recording.trace.target, other)
            yield _named(recording, other), replace(recording.trace, gradients=gradients, target=target)


def other_layer(recording: Recording) -> WrongTraces:
    """Another layer was read."""
    trace = recording.trace
    for name in layers_to_compare(recording.model, recording.image, trace.layer):
        try:
            yield name, recording.again(layer=name)
        except ValueError:          # the score does not depend on the layer, or the layer returns no maps (B,K,h,w)
            continue


def other_tensor(recording: Recording) -> WrongTraces:
    """Another of the layer's tensors was read, where the network works in place or runs a layer twice."""
    model = recording.model
    if isinstance(model, CNN) and recording.trace.layer in model.layers:
        return          # no operation of our networks is in place
    for which, capture in (("what is made of it in place", CaptureMode(activations="after", gradients="after")),
                         ("what is made of it in place, with the gradient before", CaptureMode(activations="after")),
                         ("of its first run", CaptureMode(run="first"))):
        yield which, recording.again(capture=capture)


def other_block(recording: Recording) -> WrongTraces:
    """Another block's attention was read."""
    for layer in range(recording.trace.attention.shape[-4]):
        if layer != recording.trace.layer:
            yield f"block {layer}", replace(recording.trace, layer=layer)


def other_head(recording: Recording) -> WrongTraces:
    """Another head was read."""
    for head in range(recording.trace.attention.shape[-3]):
        if recording.trace.head is not None and head != recording.trace.head:
            yield f"head {head}", replace(recording.trace, head=head)


def scores_before_the_softmax(recording: Recording) -> WrongTraces:
    """The scores before the softmax were read in place of the attention."""
    scores = getattr(recording.trace, "scores", None)
    if scores is not None:
        yield "", replace(recording.trace, attention=scores)


def gradients_of_the_scores(recording: Recording) -> WrongTraces:
    """The gradient is that of the scores before the softmax, the attention is after it."""
    gradients = getattr(recording.trace, "score_gradients", None)
    if gradients is not None:
        yield "", replace(recording.trace, attention_gradients=gradients)


def no_gradients(recording: Recording) -> WrongTraces:
    """The gradient was left out, which equals a gradient of ones."""
    if recording.trace.attention_gradients is not None:
        yield "", replace(recording.trace, attention_gradients=torch.ones_like(recording.trace.attention))


def red_and_blue_swapped(recording: Recording) -> WrongTraces:
    """The image was read as BGR (OpenCV's order) and given to a network for RGB."""
    yield "", recording.again(image=recording.image.flip(dims=(1,)))


def mirrored_image(recording: Recording) -> WrongTraces:
    """The image was mirrored before the forward pass."""
    yield "", recording.again(image=recording.image.flip(dims=(-1,)))


def pixels_not_normalised(recording: Recording) -> WrongTraces:
    """The network was given pixels in [0,1] without normalisation."""
    pixels = _pixels(recording)
    if pixels is not None:
        yield "", recording.again(image=pixels)


def other_mean_and_deviation(recording: Recording) -> WrongTraces:
    """The pixels were normalised with another network's mean and deviation."""
    pixels, own = _pixels(recording), getattr(recording.model, "preprocess", None)
    for mean, std in (((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), ((0.5,) * 3, (0.5,) * 3)):
        if pixels is not None and (mean, std) != (tuple(own.mean), tuple(own.std)):
            yield f"mean {mean[0]}", recording.again(image=(pixels - _column(mean)) / _column(std))


def _pixels(recording):
    own = getattr(recording.model, "preprocess", None)
    return None if own is None else recording.image * _column(own.std) + _column(own.mean)


def _column(values):
    return torch.tensor(values).reshape(3, 1, 1)


SCORE = "the class score is the logit: minixai/score.py"
RECORD = "what is recorded, and for which class and layer: minixai/trace/cnn.py"
PREPROCESS = "how the network wants its images: model.preprocess, minixai/images.py"
BLOCKS = "which block and head is read: minixai/trace/vit.py"

OF_SCORE = (class_score,)

MISTAKES = [
    Mistake("C1", "another class", other_class, RECORD, of_class=True),
    Mistake("C1", "another class", other_class_before_a_linear_head, RECORD, of_class=True),
    Mistake("C1", "another layer", other_layer, RECORD),
    Mistake("C1", "another tensor of the layer", other_tensor, "what is kept where a network works in place: "
            "minixai.trace.CaptureMode"),
    Mistake("C1", "the softmax's probability in place of the logit", WithScore(probability), SCORE, OF_SCORE, True),
    Mistake("C1", "the log probability in place of the logit", WithScore(log_probability), SCORE, OF_SCORE, True),
    Mistake("C1", "the loss in place of the score, its sign not turned", WithScore(cross_entropy), SCORE,
            OF_SCORE, True),
    Mistake("C1", "the gradient's sign turned", WithScore(minus_the_logit), SCORE, OF_SCORE, True),
    Mistake("C1", "the sum of all logits in place of one", WithScore(sum_of_all_logits), SCORE, OF_SCORE, True),
    Mistake("C1", "the image with red and blue swapped", red_and_blue_swapped, PREPROCESS),
    Mistake("C1", "the image mirrored", mirrored_image, PREPROCESS),
    Mistake("C1", "pixels in [0,1], not normalised", pixels_not_normalised, PREPROCESS),
    Mistake("C1", "pixels normalised with another network's mean and deviation", other_mean_and_deviation, PREPROCESS),
    Mistake("A1", "another class", other_class, BLOCKS, of_class=True),
    Mistake("A1", "another block", other_block, BLOCKS),
    Mistake("A1", "another head", other_head, BLOCKS),
    Mistake("A1", "scores before the softmax in place of attention", scores_before_the_softmax, BLOCKS),
    Mistake("A1", "gradients of the scores before the softmax", gradients_of_the_scores, BLOCKS),
    Mistake("A1", "no gradients: attention alone", no_gradients, BLOCKS),
    Mistake("A1", "the softmax's probability in place of the logit", WithScore(probability), SCORE, OF_SCORE, True),
    Mistake("A1", "the loss in place of the score, its sign not turned", WithScore(cross_entropy), SCORE,
            OF_SCORE, True),
    Mistake("A1", "the gradient's sign turned", WithScore(minus_the_logit), SCORE, OF_SCORE, True),
    Mistake("A1", "the image with red and blue swapped", red_and_blue_swapped, PREPROCESS),
    Mistake("A1", "the image mirrored", mirrored_image, PREPROCESS),
    Mistake("A1", "pixels in [0,1], not normalised", pixels_not_normalised, PREPROCESS),
    Mistake("A1", "pixels normalised with another network's mean and deviation", other_mean_and_deviation, PREPROCESS),
]
