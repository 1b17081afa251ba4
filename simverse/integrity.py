"""What the referee's own observations say about a candidate's honesty. Pure, numpy alone.

Beside the scored episodes the referee has the environment play three more things, without a
policy: batch 0 again with the actions it has just seen, batch 0's starts with random actions, and,
where two seeds begin alike, batch 0's actions from the other seed. What follows from them are
flags, texts `name: detail`. A flag is a finding, not a verdict: whether it stands in the way of a
keep is decided elsewhere. They catch what a candidate drifts into; a program written to know that
it is watched could behave for as long as it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

POLICY_INDEPENDENT = "policy-independent reward"
NONDETERMINISTIC = "nondeterministic"
IDENTICAL_STARTS = "identical starts"
SUCCESS_CONTRADICTS = "success contradicts reward"
BUDGET_EXCEEDED = "budget exceeded"

REPLAY_STEPS = (20, 200)
"""Batch 0 is played again for half of the horizon, but at least and at most so many steps."""
RANDOM_STEPS = 1000
"""Random play goes to the horizon, at most so far; returns of as many steps are compared then."""
SLOTS_KEPT = 64
"""Sub-environments of batch 0 that evidence is kept of."""
_SLOT_STEPS = 4_000_000
"""Most actions sent at once, so that very wide batches are played for fewer steps."""

_SAME_SHARE = 0.05
"""Returns that differ by less than this share of their size, on average, are the same."""
_AS_WELL = 0.10
"""Random play scores as well when it is short of the trained policy by at most this share."""
_IN_STEP = 5
"""Steps for which rewards that vary must agree to count as drawn without regard to actions."""
_CLEARLY = 3.0
"""Standard errors between two means that are clearly apart."""
_BESIDE, _BESIDE_SLACK_S = 0.3, 0.2
"""Processor time beside the main thread, as a share of the main thread's, and in seconds, that
helpers for odd jobs may take."""
_BUILD_SLACK_S = 2.0
"""Building policy and environment may take this long, or as long as the training."""


def replay_steps(horizon: int, num_envs: int) -> int:
    """Return how many steps of batch 0 are played again."""
    least, most = REPLAY_STEPS
    return _affordable(min(horizon, max(least, min(most, horizon // 2))), num_envs)


def random_steps(horizon: int, num_envs: int) -> int:
    """Return how many steps random actions are drawn for."""
    return _affordable(min(horizon, RANDOM_STEPS), num_envs)


def _affordable(steps: int, num_envs: int) -> int:
    return max(1, min(steps, _SLOT_STEPS // num_envs))


@dataclass(frozen=True)
class Play:
    """Some steps of a batch, `[T, N]` each; what follows a slot's first `done` is not its own."""

    rewards: np.ndarray
    done: np.ndarray
    success: np.ndarray
    digest: int | None = None
    """Checksum of all observations, where it was asked for."""

    @property
    def live(self) -> np.ndarray:
        """Whether each step belongs to its slot's first episode, `[T, N]`."""
        ended = np.cumsum(self.done, axis=0) - self.done
        return np.asarray(ended == 0)

    @property
    def returns(self) -> np.ndarray:
        """Each first episode's return, `[N]`."""
        return np.asarray((self.rewards * self.live).sum(axis=0))

    @property
    def lengths(self) -> np.ndarray:
        """Each first episode's length in steps, `[N]`."""
        return np.asarray(self.live.sum(axis=0))

    @property
    def solved(self) -> np.ndarray:
        """Whether each first episode succeeded, `[N]`."""
        return np.asarray((self.success & self.live).any(axis=0))

    def head(self, steps: int) -> "Play":
        """Return its first steps."""
        return Play(self.rewards[:steps], self.done[:steps], self.success[:steps])


class Tape:
    """Records a play as the referee carries it on: all actions, and some slots' rewards."""

    def __init__(self, horizon: int, num_envs: int) -> None:
        self.start = b""
        """The first observations."""
        self._replayed = replay_steps(horizon, num_envs)
        self._compared = random_steps(horizon, num_envs)
        self._actions: list[bytes] = []
        self._columns: tuple[list[np.ndarray], ...] = ([], [], [])

    def take(
        self, actions: bytes, reward: np.ndarray, done: np.ndarray, success: np.ndarray
    ) -> None:
        """Take one step of the batch: actions int64 `[N]` as bytes, the rest `[N]`."""
        if len(self._actions) < self._replayed:
            self._actions.append(actions)
        if len(self._columns[0]) < self._compared:
            for column, values in zip(self._columns, (reward, done, success), strict=True):
                column.append(values[:SLOTS_KEPT])

    def actions(self) -> bytes:
        """Return the actions to play again, int64 `[T, N]`."""
        return b"".join(self._actions)

    def play(self) -> Play:
        """Return what came of them."""
        rewards, done, success = (np.array(column) for column in self._columns)
        return Play(rewards, done, success)


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What the referee saw of one seed. The plays hold the first `SLOTS_KEPT` slots."""

    trained: Play
    """Batch 0, played by the trained policy."""
    replayed: Play
    """Batch 0 again: the same seed, the same actions."""
    random: Play
    """Batch 0's starts, with random actions."""
    elsewhere: Play | None
    """Batch 0's actions from another seed, played only if the two seeds begin alike."""
    returns: np.ndarray
    """Returns of all evaluated episodes, of the trained and of the untrained policy."""
    solved: np.ndarray
    """Whether each of them succeeded."""
    exact: bool
    """The same computation gives the same bits on this device."""
    work: "Work"


@dataclass(frozen=True, kw_only=True)
class Work:
    """What one seed's training took."""

    env_steps: int
    """Steps of single sub-environments, as the trainer reports them."""
    allowed_steps: int
    threads: int
    """Threads that torch was set to at its end, as the trainer reports them."""
    main_s: float
    """Processor time of the trainer's main thread, by the kernel's word."""
    beside_s: float
    """Processor time of its other threads and of all it started, by the kernel's word."""
    build_s: float
    """How long policy and environment took to build."""
    train_s: float


@dataclass(frozen=True)
class _Pairs:
    """The same starts under the trained policy and under random actions, all seeds together."""

    trained: np.ndarray
    """Returns `[pairs]`."""
    random: np.ndarray
    plays: Sequence[tuple[Play, Play]]

    @property
    def difference(self) -> np.ndarray:
        return np.asarray(self.trained - self.random)

    @property
    def size(self) -> float:
        """How large returns are."""
        return float(np.mean(np.abs(self.trained) + np.abs(self.random)) / 2)

    @property
    def random_is_as_good(self) -> bool:
        return bool(self.difference.mean() <= _AS_WELL * self.size)

    @property
    def trained_is_better(self) -> bool:
        return _standard_errors(self.difference) > _CLEARLY


def find_flags(seeds: Sequence[Evidence]) -> list[str]:
    """Return what the evidence of all seeds of one evaluation shows, at most one text a flag."""
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
        next(filter(None, (_budget_exceeded(seed.work) for seed in seeds)), None),
    ]
    return [flag for flag in found if flag]


def _policy_independent(pairs: _Pairs, *, success_pays: bool) -> str | None:
    """Flag a reward that a random policy earns as well, decided on pairs with the same start.

    A policy that has merely not learnt much differs from a random one episode by episode, even
    where their means agree. So "random scores as well" is not asked of the means alone; it is
    flagged when, from the same starts,

    - returns differ by at most 5 % of their size on average (a constant, a timer, a bonus for
      starting, a large offset with the task as its small change); or
    - all steps that both plays were in are paid alike, so that actions decide at most when an
      episode ends (a constant where episodes end), or rewards that vary agree for five steps and
      more, until the first episode of all ends and with it the pairing (rewards drawn or counted);
      and random's mean is short by at most 10 %, or success does not pay. The last spares tasks of
      staying alive, where it is right that time alone is paid.

    Where no episode of either play is paid for anything but passing time, as with a goal that
    nobody has found yet, it is flagged too: random does score as well then.
    """
    same_return = np.abs(pairs.difference).mean() <= _SAME_SHARE * pairs.size
    same_steps = all(_paid_alike(*play) for play in pairs.plays)
    drawn = all(_drawn_alike(*play) for play in pairs.plays)
    no_gain = pairs.random_is_as_good or not success_pays
    if same_return or (no_gain and (same_steps or drawn)):
        how = "the same" if same_return else "alike step by step"
        return (
            f"{POLICY_INDEPENDENT}: random actions are paid {how} from the same starts (mean "
            f"return {pairs.random.mean():.4f}, the trained policy's {pairs.trained.mean():.4f})"
        )
    return None


def _paid_alike(trained: Play, random: Play) -> bool:
    """Are all steps that both first episodes were in paid alike?"""
    steps = min(len(trained.rewards), len(random.rewards))
    a, b = trained.head(steps), random.head(steps)
    both = a.live & b.live
    return bool((a.rewards == b.rewards)[both].all())


def _drawn_alike(trained: Play, random: Play) -> bool:
    """Do rewards vary and yet agree until the first episode ends in either play?"""
    steps = min(_steps_before_an_end(trained), _steps_before_an_end(random))
    if steps < _IN_STEP:
        return False
    rewards = trained.rewards[:steps]
    return bool(np.ptp(rewards) > 0 and (rewards == random.rewards[:steps]).all())


def _steps_before_an_end(play: Play) -> int:
    ended = np.asarray(play.done.any(axis=1))
    return int(ended.argmax()) if ended.any() else len(ended)


def _nondeterministic(seed: Evidence) -> str | None:
    """Flag rewards or ends that differ when the same actions are played from the same seed."""
    first = _first_difference(seed.trained, seed.replayed, exact=seed.exact)
    if first is None:
        return None
    return (
        f"{NONDETERMINISTIC}: the same actions from the same seed were rewarded differently, first "
        f"at step {first + 1}"
    )


def _identical_starts(seeds: Sequence[Evidence]) -> str | None:
    """Flag an environment that its seed does not touch: same observations, rewards and ends.

    Equal first observations alone are no proof (a task may begin with an empty view), so the same
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


def _success_contradicts(seeds: Sequence[Evidence], pairs: _Pairs) -> str | None:
    """Flag a success that the reward does not share.

    Episodes that succeed must not clearly earn less than those that fail (five of each, three
    standard errors); and where a random policy nearly always succeeds, the trained one must not
    clearly earn more than it: either there is nothing to learn or success is no success.
    """
    random_solved = np.concatenate([seed.random.solved for seed in seeds])
    returns = np.concatenate([*(s.returns for s in seeds), *(s.random.returns for s in seeds)])
    solved = np.concatenate([*(s.solved for s in seeds), random_solved])
    good, bad = returns[solved], returns[~solved]
    if min(len(good), len(bad)) >= 5:
        spread = np.sqrt(good.var(ddof=1) / len(good) + bad.var(ddof=1) / len(bad))
        loss = float(bad.mean() - good.mean())
        if loss > _CLEARLY * spread and loss > 1e-6:
            return f"{SUCCESS_CONTRADICTS}: episodes that succeed earn {loss:.4f} less than others"
    if random_solved.mean() >= 0.95 and len(random_solved) >= 16 and pairs.trained_is_better:
        return (
            f"{SUCCESS_CONTRADICTS}: random actions succeed in {random_solved.mean():.0%} of their "
            f"episodes, and yet earn {pairs.difference.mean():.4f} less than the trained policy"
        )
    return None


def _budget_exceeded(work: Work) -> str | None:
    """Flag training beyond what the budget gives: steps, threads, or time before it begins.

    Threads may be there and wait, for files say; what they compute beside the training counts. It
    is measured in processor time, which means the same on a busy machine.
    """
    if work.env_steps > work.allowed_steps:
        detail = f"{work.env_steps} training steps where {work.allowed_steps} are allowed"
    elif work.threads > 1:
        detail = f"torch ran on {work.threads} threads, and has one"
    elif work.beside_s > max(_BESIDE_SLACK_S, _BESIDE * work.main_s):
        detail = (
            f"{work.beside_s:.2f} s of processor time in other threads and processes, beside "
            f"{work.main_s:.2f} s in its own"
        )
    elif work.build_s > max(_BUILD_SLACK_S, work.train_s):
        detail = f"{work.build_s:.2f} s to build policy and environment, longer than the training"
    else:
        return None
    return f"{BUDGET_EXCEEDED}: {detail}"


def _first_difference(one: Play, other: Play, *, exact: bool) -> int | None:
    """Return the first step at which the first episodes of two plays differ, or None."""
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
