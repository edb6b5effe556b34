"""What `verify` found, in words and as a picture."""
from dataclasses import dataclass

import numpy as np
import torch

from minixai.verification.compare import EXACT
from minixai.verification.finish import Finish

NAMED = 6               # of equal findings, that many are named in words; all are in `findings`
NEAR_FROM = 0.8         # rank correlation
DEGREES = (SAME, ROUNDED, SCALED, ENLARGED, CURVE, MISTAKE, TWO_MISTAKES, NEAR, UNLIKE) = (
    "the same numbers", "the same up to rounding", "the same up to scale and offset",
    "the same coarse map, enlarged otherwise", "the same coarse map, up to a curve", "a known mistake",
    "two known mistakes", "near", "unlike")
NOWHERE_NEAR = 0.3      # of the largest value: a candidate further away than this says nothing about the map


@dataclass(frozen=True)
class Finding:
    """One explanation of the map, or one of the nearest: some mistakes, and the profiles in which they were made."""
    mistakes: tuple         # (Mistake, which) pairs; empty for a profile as it is
    profiles: tuple         # names of the profiles
    difference: float       # the largest, as a share of the map's span
    departs: tuple = ()     # how those profiles depart from the paper
    rounding: float = 0.0   # how far rounding moves this map, if the two count as the same for that reason
    finish: Finish | None = None    # how the coarse map was enlarged and its values changed, if no profile does so

    def __str__(self):
        return " and ".join(f"{mistake.stage}: {mistake.name}" + (f" ({which})" if which else "")
                            for mistake, which in self.mistakes) or "no mistake"


@dataclass(frozen=True, eq=False, repr=False)
class Verdict:
    """What `verify` found. str(verdict) says it in words, verdict.figure() shows theirs, ours and the difference.

    agrees: whether some profile, without a mistake, gives this map. profile: the name of that profile, or None.
    explained: whether the map agrees, or known mistakes give it. findings: [Finding], all equally good; if nothing
    explains the map, the nearest ones. ours: a map without a mistake, the one that agrees or else the paper's.
    max_difference: between theirs and ours, as a share of the largest value; infinite if no map without a mistake has
    the shape of theirs. where: (image, row, column) of that difference.
    tried: how many candidates were compared. left_out: what was not tried, in words.
    in_order: [(rank correlation, what was computed)], the right map first and then the one that is nearest in order, if
    nothing explains the map.
    """
    agrees: bool
    explained: bool
    profile: str | None
    max_difference: float
    where: tuple | None
    findings: list
    tried: int
    question: str           # "gradcam at features, class 285 (Egyptian cat)"
    left_out: str
    theirs: torch.Tensor    # (B,H,W), or (B,h,w) at layer size, or (1,H,W,3) if it came as a picture in colours
    ours: torch.Tensor      # of the shape of theirs if a map without a mistake has it, or else (B,H,W)
    most_mistakes: int = 2  # how many at once were tried
    in_order: tuple = ()
    step: float = 0.0       # between neighbouring values that the format of theirs can hold

    def __repr__(self):
        first_line = str(self).splitlines()[0]
        if not self.explained or not self.findings[0].mistakes:
            return f"<Verdict: {first_line}>"
        return f"<Verdict: {first_line}; {'; or '.join(map(str, self.findings[:3]))}>"

    @property
    def degree(self) -> str:
        """How near the map is to the right one, one of DEGREES."""
        first = self.findings[0] if self.findings else None
        if not self.explained:
            return NEAR if any(correlation >= NEAR_FROM for correlation, _ in self.in_order) else UNLIKE
        if first.mistakes:
            return MISTAKE if len(first.mistakes) == 1 else TWO_MISTAKES
        if first.finish is None:
            return ROUNDED if self.step or first.rounding or first.difference > EXACT else SAME
        if first.finish.curve or first.finish.inverted:
            return CURVE
        usual = first.finish.enlargement in ("bilinear", "not enlarged") and not first.finish.blur
        return SCALED if usual else ENLARGED

    def __str__(self):
        lines = _agreement if self.agrees else _causes if self.explained else _nothing
        return "\n".join(lines(self))

    def figure(self, rgb: np.ndarray | None = None, index: int = 0):
        """Theirs, ours and the difference between them, as a matplotlib Figure.

        rgb: uint8 (H,W,3), the picture that was explained, shown beside them. index: which image of the batch.
        """
        from minixai.verification.figure import comparison  # late: matplotlib takes long to import
        caption = self._caption() if self.explained and not self.agrees else ""
        return comparison(self.theirs[index].numpy(), self.ours[index].numpy(), str(self).splitlines()[0], caption, rgb)

    def _caption(self):
        first = self.findings[0]
        if not first.mistakes:
            return f"finished otherwise: {first.finish}"
        return "the cause: " + "; or ".join(str(finding) for finding in self.findings[:2])[:140]


def _agreement(verdict):
    first = verdict.findings[0]
    yield f"agrees: {verdict.question}{_empty(verdict)}{_apart(verdict)}"
    yield f"  as computed by {_some(first.profiles, '; ')}"
    yield from (f"  note: {sentence}" for sentence in first.departs)
    yield from _rounding(first)


def _causes(verdict):
    findings = verdict.findings
    if not findings[0].mistakes:
        yield f"{verdict.degree}: {verdict.question}{_apart(verdict)}"
        yield f"  its coarse map is as computed by {_some(findings[0].profiles, '; ')}"
        yield from (f"  note: {sentence}" for sentence in findings[0].departs)
        yield from _finish(findings[0])
        return
    yield f"differs: this is not {verdict.question}{_empty(verdict)}{_apart(verdict)}"
    if len(findings) == 1:
        yield "  the cause:"
    elif _is_empty(verdict):
        yield f"  an empty map tells little; each of these {len(findings)} gives one:"
    else:
        yield f"  each of these {len(findings)} gives exactly this map, so it cannot tell them apart:"
    for finding in findings[:NAMED]:
        yield f"  {finding}"
        if len(findings) <= NAMED:
            yield f"      reproduced to {finding.difference:.1g}, otherwise as {_some(finding.profiles, '; ')}"
            yield from (f"      reread {mistake.reread}" for mistake, _ in finding.mistakes)
    if len(findings) > NAMED:
        yield f"  and {len(findings) - NAMED} more, all in verdict.findings"
    yield from _rounding(findings[0])
    if findings[0].finish:
        yield from _finish(findings[0])


def _finish(finding):
    finish = finding.finish
    yield f"  M1 and M2, estimated from the map: {finish}"
    yield (f"  so made, ours is off theirs by {finish.rms:.1g} of its span (root mean square), by {finish.worst:.1g} "
           "at the worst pixel")


def _nothing(verdict):
    yield f"not explained: no known way to compute {verdict.question} gives this map{_apart(verdict)}"
    mistakes = "up to two known mistakes" if verdict.most_mistakes == 2 else "one known mistake"
    yield f"  {verdict.tried} ways were compared: libraries' profiles, without and with {mistakes}"
    if verdict.left_out:
        yield f"  {verdict.left_out}"
    yield from _nearest(verdict)
    yield from (f"  rank correlation {correlation:.2f} with {what}" for correlation, what in verdict.in_order)
    yield "  another network, photo or preprocessing would look like this; so would an unknown mistake"


def _nearest(verdict):
    first = verdict.findings[0] if verdict.findings else None
    if first is None or first.difference > NOWHERE_NEAR:
        yield "  nothing comes near it, so no stage can be named"
    elif first.mistakes:
        stages = " and ".join(mistake.stage for mistake, _ in first.mistakes)
        yield f"  the nearest, {first.difference:.1g} away and not it, parts from the method at {stages}: {first}"
    else:
        yield (f"  the nearest, {first.difference:.1g} away and not it, is the method itself, as computed by "
               f"{first.profiles[0]}; a mistake at no stage brings it nearer")


def _rounding(finding):
    if finding.rounding:
        yield (f"  up to rounding: {finding.difference:.1g} apart, and this network's map moves by "
               f"{finding.rounding:.1g} when it is computed in double precision")


def _is_empty(verdict):
    return bool((verdict.theirs == verdict.theirs.flatten()[0]).all())


def _empty(verdict):
    return ", both empty" if verdict.agrees and _is_empty(verdict) else ""


def _apart(verdict):
    if verdict.where is None:
        return f"; its size is {verdict.theirs.shape[1]}x{verdict.theirs.shape[2]}"
    image, row, column = verdict.where
    of_image = f" of image {image}" if len(verdict.theirs) > 1 else ""
    if verdict.max_difference == 0:
        return "; no difference"
    return (f"; max difference {verdict.max_difference:.1g} of the largest value, "
            f"at row {row}, column {column}{of_image}")


def _some(names, between):
    more = len(names) - NAMED
    drawn = {name.partition(", coloured ")[2] for name in names}
    if len(names) > 1 and len(drawn) == 1 and any(drawn):       # how a picture was drawn is said once
        names = [name.partition(", coloured ")[0] for name in names]
    else:
        drawn = ()
    of_all = "".join(f"; all coloured {how}" for how in drawn)
    return between.join(names[:NAMED]) + (f" and {more} more" if more > 0 else "") + of_all
