"""Finer-CAM, Shapley-CAM and Smooth Grad-CAM++ against their formulas, written out slowly, and their laws."""
import math

import pytest
import torch
from torch import nn

import minixai
from minixai import cams, progress
from minixai.cams import more_gradients
from minixai.gradcam import Cam
from minixai.networks import zoo
from minixai.networks.cnn import CNN, Head, small_cnn
from minixai.score import class_score

C = 5
FIRST_ORDER = Cam(C1=cams.residual_softmax_target)


def image(B=2):
    return torch.randn(B, 3, 40, 56, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def network(classes=C):
    torch.manual_seed(0)
    return small_cnn(classes, (3, 4, 6, 7)).double().eval()


# ------------------------------------------------------------------------------------------------------------ Finer-CAM

def slowly_finer(logits, target):
    """y_c - 0.6 y_d, averaged over the three d whose logits are nearest."""
    others = sorted((d for d in range(len(logits)) if d != target), key=lambda d: abs(logits[d] - logits[target]))[:3]
    return sum(logits[target] - 0.6 * logits[d] for d in others) / len(others)


@pytest.mark.parametrize("logits, target", [
    ([2.0, -1.0, 0.5, 1.9, 7.0, 0.6], 0),
    ([2.0, -1.0, 0.5, 1.9, 7.0, 0.6], 4),               # the top class: the next three
    ([2.0, -1.0, 0.5, 1.9, 7.0, 0.6], 1),               # the lowest
    ([3.0, 1.0], 1),                                    # one other class
    ([3.0, 3.0, 1.0], 0),                               # as near as can be
])
def test_finercam_takes_away_what_the_three_nearest_classes_have(logits, target):
    score = cams.difference_to_similar_classes(torch.tensor([logits]), torch.tensor([[target]]))
    assert score.shape == (1, 1) and float(score) == pytest.approx(slowly_finer(logits, target))


def test_finercams_weights_are_the_classs_less_those_of_the_similar_classes():
    model = network()
    finer = minixai.explain(model, image(), "finercam", target=[1, 2], layer="stage3")
    of_class = torch.stack([minixai.explain(model, image(), target=c, layer="stage3")["C2"] for c in range(C)], dim=1)
    for index, target in enumerate((1, 2)):
        logits = finer.trace.logits[index]
        near = [d for d in (logits - logits[target]).abs().argsort().tolist() if d != target][:3]
        expected = of_class[index, target] - 0.6 * sum(of_class[index, d] for d in near) / 3
        torch.testing.assert_close(finer["C2"][index], expected)


def test_finercam_needs_another_class():
    with pytest.raises(ValueError, match="has one class"):
        minixai.explain(network(classes=1), image(), "finercam")


# ---------------------------------------------------------------------------------------------------------- Shapley-CAM

def test_its_score_is_logit_plus_log_probability():
    logits = torch.tensor([[1.0, -2.0, 0.5]])
    expected = 0.5 + math.log(math.exp(0.5) / sum(math.exp(value) for value in (1.0, -2.0, 0.5)))
    assert float(cams.residual_softmax_target(logits, torch.tensor([[2]]))) == pytest.approx(expected)


@pytest.mark.parametrize("layer", ["stage2", "stage4"])
def test_curvature_is_the_change_of_the_gradient(layer):
    """H A = (g(A + tA) - g(A - tA)) / 2t, with small t."""
    model = network()
    trace = minixai.explain(model, image(), FIRST_ORDER, target=[1, 4], layer=layer).trace
    activations, target, step = model.until(image(), layer).detach(), torch.tensor([[1], [4]]), 1e-5

    def gradient(scale):
        maps = (activations * scale).requires_grad_()
        score = cams.residual_softmax_target(model.after(maps, layer), target).sum()
        return torch.autograd.grad(score, maps)[0]

    expected = (gradient(1 + step) - gradient(1 - step)) / (2 * step)
    curvature = trace.network.curvature_along(activations)
    torch.testing.assert_close(curvature, expected.float(), rtol=1e-3, atol=1e-7)
    assert curvature.abs().max() > 1e-4
    weights = cams.shapley_weights(trace.activations, trace.gradients, trace.network)
    torch.testing.assert_close(weights, (trace.gradients - expected / 2).mean(dim=(-2, -1), keepdim=True).float(),
                               rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("trainable", [True, False])
@pytest.mark.parametrize("make", [network, lambda: zoo.vgg16(C, 1 / 16).double().eval()], ids=["GAP", "hidden layers"])
def test_of_a_logit_behind_relus_it_is_gradcam(make, trainable):
    torch.manual_seed(0)
    model = make().requires_grad_(trainable)
    for layer in model.layers[2:]:
        shapley, gradcam = (minixai.explain(model, image(), recipe, target=1, layer=layer)
                            for recipe in (Cam(C2=cams.shapley_weights), "gradcam"))
        assert gradcam["C2"].abs().max() > 0 and torch.equal(shapley["C2"], gradcam["C2"])


def test_of_a_score_that_knows_the_other_classes_it_is_not_gradcam():
    model = network()
    model.head.fc.weight.data *= 30                             # unsure enough for a curvature that shows
    shapley, gradcam = (minixai.explain(model, image(), method, target=1, layer="stage2")
                        for method in ("shapleycam", FIRST_ORDER))
    assert ((shapley["C2"] - gradcam["C2"]).abs() > 1e-3 * gradcam["C2"].abs()).float().mean() > 0.5


class Squared(nn.Module):
    """Logits that are squares of what a GAP + linear head gives, so that a second-order expansion is exact."""
    def __init__(self):
        super().__init__()
        self.linear = Head(4, C)

    def forward(self, maps):
        return self.linear(maps) ** 2


def test_of_a_quadratic_score_the_step_back_to_no_activation_is_exact():
    """Sum of (g - H A / 2) A = score(A) - score(0)."""
    torch.manual_seed(0)
    model = CNN({"conv": nn.Conv2d(3, 4, 3), "head": Squared()}).double().eval()
    result = minixai.explain(model, image(), Cam(C2=cams.shapley_weights), target=1)
    nothing = model.after(torch.zeros(1, 4, 2, 2, dtype=torch.float64), "conv")[0, 1].detach()
    difference = (model(image())[:, 1].detach() - nothing).float()
    torch.testing.assert_close(result["C3"].sum(dim=(-2, -1)), difference, rtol=1e-4, atol=1e-9)
    first_order = minixai.explain(model, image(), target=1)["C3"].sum(dim=(-2, -1))
    assert ((first_order - difference).abs() > 0.1 * difference.abs()).all()


@pytest.mark.parametrize("method", ["shapleycam", "smoothgradcampp", "finercam"])
def test_through_a_hook_it_is_the_same(method):
    model = network()
    model.head.fc.weight.data *= 30
    ours = minixai.explain(model, image(), method, target=[1, 3], layer="stage2")
    wrapped = nn.Sequential(model).train()
    theirs = minixai.explain(wrapped, image(), method, target=[1, 3], layer="0.stage2")
    torch.testing.assert_close(theirs["C2"], ours["C2"], rtol=1e-5, atol=1e-9)
    assert wrapped.training and not any(module._forward_hooks for module in wrapped.modules())
    assert all(parameter.grad is None for parameter in wrapped.parameters())


# ---------------------------------------------------------------------------------------------------- Smooth Grad-CAM++

def test_smooth_gradcampp_follows_its_formula(monkeypatch):
    """Each derivative is averaged over the copies that the network was shown."""
    monkeypatch.setattr(more_gradients, "COPIES", 3)
    model = network()
    trace = minixai.explain(model, image(), target=[1, 3], layer="stage2").trace
    shown, again = [], trace.network.again
    monkeypatch.setattr(trace.network, "again", lambda image: shown.append(image) or again(image=image))
    weights = cams.smooth_plus_plus_weights(trace.activations, trace.network)
    assert len(shown) == 3
    gradients = [minixai.explain(model, noisy, target=[1, 3], layer="stage2").trace.gradients for noisy in shown]
    _, K, h, w = trace.activations.shape
    for index in range(2):
        for k in range(K):
            expected = 0.0
            for row in range(h):
                for column in range(w):
                    slopes = [float(g[index, k, row, column]) for g in gradients]
                    first, second, third = (sum(slope ** power for slope in slopes) / 3 for power in (1, 2, 3))
                    below = 2 * second + float(trace.activations[index, k].sum()) * third
                    expected += (second / below if below else 0) * max(first, 0)
            assert float(weights[index, k]) == pytest.approx(expected, rel=1e-3, abs=1e-6)


def test_the_noise_is_a_share_of_the_images_range_and_the_same_for_every_image_and_call(monkeypatch):
    model, shown = network(), []
    pictures = image()
    pictures[1] = 10 * pictures[0] + 3                          # ten times the range
    trace = minixai.explain(model, pictures, target=1).trace
    monkeypatch.setattr(trace.network, "again", lambda image: shown.append(image) or trace)
    for _ in range(2):
        cams.smooth_plus_plus_weights(trace.activations, trace.network)
    noise = [one - pictures for one in shown]
    assert len(noise) == 2 * more_gradients.COPIES and torch.equal(noise[0], noise[more_gradients.COPIES])
    assert not torch.equal(noise[0], noise[1])
    torch.testing.assert_close(noise[0][1], 10 * noise[0][0])
    spread = pictures[0].max() - pictures[0].min()
    assert torch.stack(noise)[:, 0].std() == pytest.approx(float(0.15 * spread), rel=0.02)


def test_the_noise_does_not_depend_on_torchs_default_dtype():
    expected = minixai.explain(network(), image(), "smoothgradcampp", 2, "stage2")["C2"]
    model = network()
    torch.set_default_dtype(torch.float64)
    try:
        found = minixai.explain(model, image(), "smoothgradcampp", 2, "stage2")["C2"]
    finally:
        torch.set_default_dtype(torch.float32)
    torch.testing.assert_close(found, expected)


def test_without_noise_it_is_gradcampp(monkeypatch):
    monkeypatch.setattr(more_gradients, "NOISE", 0)
    smooth, plain = (minixai.explain(network(), image(), method, target=2, layer="stage2")["C2"]
                     for method in ("smoothgradcampp", "gradcampp"))
    torch.testing.assert_close(smooth, plain)


def test_before_a_gap_and_linear_head_noise_changes_nothing():
    """There the gradient does not depend on the image."""
    at_the_end, before = ([minixai.explain(network(), image(), method, target=2, layer=layer)["C2"]
                           for method in ("smoothgradcampp", "gradcampp")] for layer in ("stage4", "stage3"))
    torch.testing.assert_close(*at_the_end)
    assert (before[0] - before[1]).abs().max() > 1e-3


def test_it_shows_how_far_it_is(monkeypatch, capsys):
    monkeypatch.setattr(progress, "PATIENCE", -1)
    monkeypatch.setattr(progress, "PAUSE", 0)
    minixai.explain(network(), image(), "smoothgradcampp")
    assert "Smooth Grad-CAM++: part 8" in capsys.readouterr().err


def test_a_recipe_with_another_score_keeps_it_on_the_noisy_copies():
    def half(logits, target):
        return class_score(logits, target) / 2
    whole, part = (minixai.explain(network(), image(), Cam(C1=score, C2=cams.shapley_weights), 1, "stage2").trace
                   for score in (class_score, half))
    torch.testing.assert_close(whole.network.again(image=image() + 1).gradients / 2,
                               part.network.again(image=image() + 1).gradients)
