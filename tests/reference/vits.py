"""Logits and attention out of other libraries' ViTs, for the recorder and the live comparison."""


def timm_attention(model, image):
    """Logits (B,C) and the attention of each block. timm's fused attention never makes it, so it is switched off."""
    attentions = []
    hooks = [block.attn.attn_drop.register_forward_hook(lambda module, inputs, output: attentions.append(output))
             for block in model.blocks]
    for block in model.blocks:
        block.attn.fused_attn = False
    logits = model(image)
    for hook in hooks:
        hook.remove()
    return logits, attentions


def transformers_attention(model, image):
    """The CLS token after the last norm (B,D), and the attention of each block."""
    output = model(image, output_attentions=True)
    return output.last_hidden_state[:, 0], output.attentions


def torchvision_attention(model, image):
    """Logits (B,C) and the attention of each block. torchvision asks its attention for none, so it is asked again."""
    attentions = []
    layers = [layer.self_attention for layer in model.encoder.layers]
    ask = [layer.register_forward_pre_hook(lambda module, inputs, options: (inputs, options | {
        "need_weights": True, "average_attn_weights": False}), with_kwargs=True) for layer in layers]
    keep = [layer.register_forward_hook(lambda module, inputs, output: attentions.append(output[1]))
            for layer in layers]
    logits = model(image)
    for hook in ask + keep:
        hook.remove()
    return logits, attentions


def transformers_logits(model, image):
    """Logits (B,C) and the attention of each block, of a transformers network with a head."""
    output = model(image, output_attentions=True)
    return output.logits, output.attentions
