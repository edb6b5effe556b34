"""Which of all known ways to compute a map gives this one? Profiles times mistakes; each distinct stage runs once.

A candidate is a list of stage functions that run on a recording. The candidates form a tree, stage by stage: a stage
runs once for all candidates that are the same up to there.

    recording ─► … ─► small coarse maps, one for each branch ─► M1 ─► compared at a few probes ─► M2, compared whole

Most branches end at the probes. M2 may change brightness and contrast, but where theirs is brighter ours has to be too.
"""
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from inspect import signature
from itertools import combinations, islice

import torch

from minixai.explain import METHODS, for_one_head
from minixai.recipe import reads, run_stage, stages
from minixai.trace import ALSO, CnnTrace, VitTrace
from minixai.verification.mistakes import Mistake, Recording, mistakes_of
from minixai.verification.mistakes import finish as mistakes_of_finish
from minixai.verification.mistakes.recorded import other_class
from minixai.verification.profiles import profiles_of

VARIANTS_IN_PAIRS = 6       # of a mistake of C1 that can be made in many ways: other classes, other layers
# Methods that run the network for every channel or copy -> how many other classes are tried, the one mistake of C1
# that is tried with them.
OTHER_CLASSES = {"scorecam": 0, "smoothgradcampp": 0, "ablationcam": 2}
INSIDE = ("activations", "gradients", "attention", "attention_gradients", "scores", "score_gradients", "value_norms")
NOT_FIT = (ValueError, TypeError, RuntimeError, IndexError)     # what a stage raises on values not made for it


@dataclass(frozen=True, eq=False)
class Candidate:
    """One way to compute a map: a recipe on a recording, as profiles have it, with or without mistakes."""
    profiles: tuple                 # the profiles that do the same on this network
    recipe: object                  # the stages of these profiles
    trace: CnnTrace | VitTrace      # the recording that the stages run on
    mistakes: tuple = ()            # (Mistake, which) pairs; which: "class 3"

    @cached_property
    def functions(self) -> tuple:
        """The stage functions that run, those of M1 and M2 last."""
        mistaken = {mistake.stage: mistake.function for mistake, _ in self.mistakes}
        return tuple(mistaken.get(field.name, getattr(self.recipe, field.name)) for field in stages(self.recipe))

    @property
    def usual(self) -> bool:
        """Whether it is tried with mistakes too."""
        return any(profile.usual for profile in self.profiles)


class Traces:
    """Recordings of one image by one network, each made once: the right one, and one for each mistake of C1 or A1."""

    def __init__(self, model, image, record):
        """record(recipe, capture, **changes) -> a trace; changes: target, layer, score, image, capture."""
        self.model, self.image, self.record = model, image, record
        self._made, self._right, self._candidates, self._asked = {}, [], {}, {}

    def candidates(self, method: str, head: int | None = None) -> list[Candidate]:
        """One Candidate without a mistake for each different way in which the profiles compute a method."""
        if method not in self._candidates:
            alike = {}
            for profile in profiles_of(method):
                recipe = profile.recipe if head is None else for_one_head(profile.recipe)
                candidate = Candidate((profile,), recipe, self.right(recipe, profile.capture))
                alike.setdefault((id(candidate.trace), candidate.functions), []).append(candidate)
            self._candidates[method] = [replace(same[0], profiles=tuple(one.profiles[0] for one in same))
                                        for same in alike.values()]
        return self._candidates[method]

    def right(self, recipe, capture) -> CnnTrace | VitTrace:
        """The trace that a recipe reads, recorded without a mistake. capture: a CaptureMode."""
        key = (capture, score_of(recipe), *(reads(recipe, name) for name in ("attention_gradients", *ALSO)))
        if key not in self._made:
            trace = self.record(recipe, capture)
            # What a library keeps differs only where the network works in place. Elsewhere all share one trace.
            alike = (known for asked, known in self._right if asked == key[1:] and same_numbers(known, trace))
            self._made[key] = next(alike, trace)
            self._right.append((key[1:], self._made[key]))
        return self._made[key]

    def mistaken(self, candidate: Candidate, mistake: Mistake) -> list:
        """[(which, trace)] for a mistake of C1 or A1, without those that leave the numbers as they are."""
        first, right = candidate.profiles[0], candidate.trace
        key = (id(right), first.method in OTHER_CLASSES, mistake)
        if key not in self._made:
            again = partial(self.record, candidate.recipe, capture=first.capture)
            recordings = _while_they_fit(mistake.function(Recording(self.model, self.image, right, again)))
            made = [(which, _sharing(trace, right))
                    for which, trace in islice(recordings, OTHER_CLASSES.get(first.method))]
            asks = reads(candidate.recipe, "network")       # it sees which class and image a trace is for
            self._made[key] = [(which, trace) for which, trace in made if asks or not _same(trace, right)]
        return self._made[key]

    def asked(self, trace, path, values):
        """The value of the last of these stages, computed once for each trace. path: ((id, function), …)."""
        key = (id(trace), path)
        if key not in self._asked:
            self._asked[key] = attempt(*path[-1], values)
        return self._asked[key]


def _searched(method, recipe, images):
    """The mistakes that are tried. A method that runs the network many times is recorded anew for few of them."""
    mistakes = [mistake for mistake in mistakes_of(recipe) if images > 1 or not mistake.of_batch]
    return [mistake for mistake in mistakes if not mistake.recorded or method not in OTHER_CLASSES
            or mistake.function is other_class and OTHER_CLASSES[method]]


def _while_they_fit(recordings):
    """The recordings of a mistake, up to the first one that fails: a network may have no classes, say."""
    try:
        yield from recordings
    except NOT_FIT:
        return


def score_of(recipe):
    """The stage that says which number is explained."""
    return getattr(recipe, "C1", None) or recipe.A1


def same_numbers(one, other) -> bool:
    """Whether two traces hold equal recorded tensors; what is None in one has to be None in the other."""
    pairs = [(getattr(one, name, None), getattr(other, name, None)) for name in INSIDE]
    return all(a is b or a is not None and b is not None and a.shape == b.shape and torch.equal(a, b)
               for a, b in pairs)


def _same(one, other):
    """Whether every stage gives the same on both traces, those that run the network again excepted."""
    places = [(trace.layer, trace.head) if isinstance(trace, VitTrace) else None for trace in (one, other)]
    return same_numbers(one, other) and places[0] == places[1]


def _sharing(trace, right):
    """The trace, with the right one's tensors where they are equal: copies of large attention would fill the memory."""
    known = {name: value for name, value in vars(right).items() if isinstance(value, torch.Tensor)}
    equal = {name: value for name, value in known.items() if isinstance(getattr(trace, name), torch.Tensor)
             and getattr(trace, name).shape == value.shape and torch.equal(getattr(trace, name), value)}
    return replace(trace, **equal)


def candidates_with(count: int, method: str, traces: Traces, head: int | None = None) -> Iterator[Candidate]:
    """Yield every Candidate for a method with `count` mistakes, each in a stage of its own."""
    for right in traces.candidates(method, head):
        if count == 0:
            yield right
        elif right.usual:
            for made in combinations(_searched(method, right.recipe, len(traces.image)), count):
                if len({mistake.stage for mistake in made}) == count:
                    yield from _in_every_variant(right, made, traces)
    if count == 1:
        yield from _other_methods(method, traces, head)


def _in_every_variant(right, made, traces):
    """A mistake of C1 may be made in many ways: every other class, every other layer."""
    rest = tuple((mistake, "") for mistake in made if not mistake.recorded)
    if len(rest) == len(made):
        yield replace(right, mistakes=rest)
        return
    recorded = next(mistake for mistake in made if mistake.recorded)
    for which, trace in traces.mistaken(right, recorded)[:VARIANTS_IN_PAIRS if rest else None]:
        yield replace(right, trace=trace, mistakes=((recorded, which), *rest))


def _other_methods(method, traces, head):
    """The map may be right, and of another method of the same network."""
    for other, recipe in METHODS.items():
        if other == method or not isinstance(recipe, type(METHODS[method])) or reads(recipe, "network"):
            continue
        made = Mistake("method", f"{other} in place of {method}", None, f"minixai.METHODS[{other!r}]")
        try:
            candidates = traces.candidates(other, head)
        except NOT_FIT:         # no classes, or too many tokens
            continue
        yield from (replace(right, mistakes=((made, ""),)) for right in candidates if right.usual)


@dataclass(eq=False)
class Branch:
    """The coarse map that some candidates share, and what their M1 and M2 may read besides."""
    values: dict
    candidates: list


def branches_of(candidates: Iterable[Candidate], traces: Traces) -> list[Branch]:
    """Run all stages before M1, each distinct one once; a list of Branch.

    A candidate whose stages do not fit its trace (one head, too few layers) is left out.
    """
    tree = {}
    for candidate in candidates:
        node = tree.setdefault(id(candidate.trace), (candidate.trace, {}))[1]
        for function in candidate.functions[:-2]:
            node = node.setdefault(function, {})
        node.setdefault(None, []).append(candidate)
    branches = []
    for trace, node in tree.values():
        fields = stages(METHODS["gradcam"] if isinstance(trace, CnnTrace) else METHODS["attention"])
        recorded = {name: value for name, value in vars(trace).items() if value is not None}
        branches += _grow(node, fields, recorded, partial(traces.asked, trace))
    return branches


def coarse_maps(method: str, traces: Traces, head: int | None = None) -> list[Branch]:
    """A Branch for each different coarse map (1,h,w) that the profiles give, without and with one mistake before M2.

    Of M1's mistakes, those that turn or mirror the coarse map are made on it; the others belong to the finish.
    """
    candidates = [one for count in (0, 1) for one in candidates_with(count, method, traces, head)
                  if not any(mistake.stage in ("M1", "M2") for mistake, _ in one.mistakes)]
    branches = branches_of(candidates, traces)
    right = [branch for branch in branches if not branch.candidates[0].mistakes]
    turns = [one for one in mistakes_of_finish.MISTAKES if one.instead_of == mistakes_of_finish.OF_LAYER_SIZE]
    branches += [_turned(branch, mistake) for branch in right for mistake in turns]
    different = {}
    for branch in branches:
        coarse = branch.values["coarse"][0]
        relative = coarse / coarse.abs().max().clamp(min=1e-30)
        key = (*coarse.shape, (1e4 * relative).round().to(torch.int32).numpy().tobytes())
        different.setdefault(key, Branch(branch.values, [])).candidates.extend(branch.candidates)
    return list(different.values())


def _turned(branch, mistake):
    """The branch with its coarse map turned or mirrored by a mistake of M1."""
    turned = mistake.function(branch.values["coarse"])
    return Branch({**branch.values, "coarse": turned},
                  [replace(one, mistakes=((mistake, ""),)) for one in branch.candidates])


def _grow(node, fields, values, asked, path=()):
    for function, below in node.items():
        if function is None:
            few = {name: values[name] for name in ("cam", "coarse", "size") if name in values}
            few = {name: value.float().cpu() if isinstance(value, torch.Tensor) else value
                   for name, value in few.items()}
            if few["coarse"].isfinite().all():
                yield Branch(few, below)
            continue
        field, *later = fields
        steps = (*path, (field.name, function))
        value = asked(steps, values) if takes_long(function) else attempt(field.name, function, values)
        if value is not None:
            yield from _grow(below, later, {**values, field.metadata["gives"]: value}, asked, steps)


@lru_cache(None)
def takes_long(function) -> bool:
    """Whether a stage runs the network again."""
    return "network" in signature(function).parameters


def attempt(id, function, values):
    """The value that a stage gives, or None if it does not fit the values that it reads."""
    try:
        return run_stage(id, function, values)
    except NOT_FIT:
        return None


def map_of(candidate: Candidate) -> torch.Tensor | None:
    """The whole map of a candidate, (B,H,W), or None where a stage does not fit."""
    values = {name: value for name, value in vars(candidate.trace).items() if value is not None}
    for field, function in zip(stages(candidate.recipe), candidate.functions):
        values[field.metadata["gives"]] = attempt(field.name, function, values)
        if values[field.metadata["gives"]] is None:
            return None
    return values["heatmap"].float().cpu()


def on_other_recordings(candidate: Candidate, traces: Traces) -> Candidate:
    """The candidate on other recordings: of the same network in double precision, say. ValueError if there is none."""
    capture = candidate.profiles[0].capture
    trace = traces.right(candidate.recipe, capture)
    for mistake, which in candidate.mistakes:
        if mistake.recorded:
            again = partial(traces.record, candidate.recipe, capture=capture)
            made = mistake.function(Recording(traces.model, traces.image, trace, again))
            trace = next((other for name, other in made if name == which), None)
            if trace is None:
                raise ValueError(f"no {which} here")
    return replace(candidate, trace=trace)
