"""Which of all known ways to compute a map gives this one? Profiles times mistakes, and each distinct stage run once.

A way is a list of stage functions, from the recording to the finished map. Ways that begin alike share what they share:
they are laid into a tree, stage by stage, and a stage runs once for all ways that agree up to there.

    recording ─► … ─► small coarse maps, one for each branch ─► M1 ─► compared at a few probes ─► M2, compared whole

Most branches end at the probes: whatever M2 does to brightness and contrast, where theirs is brighter ours has to be.
"""
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from inspect import signature
from itertools import combinations, islice

import torch

from minixai.explain import METHODS, for_one_head
from minixai.recipe import reads, run_stage, stages
from minixai.trace import ALSO, CnnTrace, VitTrace
from minixai.verification.mistakes import Mistake, Recording, mistakes_of
from minixai.verification.mistakes.recorded import other_class
from minixai.verification.profiles import profiles_of

VARIANTS_IN_PAIRS = 6       # of a mistake of C1 that can be made in many ways: other classes, other layers
# Methods that ask the network for every channel or copy: how many other classes are tried; nothing else of C1 is.
OTHER_CLASSES = {"scorecam": 0, "smoothgradcampp": 0, "ablationcam": 2}
INSIDE = ("activations", "gradients", "attention", "attention_gradients", "scores", "score_gradients", "value_norms")
NOT_FIT = (ValueError, TypeError, RuntimeError, IndexError)     # what a stage raises on values not made for it


@dataclass(frozen=True, eq=False)
class Way:
    """One way to compute a map: libraries' profiles, and the mistakes made in them, each with which ("class 3")."""
    profiles: tuple
    mistakes: tuple
    trace: object           # the recording that it starts from
    functions: tuple        # its stage functions, those of M1 and M2 last


@dataclass(frozen=True, eq=False)
class Plan:
    """Profiles that do the same on this network, what they do, and the mistakes that can be made in it."""
    profiles: tuple
    recipe: object
    trace: object           # as it is right
    functions: tuple
    mistakes: list

    @property
    def usual(self):
        """Whether it is tried with mistakes too."""
        return any(profile.usual for profile in self.profiles)


class Traces:
    """Recordings of one image by one network, each made once: the right one, and those of every mistake of C1 or A1."""

    def __init__(self, model, image, record):
        """record(recipe, capture, **changes) -> a trace; changes: target, layer, score, image, capture."""
        self.model, self.image, self.record = model, image, record
        self._made, self._right, self._plans, self._asked = {}, [], {}, {}

    def plans(self, method, head=None):
        """One Plan for each different way in which the profiles compute a method."""
        if method not in self._plans:
            alike = {}
            for profile in profiles_of(method):
                recipe = profile.recipe if head is None else for_one_head(profile.recipe)
                trace = self.right(recipe, profile.capture)
                functions = tuple(getattr(recipe, field.name) for field in stages(recipe))
                alike.setdefault((id(trace), functions), (recipe, trace, []))[2].append(profile)
            self._plans[method] = [
                Plan(tuple(profiles), recipe, trace, functions, _searched(method, recipe, len(self.image)))
                for (_, functions), (recipe, trace, profiles) in alike.items()]
        return self._plans[method]

    def right(self, recipe, capture):
        """The trace that a recipe reads."""
        key = (capture, score_of(recipe), *(reads(recipe, name) for name in ("attention_gradients", *ALSO)))
        if key not in self._made:
            trace = self.record(recipe, capture)
            # What a library keeps differs only where the network works in place. Elsewhere all share one trace.
            alike = (known for asked, known in self._right if asked == key[1:] and same_numbers(known, trace))
            self._made[key] = next(alike, trace)
            self._right.append((key[1:], self._made[key]))
        return self._made[key]

    def mistaken(self, plan, mistake):
        """[(which, trace)] for a mistake of C1 or A1; those that make no difference to the numbers are left out."""
        key = (id(plan.trace), plan.profiles[0].method in OTHER_CLASSES, mistake)
        if key not in self._made:
            again = partial(self.record, plan.recipe, capture=plan.profiles[0].capture)
            recordings = _while_they_fit(mistake.function(Recording(self.model, self.image, plan.trace, again)))
            most = OTHER_CLASSES.get(plan.profiles[0].method)
            made = [(which, _sharing(trace, plan.trace)) for which, trace in islice(recordings, most)]
            asks = reads(plan.recipe, "network")        # it sees which class and image a trace is for
            self._made[key] = [(which, trace) for which, trace in made if asks or not _same(trace, plan.trace)]
        return self._made[key]

    def asked(self, trace, path, values):
        """What the last of these stages gives, which takes long, once for each trace. path: ((number, function), …)."""
        key = (id(trace), path)
        if key not in self._asked:
            self._asked[key] = attempt(*path[-1], values)
        return self._asked[key]


def _searched(method, recipe, images):
    """The mistakes that are tried. With a method that asks the network many times, few are worth another recording."""
    mistakes = [mistake for mistake in mistakes_of(recipe) if images > 1 or not mistake.of_batch]
    return [mistake for mistake in mistakes if not mistake.recorded or method not in OTHER_CLASSES
            or mistake.function is other_class and OTHER_CLASSES[method]]


def _while_they_fit(recordings):
    """The recordings of a mistake, up to the first that this network does not allow: it may have no classes."""
    try:
        yield from recordings
    except NOT_FIT:
        return


def score_of(recipe):
    """The stage that says which number is explained."""
    return getattr(recipe, "C1", None) or recipe.A1


def same_numbers(one, other):
    """Whether two traces hold the same tensors of the network's inside, the same that are None among them."""
    pairs = [(getattr(one, name, None), getattr(other, name, None)) for name in INSIDE]
    return all(a is b or a is not None and b is not None and a.shape == b.shape and torch.equal(a, b)
               for a, b in pairs)


def _same(one, other):
    """Whether no stage can tell two traces apart, but one that asks the network."""
    places = [(trace.layer, trace.head) if isinstance(trace, VitTrace) else None for trace in (one, other)]
    return same_numbers(one, other) and places[0] == places[1]


def _sharing(trace, right):
    """The trace, with the right one's tensors where they are equal: many traces of large attention fill a memory."""
    known = {name: value for name, value in vars(right).items() if isinstance(value, torch.Tensor)}
    equal = {name: value for name, value in known.items() if isinstance(getattr(trace, name), torch.Tensor)
             and getattr(trace, name).shape == value.shape and torch.equal(getattr(trace, name), value)}
    return replace(trace, **equal)


def ways_with(count, method, traces, head=None):
    """Yield every Way to compute a method with `count` mistakes, each in a stage of its own."""
    for plan in traces.plans(method, head):
        if count == 0 or plan.usual:
            for made in combinations(plan.mistakes, count):
                if len({mistake.stage for mistake in made}) == count:
                    yield from _in_every_variant(plan, made, traces)
    if count == 1:
        yield from _other_methods(method, traces, head)


def _in_every_variant(plan, made, traces):
    """A mistake of C1 may be made in many ways: every other class, every other layer."""
    rest = tuple((mistake, "") for mistake in made if not mistake.recorded)
    functions = _functions(plan, rest)
    if len(rest) == len(made):
        yield Way(plan.profiles, rest, plan.trace, functions)
        return
    recorded = next(mistake for mistake in made if mistake.recorded)
    for which, trace in traces.mistaken(plan, recorded)[:VARIANTS_IN_PAIRS if rest else None]:
        yield Way(plan.profiles, ((recorded, which), *rest), trace, functions)


def _other_methods(method, traces, head):
    """The map may be right, and of another method of the same network."""
    for other, recipe in METHODS.items():
        if other == method or not isinstance(recipe, type(METHODS[method])) or reads(recipe, "network"):
            continue
        made = Mistake("method", f"{other} in place of {method}", None, f"minixai.METHODS[{other!r}]")
        try:
            plans = traces.plans(other, head)
        except NOT_FIT:         # no classes, or too many tokens
            continue
        yield from (Way(plan.profiles, ((made, ""),), plan.trace, plan.functions) for plan in plans if plan.usual)


def _functions(plan, made):
    """The plan's stage functions, with those of the mistakes."""
    if not made:
        return plan.functions
    mistaken = {mistake.stage: mistake.function for mistake, _ in made}
    return tuple(mistaken.get(name, function) for name, function in zip(_names(type(plan.recipe)), plan.functions))


@lru_cache(None)
def _names(kind):
    return [field.name for field in stages(kind())]


@dataclass(eq=False)
class Branch:
    """The coarse map that some ways share, and what their M1 and M2 may read besides."""
    values: dict
    ways: list


def branches_of(ways, traces):
    """Run all that comes before M1, each distinct stage once; a list of Branch.

    A way whose stages do not fit this trace (one head, too few layers) is left out.
    """
    tree = {}
    for way in ways:
        node = tree.setdefault(id(way.trace), (way.trace, {}))[1]
        for function in way.functions[:-2]:
            node = node.setdefault(function, {})
        node.setdefault(None, []).append(way)
    branches = []
    for trace, node in tree.values():
        fields = stages(METHODS["gradcam"] if isinstance(trace, CnnTrace) else METHODS["attention"])
        recorded = {name: value for name, value in vars(trace).items() if value is not None}
        branches += _grow(node, fields, recorded, partial(traces.asked, trace))
    return branches


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
def takes_long(function):
    """Whether a stage asks the network again."""
    return "network" in signature(function).parameters


def attempt(number, function, values):
    """What a stage gives, or None where it does not fit these values: then it cannot have been this way."""
    try:
        return run_stage(number, function, values)
    except NOT_FIT:
        return None


def map_of(way):
    """The whole map of a way, (B,H,W), or None where a stage does not fit."""
    values = {name: value for name, value in vars(way.trace).items() if value is not None}
    for field, function in zip(stages(METHODS[way.profiles[0].method]), way.functions):
        values[field.metadata["gives"]] = attempt(field.name, function, values)
        if values[field.metadata["gives"]] is None:
            return None
    return values["heatmap"].float().cpu()


def the_same_way(way, traces):
    """The way on other recordings: of the same network in double precision, say. ValueError if there is none."""
    profile = way.profiles[0]
    recipe = profile.recipe if getattr(way.trace, "head", None) is None else for_one_head(profile.recipe)
    trace = traces.right(recipe, profile.capture)
    for mistake, which in way.mistakes:
        if mistake.recorded:
            again = partial(traces.record, recipe, capture=profile.capture)
            made = mistake.function(Recording(traces.model, traces.image, trace, again))
            trace = next((other for name, other in made if name == which), None)
            if trace is None:
                raise ValueError(f"no {which} here")
    return Way(way.profiles, way.mistakes, trace, way.functions)
