"""Flags: what the referee's own observations show about how a candidate earns its score. Pure.

Beside the scored episodes the referee has audits played, in fresh workers that can't tell which is
which: batch 0 again with the same actions, batch 0's starts with random actions, the policy on a
batch of other seeds, and, if two seeds start alike, batch 0's actions from the other seed. The
conclusions are flags, texts `name: detail`. A flag is a
finding, not a verdict: the daemon decides whether it prevents a keep. Flags detect what a candidate
drifts into; a program that is written to detect observation could behave as long as it is observed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from referee.audits import gain_beyond_chance
from referee.budget import Work, budget_exceeded
from referee.episodes import Rollout

POLICY_INDEPENDENT = "policy-independent reward"
NONDETERMINISTIC = "nondeterministic"
IDENTICAL_STARTS = "identical starts"
SUCCESS_CONTRADICTS = "success contradicts reward"
SCORED_PAYS_MORE = "scored play pays more"

SAME_RETURN_SHARE = 0.05
"""Returns that differ by less than this share of their size, on average, are the same."""
RANDOM_AS_GOOD_SHARE = 0.10
"""Random actions are as good if they are short of the trained policy by at most this share."""
AGREEMENT_STEPS = 5
"""Steps for which varying rewards must agree to count as independent of the actions."""
CLEAR_STANDARD_ERRORS = 3.0
"""Two means are clearly different if they are further apart than this."""


@dataclass(frozen=True, kw_only=True)
class Observations:
    """What the referee observed on one seed. Rollouts hold at most `MAX_RECORDED_SLOTS` slots."""

    trained: Rollout
    """Batch 0, played by the trained policy."""
    replayed: Rollout
    """Batch 0 again: the same seed, the same actions."""
    random: Rollout
    """Batch 0's starts, with random actions."""
    elsewhere: Rollout | None
    """Batch 0's actions from another seed, played only if the two seeds start alike."""
    returns: np.ndarray
    """Returns of all evaluated episodes, of the trained and of the untrained policy."""
    solved: np.ndarray
    """Whether each of them succeeded."""
    exact: bool
    """The same computation gives the same bits on this device."""
    work: Work
    repeats: bool = True
    """Whether the whole replay was the same play: all slots' episodes, recorded or not, and where
    `exact` all observations."""
    scored_returns: np.ndarray = field(default_factory=lambda: np.zeros(0))
    """Returns of all scored batches; those of older evaluator files are not known."""
    audited_returns: np.ndarray = field(default_factory=lambda: np.zeros(0))
    """The trained policy's returns in a batch of other seeds, which never count."""


@dataclass(frozen=True)
class _Pairs:
    """The same starts under the trained policy and under random actions, all seeds together."""

    trained: np.ndarray
    """Returns `[pairs]`."""
    random: np.ndarray
    rollouts: Sequence[tuple[Rollout, Rollout]]

    @property
    def difference(self) -> np.ndarray:
        return np.asarray(self.trained - self.random)

    @property
    def size(self) -> float:
        """Mean magnitude of the returns."""
        return float(np.mean(np.abs(self.trained) + np.abs(self.random)) / 2)

    @property
    def random_is_as_good(self) -> bool:
        return bool(self.difference.mean() <= RANDOM_AS_GOOD_SHARE * self.size)

    @property
    def trained_is_better(self) -> bool:
        return _standard_errors(self.difference) > CLEAR_STANDARD_ERRORS


def find_flags(seeds: Sequence[Observations], *, has_world: bool = False) -> list[str]:
    """Return the flags that all seeds of one evaluation raise together, one text for each.

    In the user's own world (`has_world`) no candidate can raise those of rewards and starts.
    """
    budget = next(filter(None, (budget_exceeded(seed.work) for seed in seeds)), None)
    if has_world:
        return [budget] if budget else []
    pairs = _Pairs(
        np.concatenate([seed.trained.returns for seed in seeds]),
        np.concatenate([seed.random.returns for seed in seeds]),
        [(seed.trained, seed.random) for seed in seeds],
    )
    contradiction = _success_contradicts(seeds, pairs)
    found = [
        _policy_independent(pairs, success_pays=contradiction is None),
        next(filter(None, map(_nondeterministic, seeds)), None),
        _identical_starts(seeds),
        contradiction,
        budget,
        _scored_pays_more(seeds),
    ]
    return [flag for flag in found if flag]


def _policy_independent(pairs: _Pairs, *, success_pays: bool) -> str | None:
    """Flag a reward that random actions earn too, tested on pairs of episodes with the same start.

    A policy that has merely learnt little differs from random actions episode by episode, even
    where the mean returns agree. So equal means are not enough; it is flagged if, from the same
    starts,

    - returns differ by at most 5 % of their size on average (a constant, a timer, a bonus for
      starting, a large offset with the task's reward small beside it); or
    - all steps that both rollouts reached have equal rewards, so that actions decide at most when
      an episode ends (a constant until the end), or varying rewards agree for five steps and more,
      until the first slot ends (rewards drawn from a generator, or counted); and random's mean is
      short by at most 10 %, or success is not rewarded. The last condition spares tasks of staying
      alive, which rightly pay for time alone.

    If no episode of either rollout earns anything but a cost or bonus for time, as with a goal that
    nobody has found yet, it is flagged too: random actions are indeed as good then.
    """
    same_return = np.abs(pairs.difference).mean() <= SAME_RETURN_SHARE * pairs.size
    same_steps = all(_equal_rewards(*rollout) for rollout in pairs.rollouts)
    drawn = all(_equal_varying_rewards(*rollout) for rollout in pairs.rollouts)
    no_gain = pairs.random_is_as_good or not success_pays
    if same_return or (no_gain and (same_steps or drawn)):
        how = "the same" if same_return else "alike step by step"
        return (
            f"{POLICY_INDEPENDENT}: random actions are paid {how} from the same starts (mean "
            f"return {pairs.random.mean():.4f}, the trained policy's {pairs.trained.mean():.4f})"
        )
    return None


def _equal_rewards(trained: Rollout, random: Rollout) -> bool:
    """Are the rewards equal in all steps that both first episodes reached?"""
    steps = min(len(trained.rewards), len(random.rewards))
    a, b = trained.head(steps), random.head(steps)
    both = a.live & b.live
    return bool((a.rewards == b.rewards)[both].all())


def _equal_varying_rewards(trained: Rollout, random: Rollout) -> bool:
    """Do rewards vary and yet agree until the first episode ends in either rollout?"""
    steps = min(_steps_before_an_end(trained), _steps_before_an_end(random))
    if steps < AGREEMENT_STEPS:
        return False
    rewards = trained.rewards[:steps]
    return bool(np.ptp(rewards) > 0 and (rewards == random.rewards[:steps]).all())


def _steps_before_an_end(rollout: Rollout) -> int:
    ended = np.asarray(rollout.done.any(axis=1))
    return int(ended.argmax()) if ended.any() else len(ended)


def _nondeterministic(seed: Observations) -> str | None:
    """Flag what differs when the same actions are played from the same seed.

    Rewards and ends; and observations, by which a policy follows luck that is drawn anew.
    """
    first = _first_difference(seed.trained, seed.replayed, exact=seed.exact)
    if first is None and seed.repeats:
        return None
    same = f"{NONDETERMINISTIC}: the same actions from the same seed"
    if first is None:
        return f"{same} led to other episodes or observations"
    return f"{same} were rewarded differently, first at step {first + 1}"


def _identical_starts(seeds: Sequence[Observations]) -> str | None:
    """Flag an environment that ignores its seed: same observations, rewards and ends.

    Equal first observations alone prove nothing (a task may start with an empty view), so the same
    actions must also lead through the same episodes.
    """
    for seed in seeds:
        other = seed.elsewhere
        if (
            other is None
            or other.digest != seed.replayed.digest
            or _first_difference(seed.replayed, other, exact=seed.exact) is not None
        ):
            return None
    return (
        f"{IDENTICAL_STARTS}: another seed changes nothing, so the evaluation repeats the episodes "
        "that were trained on"
    )


def _success_contradicts(seeds: Sequence[Observations], pairs: _Pairs) -> str | None:
    """Flag a success that is not rewarded.

    Episodes that succeed must not clearly earn less than those that fail (five of each, three
    standard errors); and where a random policy nearly always succeeds, the trained one must not
    clearly earn more than it: either there is nothing to learn or success means nothing.
    """
    random_solved = np.concatenate([seed.random.solved for seed in seeds])
    returns = np.concatenate([*(s.returns for s in seeds), *(s.random.returns for s in seeds)])
    solved = np.concatenate([*(s.solved for s in seeds), random_solved])
    good, bad = returns[solved], returns[~solved]
    if min(len(good), len(bad)) >= 5:
        spread = np.sqrt(good.var(ddof=1) / len(good) + bad.var(ddof=1) / len(bad))
        loss = float(bad.mean() - good.mean())
        if loss > CLEAR_STANDARD_ERRORS * spread and loss > 1e-6:
            return f"{SUCCESS_CONTRADICTS}: episodes that succeed earn {loss:.4f} less than others"
    if random_solved.mean() >= 0.95 and len(random_solved) >= 16 and pairs.trained_is_better:
        return (
            f"{SUCCESS_CONTRADICTS}: random actions succeed in {random_solved.mean():.0%} of their "
            f"episodes, and yet earn {pairs.difference.mean():.4f} less than the trained policy"
        )
    return None


def _scored_pays_more(seeds: Sequence[Observations]) -> str | None:
    pairs = [(seed.scored_returns, seed.audited_returns) for seed in seeds]
    gain = gain_beyond_chance([(a, b) for a, b in pairs if min(len(a), len(b)) > 1])
    if gain is None:
        return None
    return (
        f"{SCORED_PAYS_MORE}: the scored batches pay the policy {gain:.4f} more than batches of "
        "other seeds, beyond chance"
    )


def _first_difference(one: Rollout, other: Rollout, *, exact: bool) -> int | None:
    """Return the first step at which the first episodes of two rollouts differ, or None."""
    steps = min(len(one.rewards), len(other.rewards))
    a, b = one.head(steps), other.head(steps)
    close = a.rewards == b.rewards if exact else np.isclose(a.rewards, b.rewards, rtol=1e-4)
    differs = ((~close | (a.done != b.done)) & (a.live | b.live)).any(axis=1)
    return int(differs.argmax()) if differs.any() else None


def _standard_errors(values: np.ndarray) -> float:
    """Return the mean of `[n]` in standard errors."""
    if len(values) < 2:
        return 0.0
    error = values.std(ddof=1) / np.sqrt(len(values))
    mean = float(values.mean())
    return float(mean / error) if error > 0 else float(np.sign(mean) * np.inf if mean else 0.0)
