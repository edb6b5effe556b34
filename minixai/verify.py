"""Is this heatmap right? By which library's convention? If it is wrong: at which stage, and by which mistake?

    theirs ─► all profiles ──────────────► one gives the same map: it agrees, as computed by that library
                └ with one mistake ──────► a mistaken stage gives it: that is the cause
                     └ with two mistakes ► none gives it: is there an enlargement of a coarse map of these,
                                           and a curve, that gives theirs? If not, it is not explained

A cause is named only if it reproduces the map, up to the noise of its format. Several mistakes may give the same map on
this network, or after M2. Then all of them are named.
"""
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from os import PathLike

import numpy as np
import torch

from minixai.explain import AS_RETURNED, METHODS, recipe_named, record_for, steps_of, without_autocast
from minixai.gradcam import Cam
from minixai.recipe import reads, reads_class
from minixai.trace import NO_CLASS, VitTrace
from minixai.trace.common import all_finite
from minixai.verification.compare import CLOSE, EXACT, Comparison, Entry
from minixai.verification.finish import finished_otherwise, rank_correlations
from minixai.verification.rounding import within_rounding
from minixai.verification.saved_map import ColouredMap, read_map
from minixai.verification.search import OTHER_CLASSES, Traces, branches_of, candidates_with, coarse_maps
from minixai.verification.verdict import Finding, Verdict

MISTAKES_AT_ONCE = 2


def verify(theirs: str | PathLike | np.ndarray | torch.Tensor, model: torch.nn.Module, image: torch.Tensor,
           method: str = "gradcam", target: int | Sequence[int] | torch.Tensor | None = None,
           layer: str | int | torch.nn.Module | None = None, head: int | None = None) -> Verdict:
    """Compare a heatmap from elsewhere with the maps of all profiles, without and with known mistakes.

    theirs: a path (.npy, .npz, .pt, .png), array or tensor; (H,W) of the image or (h,w) of the layer, or a batch of
    them; floats, raw or in [0,1], or 8 or 16 bits. Or a picture of it in colours, (H,W,3) of 8 bits, which tells less.
    model, image, method, target, layer, head: as for `explain`, what the map is said to show; threads may share the
    model. Returns a Verdict. Raises ValueError if the map cannot be read or has a size that no candidate has, or if our
    own map is not finite; TypeError if the method is for another network.
    """
    recipe = recipe_named(method, head)
    theirs = read_map(theirs)
    maps = 1 if isinstance(theirs, ColouredMap) else len(theirs.values)
    if not isinstance(image, torch.Tensor) or image.dim() != 4 or maps != len(image):
        raise ValueError(f"{maps} map(s) for an image of shape {tuple(getattr(image, 'shape', ()))}; one "
                         "map for each image of (B,3,H,W)")
    given = {"target": target, "layer": layer} | ({} if head is None else {"head": head})
    right = _record(given, model, image, recipe)
    given["target"] = None if (right.target == NO_CLASS).any() else right.target       # also for a changed image
    record = partial(_record, given)
    traces = Traces(model, image, partial(record, model, image))
    question = _question(method, right, model)
    with without_autocast(right.target.device.type):
        if isinstance(theirs, ColouredMap):
            return _of_a_picture(theirs, method, traces, head, _heatmap(recipe, right), question, right)
        comparison = _searched(theirs, method, traces, head)
        entries, in_order = comparison.equals(), ()
        if comparison.best() > CLOSE:
            moved = within_rounding(comparison, model, image, record)
            # One enlargement and one curve for all images of a batch would have to be found together.
            branches = coarse_maps(method, traces, head) if maps == 1 else []
            finished = finished_otherwise(theirs.values[0], branches)
            found = [some for some in (moved, finished) if some]
            entries = min(found, key=lambda some: len(some[0].candidate.mistakes), default=entries)
            in_order = () if found else _in_order(theirs.values[0], branches)
        if not comparison.fitting and not entries:
            raise ValueError(_sizes(theirs.values.shape[-2:], right))
        ours = comparison.ours
        if ours is None or not all_finite(ours):
            ours = _heatmap(recipe, right)
    return replace(_verdict(comparison, entries, ours, question, _left_out(method)), in_order=in_order)


def _in_order(theirs, branches):
    """((rank correlation, what was computed), …): the right map and, if its order is nearer to theirs, another one."""
    correlations = rank_correlations(theirs, branches)
    right = [(correlation, "the right map") for correlation, branch in correlations
             if not all(one.mistakes for one in branch.candidates)]
    nearest = [(correlation, "; ".join(f"{mistake.name} ({which})" if which else mistake.name
                                       for mistake, which in branch.candidates[0].mistakes))
               for correlation, branch in correlations[:1] if all(one.mistakes for one in branch.candidates)]
    return (*right[:1], *nearest)


def _heatmap(recipe, trace):
    """The map without a mistake, (B,H,W). ValueError if it is not finite."""
    return steps_of(recipe, trace)[-1].value.float().cpu()


def _of_a_picture(theirs, method, traces, head, heatmap, question, right):
    """The Verdict on a heatmap that was saved in colours. heatmap: (1,H,W), without a mistake."""
    from minixai.verification.colored_map import photo_of, searched  # late: most maps come as numbers
    comparison = searched(theirs, method, traces, head, photo_of(traces.model, traces.image))
    if not comparison.fitting:
        raise ValueError(_sizes(theirs.rgb.shape[:2], right))
    comparison.show_beside(heatmap[0])
    return _verdict(comparison, comparison.equals(), comparison.ours, question, comparison.left_out)


def _searched(theirs, method, traces, head):
    """The Comparison with all candidates, fewest mistakes first, up to where more mistakes cannot explain it better."""
    comparison = Comparison(theirs)
    flat = bool((theirs.values == theirs.values.flatten()[0]).all())
    for count in range(MISTAKES_AT_ONCE + 1):
        comparison.add(branches_of(candidates_with(count, method, traces, head), traces))
        found = comparison.best()
        # A close map may be given exactly by one more mistake. A flat map can be made in many ways.
        if found <= EXACT or found <= CLOSE and comparison.best(count) > found:
            break
        if count and (not comparison.fitting or flat or found <= CLOSE and comparison.best(count) <= 10 * EXACT):
            break
    return comparison


def _record(given, model, right_image, recipe, capture=AS_RETURNED, **changes):
    """The trace that a recipe reads, and what mistakes may read besides. changes: target, layer, score or image."""
    besides = () if changes else ("scores", "score_gradients") if reads(recipe, "attention_gradients") else ("scores",)
    if (score := changes.pop("score", None)) is not None:
        recipe = replace(recipe, **{"C1" if isinstance(recipe, Cam) else "A1": score})
    return record_for(recipe, model, **{"image": right_image, **given, **changes}, capture=capture, also=besides)


def _sizes(theirs, trace):
    """The message about a map of a wrong size."""
    size, given = tuple(trace.size), tuple(theirs)
    coarse = tuple(trace.grid) if isinstance(trace, VitTrace) else tuple(trace.activations.shape[-2:])
    return (f"the map is {given[0]}x{given[1]}; the image is {size[0]}x{size[1]} and the layer's maps {coarse[0]}x"
            f"{coarse[1]}. Save it at one of these sizes, before it is resized for display")


def _left_out(method):
    """What the search did not try, in words for the verdict."""
    if method not in OTHER_CLASSES:
        return ""
    few = OTHER_CLASSES[method]
    others = f"all other classes but the {few} likeliest" if few else "other classes"
    return f"not tried, as {method} runs the network many times: {others}, other layers, scores and images"


def _verdict(comparison, entries, ours, question, left_out):
    """The Verdict on these entries. ours: (B,H,W), or (1,H,W,3) for pictures in colours."""
    theirs, apart, where = comparison.theirs, float("inf"), None
    findings = _findings(entries)
    explained = bool(entries) and (entries[0].difference <= comparison.close or not isinstance(entries[0], Entry))
    agrees = explained and not findings[0].mistakes and not findings[0].finish
    if theirs.shape == ours.shape:
        off = (theirs - ours).abs()
        apart = float(off.max() / ours.abs().max().clamp(min=1e-30)) if off.any() else 0.0
        where = tuple(int(index) for index in np.unravel_index(int(off.argmax()), ours.shape)[:3])
    profile = findings[0].profiles[0] if agrees else None
    return Verdict(agrees, explained, profile, apart, where, findings, comparison.tried, question, left_out, theirs,
                   ours, comparison.most_mistakes, step=comparison.step)


def _findings(entries):
    """One Finding for each set of mistakes, with all the profiles under which it gives the map."""
    groups = {}
    for entry in entries:
        key = tuple((mistake.stage, mistake.name, which) for mistake, which in entry.candidate.mistakes)
        groups.setdefault(key, []).append(entry)
    return [_finding(group) for group in groups.values()]


def _finding(group):
    near = [(max(entry.difference, CLOSE), profile) for entry in group for profile in entry.candidate.profiles]
    near.sort(key=lambda one: (one[1].library != "the paper", one[0], one[1].name))     # rounding does not order them
    profiles = [profile for _, profile in near]
    departs = dict.fromkeys(f"{profile.library}: {profile.departs}" for profile in profiles if profile.departs)
    if any(not profile.departs for profile in profiles):
        departs = {}        # one that follows the paper gives the same map
    return Finding(group[0].candidate.mistakes, tuple(dict.fromkeys(profile.name for profile in profiles)),
                   group[0].difference, tuple(departs), getattr(group[0], "rounding", 0.0),
                   getattr(group[0], "finish", None))


def _question(method, trace, model):
    """What the map is said to show: the method, the layer or block, and the class if the method looks at one."""
    if isinstance(trace, VitTrace):
        where = f"{method} at block {trace.layer}" + ("" if trace.head is None else f", head {trace.head}")
    else:
        where = f"{method} at {trace.layer}"
    if (trace.target == NO_CLASS).any() or not reads_class(METHODS[method]):
        return where
    labels = getattr(model, "labels", None) or ()
    names = [f"{target} ({labels[target]})" if target < len(labels) else str(target)
             for target in trace.target[:3].tolist()]
    return f"{where}, class {', '.join(names)}" + (", …" if len(trace.target) > 3 else "")
