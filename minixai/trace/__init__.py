"""C1 and A1: what one pass through a network leaves behind, as plain tensors. No other package knows autograd or hooks.

    cnn.py      record_cnn: A, the feature maps of one layer, and g = d score / d A
    vit.py      record_vit: the attention of every layer and head
    heads.py    what a head works with: scores before the softmax, values
    tokens.py   a ViT's tokens as feature maps, for the methods of CNNs
    others.py   the attention of ViTs that are not ours, which watch.py sees where torch computes it
    network.py  the network again, for methods that ask it more than once
    common.py   the model left as it was, targets and indices checked

Grad-CAM wants the gradient of one number, the score of the class, with respect to one tensor, the feature maps. So the
network is run in two halves: up to the layer without a graph, from there on with one. Only the second half is
differentiated, which costs little, and no weight's `.grad` is touched.
"""
from minixai.trace.cnn import CaptureMode, CnnTrace, record_cnn
from minixai.trace.common import NO_CLASS, index_in, logits_of
from minixai.trace.vit import ALSO, VitTrace, is_vit, reader_of, record_vit, token_layer

__all__ = ["ALSO", "NO_CLASS", "CnnTrace", "CaptureMode", "VitTrace", "index_in", "is_vit", "logits_of", "reader_of",
           "record_cnn", "record_vit", "token_layer"]
