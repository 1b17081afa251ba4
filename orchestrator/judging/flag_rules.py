"""Flags that compare two candidates, and the flags that veto a keep. Pure.

A flag is a text `name` or `name: detail`. The evaluator raises those that one evaluation shows
(`referee/flags.py`); the two that need the incumbent are raised here, from the reports on both.
"""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from orchestrator.core.evaluations import Evaluation, Report
from orchestrator.core.flags import (
    HORIZON_CHANGED,
    MEANINGS,
    POLICY_INDEPENDENT,
    REWARD_SCALE,
    name_of,
)
from orchestrator.core.records import Status
from orchestrator.judging.horizon_rules import changed_horizon
from orchestrator.judging.rulers import plain_code

_RISE = 0.05
"""Smaller rises of the solve rate, and changes of the episodes' length as a share of the horizon,
count as none."""
_SAME_RATIO = 1e-3
"""Largest deviation, as a share of the returns' size, at which one is a multiple of the other."""
_LARGER = 1.01
"""Smallest multiple that is flagged."""
_CLEARLY = 3.0
"""Standard errors from zero at which a mean counts as different from zero."""
_PAIRS_NEEDED = 16
"""Random episodes below which nothing is concluded from them."""


@dataclass(frozen=True)
class ScoredCandidate:
    """One side of a comparison: a candidate's score, report and environment."""

    score: float
    max_steps: int | None
    report: Report
    env: str
    """The text of env.py."""
    flags: tuple[str, ...] = ()


def compare(
    incumbent: ScoredCandidate, challenger: ScoredCandidate, *, is_measured: bool = False
) -> tuple[str, ...]:
    """Return the challenger's flags by comparison with the incumbent, scored at the same rung.

    Args:
        incumbent: what it was judged against.
        challenger: what was judged.
        is_measured: whether both environments were played with the same actions. Then nothing is
            concluded about the reward function from reports.
    """
    flags = [_horizon_changed(incumbent, challenger)]
    if not is_measured:
        flags.append(_reward_scale(incumbent, challenger))
    return tuple(flag for flag in flags if flag)


def veto(flags: Iterable[str], incumbent_flags: Iterable[str], vetoed: Sequence[str]) -> str | None:
    """Return the name of the flag for which a keep is rejected, or None if it stands.

    A flag that the incumbent has too is a property of the task and does not distort the comparison,
    so it vetoes nothing. The exception is a policy-independent reward: no score of one is a gain.
    """
    excused = {name_of(flag) for flag in incumbent_flags} - {POLICY_INDEPENDENT}
    names = [name_of(flag) for flag in flags]
    return next((name for name in names if name in vetoed and name not in excused), None)


def veto_reason(name: str, gain: str) -> str:
    """Return the reason that people and agents read: the gain, why it is rejected, the cure."""
    return (
        f"vetoed for {name}, in spite of {gain}: {MEANINGS[name]} (to allow it, a human leaves "
        f"{name!r} out of integrity.veto)"
    )


def uncounted(evaluation: Evaluation, status: Status) -> tuple[str, ...]:
    """Return the flags to record: a rejected experiment keeps its number among them."""
    if status is not Status.REJECTED or evaluation.score is None:
        return evaluation.flags
    return (*evaluation.flags, f"score {evaluation.score:.4f} (not counted)")


# -- comparisons -----------------------------------------------------------------------------------


def _horizon_changed(incumbent: ScoredCandidate, challenger: ScoredCandidate) -> str | None:
    how = changed_horizon(
        incumbent.max_steps, challenger.max_steps, incumbent.report, challenger.report
    )
    return f"{HORIZON_CHANGED}: {how}" if how else None


def _reward_scale(incumbent: ScoredCandidate, challenger: ScoredCandidate) -> str | None:
    """Flag a score that rose because of the reward function and not because of the policy.

    The code of env.py must differ. If the returns of random play, with the same seeds and actions
    for both, are all multiplied by one factor, that is flagged whatever else happened. Otherwise
    random play must not show an unchanged reward function, and over all evaluated episodes the
    solve rate must have risen by less than 0.05 and the episodes' length changed by less than 0.05
    of the horizon.
    """
    if challenger.score <= incumbent.score or not _code_differs(incumbent.env, challenger.env):
        return None
    old, new = _random_returns(incumbent), _random_returns(challenger)
    ratio = _ratio(old, new)
    if ratio is not None and ratio > _LARGER:
        return f"{REWARD_SCALE}: random play is paid {ratio:.3g} times as much as before"
    if _is_paid_as_before(old, new, random_solves=_random_solves(incumbent, challenger)):
        return None
    solved, length = (
        _change(incumbent, challenger, name)
        for name in ("evidence_solve_rate", "evidence_episode_length")
    )
    if solved is None or length is None or not challenger.max_steps:
        return None
    if solved < _RISE and abs(length) < _RISE * challenger.max_steps:
        return (
            f"{REWARD_SCALE}: the reward function changed and the score rose by "
            f"{challenger.score - incumbent.score:.4f}, but the solve rate changed by {solved:+.2f}"
            f" and the episodes' length by {length:+.1f} steps"
        )
    return None


def _code_differs(before: str, after: str) -> bool:
    """Is there a difference besides comments, docstrings and layout?"""
    return plain_code(before) != plain_code(after)


def _is_paid_as_before(old: Sequence[float], new: Sequence[float], *, random_solves: bool) -> bool:
    """Does random play show that the reward function is unchanged?

    Where both environments draw the same starts, at least half of the returns are equal to the bit,
    and any that is not shows a change. Where a change of the dynamics or the observations has
    shifted the random numbers, the returns' means and magnitudes are compared: a difference of
    three standard errors shows a change. A reward paid at the goal alone is invisible where random
    actions never reach it, so nothing is shown then.
    """
    if not random_solves or len(old) != len(new) or len(old) < _PAIRS_NEEDED:
        return False
    pairs = list(zip(old, new, strict=True))
    equal = sum(a == b for a, b in pairs)
    if equal >= len(pairs) / 2:
        return equal == len(pairs)
    return all(
        abs(_standard_errors(differences)) < _CLEARLY
        for differences in ([b - a for a, b in pairs], [abs(b) - abs(a) for a, b in pairs])
    )


def _random_solves(incumbent: ScoredCandidate, challenger: ScoredCandidate) -> bool:
    return all(any(side.report.of_seeds("random_solve_rate")) for side in (incumbent, challenger))


def _ratio(old: Sequence[float], new: Sequence[float]) -> float | None:
    """Return the factor between two lists of returns if there is one for all of them."""
    size = sum(value * value for value in old)
    if not size or len(old) != len(new) or len(old) < _PAIRS_NEEDED:
        return None
    ratio = sum(a * b for a, b in zip(old, new, strict=True)) / size
    largest = max(map(abs, new))
    if (
        all(abs(b - ratio * a) <= _SAME_RATIO * largest for a, b in zip(old, new, strict=True))
        and len(set(old)) > 1
    ):
        return ratio
    return None


def _standard_errors(values: Sequence[float]) -> float:
    """Return the mean of at least two values in standard errors."""
    mean, spread = statistics.fmean(values), statistics.stdev(values)
    if not spread:
        return math.copysign(math.inf, mean) if mean else 0.0
    return mean / (spread / math.sqrt(len(values)))


def _change(incumbent: ScoredCandidate, challenger: ScoredCandidate, name: str) -> float | None:
    old, new = incumbent.report.of_seeds(name), challenger.report.of_seeds(name)
    return statistics.fmean(new) - statistics.fmean(old) if old and new else None


def _random_returns(side: ScoredCandidate) -> list[float]:
    return side.report.returns("random_returns")
