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
