"""Makes the fixtures: passes of small networks, what the library's stages give on them, and what mistakes would.

    python -m minixai.course.record         # writes the public ones again

    pass_of(seed) ─► {name: value} of every stage ─► fixture(exercise, seed): inputs, expected, mistakes ─► .npz

What a docstring asks for has to be in some pass, or a function that leaves it out would be right. A parameter with a
default is given in one kind of pass and left out in the other.
"""
import json
from dataclasses import replace
from inspect import signature

import numpy as np
import torch

from minixai import heatmap
from minixai.attention import ATTENTIONS, ROLLOUT
from minixai.course.check import same
from minixai.course.exercises import EXERCISES
from minixai.course.fixtures import FOLDER, PUBLIC
from minixai.course.mistakes import OWN
from minixai.gradcam import channel_weights, weighted_sum
from minixai.networks.cnn import small_cnn
from minixai.networks.vit import ViT
from minixai.trace import record_cnn, record_vit
from minixai.verification.mistakes import all_mistakes

SHARED = ("rows", "columns")        # one for all images
COLORS = ("viridis", "jet", "magma")
ZERO = "In image 3 nothing speaks for the class: every gradient is zero, and so is the map. 0/0 is not 0."
FLAT = "Image 4 is flat: one number everywhere, and not zero. 0/0 is not 0."
FLOATS = "The picture is floats in [0,1] here, alpha is left at its default, and colors is {!r}."


def pass_of(seed, batch=None):
    """All values of one pass of a small CNN and a small ViT with random weights: {name: tensor or plain value}.

    The sizes follow from the seed, and no two that could be confused are equal. Odd seeds give one image, even ones a
    batch in front of every tensor (or as `batch` says): a stage that indexes from the right does both. "function.name"
    is a value of one function alone, where what the recipe would give it cannot tell right from wrong.
    """
    batch = seed % 2 == 0 if batch is None else batch
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        values = _cnn_values(seed)
        values |= _vit_values(seed)
        values |= _mask_and_squares(values)
        values |= _pictures(seed, values, batch)
    return values if batch else first_image(values)


def first_image(values):
    """The same values without the batch."""
    return {name: value[0] if name not in SHARED and isinstance(value, torch.Tensor | np.ndarray) else value
            for name, value in values.items()}


def _cnn_values(seed):
    """C1 to M2 of Grad-CAM, before a ReLU, so that activations and gradients have both signs.

    The last of three images asks for a class that no feature speaks for, and one channel is nowhere on: 0/0 twice.
    """
    K, h, w = 9 + seed % 4, 4 + seed % 2, 6 + seed % 3
    model = _stronger(small_cnn(5, (5, 6, 7, K)))
    layer = f"{model.layers[-1]}.conv2"
    state = model.state_dict()
    state["head.fc.weight"][4] = 0
    if seed % 2 == 0:
        state[f"{layer}.norm.weight"][1] = state[f"{layer}.norm.bias"][1] = 0
    model.load_state_dict(state)
    trace = record_cnn(model, torch.randn(3, 3, 8 * h, 8 * w), target=[seed % 4, (seed + 1) % 4, 4], layer=layer)
    trace = replace(trace, size=(2 * h + 11, 2 * w + 14))       # no whole multiple of the map, as with most photos
    weights = channel_weights(trace.gradients)
    cam = weighted_sum(trace.activations, weights)
    signed = both_signs(cam)
    positive = signed.clamp(min=0)
    flat = torch.full((1, *trace.size), 0.3)
    return {"activations": trace.activations, "gradients": trace.gradients, "size": trace.size, "weights": weights,
            "cam": cam, "rectify.cam": signed,
            "coarse": positive, "full": heatmap.upsample(positive, trace.size),
            # Below zero, or dividing by the maximum would do, but with a sum that is not 0.
            "min_max.full": torch.cat([heatmap.upsample(signed + positive, trace.size), flat]),
            "activation_weighted_mean.activations": little_below_zero(trace.activations)}


def both_signs(cam):
    """A map less its mean, up to 2; zeros stay zeros.

    One that is positive by chance would not show a forgotten ReLU; of a negative one, nothing is left to upsample; and
    within [0,1] a map cut at 1 looks right.
    """
    cam = cam - cam.mean(dim=(-2, -1), keepdim=True)
    return 2 * cam / cam.amax(dim=(-2, -1), keepdim=True).clamp(min=1e-9)


def little_below_zero(activations):
    """Activations whose sums are not 0 unless all are: of both signs by chance, rounding would decide the quotient."""
    activations = activations.clamp(min=0)
    activations[..., 0, 0] -= 0.1 * activations.sum(dim=(-2, -1))
    return activations


def _vit_values(seed):
    """A1 to A4 of rollout, from the last block but one, so that `layer` is read and not guessed."""
    L, M, gh, gw, prefix = 4, 3, 3, 5 + seed // 2 % 2, 1 + seed % 2
    model = _stronger(ViT(8 * gw, 8, 12 * M, L, M, classes=5, prefix_tokens=prefix))
    trace = record_vit(model, torch.randn(2, 3, 8 * gh, 8 * gw), target=seed % 5, layer=L - 2, gradients=True)
    steps = {step.id: step.value for step in ROLLOUT.steps(trace)}
    evidence = {step.id: step.value for step in ATTENTIONS["chefer"].steps(trace)}
    return {"attention": trace.attention, "attention_gradients": trace.attention_gradients, "layer": trace.layer,
            "prefix_tokens": prefix, "grid": trace.grid, "fused": steps["A2"], "mixing": steps["A3"],
            "cls_attention": steps["A4"], "whole_skip.fused": evidence["A2"],
            "half_skip.fused": trace.attention.amax(dim=-3),    # of the maximum of the heads: rows do not sum to one
            "rolled": steps["A5"]}


def _mask_and_squares(values):
    """What is no stage of a recipe: a mask, and squares that wander over a picture."""
    H, W = values["size"]
    energy = heatmap.upsample(values.pop("rolled"), (H, W))     # nowhere zero, and its maximum is not one
    return {"mask": torch.rand(3, H, W) > 0.6, "energy_inside.heatmap": torch.cat([energy, values["full"][2:]]),
            "lost": torch.randn(3, 4, 6), "rows": _windows(H, 4, 6), "columns": _windows(W, 6, 7)}


def _pictures(seed, values, batch):
    """One picture of 8 bits at an alpha of its own; or a batch of floats in other colours at the default alpha."""
    picture = heatmap.upsample(torch.rand(3, 3, 4, 5), values["size"]).movedim(1, -1).numpy()
    heat = {"overlay.heatmap": heatmap.min_max(values["full"]).numpy()}
    if batch:
        return heat | {"rgb": picture, "overlay.colors": COLORS[seed // 2 % len(COLORS)]}
    return heat | {"rgb": (255 * picture).astype(np.uint8), "overlay.alpha": 0.35}


def _windows(side, count, patch):
    """(count,side): which pixels each of `count` overlapping squares covers."""
    starts = torch.linspace(0, side - patch, count).round()[:, None]
    return ((starts <= torch.arange(side)) & (torch.arange(side) < starts + patch)).float()


def _stronger(model):
    """Twice the weights: an untrained network attends to all places nearly alike, and a wrong row would not show."""
    model.load_state_dict({name: 2 * value for name, value in model.state_dict().items()})
    return model.eval()


def fixture(exercise, seed):
    """{name: array} for one exercise and one pass: inputs, expected values, and what known mistakes give instead."""
    values, arrays, about = pass_of(seed), {}, {"seed": seed, "tasks": {}}
    alone = pass_of(seed, batch=False) if seed % 2 == 0 else None
    for task in exercise.tasks:
        inputs = inputs_of(task.function, values)
        expected = task.function(**inputs)
        known = list(known_mistakes(task, values, expected, alone))
        arrays |= {f"input/{task.name}.{name}": np.asarray(value) for name, value in inputs.items()}
        arrays[f"expected/{task.name}"] = np.asarray(expected)
        arrays |= {f"mistake/{task.name}/{number}": value for number, (_, _, value) in enumerate(known)}
        about["tasks"][task.name] = {"inputs": list(inputs), "remarks": _remarks(inputs, expected, seed),
                                     "mistakes": [[name, reread] for name, reread, _ in known]}
    return {"about": np.array(json.dumps(about)), **arrays}


def inputs_of(function, values, also=()):
    """The values that a function's parameters name. Those with a default stay at it, but for those in `also` and those
    that have a value for this function alone."""
    own = {name: f"{getattr(function, '__name__', '')}.{name}" for name in signature(function).parameters}
    return {name: values.get(own[name], values.get(name)) for name, parameter in signature(function).parameters.items()
            if parameter.default is parameter.empty or name in also or own[name] in values}


def known_mistakes(task, values, expected, alone=None):
    """(name, reread, array) for every known mistake that gives another value.

    alone: beside a batch, the values of the pass of one image. What goes wrong there is left out: it is named there.
    """
    for name, function, reread in mistakes_for(task):
        value = attempt(function, task, values)
        if value is None or same(value, np.asarray(expected)):
            continue
        if alone is None or same(attempt(function, task, alone), attempt(task.function, task, alone)):
            yield name, reread, value


def mistakes_for(task):
    """(name, function, reread) of every mistake that can be made in place of one function."""
    for mistake in all_mistakes():
        if mistake.recorded or mistake.instead_of and task.function not in mistake.instead_of:
            continue
        if (task.function.__doc__ or "").startswith(f"{mistake.stage} "):
            yield mistake.name, mistake.function, mistake.reread
    yield from OWN.get(task.name, ())


def attempt(function, task, values):
    """What a function in the place of the task's gives on these values, an array; None where it does not fit them.

    It gets what the right one gets, even where it has a default, and may read other values of the pass.
    """
    given = inputs_of(task.function, values)
    values = {name: value for name, value in values.items() if "." not in name} | given
    try:
        fixed = getattr(function, "keywords", {})           # of a partial
        return np.asarray(function(**inputs_of(function, values, [name for name in given if name not in fixed])))
    except (TypeError, ValueError, RuntimeError, IndexError, AttributeError):
        return None


def _remarks(inputs, expected, seed):
    """Of each image of a batch, what is special about it."""
    if "colors" in inputs:
        return [FLOATS.format(inputs["colors"])] * len(expected)
    if seed % 2 or len(expected) < 3 or expected[2].any():
        return []
    return ["", "", ZERO, FLAT][:len(expected)]


def save(exercise, seed, folder=FOLDER):
    """Write one fixture; returns its path."""
    path = folder / f"{exercise.number}_{seed}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **fixture(exercise, seed))
    return path


def main():
    """Write the public fixtures: python -m minixai.course.record"""
    for exercise in EXERCISES.values():
        for seed in PUBLIC if exercise.tasks else ():
            path = save(exercise, seed)
            print(f"{path.name} {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
