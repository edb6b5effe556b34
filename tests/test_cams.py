"""Every relative of Grad-CAM against a slow loop written from its formula, and the laws that tie them together."""
import math

import pytest
import torch

import minixai
from minixai import cams
from minixai.cams import CAMS
from minixai.trace import CnnTrace

K, h, w = 6, 3, 5


def trace(activations, gradients, size=(7, 11)):
    images = len(activations)
    return CnnTrace(activations, gradients, torch.zeros(images, 2), torch.zeros(images, dtype=torch.long), "made", size)


@pytest.fixture
def pass_through_a_network():
    """Activations and gradients of a real pass, with both signs in both."""
    torch.manual_seed(0)
    result = minixai.explain(minixai.build("small_cnn"), torch.randn(2, 3, 40, 64), layer="stage2.conv2")
    return result.trace.activations, result.trace.gradients


def value(method, id, made):
    return {step.id: step.value for step in CAMS[method].steps(made)}[id]


def places():
    return [(row, column) for row in range(h) for column in range(w)]


def random_maps(seed):
    return torch.randn(K, h, w, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_xgradcam_weighs_each_gradient_by_the_share_of_its_place_in_the_channel():
    A, g = random_maps(0), random_maps(1)
    for k, weight in enumerate(cams.activation_weighted_mean(A, g).flatten()):
        total = sum(A[k][place] for place in places())
        assert weight == pytest.approx(float(sum(A[k][place] / total * g[k][place] for place in places())))


def test_gradcampp_follows_equation_19():
    A, g = random_maps(0), random_maps(1)
    for k, weight in enumerate(cams.plus_plus_weights(A, g).flatten()):
        total = sum(A[k][place] for place in places())
        expected = 0.0
        for place in places():
            slope = float(g[k][place])
            expected += slope ** 2 / (2 * slope ** 2 + total * slope ** 3) * max(slope, 0)
        assert float(weight) == pytest.approx(float(expected))


def test_fem_counts_the_places_two_deviations_above_the_mean():
    A = random_maps(0) ** 3                         # long tails, so that some place is that strong
    weights = cams.rare_and_strong(A).flatten()
    for k in range(K):
        values = [float(A[k][place]) for place in places()]
        mean = sum(values) / len(values)
        deviation = math.sqrt(sum((v - mean) ** 2 for v in values) / len(values))
        assert float(weights[k]) == pytest.approx(sum(v > mean + 2 * deviation for v in values) / len(values))
    assert weights.sum() > 0


def test_elementwise_drops_what_is_negative_before_the_sum():
    A, g = random_maps(0), random_maps(1)
    expected = [[sum(max(float(A[k, row, column] * g[k, row, column]), 0) for k in range(K)) for column in range(w)]
                for row in range(h)]
    assert torch.allclose(cams.positive_sum(A, g), torch.tensor(expected, dtype=torch.float64))


def test_eigencam_is_the_direction_that_holds_most_of_the_maps():
    A = random_maps(0)
    matrix = A.flatten(1)
    weights = cams.first_component(A).flatten()
    for _ in range(500):                            # power iteration: an independent way to the same direction
        matrix_weights = matrix @ (matrix.T @ weights)
        weights = matrix_weights / matrix_weights.norm()
    assert torch.allclose(cams.first_component(A).flatten(), weights)
    assert (weights @ matrix).sum() > 0


def test_kernel_component_is_an_eigenvector_of_the_centred_kernel():
    A = random_maps(0)
    x = [torch.tensor([float(A[k][place]) for k in range(K)], dtype=torch.float64) for place in places()]
    mean = sum(x) / len(x)
    kernel = torch.tensor([[math.tanh(float((a - mean) @ (b - mean)) / K + 1) for b in x] for a in x]).double()
    N = len(x)
    centring = torch.eye(N, dtype=torch.float64) - 1 / N
    kernel = centring @ kernel @ centring
    component = cams.kernel_component(A).flatten()
    top = torch.linalg.eigvalsh(kernel)[-1]
    assert torch.allclose(kernel @ component, top * component, atol=1e-6)
    assert float(component @ component) == pytest.approx(float(top), rel=1e-5)


def test_before_a_gap_and_linear_head_cam_gradcam_hirescam_and_xgradcam_are_one():
    torch.manual_seed(0)
    model, image = minixai.build("small_cnn"), torch.randn(2, 3, 40, 64)
    target = torch.tensor([1, 3])
    activations = model.until(image, "stage4")
    cam = torch.einsum("bk,bkhw->bhw", model.head.fc.weight[target], activations)       # Zhou et al. 2016, eq. 2
    area = activations.shape[-2:].numel()
    for method in ("gradcam", "hirescam", "xgradcam"):
        result = minixai.explain(model, image, method, target)
        assert torch.allclose(area * result["C3"], cam, atol=1e-4), method


def test_before_that_head_the_sum_of_hirescam_and_the_bias_is_the_logit():
    torch.manual_seed(0)
    model, image = minixai.build("small_cnn"), torch.randn(2, 3, 40, 64)
    result = minixai.explain(model, image, "hirescam", target=2)
    assert torch.allclose(result["C3"].sum(dim=(-2, -1)) + model.head.fc.bias[2], model(image)[:, 2], atol=1e-5)


def test_where_activations_are_not_negative_layercam_is_elementwise(pass_through_a_network):
    activations, gradients = pass_through_a_network
    made = trace(activations.clamp(min=0), gradients)
    assert torch.allclose(value("layercam", "C4", made), value("elementwise", "C4", made), atol=1e-6)
    signed = trace(activations, gradients)
    assert not torch.allclose(value("layercam", "C4", signed), value("elementwise", "C4", signed), atol=1e-6)


@pytest.mark.parametrize("method", CAMS)
def test_mirrored_maps_give_the_mirrored_heatmap(method, pass_through_a_network):
    activations, gradients = pass_through_a_network
    straight = value(method, "C4", trace(activations, gradients))
    mirrored = value(method, "C4", trace(activations.flip(-1), gradients.flip(-1)))
    assert torch.allclose(mirrored.flip(-1), straight, atol=1e-4 * float(straight.max()))


@pytest.mark.parametrize("method", CAMS)
def test_nothing_gives_an_empty_map_and_never_a_nan(method):
    made = trace(torch.zeros(1, K, h, w), torch.zeros(1, K, h, w))
    assert torch.equal(value(method, "M2", made), torch.zeros(1, 7, 11))


@pytest.mark.parametrize("method", CAMS)
def test_on_our_cnn_every_method_gives_a_heatmap_that_differs_from_gradcams_before_the_last_stage(method):
    torch.manual_seed(0)
    model, image = minixai.build("small_cnn"), torch.randn(1, 3, 40, 64)
    result = minixai.explain(model, image, method, target=0, layer="stage2")
    assert result.heatmap.shape == (1, 40, 64) and 0 <= result.heatmap.min() and result.heatmap.max() == 1
    gradcam = minixai.explain(model, image, target=0, layer="stage2")
    assert torch.allclose(result.heatmap, gradcam.heatmap, atol=1e-3) == (method == "gradcam")


def test_randomcam_is_the_same_at_every_call_and_reads_no_gradient():
    A = torch.randn(2, K, h, w)
    first = cams.random_weights(A)
    assert torch.equal(first, cams.random_weights(A)) and torch.equal(first[0], first[1])
    assert first.abs().max() <= 1 and first.min() < 0 < first.max()
