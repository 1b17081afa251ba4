"""Is a candidate a task at all, and is anything learnt in it? Pure, by the evaluator's reports."""

import statistics
from collections.abc import Iterable, Sequence

from orchestrator.core.evaluations import Report
from orchestrator.core.flags import NO_TASK, name_of

_CLEARLY = 3.0
"""Standard errors by which a trained policy earns clearly more than random play."""
_ROUNDING = 1e-9


def no_task(report: Report, flags: Iterable[str], vetoed: Sequence[str]) -> str | None:
    """Return why a candidate is no task to improve on, None if it is one.

    It carries a flag that would veto a keep; or nothing varies and nothing is learnt: every episode
    of the trained policy and of random play earns the same. Reports of older evaluators, which do
    not tell, count as tasks.
    """
    name = next((name for name in map(name_of, flags) if name in vetoed), None)
    if name is not None:
        return f"it is flagged {name}"
    returns = [*_random_returns(report), *_trained_returns(report)]
    if not _random_returns(report) or not _trained_returns(report) or report.solve_rate:
        return None
    if max(returns) - min(returns) <= _ROUNDING * max(1.0, abs(returns[0])):
        return f"every episode earns {returns[0]:.4g}, trained or at random"
    return None


def no_task_flag(why: str) -> str:
    """Return the flag of a baseline that is no task."""
    return f"{NO_TASK}: {why}"


def is_task(flags: Iterable[str]) -> bool:
    """Do a baseline's flags leave it a task?"""
    return all(name_of(flag) != NO_TASK for flag in flags)


def is_learnt(report: Report) -> bool:
    """Is anything solved, or clearly more earned than by random play from the same starts?"""
    if report.solve_rate:
        return True
    random, trained = _random_returns(report), _trained_returns(report)
    if report.eval_return is None or report.random_return is None:
        return False
    if len(random) < 2 or not trained:  # an older evaluator tells no episodes
        return report.eval_return > report.random_return
    gain = report.eval_return - statistics.fmean(random)
    # The spread of single episodes, of whichever play varies more.
    sd = max(statistics.stdev(random), statistics.stdev(trained) if len(trained) > 1 else 0.0)
    error = sd * (1 / len(random) + 1 / len(trained)) ** 0.5
    return bool(gain > max(_CLEARLY * error, _ROUNDING * max(1.0, abs(report.eval_return))))


def _random_returns(report: Report) -> list[float]:
    return report.returns("random_returns")


def _trained_returns(report: Report) -> list[float]:
    names = ("episode_returns", "evidence_returns")
    return [value for name in names for value in report.returns(name)]
