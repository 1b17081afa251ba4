"""Is the challenger better than the incumbent? One pure function, so that it can be replaced."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.records import Status


@dataclass(frozen=True)
class Evidence:
    """What is known of one side at one rung."""

    score: float
    scores_by_seed: Mapping[int, float]


@dataclass(frozen=True)
class Verdict:
    """`keep` or `discard`, and the line a person reads."""

    status: Status
    reason: str


def judge(incumbent: Evidence, challenger: Evidence, *, min_effect: float) -> Verdict:
    """Keep the challenger if its score is higher by more than `min_effect`, both at one rung.

    This is the rule of the public loops (`judge.rule: naive`): with two seeds it also keeps changes
    that do nothing, now and then, because scores are noisy. The reason therefore gives the spread
    of the seeds beside the difference.
    """
    gain = challenger.score - incumbent.score
    seeds = len(challenger.scores_by_seed)
    spread = _standard_error(incumbent, challenger)
    noise = "" if spread is None else f" ± {spread:.4f}"
    line = f"{gain:+.4f}{noise} over {seeds} seed{'s' if seeds != 1 else ''}"
    if gain > min_effect:
        return Verdict(Status.KEEP, f"kept: {line}")
    needed = f", needs more than {min_effect:+.4f}" if min_effect and gain > 0 else ""
    return Verdict(Status.DISCARD, f"discarded: {line}{needed}")


def _standard_error(incumbent: Evidence, challenger: Evidence) -> float | None:
    """Return the standard error of the difference over paired seeds; None if it can't be had."""
    shared = sorted(set(incumbent.scores_by_seed) & set(challenger.scores_by_seed))
    if len(shared) < 2:
        return None
    gains = [challenger.scores_by_seed[s] - incumbent.scores_by_seed[s] for s in shared]
    mean = sum(gains) / len(gains)
    variance = sum((gain - mean) ** 2 for gain in gains) / (len(gains) - 1)
    return math.sqrt(variance / len(gains))
