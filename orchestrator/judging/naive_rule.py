"""The rule of the public loops, `judge.rule: naive`: the higher score is kept. Pure."""

import math
import statistics
from collections.abc import Mapping

from orchestrator.core.evaluations import Verdict
from orchestrator.core.records import Status
from orchestrator.core.text import counted


def judge_naively(
    incumbent: Mapping[int, float], challenger: Mapping[int, float], *, min_effect: float
) -> Verdict:
    """Keep the challenger if its mean over the default seeds is higher by more than `min_effect`.

    Scores are noisy, so with two seeds this also keeps some changes that do nothing. The reason
    therefore gives the paired standard error beside the difference.

    Args:
        incumbent: its return by seed.
        challenger: likewise, on the same seeds.
        min_effect: the gain in score points that must be exceeded.
    """
    gain = statistics.fmean(challenger.values()) - statistics.fmean(incumbent.values())
    error = _paired_standard_error(incumbent, challenger)
    noise = "" if error is None else f" ± {error:.4f}"
    gain_text = f"{gain:+.4f}{noise} over {counted(len(challenger), 'seed')}"
    is_better = gain > min_effect
    needed = f", needs more than {min_effect:+.4f}" if min_effect and gain > 0 else ""
    return Verdict(
        Status.KEEP if is_better else Status.DISCARD,
        f"kept: {gain_text}" if is_better else f"discarded: {gain_text}{needed}",
        gain=gain,
        standard_error=error,
        evaluations=len(challenger),
        gain_text=gain_text,
    )


def _paired_standard_error(one: Mapping[int, float], other: Mapping[int, float]) -> float | None:
    """Return that of the mean difference over the seeds both have; None for fewer than two."""
    seeds = sorted(set(one) & set(other))
    if len(seeds) < 2:
        return None
    return statistics.stdev(other[seed] - one[seed] for seed in seeds) / math.sqrt(len(seeds))
