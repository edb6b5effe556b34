"""C1 and A1: what one pass through a network leaves behind, as plain tensors. No other package knows autograd or hooks.

    cnn.py      record_cnn: A, the feature maps of one layer, and g = d score / d A
    vit.py      record_vit: the attention of every layer and head
    network.py  the network again, for methods that ask it more than once
    common.py   the model left as it was, targets and indices checked

Grad-CAM wants the gradient of one number, the score of the class, with respect to one tensor, the feature maps. So the
network is run in two halves: up to the layer without a graph, from there on with one. Only the second half is
differentiated, which costs little, and no weight's `.grad` is touched.
"""
from minixai.trace.cnn import CnnTrace, record_cnn
from minixai.trace.common import NO_CLASS, index_in, logits_of
from minixai.trace.vit import VitTrace, record_vit

__all__ = ["NO_CLASS", "CnnTrace", "VitTrace", "index_in", "logits_of", "record_cnn", "record_vit"]
