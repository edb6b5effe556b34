"""Threads that share a model: each gets the map that it gets alone, and the model stays as it was."""
import random
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier, Event

import pytest
import torch
from torch import nn

from minixai import METHODS, explain, verify
from minixai.attention import ATTENTIONS
from minixai.evaluation import deletion_curve, occlusion_map, randomised_copies
from minixai.networks.cnn import Head
from minixai.trace import record_cnn, record_vit
from minixai.trace.common import copy_of, hooked, logits_of, undisturbed
from minixai.trace.foreign.layers import feature_layers
from tests.conftest import random_images
from tests.test_foreign import Theirs
from tests.test_trace import C, Foreign, in_training, ours, state, vit

THREADS, ROUNDS = 8, 2
IMAGE = random_images()


class Nested(nn.Module):
    """Blocks in blocks; a backbone that may be part of another model too."""

    def __init__(self, backbone=None):
        super().__init__()
        torch.manual_seed(3)
        self.backbone = backbone or nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), nn.ReLU(True),
                                                  nn.Sequential(nn.Conv2d(4, 6, 3, stride=2), nn.Dropout(0.5)))
        self.tail = nn.Sequential(nn.ReLU(True), Head(6, C))

    def forward(self, image):
        return self.tail(self.backbone(image))


def maps(model, layers, methods, **options):
    """Explanations of one model, as many different ones as there are layers, methods and classes."""
    return [partial(explained, model, method, layer, target, **options)
            for method in methods for layer in layers for target in (0, 3)]


def explained(model, method, layer, target, **options):
    return explain(model, IMAGE, method, target, layer, **options)["M1"]


def gradients_of(model, layer):
    trace = record_cnn(model, IMAGE, 1, layer)
    return trace.gradients, trace.activations, trace.logits


def attention_of(model, layer, also=()):
    trace = record_vit(model, IMAGE, 1, layer, gradients=True, also=also)
    return trace.attention, trace.attention_gradients, trace.value_norms if also else trace.logits


def verdict(model, layer):
    theirs = explain(model, IMAGE, "hirescam", 1, layer).heatmap
    return str(verify(theirs, model, IMAGE, "gradcam", 1, layer))


def by_stages():
    model = ours()
    return [model], maps(model, ["stem", "stage2", "stage4"], ["gradcam", "ablationcam", "fullgrad"])


def by_module():
    model = ours()
    return [model], maps(model, ["stage1.conv2", "stage2.skip.norm", "stem.1"], ["gradcam", "layercam", "shapleycam"])


def stages_and_modules():
    model = ours()
    return [model], [*maps(model, ["stage2", "stage2.conv1", "stem.0"], ["gradcam", "scorecam", "smoothgradcampp"]),
                     *[partial(feature_layers, model, IMAGE)] * 4]


def in_place():
    model = Foreign().eval()
    return [model], maps(model, ["body", "body.1", "shared", "act"], ["gradcam", "ablationcam", "fullgrad"])


def training():
    model = Foreign()
    in_training(model)
    return [model], [*maps(model, ["body", "shared"], ["gradcam", "ablationcam", "scorecam", "fullgrad"]),
                     *[partial(gradients_of, model, layer) for layer in ("body.1", "act")],
                     *[partial(logits_of, model, IMAGE)] * 4]


def ours_in_training():
    model = ours().train()
    return [model], maps(model, ["stage1", "stage4", "stem.0"], ["gradcam", "eigencam", "finercam", "ablationcam"])


def nested():
    model = Nested().eval()
    return [model], maps(model, ["backbone", "backbone.0", "backbone.0.1", "backbone.2"], ["gradcam", "fullgrad"])


def shared_backbone():
    one = Nested().train()
    other = nn.Sequential(one.backbone, nn.ReLU(), Head(6, C)).train()
    return [one, other], [*maps(one, ["backbone", "backbone.0"], ["gradcam", "ablationcam"]),
                          *maps(other, ["0", "0.0"], ["gradcam", "ablationcam"])]


def wrapped():
    model = Foreign().train()
    return [model], [*maps(model, ["body", "act"], ["gradcam"]),
                     *maps(nn.DataParallel(model), ["body.2", "shared"], ["gradcam"])]


def our_vit():
    model = vit()
    return [model], [*maps(model, [0, 2], ["rollout", "chefer", "attention", "valueattention"]),
                     *maps(model, ["blocks.1.norm1"], ["gradcam", "ablationcam"]),
                     *maps(model, [1], ["chefer"], head=1),
                     *[partial(attention_of, model, layer, ("value_norms",)) for layer in (0, 2)]]


def a_foreign_vit():
    model = Theirs("softmax").train()
    return [model], [*maps(model, [0, 2], ["rollout", "chefer", "attention"]),
                     *maps(model, [None, "layers.0"], ["gradcam", "ablationcam"])]


def a_fused_vit():
    model = Theirs("sdpa").eval()
    return [model], [*maps(model, [0, 2], ["rollout", "gradrollout"]), partial(attention_of, model, 1),
                     *maps(model, [None], ["layercam"])]


def verified():
    model = Foreign().train()
    return [model], [partial(verdict, model, layer) for layer in ("body", "body.1")]


def perturbed():
    model = Foreign().train()
    heat = explain(model, IMAGE, "gradcam", 1, "body").heatmap
    return [model], [lambda: deletion_curve(model, IMAGE, heat, 1, steps=6, fill="mean").scores,
                     lambda: occlusion_map(model, IMAGE, 1, patch=8, stride=8),
                     lambda: explained(list(randomised_copies(model))[0][1], "gradcam", "body", 1)]


SETUPS = [by_stages, by_module, stages_and_modules, in_place, training, ours_in_training, nested, shared_backbone,
          wrapped, our_vit, a_foreign_vit, a_fused_vit, verified, perturbed]


@pytest.fixture
def hasty():
    """Threads take turns after every few instructions, which otherwise happens once in a long while."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


def at_once(jobs):
    """Run each of the jobs in a thread, all at the same time."""
    barrier = Barrier(len(jobs))

    def one(job):
        torch.set_num_threads(1)        # as in the main thread, or sums are taken in another order
        barrier.wait()
        return job()

    with ThreadPoolExecutor(len(jobs)) as pool:
        return [future.result() for future in [pool.submit(one, job) for job in jobs]]


def same(found, alone):
    if isinstance(alone, torch.Tensor):
        torch.testing.assert_close(found, alone, rtol=1e-5, atol=1e-6)
    elif isinstance(alone, tuple):
        assert len(found) == len(alone)
        for one, other in zip(found, alone):
            same(one, other)
    else:
        assert found == alone


@pytest.mark.slow
@pytest.mark.parametrize("setup", SETUPS, ids=lambda setup: setup.__name__)
def test_a_thread_gets_what_it_gets_alone(setup, hasty):
    models, jobs = setup()
    before = [state(model) for model in models]
    alone = [job() for job in jobs]
    evaluated = [model for model in models if not any(module.training for module in model.modules())]
    jobs += [partial(model, IMAGE) for model in evaluated] * 2      # a plain forward pass of somebody else's
    alone += [model(IMAGE) for model in evaluated] * 2

    def work(seed):
        """Every job in an order of its own."""
        order = random.Random(seed).sample(range(len(jobs)), len(jobs))
        return [(index, jobs[index]()) for index in order]

    for round in range(ROUNDS):
        for results in at_once([partial(work, THREADS * round + thread) for thread in range(THREADS)]):
            for index, found in results:
                same(found, alone[index])
    assert [state(model) for model in models] == before


@pytest.mark.parametrize("make", [ours, Foreign], ids=["ours", "foreign"])
def test_a_plain_forward_pass_meanwhile_sees_nothing_of_a_recording(make, hasty):
    """It neither gets what a recording put in a layer's place nor a graph, and the recording does not see it."""
    model, layer = make().eval(), "stage2.conv1" if make is ours else "body"
    alone, logits = explained(model, "ablationcam", layer, 1), model(IMAGE).detach()
    other = 3 * IMAGE

    def watch():
        for _ in range(20):
            with torch.no_grad():
                found = model(IMAGE)
                model(other)
            assert not found.requires_grad and torch.is_grad_enabled()
            same(found, logits)

    def record():
        for _ in range(10):
            same(explained(model, "ablationcam", layer, 1), alone)

    at_once([watch, watch, watch, record, record, record])


def test_a_copy_made_meanwhile_is_whole_and_in_the_models_own_mode(hasty):
    model, done = nn.Linear(3, 4).train(), Event()

    def copy():
        try:
            for _ in range(1500):
                copied = copy_of(model)
                assert copied.training and torch.equal(copied.weight, model.weight)
        finally:
            done.set()

    def record():
        hooks = [(model.register_forward_hook, lambda *_: None)] * 30
        while not done.is_set():
            with undisturbed(model), hooked(hooks):
                pass

    at_once([copy, record, record, record])


def test_no_hook_takes_the_place_of_another_threads(hasty):
    module = nn.Identity()

    def work():
        called = []
        hooks = [(module.register_forward_hook, lambda *_, number=number: called.append(number))
                 for number in range(20)]
        for _ in range(150):
            called.clear()
            with hooked(hooks):
                module(IMAGE)
            assert called == list(range(20))

    at_once([work] * THREADS)


def test_a_hook_that_went_along_with_a_copy_does_nothing_there():
    module, called = nn.Identity(), []
    with hooked([(module.register_forward_hook, lambda *_: called.append(1))]):
        copied = copy_of(module)
    copied(IMAGE)
    assert not called


def test_threads_with_models_of_their_own_do_not_wait_for_each_other():
    """Two recordings meet inside their networks, which they could not if one had to wait for the other."""
    meet = Barrier(2)

    class Meeting(nn.Module):
        def forward(self, image):
            meet.wait(timeout=20)
            return image

    models = [nn.Sequential(Meeting(), nn.Conv2d(3, 4, 3), Head(4, C)) for _ in range(2)]
    at_once([partial(record_cnn, model, IMAGE, 1, "1") for model in models])
    at_once([partial(record_cnn, models[0], IMAGE, 1, "1")] * 2)        # nor those that share one


# ------------------------------------------------------------------------------------------------------ broken off

class Broken(Exception):
    pass


@pytest.mark.parametrize("method", sorted(METHODS))
def test_what_breaks_off_in_the_middle_leaves_the_model_as_it_was(method):
    """At the first call of a module, at the second, and so on, until there are no more calls to break off."""
    model = vit() if method in ATTENTIONS else ours()
    in_training(model)
    layer = None if method in ATTENTIONS or method == "cam" else "stage2.conv2"
    before = state(model)
    count = limit = 0
    usual = nn.Module.__call__

    def call(module, *arguments, **options):
        nonlocal count
        count += 1
        if count == limit:
            raise Broken
        return usual(module, *arguments, **options)

    for limit in [*range(1, 30), *range(30, 400, 37)]:
        count = 0
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(nn.Module, "__call__", call)
            try:
                explain(model, IMAGE, method, 1, layer)
            except Broken:
                pass
        assert state(model) == before
        if count < limit:
            return


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timer on this system")
@pytest.mark.parametrize("setup", [training, a_foreign_vit], ids=lambda setup: setup.__name__)
def test_ctrl_c_in_the_middle_leaves_the_model_as_it_was(setup):
    (model,), jobs = setup()
    before, chance, stopped = state(model), random.Random(0), 0

    def interrupt(number, frame):
        # Not where a `with` begins or ends, ours or torch's: nothing that Python offers could help there.
        names = set(_names(frame))
        if "explain" in names and not {"__enter__", "__exit__", "undisturbed", "hooked"} & names:
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise KeyboardInterrupt

    usual = signal.signal(signal.SIGALRM, interrupt)
    try:
        for _ in range(150):
            signal.setitimer(signal.ITIMER_REAL, chance.uniform(0.0005, 0.01), 0.0005)
            try:
                chance.choice(jobs)()
            except KeyboardInterrupt:
                stopped += 1
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
            assert state(model) == before
    finally:
        signal.signal(signal.SIGALRM, usual)
    assert stopped > 20


def _names(frame):
    while frame is not None:
        yield frame.f_code.co_name
        frame = frame.f_back


