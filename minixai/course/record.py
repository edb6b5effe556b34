"""Makes the fixtures: passes of small networks, what the library's stages give on them, and what mistakes would.

    python -m minixai.course.record         # writes the public ones again

    pass_of(seed) ─► {name: value} of every stage ─► fixture(exercise, seed): inputs, expected, mistakes ─► .npz
"""
import json
from dataclasses import replace
from inspect import signature

import numpy as np
import torch

from minixai.attention import ROLLOUT
from minixai.cnn import small_cnn
from minixai.course.exercises import EXERCISES
from minixai.course.fixtures import FOLDER, PUBLIC
from minixai.gradcam import Cam
from minixai.mistakes import all_mistakes
from minixai.search import attempt
from minixai.trace import record_cnn, record_vit
from minixai.vit import ViT


def pass_of(seed):
    """All values of one pass of a small CNN and a small ViT with random weights: {name: tensor or plain value}.

    The sizes follow from the seed, and no two that could be confused are equal. Odd seeds give one image, even ones a
    batch of two in front of every tensor: a stage that indexes from the right does both.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        values = {**_cnn_values(seed), **_vit_values(seed), **_picture_values(seed)}
    if seed % 2 == 0:
        return values
    return {name: value[0] if isinstance(value, torch.Tensor) and name not in ("rows", "columns") else value
            for name, value in values.items()}


def _cnn_values(seed):
    """C1 to M2 of Grad-CAM, before a ReLU, so that activations and gradients have both signs."""
    K, h, w = 6 + seed % 4, 3 + seed % 2, 5 + seed % 3
    model = _stronger(small_cnn(4, (5, 6, 7, K)))
    trace = record_cnn(model, torch.randn(2, 3, 8 * h, 8 * w), target=seed % 4, layer=f"{model.layers[-1]}.conv2")
    trace = replace(trace, size=(2 * h + 11, 2 * w + 14))       # no whole multiple of the map, as with most photos
    steps = {step.id: step.value for step in Cam().steps(trace)}
    return {"activations": trace.activations, "gradients": trace.gradients, "size": trace.size, "weights": steps["C2"],
            "cam": steps["C3"], "coarse": steps["C4"], "full": steps["M1"], "heatmap": steps["M2"]}


def _vit_values(seed):
    """A1 to A4 of rollout, from the last block but one, so that `layer` is read and not guessed."""
    L, M, gh, gw, prefix = 3, 2, 4, 5 + seed // 2 % 2, 1 + seed % 2
    model = _stronger(ViT(8 * gw, 8, 12 * M, L, M, classes=5, prefix_tokens=prefix))
    trace = record_vit(model, torch.randn(2, 3, 8 * gh, 8 * gw), target=seed % 5, layer=L - 2, gradients=True)
    steps = {step.id: step.value for step in ROLLOUT.steps(trace)}
    return {"attention": trace.attention, "attention_gradients": trace.attention_gradients, "layer": trace.layer,
            "prefix_tokens": prefix, "grid": trace.grid, "fused": steps["A2"], "mixing": steps["A3"],
            "flow": steps["A4"]}


def _picture_values(seed):
    """What is no stage of a recipe: a picture and a mask, and squares that wander over it."""
    H, W, r, c = 11 + 2 * (3 + seed % 2), 14 + 2 * (5 + seed % 3), 4, 6
    rows, columns = (torch.arange(side)[None] // (side // count + 1) == torch.arange(count)[:, None]
                     for side, count in ((H, r), (W, c)))
    overlapping = [squares | squares.roll(2, dims=-1) for squares in (rows, columns)]
    return {"rgb": torch.randint(0, 256, (2, H, W, 3), dtype=torch.uint8), "mask": torch.rand(2, H, W) > 0.6,
            "lost": torch.randn(2, r, c), "rows": overlapping[0].float(), "columns": overlapping[1].float()}


def _stronger(model):
    """Twice the weights: an untrained network attends to all places nearly alike, and a wrong row would not show."""
    model.load_state_dict({name: 2 * value for name, value in model.state_dict().items()})
    return model.eval()


def fixture(exercise, seed):
    """{name: array} for one exercise and one pass: inputs, expected values, and what known mistakes give instead."""
    values, arrays, about = pass_of(seed), {}, {"seed": seed, "tasks": {}}
    for task in exercise.tasks:
        inputs = inputs_of(task.function, values)
        expected = task.function(**inputs)
        # A mistake shows on the first pass already. On a batch, what fails is that it is one.
        known = list(_mistaken(task, inputs, expected)) if seed % 2 else []
        arrays |= {f"input/{name}": np.asarray(value) for name, value in inputs.items()}
        arrays[f"expected/{task.name}"] = np.asarray(expected)
        arrays |= {f"mistake/{task.name}/{number}": np.asarray(value) for number, (_, value) in enumerate(known)}
        about["tasks"][task.name] = {"inputs": list(inputs), "mistakes": [[mistake.name, mistake.reread]
                                                                         for mistake, _ in known]}
    return {"about": np.array(json.dumps(about)), **arrays}


def inputs_of(function, values):
    """The values that a function's parameters name; those with a default stay at it."""
    return {name: values[name] for name, parameter in signature(function).parameters.items()
            if parameter.default is parameter.empty}


def _mistaken(task, inputs, expected):
    """(mistake, value) for every known mistake that gives another value of the same stage."""
    for mistake in all_mistakes():
        if mistake.recorded or mistake.instead_of and task.function not in mistake.instead_of:
            continue
        if not (task.function.__doc__ or "").startswith(f"{mistake.stage} "):
            continue
        value = attempt(mistake.stage, mistake.function, inputs)
        if value is not None and not (value.shape == expected.shape and torch.allclose(value, expected, atol=1e-6)):
            yield mistake, value


def save(exercise, seed, folder=FOLDER):
    """Write one fixture; returns its path."""
    path = folder / f"{exercise.number}_{seed}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **fixture(exercise, seed))
    return path


def main():
    """Write the public fixtures: python -m minixai.course.record"""
    for exercise in EXERCISES.values():
        for seed in PUBLIC:
            path = save(exercise, seed)
            print(f"{path.name} {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
