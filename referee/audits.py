"""Whether scored batches pay more than batches that never count: a test. Pure."""

from collections.abc import Sequence

import numpy as np

_ONE_IN_A_THOUSAND = (318.31, 22.33, 10.21, 7.17, 5.89, 5.21, 4.79, 4.50, 4.30)
"""One-sided quantiles of Student's t for 1, 2, 3 and so on degrees of freedom; the last one serves
for more."""


def gain_beyond_chance(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> float | None:
    """Return by how much the scored batches pay more, None if chance explains it.

    Both are drawn alike, so that they differ by chance alone. How much, the seeds' differences show
    (episodes of one batch may share one world, so that they count as one draw) and the episodes'
    own spread: the larger of the two standard errors counts. One-sided, one in a thousand.

    Args:
        pairs: for each seed, the same policy's returns in scored batches and in others, at least
            two of each.
    """
    if len(pairs) < 2:
        return None
    gains = np.array([scored.mean() - audited.mean() for scored, audited in pairs])
    variances = [a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b) for a, b in pairs]
    between = float(gains.std(ddof=1) / np.sqrt(len(gains)))
    error = max(between, float(np.sqrt(np.sum(variances))) / len(gains))
    limit = _ONE_IN_A_THOUSAND[min(len(gains) - 1, len(_ONE_IN_A_THOUSAND)) - 1]
    size = float(np.mean([np.abs(scored).mean() for scored, _ in pairs]))
    gain = float(gains.mean())
    return gain if gain > max(limit * error, 1e-6 * size) else None
