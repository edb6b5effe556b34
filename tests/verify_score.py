"""What `verify` finds and what it does not: python -m tests.verify_score [--quick]

Every mistake and every profile is planted on several networks and images, then pairs of mistakes, then maps rounded to
8 bits; then wrong maps that no known mistake made. A planted cause has to come back, as itself or among the ties that
the verdict states. Exit code 1 if one is missed or a wrong map is explained.
"""
import argparse
import sys
import time
from collections import Counter
from dataclasses import replace
from random import Random

import torch
from torch.nn import functional as F

import minixai
from minixai import METHODS, verify
from minixai.attention import Attn
from minixai.gradcam import Cam
from minixai.networks.vit import ViT
from minixai.verification.mistakes import all_mistakes
from minixai.verification.profiles import PROFILES, heatmap_as
from minixai.verification.search import OTHER_CLASSES, Traces, map_of
from minixai.verify import AS_RETURNED, _record
from tests.reference import networks
from tests.reference.seeded import CAT, seeded_image

SLOW = ("scorecam", "smoothgradcampp")      # planted once
OUTCOMES = ("itself", "a stated tie", "equal to fewer or none here", "missed")


class Place:
    """A network, an image and a question."""

    def __init__(self, name, network, image, layer=None, target=1):
        self.name, self.network, self.image, self.layer, self.target = name, network, image, layer, target
        self.given = {"target": target, "layer": layer}

    def verify(self, theirs, method):
        return verify(theirs, self.network, self.image, method, self.target, self.layer)

    def traces(self):
        def record(recipe, capture=AS_RETURNED, **changes):
            return _record(self.given, self.network, self.image, recipe, capture, **changes)
        return Traces(self.network, self.image, record)


def prefixed_vit():
    """CLS and two registers in front of the patches."""
    return networks.seeded(ViT(image_size=32, patch_size=8, width=36, depth=3, heads=3, classes=6, prefix_tokens=3))


def cnns():
    images = networks.images()
    yield Place("small CNN, the last layer", networks.small(), images[:1])
    yield Place("small CNN, a batch at stage3", networks.small(), images[1:], "stage3", 2)
    yield Place("narrow ResNet at layer3", networks.narrow_resnet(), networks.wide_images()[:1], "layer3")
    yield Place("a network that works in place", networks.in_place(), images[1:2], "norm2", 3)
    yield Place("smooth network", networks.smooth(), images[2:], "act2", 2)


def vits():
    images = networks.images()
    yield Place("tiny ViT", networks.tiny_vit(), images[:1])
    yield Place("tiny ViT, another image, block 2", networks.tiny_vit(), images[1:2], 2, 3)
    yield Place("ViT with registers, not square", prefixed_vit(), seeded_image(2, 3, 32, 48)[1:])


def methods_for(mistake, kind):
    """Methods in whose recipe it can be made."""
    return [name for name, recipe in METHODS.items()
            if isinstance(recipe, kind) and mistake.fits(recipe) and name not in SLOW
            and not (mistake.recorded and name in OTHER_CLASSES)]


def plant(place, method, mistakes, random):
    """[(map, label)] of one method with these mistakes made in it, as the paper finishes a map; label says which."""
    traces = place.traces()
    right = traces.candidates(method)[0]
    recorded = [mistake for mistake in mistakes if mistake.recorded]
    variants = traces.mistaken(right, recorded[0])[:6] if recorded else [("", right.trace)]
    if not variants:
        return None, None
    which, trace = random.choice(variants)
    label = {(mistake.stage, mistake.name, which if mistake.recorded else "") for mistake in mistakes}
    return map_of(replace(right, trace=trace, mistakes=tuple((mistake, "") for mistake in mistakes))), label


def outcome(verdict, label):
    """How a planted cause came back."""
    found = [{(mistake.stage, mistake.name, which) for mistake, which in finding.mistakes}
             for finding in verdict.findings]
    if verdict.explained and label in found:
        return "itself" if len(found) == 1 else "a stated tie"
    if verdict.explained and len(found[0]) < len(label):
        return "equal to fewer or none here"
    return "missed"


def agreement(verdict, profile):
    """How a planted profile came back."""
    if not verdict.agrees or profile.name not in verdict.findings[0].profiles:
        return "missed"
    return "itself" if len(verdict.findings[0].profiles) == 1 else "a stated tie"


def in_eight_bits(values, random):
    """Rounded or cut off to 256 levels; None if the map is not in [0,1]."""
    if values.min() < 0 or values.max() > 1:
        return None
    levels = 255 * values.double()
    return (levels.round() if random.random() < 0.5 else levels.floor()).to(torch.uint8)


def singles(places, eight_bits=False, seed=0):
    """Yield (stage, outcome, description) of each mistake planted at each place."""
    for mistake in all_mistakes():
        for number, place in enumerate(places):
            random = Random(f"{seed} {mistake.stage} {mistake.name} {number}")
            kinds = (Cam, Attn) if isinstance(place.network, ViT) else (Cam,)
            methods = [name for kind in kinds for name in methods_for(mistake, kind)
                       if not (isinstance(METHODS[name], Cam) and isinstance(place.layer, int))]
            if methods:
                method = random.choice(methods)
                yield from _planted(place, method, [mistake], random, eight_bits)


def pairs(places, count, seed=0):
    """Yield (stages, outcome, description) of two mistakes at once."""
    random, mistakes = Random(seed), all_mistakes()
    while count:
        place, both = random.choice(places), random.sample(mistakes, 2)
        methods = set(METHODS) - set(SLOW)
        for mistake in both:
            kind = Attn if isinstance(place.network, ViT) else Cam
            methods &= set(methods_for(mistake, kind))
        if methods and both[0].stage != both[1].stage:
            for result in _planted(place, random.choice(sorted(methods)), both, random):
                count -= 1
                yield "two", *result[1:]


def _planted(place, method, mistakes, random, eight_bits=False):
    try:
        values, label = plant(place, method, mistakes, random)
        minixai.explain(place.network, place.image, method, place.target, place.layer)
    except (ValueError, RuntimeError):      # this method does not run here
        return
    if values is None or not values.isfinite().all():
        return
    if eight_bits:
        values = in_eight_bits(values, random)
        if values is None:
            return
    verdict = place.verify(values, method)
    yield mistakes[0].stage, outcome(verdict, label), f"{method} on {place.name}: {label}\n{verdict}"


def profiles(places, methods=None):
    """Yield ("profile", outcome, description) of each profile at each place."""
    for place in places:
        for profile in PROFILES:
            attention = isinstance(METHODS[profile.method], Attn)
            if attention != isinstance(place.network, ViT) or methods and profile.method not in methods:
                continue
            if profile.method in SLOW and place is not places[0]:
                continue
            try:
                values = heatmap_as(profile, place.network, place.image, place.target, place.layer)
            except (ValueError, RuntimeError):      # this method does not run here
                continue
            if values.isfinite().all():
                verdict = place.verify(values, profile.method)
                yield "profile", agreement(verdict, profile), f"{profile.method} as {profile.name}\n{verdict}"


def wrong_maps(count, seed=0):
    """Yield (place, method, kind, map) of maps that nothing known gives."""
    random, generator = Random(seed), torch.Generator().manual_seed(seed)
    places = [*cnns(), *vits()]
    made = 0
    while made < count:
        place = random.choice(places)
        vit = isinstance(place.network, ViT)
        method = random.choice(["attention", "rollout", "chefer"] if vit else ["gradcam", "layercam", "gradcampp"])
        right = minixai.explain(place.network, place.image, method, place.target, place.layer)
        size = right.heatmap.shape
        kind = ("noise", "smooth noise", "shuffled", "another photo", "another network")[made % 5]
        if kind == "noise":
            wrong = torch.rand(size, generator=generator)
        elif kind == "smooth noise":
            cells = torch.randn(size[0], 1, *right["M1" if vit else "C4"].shape[-2:], generator=generator)
            cells = torch.randn(size[0], 1, 5, 7, generator=generator) if vit else cells
            wrong = F.interpolate(cells, size[-2:], mode="bilinear")[:, 0]
        elif kind == "shuffled":
            wrong = right.heatmap.flatten()[torch.randperm(right.heatmap.numel(), generator=generator)].reshape(size)
        elif kind == "another photo":
            image = torch.randn(place.image.shape, generator=generator)
            wrong = minixai.explain(place.network, image, method, place.target, place.layer).heatmap
        else:
            other = disturbed(place.network, generator)
            wrong = minixai.explain(other, place.image, method, place.target, place.layer).heatmap
        if wrong.flatten().min() < wrong.flatten().max():       # an empty one is explained in many ways
            made += 1
            yield place, method, kind, wrong


def disturbed(network, generator):
    """The network with every weight changed by a third of its spread."""
    from copy import deepcopy
    other = deepcopy(network)
    for name, value in other.state_dict().items():
        if value.is_floating_point() and value.numel() > 1 and "running" not in name:
            value += value.std() / 3 * torch.randn(value.shape, generator=generator)
    return other


def false_alarms(count, seed=0):
    """Yield (kind, whether it was explained, description)."""
    for place, method, kind, wrong in wrong_maps(count, seed):
        verdict = place.verify(wrong, method)
        yield kind, verdict.explained, f"{kind}, {method} on {place.name}\n{verdict}"


def seconds():
    """[(what, seconds of a verdict, those of the model's own passes)] where nothing explains the map."""
    lite, vit = minixai.load("efficientnet_lite0"), minixai.build("dinov2_small")
    cat = minixai.open_image(CAT, lite)
    generator = torch.Generator().manual_seed(0)
    yield _timed("EfficientNet-Lite0, gradcam", lite, cat, torch.rand(224, 224, generator=generator), "gradcam")
    yield _timed("ViT-S/14 (256 patches), rollout", vit, cat, torch.rand(224, 224, generator=generator), "rollout")


def _timed(what, model, image, theirs, method):
    module, own = sys.modules["minixai.verify"], []
    original = module.record_for

    def clocked(*arguments, **named):
        start = time.process_time()
        try:
            return original(*arguments, **named)
        finally:
            own.append(time.process_time() - start)

    module.record_for = clocked
    began = time.process_time()
    try:
        verify(theirs, model, image, method)
    finally:
        module.record_for = original
    return what, time.process_time() - began, sum(own)


def _table(title, results):
    """Print outcomes by stage; how many were missed."""
    counts, missed = {}, []
    for stage, how, description in results:
        counts.setdefault(stage, Counter())[how] += 1
        if how == "missed":
            missed.append(description)
    print(f"\n{title:14s}" + "".join(f"{name:>29s}" for name in OUTCOMES))
    for stage, counted in sorted(counts.items()):
        print(f"  {stage:12s}" + "".join(f"{counted[name]:29d}" for name in OUTCOMES), flush=True)
    for description in missed:
        print("  MISSED " + description.replace("\n", "\n         "))
    return len(missed)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer networks, pairs and wrong maps")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    places = [*cnns(), *vits()] if not quick else [next(cnns()), next(vits())]
    faults = _table("one mistake", singles(places))
    faults += _table("8 bits", singles(places[::2], eight_bits=True, seed=1))
    faults += _table("two mistakes", pairs(places, 20 if quick else 120))
    faults += _table("profiles", profiles(places))
    alarms, tried = [], Counter()
    for kind, explained, description in false_alarms(20 if quick else 200):
        tried[kind] += 1
        alarms += [description] if explained else []
    print("\nwrong maps     " + ", ".join(f"{count} {kind}" for kind, count in tried.items())
          + f": {len(alarms)} false alarms")
    print("".join(f"  FALSE {alarm}\n" for alarm in alarms), end="")
    print("\nseconds of one core, not explained")
    for what, whole, own in seconds():
        print(f"  {what:40s} {whole:6.2f}, of which the model's own passes {own:6.2f}; beyond them {whole - own:6.2f}")
        faults += whole - own > 5
    return 1 if faults or alarms else 0


if __name__ == "__main__":
    sys.exit(main())
