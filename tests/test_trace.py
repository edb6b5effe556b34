"""C1 and A1: what is recorded is right for any network, and the network does not notice."""
import copy
import gc
import sys
from dataclasses import FrozenInstanceError
from functools import partial
from pathlib import Path
from weakref import ref

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import minixai
from minixai.networks.cnn import CNN, Head, small_cnn
from minixai.trace import AS_RETURNED, NO_CLASS, record_cnn, record_vit
from minixai.trace.common import copy_of, logits_of, short_repr, undisturbed
from tests.conftest import random_images, random_vit
from tests.test_foreign import Theirs

pytestmark = pytest.mark.filterwarnings("error")

C = 5
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")


def alive(model):
    """Random norms, as after training: otherwise many a batch norm would be the identity and hide a mistake."""
    for norm in (module for module in model.modules() if isinstance(module, nn.BatchNorm2d)):
        for values in (norm.weight.data, norm.bias.data, norm.running_mean):
            values.normal_()
        norm.running_var.uniform_(0.5, 2)
    return model


def ours():
    torch.manual_seed(0)
    return alive(small_cnn(C, (3, 4, 6, 7))).eval()


def vit(classes=C, prefix_tokens=1):
    return random_vit(16, 4, 8, depth=3, heads=2, classes=classes, prefix_tokens=prefix_tokens)


class Foreign(nn.Module):
    """Someone else's network, with every habit that makes recording hard."""

    def __init__(self, inplace=True):
        super().__init__()
        torch.manual_seed(0)
        self.inplace = inplace
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Conv2d(4, 6, 3, stride=2))
        self.act = nn.ReLU(inplace)
        self.again = self.act                               # one module, two names
        self.drop = nn.Dropout(0.5)
        self.shared = nn.Conv2d(6, 6, 3, padding=1)         # runs twice
        self.twig = nn.Conv2d(3, 6, 3, stride=2)            # from the image, past the body, and after it
        self.unused = nn.Conv2d(6, 6, 3)
        self.dead_end = nn.Conv2d(6, 6, 3)
        self.tokens = nn.Flatten(2)
        self.fc = nn.Linear(6, C)
        alive(self)

    def forward(self, image):
        x = self.body(image)
        self.dead_end(x)
        if self.inplace:
            x *= 2
            x += 0.5
            x = self.again(x)
        else:
            x = self.again(2 * x + 0.5)
        x = x + self.twig(image)
        x = self.shared(self.drop(self.shared(x)).relu())
        return self.fc(self.tokens(x).mean(dim=-1))


def by_hand(model, image, target, run):
    """(activations, gradients) by plain autograd on a network without in-place operations; run(model, image, keep)."""
    kept = []
    def keep(x):
        kept.append(x.detach().requires_grad_())
        return kept[-1]
    score = run(model, image, keep)[range(len(image)), target].sum()
    return kept[-1].detach(), torch.autograd.grad(score, kept[-1])[0]


def run_from_body(model, image, keep):
    x = F.relu(2 * keep(model.body(image)) + 0.5) + model.twig(image)
    return model.fc(model.shared(model.shared(x).relu()).flatten(2).mean(dim=-1))


def run_from_last_shared(model, image, keep):
    x = F.relu(2 * model.body(image) + 0.5) + model.twig(image)
    return model.fc(keep(model.shared(model.shared(x).relu())).flatten(2).mean(dim=-1))


def state(model):
    """All of a model that a recording could disturb, as values that can be compared."""
    return {
        "modes": [module.training for module in model.modules()],
        "hooks": [[list(getattr(module, name)) for name in vars(module) if name.endswith("_hooks")]
                  for module in model.modules()],
        "grads": [None if weight.grad is None else weight.grad.tolist() for weight in model.parameters()],
        "requires_grad": [weight.requires_grad for weight in model.parameters()],
        "weights": [(name, value.dtype, value.tolist()) for name, value in model.state_dict().items()],
        "attributes": [sorted(vars(module)) for module in model.modules()],
        "caller": (torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.get_rng_state().tolist()),
    }


def same(a, b, atol=1e-6):
    torch.testing.assert_close(a.activations, b.activations, rtol=0, atol=atol)
    torch.testing.assert_close(a.gradients, b.gradients, rtol=0, atol=atol)
    assert torch.equal(a.target, b.target)


# ------------------------------------------------------------------------------------------------- what is recorded

@pytest.mark.parametrize("layer", ["stem", "stage1", "stage3", "stage4"])
def test_in_two_halves_or_by_a_hook_is_the_same(layer):
    model, image = ours(), random_images()
    trace = record_cnn(model, image, [1, 3], layer)
    module = getattr(model, layer)
    same(trace, record_cnn(model, image, [1, 3], module))
    same(trace, record_cnn(nn.Sequential(model), image, [1, 3], f"0.{layer}"))
    assert trace.layer == layer and trace.size == (24, 16)
    torch.testing.assert_close(trace.logits, model(image).detach())
    torch.testing.assert_close(trace.activations, model.until(image, layer).detach())


@pytest.mark.parametrize("layer", ["stage1.conv2", "stage2.skip.norm", "stem.1", "stage4.conv1.conv"])
def test_a_dotted_name_leads_inside_a_stage(layer):
    trace = record_cnn(ours(), random_images(), 0, layer)
    found = []
    ours_again = ours()
    ours_again.get_submodule(layer).register_forward_hook(lambda module, inputs, output: found.append(output))
    ours_again(random_images())
    torch.testing.assert_close(trace.activations, found[-1].detach())
    assert trace.layer == layer and trace.gradients.abs().max() > 0


def test_without_a_layer_ours_takes_the_last_stage():
    assert record_cnn(ours(), random_images()).layer == "stage4"


@pytest.mark.parametrize("layer", ["body", "body.2", "module"])
def test_what_happens_in_place_after_the_layer_does_no_harm(layer):
    model, image = Foreign().eval(), random_images()
    trace = record_cnn(model, image, [2, 4], model.body if layer == "module" else layer)
    activations, gradients = by_hand(Foreign(inplace=False).eval(), image, [2, 4], run_from_body)
    torch.testing.assert_close(trace.activations, activations)
    torch.testing.assert_close(trace.gradients, gradients)
    assert (activations < 0).any() and gradients.abs().max() > 0
    assert trace.layer == ("body" if layer == "module" else layer)


def test_of_a_module_that_runs_twice_the_last_run_is_recorded():
    trace = record_cnn(Foreign().eval(), random_images(), [2, 4], "shared")
    activations, gradients = by_hand(Foreign(inplace=False).eval(), random_images(), [2, 4], run_from_last_shared)
    torch.testing.assert_close(trace.activations, activations)
    torch.testing.assert_close(trace.gradients, gradients)


def test_a_module_that_sits_in_two_places_is_found_by_either_name():
    same(record_cnn(Foreign(), random_images(), 1, "act"), record_cnn(Foreign(), random_images(), 1, "again"))


def test_the_logits_may_come_wrapped():
    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = Foreign()

        def forward(self, image):
            return type("Output", (), {"logits": self.model(image)})
    same(record_cnn(Wrapped(), random_images(), 1, "model.body"), record_cnn(Foreign(), random_images(), 1, "body"))


class Compiled(nn.Module):
    """What torch.compile puts around a network, as far as it matters."""
    def __init__(self, model):
        super().__init__()
        self._orig_mod = model


@pytest.mark.parametrize("wrap", [nn.DataParallel, Compiled, lambda model: Compiled(nn.DataParallel(model))])
@pytest.mark.parametrize("make, layer", [(Foreign, "body"), (ours, "stage2")])
def test_a_wrapped_network_is_looked_into_by_either_name(wrap, make, layer):
    expected = record_cnn(make(), random_images(), 1, layer)
    wrapped = wrap(make().train())
    longer = next(name for name, _ in wrapped.named_modules() if name.endswith(layer)).removeprefix("_orig_mod.")
    for name in (layer, longer, f"_orig_mod.{layer}"):
        same(record_cnn(wrapped, random_images(), 1, name), expected)
    assert all(module.training for module in wrapped.modules())


def test_a_part_called_module_keeps_its_name():
    model = nn.Sequential()
    model.module = Foreign()
    assert record_cnn(model, random_images(), 1, "module.body").layer == "module.body"


def test_a_stage_of_ours_is_recorded_without_the_code_for_other_networks():
    """No hook, no search for attention, and no Network: Grad-CAM does not run the network again."""
    model, image, files = ours(), random_images(), set()
    sys.setprofile(lambda frame, event, argument: files.add(frame.f_code.co_filename))
    try:
        trace = record_cnn(model, image, 1, "stage2")
    finally:
        sys.setprofile(None)
    files = {Path(file) for file in files if Path(file).is_relative_to(Path(minixai.__file__).parent)}
    assert {file.name for file in files} == {"cnn.py", "common.py", "score.py"}
    assert not any(file.parent.name == "foreign" for file in files)
    assert trace.network.of(image).shape == (2, C)


def test_traces_are_compared_as_objects():
    """Not tensor by tensor, which would raise."""
    for record, make, layer in CASES:
        one, other = (record(make(), random_images(), 1, layer) for _ in range(2))
        assert one == one and one != other and len({one, other}) == 2


def test_a_trace_cannot_be_changed_for_all_who_share_it_and_prints_in_one_line():
    for record, make, layer in CASES:
        trace = record(make(), random_images(), 1, layer)
        with pytest.raises(FrozenInstanceError):
            trace.layer = None
        assert len(repr(trace)) < 120
    with pytest.raises(FrozenInstanceError):
        AS_RETURNED.run = "first"


def test_a_model_that_was_recorded_in_training_may_go_into_eval_mode_for_good():
    """Nothing is remembered of it after a recording, and nothing keeps it in memory."""
    model = ours().train()
    record_cnn(model, random_images())
    record_cnn(model.eval(), random_images())
    assert not model.training and not copy_of(model).training
    forgotten = ref(model)
    del model
    gc.collect()
    assert forgotten() is None


def test_a_copy_made_during_a_recording_is_in_the_models_own_mode():
    model = ours()
    in_training(model)
    modes = [module.training for module in model.modules()]
    with undisturbed(model):
        assert not any(module.training for module in model.modules())
        assert [module.training for module in copy_of(model).modules()] == modes
    assert len(set(modes)) == 2


def test_the_logits_alone_are_float32_finite_and_without_a_graph():
    model, image = Foreign().double(), random_images()
    logits = logits_of(model, image)
    assert logits.dtype == torch.float32 and not logits.requires_grad and model.training
    torch.testing.assert_close(logits, model.eval()(image.double()).detach().float())
    with pytest.raises(ValueError, match="takes 3 channels, the image .* has 2"):
        logits_of(model, image[:, :2])
    torch.nn.init.constant_(model.fc.bias, torch.inf)
    with pytest.raises(ValueError, match="first seen in its logits.* they are in its weights, such as 'fc.bias'"):
        logits_of(model, image)


def test_the_callers_default_device_changes_nothing():
    for record, make, layer in [*CASES, (record_vit, Theirs, 1)]:
        model, image = make(), random_images()
        expected = record(model, image, [1, 3], layer)
        with torch.device("meta"):
            trace = record(model, image, [1, 3], layer)
        same_trace(trace, expected)
    headless, image = vit(classes=0), random_images()
    with torch.device("meta"):
        assert record_vit(headless, image).target.tolist() == [NO_CLASS, NO_CLASS]


def test_a_copied_trace_runs_the_network_again_too():
    trace = copy.deepcopy(record_cnn(ours(), random_images(), 1, "stage2"))
    same(trace, trace.network.again())


def test_a_score_that_does_not_depend_on_the_layer_has_no_gradient():
    constant = torch.ones(2, 1)
    elsewhere = torch.ones(2, 1, requires_grad=True)
    for score in (lambda logits, target: constant, lambda logits, target: elsewhere * 2):
        with pytest.raises(ValueError, match="no gradient leads from the class score to layer 'stage4'"):
            record_cnn(ours(), random_images(), 1, score=score)


def test_nothing_recorded_hangs_on_a_graph():
    for record, make, layer in CASES:
        for value in vars(record(make(), random_images(), 1, layer)).values():
            if isinstance(value, torch.Tensor):
                assert value.grad_fn is None and not value.requires_grad


class GraphNotes(nn.Module):
    """An identity that notes whether a graph is being recorded where it stands."""
    def __init__(self, log):
        super().__init__()
        self.log = log

    def forward(self, x):
        self.log.append(torch.is_grad_enabled() and x.requires_grad)
        return x * 1


@pytest.mark.parametrize("model", [CNN, nn.Sequential], ids=["ours", "foreign"])
def test_only_what_follows_the_layer_is_in_a_graph(model):
    log = []
    stages = {"early": nn.Sequential(nn.Conv2d(3, 4, 3), GraphNotes(log)), "layer": nn.Conv2d(4, 4, 3),
              "late": GraphNotes(log), "head": Head(4, C)}
    network = CNN(stages) if model is CNN else nn.Sequential(*stages.values())
    record_cnn(network, random_images(), 0, "layer" if model is CNN else "1")
    assert log == [False, True]


# --------------------------------------------------------------------------------------------------- the class asked

@pytest.mark.parametrize("target, expected", [
    (2, [2, 2]), ([4, 0], [4, 0]), ((4, 0), [4, 0]), (torch.tensor(3), [3, 3]), (torch.tensor([1, 2]), [1, 2]),
    (torch.tensor([1, 2], dtype=torch.uint8), [1, 2]), (torch.tensor([1, 2]).numpy(), [1, 2])])
def test_a_target_is_a_class_for_all_or_one_for_each(target, expected):
    trace = record_cnn(ours(), random_images(), target)
    assert trace.target.tolist() == expected and trace.target.dtype == torch.int64
    for index, one in enumerate(expected):
        alone = record_cnn(ours(), random_images()[index:index + 1], one)
        torch.testing.assert_close(trace.gradients[index:index + 1], alone.gradients)


def test_without_a_target_each_image_has_its_top_class():
    model, image = ours(), random_images(B=8)
    model.head.fc.bias.data -= model(image).mean(dim=0)         # or one class would be the top of all
    trace = record_cnn(model, image)
    assert torch.equal(trace.target, model(image).argmax(dim=-1)) and len(set(trace.target.tolist())) > 1
    same(trace, record_cnn(model, image, trace.target))


def test_the_targets_recorded_are_not_the_callers_tensor():
    target = torch.tensor([1, 2])
    trace = record_cnn(ours(), random_images(), target)
    target += 1
    trace.target[0] = 0
    assert trace.target.tolist() == [0, 2] and target.tolist() == [2, 3]


@pytest.mark.parametrize("record, model", [(record_cnn, ours), (record_vit, vit)], ids=["CNN", "ViT"])
@pytest.mark.parametrize("target, message", [
    (5, "classes 0 to 4; got target 5"), (-1, "classes 0 to 4; got target -1"), ([0, 5], "classes 0 to 4"),
    ([1], r"2 image\(s\) need one target for all or 2 targets, got shape \(1,\)"), ([1, 2, 3], r"got shape \(3,\)"),
    ([[1], [2]], r"got shape \(2, 1\)"), (1.0, "an integer; got 1.0"), (True, "an integer; got True"),
    ([1.0, 2.0], "an integer"), (torch.tensor([True, False]), "an integer"), ("cat", "an integer; got 'cat'"),
    ([1, None], "an integer"), ([], "an integer")], ids=str)
def test_a_target_that_does_not_fit_says_what_would(record, model, target, message):
    with pytest.raises(ValueError, match=message):
        record(model(), random_images(), target)


def test_what_a_message_shows_of_a_value_has_80_letters_at_most_and_one_line():
    whole = "a" * 38 + "\n" + "b" * 38
    assert short_repr(whole) == repr(whole) and len(repr(whole)) == 80
    assert short_repr("a" * 39 + " " + "b" * 39) == "'" + "a" * 39 + " [...]"


# ------------------------------------------------------------------------------------------ in whatever state it comes

def in_training(model):
    """Training, but for one part that the user keeps in eval mode."""
    model.train()
    list(model.modules())[2].eval()


def frozen(model):
    model.requires_grad_(False)


def partly_frozen(model):
    next(model.parameters()).requires_grad_(False)


def with_grads(model):
    for weight in model.parameters():
        weight.grad = torch.ones_like(weight)


def with_hooks(model):
    list(model.modules())[1].register_forward_hook(lambda module, inputs, output: None)


CASES = [(record_cnn, ours, "stage2"), (record_cnn, Foreign, "body"), (record_cnn, Foreign, "shared"),
         (record_vit, vit, 1), (partial(record_vit, gradients=True), vit, 1)]
CASE_NAMES = ["ours", "foreign", "foreign, runs twice", "ViT", "ViT with gradients"]


def recorded(trace):
    """All of a trace but the network that it came from."""
    return {name: value for name, value in vars(trace).items() if name != "network"}


def same_trace(a, b):
    for name, value in recorded(a).items():
        assert torch.equal(value, vars(b)[name]) if isinstance(value, torch.Tensor) else value == vars(b)[name], name


@pytest.mark.parametrize("prepare", [in_training, frozen, partly_frozen, with_grads, with_hooks])
@pytest.mark.parametrize("record, make, layer", CASES, ids=CASE_NAMES)
def test_the_state_of_a_model_changes_nothing_and_is_not_changed(record, make, layer, prepare):
    model = make()
    prepare(model)
    before = state(model)
    trace = record(model, random_images(), 1, layer)
    assert state(model) == before
    same_trace(trace, record(make().eval(), random_images(), 1, layer))


@pytest.mark.parametrize("around", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("record, make, layer", CASES, ids=CASE_NAMES)
def test_it_records_under_no_grad_and_inference_mode(record, make, layer, around):
    model, expected = make(), record(make(), random_images(), 1, layer)
    with around():
        before = state(model)
        trace = record(model, random_images(), 1, layer)       # the image, too, is made in that mode
        assert state(model) == before
    same_trace(trace, expected)


def test_an_image_with_a_gradient_of_its_own_is_left_alone():
    pooled = CNN({"itself": nn.Identity(), "head": Head(3, C)})
    for model, layer in ((ours(), "stage1"), (Foreign(), "body"), (pooled, "itself")):
        asked, plain = random_images().requires_grad_(), random_images()
        same(record_cnn(model, asked, 1, layer), record_cnn(model, plain, 1, layer))
        assert asked.grad is None and asked.requires_grad
        assert not plain.requires_grad and torch.equal(plain, random_images())
    record_vit(vit(), plain, 1, gradients=True)
    assert not plain.requires_grad


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("record, make, layer", CASES, ids=CASE_NAMES)
def test_other_precisions_are_recorded_as_float32(record, make, layer, dtype):
    trace, full = record(make().to(dtype), random_images(), 1, layer), record(make(), random_images(), 1, layer)
    for name, value in vars(trace).items():
        if isinstance(value, torch.Tensor) and name != "target":
            assert value.dtype == torch.float32
            limit = 1e-5 if dtype == torch.float64 else 0.15
            assert (value - vars(full)[name]).norm() <= limit * vars(full)[name].norm(), name


@needs_cuda
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("record, make, layer", CASES, ids=CASE_NAMES)
def test_on_cuda_it_is_the_same_and_the_image_may_stay_on_the_cpu(record, make, layer, dtype):
    trace = record(make().to("cuda", dtype), random_images(), [1, 3], layer)
    cpu = record(make(), random_images(), [1, 3], layer)
    for name, value in vars(trace).items():
        if isinstance(value, torch.Tensor):
            assert value.device.type == "cuda"
            limit = 0.02 if dtype == torch.float32 else 0.1      # float32 convolutions may run in TF32 there
            assert (value.cpu() - vars(cpu)[name]).float().norm() <= limit * vars(cpu)[name].float().norm(), name


# -------------------------------------------------------------------------------------------------- what does not fit

class Whole(nn.Module):
    """Returns whole numbers."""
    def forward(self, image):
        return image.long()


class Tokens(nn.Module):
    """Returns whatever `make` makes of the logits."""
    def __init__(self, make):
        super().__init__()
        self.model, self.make = Foreign(), make

    def forward(self, image):
        return self.make(self.model(image))


FAILURES = [    # model, layer, message
    (ours, "stage5", "no layer named 'stage5' in this model: did you mean .*stage4"),
    (Foreign, "boddy", "no layer named 'boddy' in this model: did you mean body"),
    (Foreign, "xyzzy", "its parts are body, act, .*fc; dots lead inside them"),
    (Foreign, None, "say which layer to look at: its parts are body, act"),
    (ours, 3, "no layer named 3"),
    (ours, 1.5, "a layer is a name, a module, or the index of a ViT's block; got a float"),
    (Foreign, nn.Conv2d(3, 3, 3), "the layer given, a Conv2d, is not part of this model"),
    (Foreign, "unused", "layer 'unused' did not run in the forward pass"),
    (Foreign, "dead_end", "no gradient leads from the class score to layer 'dead_end'"),
    (Foreign, "tokens", r"layer 'tokens' returns \(2, 6, 77\), not feature maps \(B,K,h,w\)"),
    (Foreign, "fc", r"layer 'fc' returns \(2, 5\), not feature maps"),
    (ours, "head", r"layer 'head' returns \(2, 5\), not feature maps"),
    (lambda: nn.Sequential(Whole(), ours()), "0", "layer '0' returns torch.int64; only floats have gradients"),
    (lambda: Tokens(lambda y: y[0]), "model.body", r"the model returns \(5,\), not logits \(B,C\)"),
    (lambda: Tokens(lambda y: y.long()), "model.body", r"the model returns torch.int64, not logits \(B,C\)"),
    (lambda: Tokens(lambda y: {"scores": y}), "model.body", "the model returns dict, not logits"),
    (lambda: Tokens(lambda y: y.detach()), "model.body", "no gradient leads from the class score to layer 'model.bo"),
]


@pytest.mark.parametrize("make, layer, message", FAILURES, ids=[message[:40] for _, _, message in FAILURES])
def test_a_failure_says_what_does_not_fit_and_leaves_the_model_as_it_was(make, layer, message):
    model = make()
    in_training(model)
    before = state(model)
    with pytest.raises(ValueError, match=message):
        record_cnn(model, random_images(), 1, layer)
    assert state(model) == before


@pytest.mark.parametrize("record, make, layer", CASES, ids=CASE_NAMES)
def test_a_network_that_breaks_down_is_left_as_it_was(record, make, layer):
    model = make()
    in_training(model)
    for weight in list(model.parameters())[-1:]:
        weight.data = weight.data[:-1]          # the last layer's bias no longer fits: the second half raises
    before = state(model)
    with pytest.raises(RuntimeError):
        record(model, random_images(), 1, layer)
    assert state(model) == before


class Call(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


NOT_FINITE = {      # what the layer does, what follows, the bias of the head
    "activations": (lambda x: x * torch.inf, lambda x: x.clamp(-1, 1), 0),
    "logits": (lambda x: x, lambda x: x, torch.inf),
    "gradients": (lambda x: x, lambda x: (x * 0).sqrt(), 0),
}


@pytest.mark.parametrize("where", NOT_FINITE)
@pytest.mark.parametrize("network", [CNN, nn.Sequential], ids=["ours", "foreign"])
def test_infinity_is_named_where_it_is_seen_first(network, where):
    layer, after, bias = NOT_FINITE[where]
    stages = {"0": Call(layer), "1": Call(after), "2": Head(3, C)}
    torch.nn.init.constant_(stages["2"].fc.bias, bias)
    model = CNN(stages) if network is CNN else nn.Sequential(*stages.values())
    with pytest.raises(ValueError, match=f"first seen in its {where}"):
        record_cnn(model, random_images(), 1, "0")


def test_gradients_of_attention_that_are_not_finite_are_named():
    def steep(logits, target):
        return (logits.gather(-1, target) * 0).sqrt()
    with pytest.raises(ValueError, match="first seen in its attention_gradients"):
        record_vit(vit(), random_images(), 1, gradients=True, score=steep)


@pytest.mark.parametrize("record, make, layer", CASES, ids=CASE_NAMES)
def test_an_image_with_other_channels_is_refused(record, make, layer):
    with pytest.raises(ValueError, match="first convolution takes 3 channels, the image .* has 1"):
        record(make(), random_images()[:, :1], 1, layer)


@pytest.mark.parametrize("record, make, layer", CASES, ids=CASE_NAMES)
@pytest.mark.parametrize("image, message", [
    (random_images()[0], r"an image is a tensor \(B,3,H,W\); got \(3, 24, 16\)"),
    (random_images().numpy(), "an image is a tensor"),
    (random_images(B=0), r"got \(0, 3, 24, 16\)"), ("cat.jpg", "got str"), (None, "got NoneType"),
    (random_images().to_sparse(), "got a Tensor that is sparse, nested, quantised or without data")],
    ids=["no batch", "array", "empty", "path", "None", "sparse"])
def test_what_is_no_image_is_refused(record, make, layer, image, message):
    model = make()
    before = state(model)
    with pytest.raises(ValueError, match=message):
        record(model, image, 1, layer)
    assert state(model) == before


# ---------------------------------------------------------------------------------------------------------------- ViT

@pytest.mark.parametrize("prefix_tokens", [1, 3])
def test_the_attention_of_every_layer_and_head_is_recorded(prefix_tokens):
    model, image = vit(prefix_tokens=prefix_tokens), random_images()
    trace, T = record_vit(model, image), prefix_tokens + 6 * 4
    assert trace.attention.shape == (2, 3, 2, T, T) and trace.grid == (6, 4) and trace.size == (24, 16)
    assert trace.prefix_tokens == prefix_tokens and trace.layer == 2 and trace.head is None
    torch.testing.assert_close(trace.attention.sum(dim=-1), torch.ones(2, 3, 2, T))
    with torch.no_grad():
        logits, attentions = model.forward_with_attention(image)
    assert torch.equal(trace.logits, logits) and torch.equal(trace.target, logits.argmax(dim=-1))
    assert all(torch.equal(trace.attention[:, layer], attentions[layer]) for layer in range(3))


def test_without_a_class_head_there_is_no_target():
    assert record_vit(vit(classes=0), random_images()).target.tolist() == [NO_CLASS, NO_CLASS]


@pytest.mark.parametrize("given, index", [(0, 0), (2, 2), (-1, 2), (-3, 0), (torch.tensor([1]).numpy()[0], 1)])
def test_a_block_counts_from_either_end(given, index):
    assert record_vit(vit(), random_images(), layer=given).layer == index


@pytest.mark.parametrize("options, message", [
    ({"layer": 3}, "layers 0 to 2; got 3"), ({"layer": -4}, "layers 0 to 2; got -4"), ({"layer": "1"}, "got '1'"),
    ({"layer": 1.0}, "got 1.0"), ({"layer": True}, "got True"), ({"head": 2}, "heads 0 to 1; got 2"),
    ({"head": -3}, "heads 0 to 1; got -3"), ({"head": 0.5}, "got 0.5")], ids=str)
def test_a_block_or_head_outside_the_network_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        record_vit(vit(), random_images(), **options)


def test_without_blocks_of_attention_none_is_recorded():
    with pytest.raises(TypeError, match="attention methods read a ViT, .* a Foreign is not built like one"):
        record_vit(Foreign(), random_images())


def test_recording_twice_gives_the_same():
    for record, make, layer in CASES:
        model = copy.deepcopy(make())
        same_trace(record(model, random_images(), 1, layer), record(model, random_images(), 1, layer))
