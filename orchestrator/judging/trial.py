"""The trial of a lead: is it better than the published candidate? A sequential test. Pure.

Nothing that chose the lead is used: its own fresh seeds are compared with those of the published
candidate. The test looks at them after every few seeds (group sequential: Jennison and Turnbull
2000), and each look has its own fixed numbers of seeds on both sides, so that it is taken once and
never repeated. Each side's own spread counts (Welch 1947), shrunk towards the run's: four seeds say
little of one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from orchestrator.judging.boundaries import boundaries, fractions
from orchestrator.judging.gains import Gain, Spread, gain, gain_by_pairs
from orchestrator.judging.rules import JudgingRules
from orchestrator.judging.student_t import t_from_normal_quantile

_NORMAL = NormalDist()


@dataclass(frozen=True)
class Look:
    """One look of a trial."""

    seeds: int
    """Of the lead."""
    reference: int
    """Of the published candidate."""
    boundary: float
    """Standard errors that the gain must exceed, were these known exactly."""
    information: float
    """Share of the last look's information."""


@dataclass(frozen=True)
class Trial:
    """Where the trial of a lead stands."""

    passed: Gain | None = None
    """The gain that has proven it."""
    at: Look | None = None
    """The look at which that was."""
    next: Look | None = None
    """The look that is taken next; None once there is none left."""
    chance: float = 0.0
    """Predictive probability that it will pass."""


def planned_looks(rules: JudgingRules, *, by_pairs: bool = False) -> tuple[Look, ...]:
    """Return the looks of any trial of this run."""
    counts = rules.looks()
    sizes = [(count, count if by_pairs else rules.reference_at(count)) for count in counts]
    information = fractions([1 / lead + 1 / published for lead, published in sizes])
    bounds = boundaries(information, rules.numbers.alpha)
    return tuple(
        Look(*size, bound, share)
        for size, bound, share in zip(sizes, bounds, information, strict=True)
    )


def trial(
    lead: Sequence[float],
    published: Sequence[float],
    spread: Spread,
    rules: JudgingRules,
    *,
    by_pairs: bool = False,
) -> Trial:
    """Take all looks that the seeds so far allow.

    Args:
        lead: its returns on seeds that did not choose it, in order.
        published: likewise, on the same seeds and on more or fewer of them.
        spread: that of the run, which must not move while the trial goes on, or a look that was
            taken could pass later.
        rules: the rules of the run.
        by_pairs: whether other leads have shown that candidates share the luck of a seed. Then
            differences on common seeds are tested, whose own spread says what is shared.
    """
    looks = planned_looks(rules, by_pairs=by_pairs)
    effect = rules.numbers.smallest_effect(spread.sd)
    for look in looks:
        if len(lead) < look.seeds or len(published) < look.reference:
            chance = _chance(lead, published, spread, looks, by_pairs=by_pairs)
            return Trial(next=look, chance=chance)
        sides = lead[: look.seeds], published[: look.reference]
        found = gain_by_pairs(*sides) if by_pairs else gain(*sides, spread)
        if _is_proven(found, look, effect):
            return Trial(found, look, chance=1.0)
    return Trial()


def _is_proven(found: Gain, look: Look, effect: float) -> bool:
    if not found.standard_error:  # equal returns on a few seeds do not prove that there is no noise
        return found.value > 0 and found.value >= effect and look.information == 1
    needed = t_from_normal_quantile(look.boundary, max(1.0, found.degrees_of_freedom))
    return found.z > needed and found.value >= effect


def _chance(
    lead: Sequence[float],
    published: Sequence[float],
    spread: Spread,
    looks: Sequence[Look],
    *,
    by_pairs: bool,
) -> float:
    """Return the predictive power on all seeds so far (Spiegelhalter, Freedman and Parmar 1994)."""
    common = min(len(lead), len(published))
    if not common:
        return 0.0
    last = looks[-1]
    if by_pairs and common > 1:
        lead, published = lead[:common], published[:common]
        found = gain_by_pairs(lead, published)
    else:
        found = gain(lead, published, spread)
    if not found.standard_error:
        return float(found.value > 0)
    share = (1 / last.seeds + 1 / last.reference) / (1 / len(lead) + 1 / len(published))
    share = min(share, 0.99)
    drift = found.z / math.sqrt(share) - last.boundary
    return _NORMAL.cdf(drift / math.sqrt(1 / share - 1))
