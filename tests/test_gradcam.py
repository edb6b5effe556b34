"""C1 to C4 and the recipe against slow loops written from the paper's formulas, on maps whose sizes all differ."""
import numpy as np
import pytest
import torch

from minixai.gradcam import Cam, channel_weights, rectify, weighted_sum
from minixai.networks.cnn import CNN, Head, small_cnn
from minixai.trace import CnnTrace, record_cnn

K, h, w, H, W = 6, 3, 5, 7, 11
IDS = ["C1", "C2", "C3", "C4", "M1", "M2"]


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def a_trace(B=2):
    return CnnTrace(random(B, K, h, w), random(B, K, h, w, seed=1), random(B, 4), torch.arange(B), "stage4", (H, W))


def small(classes=5, widths=(3, 4, 6, 7)):
    torch.manual_seed(0)
    model = small_cnn(classes, widths).eval()
    for norm in (module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)):
        torch.nn.init.normal_(norm.bias)        # as after training; with zeros, many a ReLU would sit on its kink
    return model


def slow_weights(gradients):
    """Equation 1: a_k = 1/Z · sum over i, j of dy/dA_k[i,j]."""
    return [sum(float(gradients[k, i, j]) for i in range(h) for j in range(w)) / (h * w) for k in range(K)]


def slow_sum(activations, weights):
    """Equation 2, inside the ReLU."""
    return [[sum(weights[k] * float(activations[k, i, j]) for k in range(K)) for j in range(w)] for i in range(h)]


def slow_relu(cam):
    return [[value if value > 0 else 0.0 for value in row] for row in cam]


def close(value, expected, atol=1e-5):
    np.testing.assert_allclose(np.asarray(value), np.asarray(expected), atol=atol)


def test_C2_is_equation_1():
    gradients = random(K, h, w)
    close(channel_weights(gradients).flatten(), slow_weights(gradients))


def test_C3_is_the_sum_of_equation_2():
    activations, weights = random(K, h, w), random(K, 1, 1, seed=1)
    close(weighted_sum(activations, weights), slow_sum(activations, weights.flatten().tolist()))


def test_C4_is_the_relu_of_equation_2():
    cam = random(h, w)
    assert (cam < 0).any() and (cam > 0).any()
    close(rectify(cam), slow_relu(cam.tolist()))


def test_the_whole_recipe_is_the_paper_for_every_image_of_a_batch():
    trace = a_trace(B=3)
    values = {step.id: step.value for step in Cam().steps(trace)}
    for image in range(3):
        coarse = slow_relu(slow_sum(trace.activations[image], slow_weights(trace.gradients[image])))
        close(values["C4"][image], coarse)
        full = torch.nn.functional.interpolate(torch.tensor(coarse)[None, None], (H, W), mode="bilinear")[0, 0]
        close(values["M2"][image], (full - full.min()) / (full.max() - full.min()))


@pytest.mark.parametrize("layer", ["stem", "stage2", "stage4"])
def test_C1_gradients_agree_with_finite_differences(layer):
    model, image, target, step = small().double(), random(1, 3, 16, 24).double(), 3, 1e-6
    trace = record_cnn(model, image, target, layer)
    with torch.no_grad():
        activations = model.until(image, layer)
        close(trace.activations, activations)
        flat = activations.flatten()
        for place in range(0, flat.numel(), 7):
            shift = torch.zeros_like(flat)
            shift[place] = step
            up, down = (model.after((flat + sign * shift).reshape(activations.shape), layer)[0, target]
                        for sign in (1, -1))
            assert float(trace.gradients.flatten()[place]) == pytest.approx(float((up - down) / (2 * step)), abs=1e-6)
    assert trace.gradients.abs().max() > 1e-3


def test_with_a_linear_head_after_pooling_gradcam_is_cam():
    """Section 3 of the paper: the weights are those of the last layer, divided by the number of places."""
    model, image = small(), random(2, 3, 24, 16)
    trace = record_cnn(model, image, [1, 4])
    values = {step.id: step.value for step in Cam().steps(trace)}
    for index, target in enumerate((1, 4)):
        fc = model.head.fc.weight[target].detach()
        close(values["C2"][index].flatten(), fc / trace.activations[0, 0].numel())
        cam = torch.einsum("k,khw->hw", fc, trace.activations[index])
        close(values["C4"][index], cam.clamp(min=0) / cam.numel())


def test_a_feature_that_speaks_for_the_class_is_where_gradcam_looks():
    """Two features, two places: one raises the score, the other lowers it."""
    model = CNN({"eyes": torch.nn.Identity(), "head": Head(3, 1)})
    model.head.fc.weight.data = torch.tensor([[1.0, -1.0, 0.0]])
    image = torch.zeros(1, 3, 4, 6)
    image[0, 0, 1, 2] = image[0, 1, 3, 5] = image[0, 2, 0, 0] = 9
    coarse = {step.id: step.value for step in Cam().steps(record_cnn(model, image))}["C4"][0]
    assert coarse.nonzero().tolist() == [[1, 2]]


def test_the_steps_are_numbered_titled_and_in_order():
    steps = Cam().steps(a_trace())
    assert [step.id for step in steps] == IDS
    assert [step.title for step in steps] == ["activations and gradients", "channel weights", "weighted sum", "rectify",
                                              "upsample", "min-max"]
    assert torch.equal(steps[0].value[0], a_trace().activations) and torch.equal(steps[0].value[1], a_trace().gradients)


@pytest.mark.parametrize("number, stage, changed", [
    ("C2", lambda gradients: gradients.amax(dim=(-2, -1), keepdim=True), IDS[1:]),
    ("C4", lambda cam: cam, IDS[3:]),
    ("M2", lambda full: full * 2, IDS[5:]),
])
def test_a_variant_is_the_recipe_with_one_stage_replaced(number, stage, changed):
    theirs, ours = Cam(**{number: stage}).steps(a_trace()), Cam().steps(a_trace())
    assert [step.id for step in theirs] == IDS
    assert [a.id for a, b in zip(theirs[1:], ours[1:]) if not torch.equal(a.value, b.value)] == changed


def test_a_stage_reads_whatever_came_before_it_and_defaults_stay():
    def peaked(cam, weights, activations, logits, layer="elsewhere", power=2):
        """C4 peaked: and so on"""
        assert weights.shape == (2, K, 1, 1) and activations.shape == (2, K, h, w) and logits.shape == (2, 4)
        assert layer == "stage4"        # what is on record comes before a default
        return cam.clamp(min=0) ** power
    step = Cam(C4=peaked).steps(a_trace())[3]
    assert step.title == "peaked"
    close(step.value, Cam().steps(a_trace())[3].value ** 2)


def test_a_stage_that_reads_what_nobody_gave_is_told_what_there_is():
    def hungry(cam, full):
        """C4 hungry: cam (h,w), full (H,W) -> coarse (h,w)"""
    with pytest.raises(ValueError, match=r"stage C4 \(hungry\) reads 'full'; it can read activations, gradients.*cam$"):
        Cam(C4=hungry).steps(a_trace())
