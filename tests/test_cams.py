"""Every relative of Grad-CAM against a slow loop written from its formula, and the laws that tie them together."""
import math

import pytest
import torch

import minixai
from minixai import cams, progress
from minixai.cams import CAMS
from minixai.recipe import reads
from minixai.trace import CnnTrace

K, h, w = 6, 3, 5
OF_TENSORS = sorted(method for method, recipe in CAMS.items() if not reads(recipe, "network"))
ASK_AGAIN = ["ablationcam", "cam", "scorecam"]          # without gradients; the others are in test_cams_gradients.py


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


def test_fem_weighs_the_places_two_deviations_above_the_mean_by_the_mean():
    A = random_maps(0) ** 3                         # long tails, so that some place is that strong
    expected = dict.fromkeys(places(), 0.0)
    for k in range(K):
        values = [float(A[k][place]) for place in places()]
        mean = sum(values) / len(values)
        deviation = math.sqrt(sum((v - mean) ** 2 for v in values) / len(values))
        for place in places():
            expected[place] += mean * (float(A[k][place]) > mean + 2 * deviation)
    cam = cams.sum_of_k_sigma_masks(A, cams.mean_activations(A))
    assert all(float(cam[place]) == pytest.approx(expected[place]) for place in places())
    assert 0 < sum(value != 0 for value in expected.values()) < h * w


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
    assert (weights @ matrix).sum() > 0 and (cams.first_component(-A).flatten() @ -matrix).sum() > 0
    for maps in (A, -A):
        assert cams.first_component(maps).norm().item() == pytest.approx(1)


def test_kernel_component_is_an_eigenvector_of_the_centred_kernel():
    A = random_maps(0)
    x = [torch.tensor([float(A[k][place]) for k in range(K)], dtype=torch.float64) for place in places()]
    mean = sum(x) / len(x)
    kernel = torch.tensor([[math.tanh(float((a - mean) @ (b - mean)) / K + 1) for b in x] for a in x]).double()
    N = len(x)
    centring = torch.eye(N, dtype=torch.float64) - 1 / N
    kernel = centring @ kernel @ centring
    component = cams.kernel_pca_component(A).flatten()
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
    for method in ("gradcam", "hirescam", "xgradcam", "cam"):
        result = minixai.explain(model, image, method, target)
        times = 1 if method == "cam" else area              # a mean over h·w places passes 1/(h·w) of the gradient on
        assert torch.allclose(times * result["C3"], cam, atol=1e-4), method


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


@pytest.mark.parametrize("method", OF_TENSORS)
def test_mirrored_maps_give_the_mirrored_heatmap(method, pass_through_a_network):
    activations, gradients = pass_through_a_network
    straight = value(method, "C4", trace(activations, gradients))
    mirrored = value(method, "C4", trace(activations.flip(-1), gradients.flip(-1)))
    assert torch.allclose(mirrored.flip(-1), straight, atol=1e-4 * float(straight.max()))


@pytest.mark.parametrize("method", OF_TENSORS)
def test_nothing_gives_an_empty_map_and_never_a_nan(method):
    made = trace(torch.zeros(1, K, h, w), torch.zeros(1, K, h, w))
    assert torch.equal(value(method, "M2", made), torch.zeros(1, 7, 11))


@pytest.mark.parametrize("method", sorted(set(CAMS) - {"cam"}))
def test_on_our_cnn_every_method_gives_a_heatmap_that_differs_from_gradcams_before_the_last_stage(method):
    torch.manual_seed(0)
    model, image = minixai.build("small_cnn"), torch.randn(1, 3, 40, 64)
    results = (minixai.explain(model, image, method, target=target, layer="stage2") for target in range(4))
    result = next(result for result in results if not result.empty)     # a class may have nothing that speaks for it
    assert result.heatmap.shape == (1, 40, 64) and 0 <= result.heatmap.min() and result.heatmap.max() == 1
    gradcam = minixai.explain(model, image, target=result.target, layer="stage2")
    assert torch.allclose(result.heatmap, gradcam.heatmap, atol=1e-3) == (method == "gradcam")


def test_randomcam_is_the_same_at_every_call_and_reads_no_gradient():
    A = torch.randn(2, K, h, w)
    first = cams.random_weights(A)
    assert torch.equal(first, cams.random_weights(A)) and torch.equal(first[0], first[1])
    assert first.abs().max() <= 1 and first.min() < 0 < first.max()


# ------------------------------------------------------------------------------- methods that ask the network again

@pytest.fixture
def asked():
    """A network of ours, two images, and a trace in the middle of it."""
    torch.manual_seed(0)
    model, image = minixai.build("small_cnn"), torch.randn(2, 3, 40, 64)
    return model, image, minixai.explain(model, image, target=[1, 3], layer="stage3").trace


@pytest.mark.parametrize("method", ASK_AGAIN)
def test_weights_are_one_number_a_channel_for_each_image(method, asked):
    model, image, _ = asked
    assert minixai.explain(model, image, method)["C2"].shape == (2, 96, 1, 1)


def test_ablationcam_weighs_a_channel_by_the_score_that_is_lost_without_it(asked):
    model, image, trace = asked
    weights = cams.ablation_weights(trace.activations, trace.network)
    for index, target in enumerate((1, 3)):
        for channel in (0, 17, 63):
            maps = model.until(image, "stage3")
            maps[:, channel] = 0
            whole, without = model(image)[index, target], model.after(maps, "stage3")[index, target]
            lost = ((whole - without) / abs(whole)).detach()
            assert float(weights[index, channel]) == pytest.approx(float(lost), rel=1e-3, abs=1e-6)


def test_before_a_gap_and_linear_head_ablation_is_gradient_times_what_there_is(asked):
    model, image, _ = asked
    gradcam, ablation = (minixai.explain(model, image, method, target=2) for method in ("gradcam", "ablationcam"))
    lost = gradcam["C2"] * gradcam.trace.activations.sum(dim=(-2, -1), keepdim=True)
    assert torch.allclose(ablation["C2"] * gradcam.trace.logits[:, 2].abs()[:, None, None, None], lost, atol=1e-5)


def test_scorecam_weighs_a_channel_by_the_confidence_behind_its_mask(asked):
    model, image, trace = asked
    weights = cams.increase_of_confidence(trace.activations, trace.network)
    for index, target in enumerate((1, 3)):
        varied = trace.activations[index].std(dim=(-2, -1)).nonzero().flatten()      # a dead channel is no mask
        for channel in varied[:3]:
            mask = torch.nn.functional.interpolate(trace.activations[index, channel][None, None], (40, 64),
                                                   mode="bilinear")[0, 0]
            mask = (mask - mask.min()) / (mask.max() - mask.min())
            behind, nothing = (model(picture[None]).softmax(dim=-1)[0, target]
                               .detach() for picture in (image[index] * mask, 0 * image[index]))
            assert float(weights[index, channel]) == pytest.approx(float(behind - nothing), abs=1e-6)


def test_a_constant_map_masks_nothing_out_and_weighs_nothing(asked):
    _, _, trace = asked
    maps = trace.activations.clone()
    maps[:, 5] = 0.7
    assert (cams.increase_of_confidence(maps, trace.network)[:, 5] == 0).all()


@pytest.mark.parametrize("method", ["ablationcam", "scorecam"])
def test_any_other_network_is_asked_through_a_hook_and_gives_the_same(method, asked):
    model, image, _ = asked
    ours = minixai.explain(model, image, method, target=[1, 3], layer="stage3")
    wrapped = torch.nn.Sequential(model).train()
    theirs = minixai.explain(wrapped, image, method, target=[1, 3], layer="0.stage3")
    torch.testing.assert_close(theirs["C2"], ours["C2"], rtol=1e-4, atol=1e-6)
    assert wrapped.training and not any(module._forward_hooks for module in wrapped.modules())


def test_of_a_module_that_runs_twice_the_last_run_is_replaced():
    class Twice(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Conv2d(3, 3, 1)
            self.head = torch.nn.Linear(3, 2)

        def forward(self, image):
            return self.head(self.layer(self.layer(image).relu()).mean(dim=(-2, -1)))

    torch.manual_seed(0)
    model, image = Twice(), torch.randn(1, 3, 4, 6)
    trace = minixai.explain(model, image, target=0, layer="layer").trace
    maps = torch.randn(2, 3, 4, 6)
    torch.testing.assert_close(trace.network.after(maps, 0), model.head(maps.mean(dim=(-2, -1))))


def test_cam_says_what_it_needs_where_it_does_not_apply(asked):
    model, image, _ = asked
    for network, layer in ((model, "stage3"), (torch.nn.Sequential(model), "0.stage4")):
        with pytest.raises(ValueError, match="average pooling and one linear layer"):
            minixai.explain(network, image, "cam", layer=layer)


def test_chunks_of_channels_change_nothing_but_memory(asked, monkeypatch):
    _, _, trace = asked
    sizes, after = [], trace.network.after
    monkeypatch.setattr(trace.network, "after", lambda maps, index: sizes.append(len(maps)) or after(maps, index))
    whole = cams.ablation_weights(trace.activations, trace.network)
    monkeypatch.setattr(cams.gradient_free, "in_chunks", lambda channels, numbers: torch.arange(channels).split(7))
    torch.testing.assert_close(cams.ablation_weights(trace.activations, trace.network), whole)
    assert 64 in sizes and max(sizes[sizes.index(7):]) == 7


def test_ablationcam_runs_only_what_follows_the_layer(asked, monkeypatch):
    model, _, trace = asked

    def never(*inputs):
        raise AssertionError("what comes before the layer ran again")
    monkeypatch.setattr(model, "until", never)
    monkeypatch.setattr(model, "forward", never)
    assert cams.ablation_weights(trace.activations, trace.network).shape == (2, 64, 1, 1)


def test_scorecam_shows_several_masked_images_at_once_but_never_too_many(asked, monkeypatch):
    _, _, trace = asked
    sizes, of = [], trace.network.of
    monkeypatch.setattr(trace.network, "of", lambda images: sizes.append(len(images)) or of(images))
    cams.increase_of_confidence(trace.activations, trace.network)
    assert sizes == [1, 64, 1, 64]                          # an image of zeros, then all 64 channels, for each image
    photos = cams.gradient_free.in_chunks(512, 20 * 3 * 224 * 224)
    assert sum(map(len, photos)) == 512 and {len(chunk) for chunk in photos[:-1]} == {5}


@pytest.mark.parametrize("method, what", [("ablationcam", "Ablation-CAM"), ("scorecam", "Score-CAM")])
def test_long_work_shows_how_far_it_is_and_short_work_is_silent(method, what, asked, capsys, monkeypatch):
    model, image, _ = asked
    monkeypatch.setattr(progress, "PATIENCE", 1e9)
    minixai.explain(model, image, method)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(progress, "PATIENCE", -1)
    monkeypatch.setattr(progress, "PAUSE", 0)
    minixai.explain(model, image, method)
    assert f"{what}, image 2: part 1" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------ a law for all of them

def symmetric_network():
    """Every kernel is its own mirror image, so a mirrored image gives mirrored maps, where strides keep the middle."""
    torch.manual_seed(0)
    model = minixai.build("small_cnn")
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.weight.data = (module.weight + module.weight.flip(-1)).detach() / 2
    return model.double()


def wide_image():
    return torch.randn(2, 3, 25, 33, generator=torch.Generator().manual_seed(1), dtype=torch.float64)    # 33, 17, 9, 5


@pytest.mark.parametrize("method", sorted(set(CAMS) - {"smoothgradcampp"}))         # whose noise has no mirror image
def test_a_network_that_knows_no_left_and_right_gives_mirrored_images_mirrored_heatmaps(method):
    model, image = symmetric_network(), wide_image()
    layer = "stage4" if method == "cam" else "stage2"
    straight, mirrored = (minixai.explain(model, seen, method, [0, 2], layer) for seen in (image, image.flip(-1)))
    assert not straight.empty.all()
    torch.testing.assert_close(mirrored.heatmap.flip(-1), straight.heatmap, rtol=0, atol=1e-4)


def test_another_network_does_not():
    torch.manual_seed(0)
    model = minixai.build("small_cnn").double()
    image = wide_image()
    straight, mirrored = (minixai.explain(model, seen, layer="stage2") for seen in (image, image.flip(-1)))
    assert (mirrored.heatmap.flip(-1) - straight.heatmap).abs().max() > 0.1
