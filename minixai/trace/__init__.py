"""C1 and A1: what one pass through a network leaves behind, as plain tensors. No other package uses autograd or hooks.

    cnn.py          record_cnn: A, the feature maps of one layer, and g = d score / d A      read this one first
    vit.py          record_vit: the attention of every layer and head
    heads.py        scores before the softmax and values, for methods that read more than attention
    network.py      the network once more, for methods that run it again
    bias_terms.py   FullGrad's terms: gradient times image, and gradient times every bias
    common.py       eval mode and hooks that leave the model as it was; checks of images, targets and indices
    foreign/        hooks, and readers of other people's networks; imported when such a network comes

Grad-CAM needs the gradient of one number, the score of the class, with respect to one tensor, the feature maps. So the
network is run in two halves: up to the layer without a graph, and from there on with one. Only the second half is
differentiated, which costs little, and no weight's `.grad` is touched.
"""
from minixai.trace.cnn import AS_RETURNED, CaptureMode, CnnTrace, record_cnn
from minixai.trace.common import NO_CLASS, index_in, logits_of
from minixai.trace.vit import ALSO, VitTrace, is_vit, reader_of, record_vit, token_layer

__all__ = ["ALSO", "AS_RETURNED", "NO_CLASS", "CaptureMode", "CnnTrace", "VitTrace", "index_in", "is_vit",
           "logits_of", "reader_of", "record_cnn", "record_vit", "token_layer"]
