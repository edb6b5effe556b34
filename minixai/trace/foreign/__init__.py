"""C1 and A1 for networks that are not ours, and for layers inside our stages. No library is imported here.

    cnn.py                  any layer of any network, with a hook
    tokens.py               a ViT's tokens as feature maps, for CAM methods
    vit.py                  where a ViT built like timm's, transformers' or torchvision's keeps its attention
    attention_recorder.py   the attention itself, recorded where torch computes it
    layers.py               which layers of a network return feature maps
"""
