"""Which flags follow from the referee's observations: pure functions over arrays."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from referee import flags
from referee.budget import BUDGET_EXCEEDED, Work
from referee.episodes import Rollout
from referee.flags import Observations, find_flags

STEPS, SLOTS = 12, 32
WORK = Work(
    env_steps=100, allowed_steps=100, threads=1, main_s=1.0, beside_s=0.0, build_s=0.1, train_s=0.5
)


def rollout(rewards: Any, length: Any = STEPS, solved: Any = False) -> Rollout:
    """A play whose slots end after `length` steps, where they have succeeded if `solved`."""
    rewards = np.broadcast_to(np.asarray(rewards, dtype=float), (STEPS, SLOTS)).copy()
    at = np.arange(1, STEPS + 1)[:, None]
    done = np.broadcast_to(at == np.broadcast_to(length, SLOTS), (STEPS, SLOTS))
    return Rollout(rewards, done, done & np.broadcast_to(solved, SLOTS))


def observe(trained: Rollout, random: Rollout, **changes: Any) -> Observations:
    others: dict[str, Any] = {
        "replayed": trained, "elsewhere": None, "returns": trained.returns,
        "solved": trained.solved, "exact": True, "work": WORK,
    }  # fmt: skip
    return Observations(trained=trained, random=random, **(others | changes))


def names(*seeds: Observations) -> list[str]:
    return [flag.partition(":")[0] for flag in find_flags(seeds)]


def noise(seed: int, size: float = 1.0) -> np.ndarray:
    return size * np.random.default_rng(seed).normal(size=(STEPS, SLOTS))


HONEST = observe(rollout(noise(1) + 0.2), rollout(noise(2)))


# -- policy-independent reward ---------------------------------------------------------------------


def test_the_honest_raise_nothing() -> None:
    """Rewards that hinge on actions, one thread, a seed that matters: no flag."""
    assert names(HONEST) == []


def test_a_policy_that_has_not_learnt_is_not_flagged() -> None:
    """Equal means are no proof: episode by episode the two are paid differently."""
    assert names(observe(rollout(noise(1)), rollout(noise(2)))) == []
    assert names(observe(rollout(noise(1) - 0.2), rollout(noise(2)))) == []


@pytest.mark.parametrize(
    "rewards",
    [0.5, -0.01, 0.0, np.arange(STEPS)[:, None] / STEPS, np.eye(STEPS, SLOTS), noise(3)],
    ids=["constant", "cost", "nothing", "timer", "start", "drawn"],
)
def test_what_pays_random_actions_the_same_is_flagged(rewards: Any) -> None:
    """Constant, timer, a bonus for starting or numbers drawn: the returns are the same."""
    assert names(observe(rollout(rewards), rollout(rewards))) == [flags.POLICY_INDEPENDENT]


def test_a_task_as_the_small_change_of_an_offset_is_flagged() -> None:
    """Within 5 % of its size the return does not hinge on the policy."""
    small, large = noise(1, 0.05), noise(2, 0.05)
    assert names(observe(rollout(2 + small), rollout(2 + large))) == [flags.POLICY_INDEPENDENT]


def test_a_goal_that_was_found_once_is_no_constant() -> None:
    """A cost a step and a rare goal, which only random play found: not learnt, but honest."""
    cost, found = np.full((STEPS, SLOTS), -0.01), np.full((STEPS, SLOTS), -0.01)
    found[-1, 0] = 0.9
    assert names(observe(rollout(cost), rollout(found))) == []


def test_time_alone_is_paid_where_episodes_end() -> None:
    """Random ends at other times, but no reward hinges on an action and none is gained."""
    lengths = np.arange(SLOTS) % STEPS + 1
    assert names(observe(rollout(0.5, lengths), rollout(0.5, lengths[::-1]))) == [
        flags.POLICY_INDEPENDENT
    ]


def test_staying_alive_is_a_task() -> None:
    """The same pay for time, but the trained policy lives longer and that is its success."""
    lengths = np.arange(SLOTS) % 4 + 1
    assert names(observe(rollout(0.5, solved=True), rollout(0.5, lengths))) == []


def test_stalling_is_not() -> None:
    """The same pay for time where success ends it: flagged, as is the success that costs."""
    ends = observe(rollout(0.5), rollout(0.5, np.arange(SLOTS) % 4 + 1, solved=True))
    assert names(ends) == [flags.POLICY_INDEPENDENT, flags.SUCCESS_CONTRADICTS]


def test_drawn_rewards_are_known_while_the_draws_are_in_step() -> None:
    """After the first end the draws differ; until then they agree, whatever the actions."""
    drawn, lengths = np.abs(noise(1)), np.full(SLOTS, STEPS)
    lengths[0] = 7
    other = drawn.copy()
    other[7:] = np.abs(noise(2))[7:]
    assert names(observe(rollout(drawn), rollout(other, lengths))) == [flags.POLICY_INDEPENDENT]
    other[3] += 0.01
    assert names(observe(rollout(drawn), rollout(other, lengths))) == []


def test_all_seeds_are_judged_together() -> None:
    """One seed that did not learn beside one that did is no flag."""
    unsolved = observe(rollout(-0.01), rollout(-0.01))
    assert names(unsolved, HONEST) == []
    assert names(unsolved, unsolved) == [flags.POLICY_INDEPENDENT]


# -- the others ------------------------------------------------------------------------------------


def test_a_replay_that_differs_is_nondeterministic() -> None:
    """One reward of one slot's first episode, or one end; what comes after the end is no matter."""
    rewards = HONEST.trained.rewards.copy()
    rewards[4, 7] += 1e-12
    (flag,) = find_flags([replace(HONEST, replayed=rollout(rewards))])
    assert flag.startswith(f"{flags.NONDETERMINISTIC}: ")
    assert flag.endswith("first at step 5")
    assert names(replace(HONEST, replayed=rollout(rewards), exact=False)) == []
    ended = rollout(HONEST.trained.rewards, 3)
    assert names(replace(HONEST, replayed=ended)) == [flags.NONDETERMINISTIC]
    rewards[4, 7] = np.nan
    assert names(replace(HONEST, trained=ended, replayed=rollout(rewards, 3))) == []


def test_a_replay_may_be_shorter() -> None:
    """Only the steps that were played again are compared."""
    assert names(replace(HONEST, replayed=HONEST.trained.head(4))) == []


def test_a_seed_that_changes_nothing_is_identical_starts() -> None:
    """The same observations, rewards and ends from another seed; any difference clears it."""
    replayed = replace(HONEST.trained, digest=1)
    same = replace(HONEST, replayed=replayed, elsewhere=replayed)
    assert names(same) == [flags.IDENTICAL_STARTS]
    assert names(replace(same, elsewhere=replace(replayed, digest=2))) == []
    assert names(replace(same, elsewhere=replace(rollout(noise(5)), digest=1))) == []
    assert names(same, HONEST) == []


def test_success_that_costs_is_flagged() -> None:
    """Episodes that succeed earn clearly less than others."""
    good = np.arange(SLOTS) % 2 == 0
    costs = rollout(noise(1, 0.1) - 0.2 * good, solved=good)
    assert names(observe(costs, rollout(noise(2)))) == [flags.SUCCESS_CONTRADICTS]
    pays = rollout(noise(1, 0.1) + 0.2 * good, solved=good)
    assert names(observe(pays, rollout(noise(2)))) == []


def test_success_for_everybody_is_flagged_where_there_is_something_to_learn() -> None:
    """Random actions always succeed, and yet earn less than the trained policy."""
    trained, random = rollout(noise(1) + 1, solved=True), rollout(noise(2), solved=True)
    assert names(observe(trained, random)) == [flags.SUCCESS_CONTRADICTS]
    assert names(observe(random, random)) == [flags.POLICY_INDEPENDENT]
    assert names(observe(rollout(noise(3), solved=True), random)) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"env_steps": 101}, "101 training steps where 100 are allowed"),
        ({"threads": 2}, "torch ran on 2 threads"),
        ({"beside_s": 0.4}, "0.40 s of processor time in other threads and processes"),
        ({"build_s": 2.1}, "2.10 s to import and build"),
        ({"main_s": 6.5, "acting_s": 5.5}, "5.50 s of processor time while its policy was"),
    ],
)
def test_more_than_the_budget_is_flagged(change: dict[str, Any], says: str) -> None:
    """Steps, threads, time beside the training and before the training, each by its number."""
    (flag,) = find_flags([replace(HONEST, work=replace(WORK, **change))])
    assert flag.startswith(f"{BUDGET_EXCEEDED}: ")
    assert says in flag


def test_a_long_evaluation_may_take_its_time() -> None:
    """What a policy may compute while it is evaluated goes by the steps that it plays."""
    work = replace(WORK, main_s=21.0, acting_s=20.0)
    assert find_flags([replace(HONEST, work=work)])
    assert not find_flags([replace(HONEST, work=replace(work, acting_steps=1200))])


@pytest.mark.parametrize(
    "change",
    [
        {"beside_s": 0.15, "main_s": 0.01},
        {"beside_s": 0.29},
        {"build_s": 1.9},
        {"build_s": 3.0, "train_s": 4.0},
    ],
)
def test_clocks_are_not_taken_at_their_word(change: dict[str, Any]) -> None:
    """A little processor time beside the training, or a build shorter than the training, is no flag."""
    assert names(replace(HONEST, work=replace(WORK, **change))) == []


# -- scored play that pays more --------------------------------------------------------------------


def audited(seed: int, gain: float, *, shared: float = 0.0) -> Observations:
    """One seed whose scored batch pays `gain` more; `shared` is drawn once for a whole batch."""
    draw = np.random.default_rng(seed)
    scored, other = (draw.normal(size=SLOTS) + shared * draw.normal() for _ in range(2))
    return replace(HONEST, scored_returns=scored + gain, audited_returns=other)


def test_scored_batches_that_pay_more_are_flagged() -> None:
    """Beyond what the seeds and the episodes differ by chance."""
    (flag,) = find_flags([audited(seed, 2.0) for seed in range(6)])
    assert flag.startswith(f"{flags.SCORED_PAYS_MORE}: the scored batches pay the policy ")
    assert names(*(audited(seed, -2.0) for seed in range(6))) == []
    assert names(audited(1, 2.0)) == []


def test_a_replay_that_differs_beyond_the_recorded_slots_is_nondeterministic() -> None:
    """All slots' episodes are compared by their returns, lengths and ends, and observations."""
    (flag,) = find_flags([replace(HONEST, repeats=False)])
    assert (
        flag
        == f"{flags.NONDETERMINISTIC}: the same actions from the same seed led to other episodes or "
        "observations"
    )
