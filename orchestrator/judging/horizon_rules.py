"""Whether a challenger's episodes may last shorter or longer than the lead's. Pure.

A longer horizon is another task as much as a shorter one is: returns are sums over steps.
"""

import statistics
from dataclasses import dataclass

from orchestrator.core.evaluations import Report

_EXPECTED = 10.0
"""Random episodes expected to run to the end from which it is significant that none does, and the
number that must end at one same step for that step to be an end."""


@dataclass(frozen=True)
class _RandomPlay:
    """Random episodes of one side, which training does not change."""

    lengths: list[float]
    solved: list[bool]

    @property
    def end(self) -> float | None:
        """The step at which the environment ends its episodes: ten and more, and none is longer."""
        longest = max(self.lengths, default=0)
        return longest if self.lengths.count(longest) >= _EXPECTED else None

    def lasting(self, steps: float) -> int:
        """Return how many episodes lasted at least so many steps."""
        return sum(length >= steps for length in self.lengths)


def changed_horizon(
    before: int | None, after: int | None, incumbent: Report, challenger: Report
) -> str | None:
    """Return how the challenger's horizon differs from the incumbent's, None if it does not.

    By its number; or in random play, with the same seeds and actions for both: the environment
    ended ten episodes and more at one step, and now none lasts so long, or ten and more last
    longer. What ends sooner because it is won is no shorter horizon: such ends differ from episode
    to episode.
    """
    if before is None or after is None:
        return None
    if after != before:
        return f"from {before} to {after} steps"
    was, now = _random_play(incumbent), _random_play(challenger)
    if was is None or now is None:
        return _by_shares(incumbent, challenger, before)
    if was.end is None:
        return None
    beyond = now.lasting(was.end + 1)
    if beyond >= _EXPECTED:
        return (
            f"random episodes ended after {was.end:g} steps at most, and now {beyond} of "
            f"{len(now.lengths)} last longer"
        )
    share = was.lasting(was.end) / len(was.lengths)
    not_won = len(now.lengths) if now.end is not None else now.solved.count(False)
    if share * not_won >= _EXPECTED and not now.lasting(was.end):
        return f"{share:.0%} of random episodes lasted {was.end:g} steps, and now none does"
    return None


def _random_play(report: Report) -> _RandomPlay | None:
    lengths = [one for seed in report.of_seeds("random_lengths") for one in seed]
    solved = [bool(one) for seed in report.of_seeds("random_solved") for one in seed]
    return _RandomPlay(lengths, solved) if lengths and len(lengths) == len(solved) else None


def _by_shares(incumbent: Report, challenger: Report, horizon: int) -> str | None:
    """Compare as far as the reports of older evaluators allow."""
    was, now = incumbent.of_seeds("random_full_length"), challenger.of_seeds("random_full_length")
    if not was or not now or any(now):
        return None
    episodes = sum(len(seed) for seed in challenger.of_seeds("random_returns"))
    usual = statistics.fmean(was)
    won = statistics.fmean(challenger.of_seeds("random_solve_rate") or [0.0])
    if usual * (1 - won) * episodes < _EXPECTED:
        return None
    return (
        f"{usual:.0%} of random episodes ran to the horizon of {horizon} steps, and now none does"
    )
