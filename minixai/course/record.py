"""Make the fixtures: inputs from a pass of small networks, the library's results on them, and the results of mistakes.

    python -m minixai.course.record         # write the public fixtures again

    pass_of(seed) ─► {name: value} of every stage ─► fixture(exercise, seed): inputs, expected, mistakes ─► .npz

Each sentence of a docstring needs a pass that tests it; otherwise a function that ignores the sentence would pass.
A parameter with a default is given in one kind of pass and left out in the other.
"""
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from minixai import heatmap
from minixai.attention import ATTENTIONS, ROLLOUT
from minixai.course.check import same
from minixai.course.exercises import EXERCISES, Exercise, Task
from minixai.course.fixtures import FOLDER, PUBLIC, Fixture
from minixai.course.mistakes import MISTAKES
from minixai.gradcam import channel_weights, weighted_sum
from minixai.networks.cnn import small_cnn
from minixai.networks.vit import ViT
from minixai.trace import record_cnn, record_vit
from minixai.verification.mistakes import Mistake, all_mistakes

SHARED = ("rows", "columns")        # without a batch dimension
COLORS = ("viridis", "jet", "magma")
ZERO = "In image 3 every gradient is zero, and so is the map. In torch 0/0 is NaN."
FLAT = "The map of image 4 has the same number everywhere, and it is not zero. In torch 0/0 is NaN."
FLOATS = "Here the picture has floats in [0,1], alpha has its default value, and colors is {!r}."


def pass_of(seed: int, batch: bool | None = None) -> dict[str, Any]:
    """All values of one pass of a small CNN and a small ViT with random weights: {name: tensor, array or plain value}.

    The seed decides the sizes; sizes that could be confused are never equal. An odd seed gives one image; an even seed
    gives a batch, with a batch dimension in front of every tensor. batch: overrides this rule.
    "function.name" is a value for one function only, used where the recipe's own value would hide a mistake.
    """
    batch = seed % 2 == 0 if batch is None else batch
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        values = _cnn_values(seed)
        values |= _vit_values(seed)
        values |= _mask_and_squares(values)
        values |= _pictures(seed, values, batch)
    return values if batch else first_image(values)


def first_image(values: dict[str, Any]) -> dict[str, Any]:
    """The values of the first image, without the batch dimension."""
    return {name: value[0] if name not in SHARED and isinstance(value, torch.Tensor | np.ndarray) else value
            for name, value in values.items()}


def _cnn_values(seed):
    """C1 to M2 of Grad-CAM. The layer is in front of a ReLU, so activations and gradients have both signs.

    There are three images. The class of the last one has only zero weights in the head, so its gradients are zero. In a
    batch, one channel is zero everywhere. Both lead to 0/0 in a careless function.
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
    trace = replace(trace, size=(2 * h + 11, 2 * w + 14))       # not a multiple of the map's size
    weights = channel_weights(trace.gradients)
    cam = weighted_sum(trace.activations, weights)
    signed = both_signs(cam)
    positive = signed.clamp(min=0)
    flat = torch.full((1, *trace.size), 0.3)
    return {"activations": trace.activations, "gradients": trace.gradients, "size": trace.size, "weights": weights,
            "cam": cam, "rectify.cam": signed,
            "coarse": positive, "full": heatmap.upsample(positive, trace.size),
            # With a minimum below zero, or dividing by the maximum would be right. With a sum that is not 0.
            "min_max.full": torch.cat([heatmap.upsample(signed + positive, trace.size), flat]),
            "activation_weighted_mean.activations": little_below_zero(trace.activations)}


def both_signs(cam: Tensor) -> Tensor:
    """Subtract a map's mean and scale its maximum to 2: cam (...,h,w) -> (...,h,w). A map of zeros stays as it is.

    In a positive map a forgotten ReLU would not show. A negative map would leave nothing to upsample. In a map
    within [0,1], clamping at 1 would not show.
    """
    cam = cam - cam.mean(dim=(-2, -1), keepdim=True)
    return 2 * cam / cam.amax(dim=(-2, -1), keepdim=True).clamp(min=1e-9)


def little_below_zero(activations: Tensor) -> Tensor:
    """Activations (...,K,h,w) that are mostly positive: the sum of a channel is 0 only if all its values are 0.

    With both signs at random, a sum could be nearly 0, and rounding errors would decide a quotient by it.
    """
    activations = activations.clamp(min=0)
    activations[..., 0, 0] -= 0.1 * activations.sum(dim=(-2, -1))
    return activations


def _vit_values(seed):
    """A1 to A5 of rollout, from the last block but one: a function that ignores `layer` gives a wrong result."""
    L, M, gh, gw, prefix = 4, 3, 3, 5 + seed // 2 % 2, 1 + seed % 2
    model = _stronger(ViT(8 * gw, 8, 12 * M, L, M, classes=5, prefix_tokens=prefix))
    trace = record_vit(model, torch.randn(2, 3, 8 * gh, 8 * gw), target=seed % 5, layer=L - 2, gradients=True)
    steps = {step.id: step.value for step in ROLLOUT.steps(trace)}
    evidence = {step.id: step.value for step in ATTENTIONS["chefer"].steps(trace)}
    return {"attention": trace.attention, "attention_gradients": trace.attention_gradients, "layer": trace.layer,
            "prefix_tokens": prefix, "grid": trace.grid, "fused": steps["A2"], "mixing": steps["A3"],
            "cls_attention": steps["A4"], "whole_skip.fused": evidence["A2"],
            "half_skip.fused": trace.attention.amax(dim=-3),    # its rows do not sum to one
            "rolled": steps["A5"]}


def _mask_and_squares(values):
    """Inputs of functions that are no stage of a recipe: a mask, and overlapping squares for occlusion."""
    H, W = values["size"]
    energy = heatmap.upsample(values.pop("rolled"), (H, W))     # no zeros, and the maximum is not one
    return {"mask": torch.rand(3, H, W) > 0.6, "energy_inside.heatmap": torch.cat([energy, values["full"][2:]]),
            "lost": torch.randn(3, 4, 6), "rows": _windows(H, 4, 6), "columns": _windows(W, 6, 7)}


def _pictures(seed, values, batch):
    """One picture of 8 bits with its own alpha; or a batch of float pictures with its own colours and no alpha."""
    picture = heatmap.upsample(torch.rand(3, 3, 4, 5), values["size"]).movedim(1, -1).numpy()
    heat = {"overlay.heatmap": heatmap.min_max(values["full"]).numpy()}
    if batch:
        return heat | {"rgb": picture, "overlay.colors": COLORS[seed // 2 % len(COLORS)]}
    return heat | {"rgb": (255 * picture).astype(np.uint8), "overlay.alpha": 0.35}


def _windows(side, count, patch):
    """(count,side): 1 where a square covers the pixel, else 0. The squares overlap."""
    starts = torch.linspace(0, side - patch, count).round()[:, None]
    return ((starts <= torch.arange(side)) & (torch.arange(side) < starts + patch)).float()


def _stronger(model):
    """Double the weights: the attention of an untrained network is nearly uniform, and a wrong row would not show."""
    model.load_state_dict({name: 2 * value for name, value in model.state_dict().items()})
    return model.eval()


def fixture(exercise: Exercise, seed: int) -> Fixture:
    """(about, {name: array}) for an exercise and a pass: inputs, expected values, and the results of known mistakes."""
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
    return about, arrays


def inputs_of(function: Callable, values: dict[str, Any], also: Sequence[str] = ()) -> dict[str, Any]:
    """The values for a function's parameters, by name.

    A parameter with a default is left out, unless it is in `also` or has a value for this function only.
    """
    own = {name: f"{getattr(function, '__name__', '')}.{name}" for name in signature(function).parameters}
    return {name: values.get(own[name], values.get(name)) for name, parameter in signature(function).parameters.items()
            if parameter.default is parameter.empty or name in also or own[name] in values}


def known_mistakes(task: Task, values: dict[str, Any], expected: Any,
                   alone: dict[str, Any] | None = None) -> Iterator[tuple[str, str, np.ndarray]]:
    """(name, reread, result) of every known mistake with a wrong result on these values.

    alone: for a batch, the values of its first image only. A mistake that already shows there is left out, because the
    pass of one image names it.
    """
    for mistake in mistakes_for(task):
        value = attempt(mistake.function, task, values)
        if value is None or same(value, np.asarray(expected)):
            continue
        if alone is None or same(attempt(mistake.function, task, alone), attempt(task.function, task, alone)):
            yield mistake.name, mistake.reread, value


def mistakes_for(task: Task) -> list[Mistake]:
    """Every known mistake that can take the place of a task's function."""
    return [mistake for mistake in (*all_mistakes(), *MISTAKES) if task.function in mistake.instead_of or
            not (mistake.instead_of or mistake.recorded) and task.function.__doc__.startswith(f"{mistake.stage} ")]


def attempt(function: Callable, task: Task, values: dict[str, Any]) -> np.ndarray | None:
    """The result of a function in the place of the task's function, or None if it cannot run on these values.

    It gets the inputs of the right function, and other values of the pass if its parameters name them.
    """
    given = inputs_of(task.function, values)
    values = {name: value for name, value in values.items() if "." not in name} | given
    try:
        fixed = getattr(function, "keywords", {})           # arguments that a partial sets
        return np.asarray(function(**inputs_of(function, values, [name for name in given if name not in fixed])))
    except (TypeError, ValueError, RuntimeError, IndexError, AttributeError):
        return None


def _remarks(inputs, expected, seed):
    """A sentence for each image of a batch about what is special in it, or "". An empty list: nothing is special."""
    if "colors" in inputs:
        return [FLOATS.format(inputs["colors"])] * len(expected)
    if seed % 2 or len(expected) < 3 or expected[2].any():
        return []
    return ["", "", ZERO, FLAT][:len(expected)]


def main(folder: Path = FOLDER) -> None:
    """Write the public fixtures: python -m minixai.course.record"""
    for exercise in EXERCISES.values():
        for seed in PUBLIC if exercise.tasks else ():
            about, arrays = fixture(exercise, seed)
            path = folder / f"{exercise.number}_{seed}.npz"
            np.savez_compressed(path, about=json.dumps(about), **arrays)
            print(f"{path.name} {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
