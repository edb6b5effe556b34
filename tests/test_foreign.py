"""Attention of networks that are not ours: every way in which torch is asked for it, and every network without it.

The networks here have the weights of our ViT and its arithmetic, but get their attention as libraries do. What the
libraries themselves give is recorded in tests/reference/foreign.npz, and compared live by tests.reference.live_foreign.
"""

import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from minixai import explain
from minixai.networks.cnn import small_cnn
from minixai.networks.vit import ViT
from minixai.trace import is_vit, record_cnn, record_vit, token_layer
from minixai.trace.foreign.attention_recorder import AttentionRecorder
from minixai.trace.foreign.tokens import channels_last
from minixai.trace.vit import token_layout
from tests.conftest import random_images
from tests.reference.near import DOUBLE, relative_difference
from tests.reference.record_foreign import OURS, TARGET
from tests.reference.seeded import filled, pick, recorded, recorded_image
from weights_scripts import convert_vit

pytestmark = pytest.mark.filterwarnings("error")
KINDS = ("sdpa", "softmax", "cast", "einsum", "mha")


def ours(classes=5, prefix_tokens=3):
    torch.manual_seed(0)
    return ViT(16, 4, 8, depth=3, heads=2, classes=classes, prefix_tokens=prefix_tokens).eval()


class Attention(nn.Module):
    """The same attention in the words of one library or another."""

    def __init__(self, own, kind):
        super().__init__()
        self.num_heads, self.kind, self.attn_drop = own.heads, kind, nn.Dropout(0.5)
        if kind == "mha":       # torchvision
            self.mha = nn.MultiheadAttention(own.out.in_features, own.heads, dropout=0.5, batch_first=True)
            self.mha.in_proj_weight, self.mha.in_proj_bias = own.qkv.weight, own.qkv.bias
            self.mha.out_proj.weight, self.mha.out_proj.bias = own.out.weight, own.out.bias
        else:
            self.qkv, self.proj = own.qkv, own.out

    def forward(self, x):
        if self.kind == "mha":
            return self.mha(x, x, x, need_weights=False)[0]
        B, T, D = x.shape
        q, k, v = self.qkv(x).reshape(B, T, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        return self.proj(self.mix(q, k, v, q.shape[-1] ** -0.5).transpose(1, 2).reshape(B, T, D))

    def mix(self, q, k, v, scale):
        if self.kind == "sdpa":         # timm and transformers as installed
            return F.scaled_dot_product_attention(q, k, v, dropout_p=0.5 if self.training else 0)
        if self.kind == "softmax":      # timm with fused_attn switched off
            return self.attn_drop(((q * scale) @ k.transpose(-2, -1)).softmax(dim=-1)) @ v
        if self.kind == "cast":         # transformers, eager
            scores = torch.matmul(q, k.transpose(2, 3)) * scale
            attention = F.softmax(scores, dim=-1, dtype=torch.float32).to(q.dtype)
            return torch.matmul(F.dropout(attention, 0.5, self.training), v)
        q = q * torch.softmax(input=q, dim=1).sum(dim=1, keepdim=True)      # ones, by a softmax that is no attention
        attention = nn.Softmax(dim=-1)(torch.einsum("bmid,bmjd->bmij", q, k) * scale)
        return torch.einsum("bmij,bmjd->bmid", attention, v)


class Block(nn.Module):
    def __init__(self, own, kind):
        super().__init__()
        self.norm1, self.attn, self.norm2, self.mlp = own.norm1, Attention(own.attention, kind), own.norm2, own.mlp

    def forward(self, tokens):
        tokens = tokens + self.attn(self.norm1(tokens))
        return tokens + self.mlp(self.norm2(tokens))


class Theirs(nn.Module):
    """Our ViT, told by someone else; `read` is what the head reads of the last tokens (B,T,D)."""

    def __init__(self, kind="sdpa", read=lambda tokens: tokens[:, 0], make_block=Block, **options):
        super().__init__()
        own = ours(**options)
        self.body, self.read = own, read
        self.layers = nn.Sequential(*[make_block(block, kind) for block in own.blocks])
        self.head = own.head
        del own.blocks, own.head        # the same weights under other names
        self.eval()

    def forward(self, image):
        return self.head(self.read(self.body.norm(self.layers(self.body.embed(image)))))


def state(model):
    """All of a network that a recording could disturb, and the caller's own switches."""
    return {"modes": [module.training for module in model.modules()],
            "attributes": [(name, value) for module in model.modules() for name, value in vars(module).items()
                           if isinstance(value, int | float | str)],
            "forwards": [getattr(module.forward, "__func__", None) for module in model.modules()],
            "hooks": [[list(getattr(module, name)) for name in vars(module) if name.endswith("_hooks")]
                      for module in model.modules()],
            "weights": [(weight.requires_grad, weight.grad, weight._version) for weight in model.parameters()],
            "caller": (torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.get_rng_state().tolist(),
                       torch.backends.mha.get_fastpath_enabled(), F.scaled_dot_product_attention, F.softmax,
                       torch._C._len_torch_function_stack())}


def close(a, b):
    torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


# ------------------------------------------------------------------------------------------------- what is recorded

@pytest.mark.parametrize("kind", KINDS)
def test_attention_and_gradients_are_those_of_our_vit(kind):
    model, image = Theirs(kind), random_images()
    theirs = record_vit(model, image, [1, 3], layer=1, head=1, gradients=True, also=("scores", "score_gradients"))
    own = record_vit(ours(), image, [1, 3], layer=1, head=1, gradients=True, also=("scores", "score_gradients"))
    for name in ("attention", "attention_gradients", "logits", "scores", "score_gradients"):
        close(getattr(theirs, name), getattr(own, name))
    assert own.attention_gradients.abs().max() > 1e-4
    for name in ("layer", "head", "prefix_tokens", "grid", "size"):
        assert getattr(theirs, name) == getattr(own, name)
    close(theirs.logits, model(image).detach())


@pytest.mark.parametrize("kind", KINDS)
def test_without_gradients_the_same_is_recorded(kind):
    plain, full = record_vit(Theirs(kind), random_images()), record_vit(Theirs(kind), random_images(), gradients=True)
    close(plain.attention, full.attention)
    assert torch.equal(plain.target, full.target) and plain.attention_gradients is None
    assert not plain.attention.requires_grad and plain.logits.grad_fn is None


@pytest.mark.parametrize("method", ["attention", "rollout", "chefer", "gradrollout", "gradcam", "layercam"])
def test_methods_give_what_they_give_on_our_vit(method):
    theirs = explain(Theirs("mha"), random_images(), method, [1, 3])
    own = explain(ours(), random_images(), method, [1, 3])
    torch.testing.assert_close(theirs.heatmap, own.heatmap, rtol=0, atol=1e-4)
    assert own.heatmap.max() > 0.9


@pytest.mark.parametrize("name", OURS)
def test_our_vit_has_the_attention_and_gradients_that_the_libraries_give(name):
    record = {key.removeprefix(f"{name}: "): value for key, value in recorded("foreign").items()}
    options, convert = OURS[name]
    model = ViT(48, 8, 32, depth=3, heads=4, classes=6, mlp_ratio=2, **options)
    model = filled(model, record, getattr(convert_vit, convert))
    trace = record_vit(model.double(), recorded_image(record).double(), TARGET, gradients=True)
    assert relative_difference(trace.logits, record["logits"]) <= DOUBLE
    assert relative_difference(pick(trace.attention, 1500), record["attention"]) <= DOUBLE
    assert relative_difference(pick(trace.attention_gradients, 1500), record["gradients"]) <= DOUBLE


def test_a_bias_or_a_mask_on_the_scores_is_part_of_the_attention():
    T = 3 + 6 * 4
    bias = torch.randn(1, 2, T, T, generator=torch.Generator().manual_seed(2))

    def biased(mask):
        model = Theirs("sdpa")
        for block in model.layers:
            block.attn.mix = lambda q, k, v, scale: F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return model
    for mask in (bias, bias > -1):
        model = biased(mask)
        trace = record_vit(model, random_images())
        close(trace.logits, model(random_images()).detach())
        assert (trace.attention.sum(dim=-1) - 1).abs().max() < 1e-5
    assert (trace.attention[..., ~mask[0, 0]][:, :, 0] == 0).all()


def test_a_convolution_behind_the_first_attention_is_not_taken_for_the_one_that_cuts_the_patches():
    def read(tokens):
        F.conv2d(tokens[:, None], torch.ones(1, 1, 3, 3))
        return tokens[:, 0]
    assert record_vit(Theirs(read=read), random_images()).grid == (6, 4)


def test_a_scale_of_its_own_is_part_of_the_scores():
    model = Theirs("sdpa")
    for block in model.layers:
        block.attn.mix = lambda q, k, v, scale: F.scaled_dot_product_attention(q, k, v, scale=0.3)
    trace = record_vit(model, random_images())
    close(trace.logits, model(random_images()).detach())


@pytest.mark.parametrize("softmax", [torch.softmax, torch.Tensor.softmax])
@pytest.mark.parametrize("dim", [-1, 3])
def test_the_dimension_of_a_softmax_may_be_given_by_its_place(softmax, dim):
    model = Theirs()
    for block in model.layers:
        block.attn.mix = lambda q, k, v, scale: softmax(q @ k.transpose(2, 3) * scale, dim) @ v
    close(record_vit(model, random_images()).attention, record_vit(ours(), random_images()).attention)


@pytest.mark.parametrize("weigh", [lambda cls: cls.softmax(dim=-1) @ torch.eye(8),
                                   lambda cls: (cls[:, None].softmax(dim=1) @ torch.eye(8))[:, 0]],
                         ids=["of a matrix", "over another dimension"])
def test_a_softmax_that_is_no_attention_may_multiply_too(weigh):
    model = Theirs(read=lambda tokens: weigh(tokens[:, 0]) * tokens[:, 0])
    trace = record_vit(model, random_images())
    close(trace.logits, model(random_images()).detach())
    assert trace.attention.shape == (2, 3, 2, 27, 27)


@pytest.mark.parametrize("options", [dict(need_weights=False), {}, dict(average_attn_weights=False)], ids=str)
def test_what_nn_multihead_attention_returns_beside_the_tokens_is_left_as_it_was(options):
    model, kept = Theirs("mha"), []
    for block in model.layers:
        def forward(x, mha=block.attn.mha):
            tokens, weights = mha(x, x, x, **options)
            kept.append(weights)
            return tokens
        block.attn.forward = forward
    model(random_images())
    record_vit(model, random_images())
    for plain, seen in zip(kept[:3], kept[3:], strict=True):
        assert plain is seen is None or torch.allclose(plain, seen, atol=1e-6) and plain.shape == seen.shape
    mha, x = model.layers[0].attn.mha, torch.ones(4, 1, 8)
    with AttentionRecorder() as recorder:
        _, weights = F.multi_head_attention_forward(
            x, x, x, 8, 2, mha.in_proj_weight, mha.in_proj_bias, None, None, False, 0.0, mha.out_proj.weight,
            mha.out_proj.bias)
    assert torch.equal(weights, recorder.attentions[0].mean(dim=1))     # the defaults of torch's function


def test_the_layout_is_found_at_the_first_attention():
    model, ran = Theirs(), []
    for block in model.layers:
        block.attn.register_forward_pre_hook(lambda module, inputs: ran.append(module))
    assert token_layout(model, random_images()) == (3, (6, 4)) and ran == [model.layers[0].attn]


def test_a_part_of_cait_alone_makes_no_cait():
    model = Theirs()
    model.layers[0].attn.proj_w = nn.Linear(2, 2)
    close(record_vit(model, random_images()).attention, record_vit(ours(), random_images()).attention)


def test_a_network_without_a_head_gives_its_cls_token():
    for read in (lambda tokens: tokens[:, 0], lambda tokens: tokens):      # some return it, some return all tokens
        trace = record_vit(Theirs(read=read, classes=0), random_images())
        close(trace.attention, record_vit(ours(classes=0), random_images()).attention)
        close(trace.logits, record_vit(ours(classes=0), random_images()).logits)
        assert trace.target.tolist() == [-1, -1]


class Compiled(nn.Module):
    """What torch.compile returns, as far as it matters: hooks and modes do not reach what it runs."""
    def __init__(self, model):
        super().__init__()
        self._orig_mod = model


def test_a_vit_made_of_torchs_own_encoder_is_read():
    """As one writes it oneself; in eval mode torch has a fast path for it that shows no attention at all."""
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True)
            self.embedding = ours(prefix_tokens=1)
            self.encoder = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)
            self.fc = nn.Linear(8, 5)
            del self.embedding.blocks

        def forward(self, image):
            return self.fc(self.encoder(self.embedding.embed(image))[:, 0])

    model = Own().eval()
    trace = record_vit(model, random_images(), 1, gradients=True)
    with torch.no_grad():
        close(trace.logits, model(random_images()))        # by the fast path
    assert trace.attention.shape == (2, 3, 2, 25, 25) and token_layer(model) == "encoder.layers.2.norm1"
    first = model.encoder.layers[0]
    tokens = first.norm1(model.embedding.embed(random_images()))
    close(trace.attention[:, 0], first.self_attn(tokens, tokens, tokens, average_attn_weights=False)[1].detach())


def test_wrapped_and_compiled_networks_are_looked_into():
    expected = record_vit(Theirs(), random_images())
    for wrapped in (nn.DataParallel(Theirs()), Compiled(nn.DataParallel(Theirs())), nn.Sequential(Theirs())):
        assert is_vit(wrapped)
        close(record_vit(wrapped, random_images()).attention, expected.attention)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_other_precisions_are_recorded_as_float32(kind, dtype):
    trace = record_vit(Theirs(kind).to(dtype), random_images(), 1, gradients=True)
    full = record_vit(ours(), random_images(), 1, gradients=True)
    limit = 1e-5 if dtype == torch.float64 else 0.15
    for name in ("attention", "attention_gradients"):
        value = getattr(trace, name)
        assert value.dtype == torch.float32
        assert (value - getattr(full, name)).norm() <= limit * getattr(full, name).norm()


# --------------------------------------------------------------------------------------------- left as it was

@pytest.mark.parametrize("around", [torch.enable_grad, torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("gradients", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_the_network_is_left_as_it_was(kind, gradients, around):
    model = Theirs(kind).train()
    model.layers[1].eval()
    for weight in list(model.parameters())[::2]:
        weight.requires_grad_(False)
    before = state(model)
    with around():
        inside = state(model)
        trace = record_vit(model, random_images(), 1, gradients=gradients)
        assert state(model) == inside
    assert state(model) == before
    close(trace.attention, record_vit(ours(), random_images()).attention)


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_that_breaks_down_is_left_as_it_was(kind):
    model = Theirs(kind).train()
    model.head.bias.data = model.head.bias.data[:-1]
    before = state(model)
    with pytest.raises(RuntimeError):
        record_vit(model, random_images(), gradients=True)
    with pytest.raises(ValueError):
        record_vit(model, "cat.jpg")
    assert state(model) == before


# ------------------------------------------------------------------------------------------------- what is refused

class Changed(Attention):
    """Something is done to the attention between the softmax and the values."""
    def mix(self, q, k, v, scale):
        attention = ((q * scale) @ k.transpose(-2, -1)).softmax(dim=-1)
        return (attention.flip(1) if self.kind == "heads mixed" else attention - 0.1) @ v


class Windows(Attention):
    def mix(self, q, k, v, scale):
        halves = zip(*[part.chunk(2, dim=2) for part in (q, k, v)])
        return torch.cat([F.scaled_dot_product_attention(*half) for half in halves], dim=2)


class FewerKeys(Attention):
    def mix(self, q, k, v, scale):
        return F.scaled_dot_product_attention(q, k[:, :, ::2], v[:, :, ::2])


class HeadsInTheBatch(Attention):
    def mix(self, q, k, v, scale):
        q, k, v = (part.flatten(0, 1) for part in (q, k, v))
        return torch.bmm((q @ k.transpose(1, 2) * scale).softmax(dim=-1), v).unflatten(0, (-1, self.num_heads))


class Causal(Attention):
    def mix(self, q, k, v, scale):
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)


class Kernel(Attention):
    """What no function of torch is seen to do."""
    def mix(self, q, k, v, scale):
        return v


class Masked(Attention):
    def forward(self, x):
        return self.mha(x, x, x, need_weights=False, attn_mask=torch.zeros(x.shape[1], x.shape[1]))[0]


def with_attention(kind, attention):
    class Other(Block):
        def __init__(self, own, kind):
            super().__init__(own, kind)
            self.attn = attention(own.attention, kind)
    return lambda: Theirs(kind, make_block=Other)


def swin():
    model = Theirs()
    for block in model.layers:
        block.shift_size = 2
    return model


def cait():
    model = Theirs()
    for block in model.layers:
        block.attn.proj_l = block.attn.proj_w = nn.Linear(2, 2)
    return model


def checkpointed():
    model = Theirs()
    model.body.grad_checkpointing = True
    return model


def named_pool():
    model = Theirs(read=lambda tokens: tokens.mean(dim=1))
    model.global_pool = "avg"
    return model


class Unfolded(nn.Conv2d):
    """Patches cut without a convolution."""
    def forward(self, image):
        return (self.weight.flatten(1) @ F.unfold(image, 4, stride=4)).unflatten(-1, (6, 4))


def unfolded():
    model = Theirs()
    model.body.patches = Unfolded(3, 8, 4)
    return model


REFUSALS = [    # network, error, sentence
    (swin, TypeError, r"Theirs looks through shifted windows \(Swin\): .* no CLS token, and no T x T matrix"),
    (cait, TypeError, "Theirs mixes its heads after the softmax"),
    (small_cnn, TypeError, "a CNN is not built like one, for a CNN use gradcam"),
    (lambda: nn.Linear(3, 4), TypeError, "a Linear is not built like one"),
    (with_attention("heads mixed", Changed), ValueError, "changes its attention between the softmax and the values"),
    (with_attention("less", Changed), ValueError, "changes its attention between the softmax and the values"),
    (with_attention("", Windows), ValueError, r"is \(1, 2, 14, 14\) for 1 image\(s\) of 6x4 patches, not \(1,2,T,T\)"),
    (with_attention("", FewerKeys), ValueError, r"is \(1, 2, 27, 14\) for 1 image\(s\)"),
    (with_attention("", HeadsInTheBatch), ValueError, r"is \(2, 27, 27\) for 1 image\(s\)"),
    (with_attention("", Causal), ValueError, "causal"),
    (with_attention("mha", Masked), ValueError, "nn.MultiheadAttention masks or adds tokens"),
    (with_attention("", Kernel), ValueError, "no attention was seen in its pass: it runs in a kernel of its own"),
    (unfolded, ValueError, "Theirs cuts the image without a convolution, .* from_tensors with grid"),
    (lambda: Theirs(prefix_tokens=0), ValueError, "Theirs has no CLS token"),
    (lambda: Theirs(read=lambda tokens: tokens[:, 3:].mean(dim=1)), ValueError,
     "the head of Theirs does not read CLS but pools the patches, .* CAM methods can read 'layers.2.norm1'"),
    (lambda: Theirs(read=lambda tokens: tokens[:, -1]), ValueError, "the head of Theirs does not read CLS"),
    (named_pool, ValueError, "the head of Theirs does not read CLS"),
]


@pytest.mark.parametrize("gradients", [False, True])
@pytest.mark.parametrize("make, kind, sentence", REFUSALS, ids=[sentence[:40] for _, _, sentence in REFUSALS])
def test_what_has_no_attention_to_read_is_refused_and_left_as_it_was(make, kind, sentence, gradients):
    model = make().train()
    before = state(model)
    with pytest.raises(kind, match=sentence):
        record_vit(model, random_images(), gradients=gradients)
    with pytest.raises(kind, match=sentence):
        explain(model, random_images(), "rollout")
    assert state(model) == before


def test_a_scripted_network_hides_its_layers():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")     # torch's own, that scripting is on its way out
        scripted = torch.jit.script(nn.Conv2d(3, 4, 3))
    for record in (record_vit, record_cnn, explain):
        with pytest.raises(TypeError, match="of torch.jit hides its layers; give the module that it was made from"):
            record(scripted, random_images())


def test_one_attention_is_expected_in_each_block():
    model = Theirs()
    model.read = lambda tokens: F.scaled_dot_product_attention(tokens[:, None, :1], *2 * [tokens[:, None]])[:, 0, 0]
    with pytest.raises(ValueError, match=r"has 3 blocks and 4 attentions of shape \(2, 1, 1, 27\) and \(2, 2, 27"):
        record_vit(model, random_images())


def test_attention_that_the_last_block_alone_changes_is_refused():
    model = Theirs()
    model.layers[2].attn = Changed(ours().blocks[2].attention, "less")
    with pytest.raises(ValueError, match="changes its attention between the softmax and the values"):
        record_vit(model, random_images())


def test_another_shape_in_one_block_is_refused():
    model = Theirs()
    model.layers[2].attn = FewerKeys(ours().blocks[2].attention, "sdpa")
    with pytest.raises(ValueError, match=r"3 attentions of shape \(2, 2, 27, 14\) and \(2, 2, 27, 27\)"):
        record_vit(model, random_images())


def test_a_network_that_recomputes_is_recorded_without_gradients_only():
    close(record_vit(checkpointed(), random_images()).attention, record_vit(Theirs(), random_images()).attention)
    with pytest.raises(ValueError, match=r"Theirs recomputes its attention .*set_grad_checkpointing\(False\)"):
        record_vit(checkpointed(), random_images(), gradients=True)


def test_value_norms_are_ours_alone():
    with pytest.raises(ValueError, match="value norms are recorded from minixai's own ViT, not from a Theirs"):
        record_vit(Theirs(), random_images(), also=("value_norms",))


def test_blocks_and_heads_outside_the_network_are_refused():
    for options, message in (({"layer": 3}, "layers 0 to 2"), ({"head": 2}, "heads 0 to 1")):
        with pytest.raises(ValueError, match=message):
            record_vit(Theirs(), random_images(), **options)


def test_a_pooled_vit_still_has_cam_methods():
    model = Theirs(read=lambda tokens: tokens[:, 3:].mean(dim=1))
    assert token_layer(model) == "layers.2.norm1"
    trace = record_cnn(model, random_images(), 1)
    assert trace.activations.shape == (2, 8, 6, 4) and trace.gradients.abs().max() > 0


# ----------------------------------------------------------------------------------------------- maps, channels last

class ChannelsLast(nn.Module):
    """As in Swin and in ConvNeXt's blocks: a layer returns (B,h,w,K). `last` is False for the same in our order."""

    def __init__(self, last):
        super().__init__()
        torch.manual_seed(0)
        self.last, self.conv, self.layer = last, nn.Conv2d(3, 7, 4, stride=4), nn.Identity()
        self.norm, self.mix, self.fc = nn.LayerNorm(7), nn.Conv2d(7, 6, 3), nn.Linear(6, 5)

    def forward(self, image):
        maps = self.norm(self.conv(image).movedim(1, -1))
        maps = self.layer(maps).movedim(-1, 1) if self.last else self.layer(maps.movedim(-1, 1))
        return self.fc(self.mix(maps).relu().mean(dim=(-2, -1)))


@pytest.mark.parametrize("size", [(24, 16), (21, 34), (32, 32)], ids=str)
@pytest.mark.parametrize("method", ["gradcam", "scorecam", "ablationcam"])
def test_maps_with_channels_last_are_turned(method, size):
    image = random_images(2, *size)
    turned, plain = (explain(ChannelsLast(last).eval(), image, method, 1, "layer") for last in (True, False))
    assert turned.trace.activations.shape == (2, 7, size[0] // 4, size[1] // 4)
    close(turned.trace.activations, plain.trace.activations)
    close(turned.trace.gradients, plain.trace.gradients)
    torch.testing.assert_close(turned.heatmap, plain.heatmap, rtol=0, atol=1e-4)


@pytest.mark.parametrize("shape, size, last", [
    ((7, 7, 48), (224, 224), True), ((48, 7, 7), (224, 224), False), ((7, 7, 7), (224, 224), False),
    ((8, 8, 7), (32, 32), True),
    ((1, 1, 768), (32, 32), True), ((768, 1, 1), (32, 32), False), ((512, 4, 5), (97, 130), False),
    ((4, 5, 512), (97, 130), True), ((2048, 1, 2), (75, 111), False), ((64, 57, 65), (225, 260), False),
    ((64, 1, 33), (32, 132), False),
    ((2048, 1, 1), (97, 200), False), ((20, 40, 1), (32, 128), False)], ids=str)
def test_channels_are_last_where_the_middle_looks_like_the_image(shape, size, last):
    assert channels_last(torch.zeros(2, *shape), torch.zeros(2, 3, *size)) is last


def test_a_stack_of_blocks_without_attention_is_no_vit():
    """Each block has one norm, as in a ViT."""
    blocks = nn.Sequential(*(nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 3, 3, padding=1)) for _ in range(2)))
    model = nn.Sequential(blocks, nn.Flatten(), nn.Linear(3 * 8 * 12, 4)).eval()
    assert not is_vit(blocks) and not is_vit(model)
