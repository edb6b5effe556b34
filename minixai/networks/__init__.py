"""Networks whose inner tensors can be read, and the names under which they are loaded.

    cnn.py         a CNN as an ordered list of named stages, and SmallCNN       read these two first
    vit.py         a Vision Transformer that returns its attention
    zoo.py         ResNet-18, -34 and -50, VGG16, EfficientNet-Lite0
    registry.py    build and load: from a name to a network with its weights
    state_dict.py  files of weights: read safely, compared with a network
    labels.py      the index of a class, from its name
"""
