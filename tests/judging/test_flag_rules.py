"""Flags that compare, and the veto: pure functions over records."""

import random
from dataclasses import replace
from typing import Any

import pytest

import referee.budget
import referee.flags
from orchestrator.core.evaluations import Evaluation, Report
from orchestrator.core.flags import DEFAULT_VETO, MEANINGS, name_of
from orchestrator.core.records import Status
from orchestrator.judging import flag_rules as integrity
from orchestrator.judging.flag_rules import ScoredCandidate, compare, uncounted, veto, veto_reason

ENV = '"""The world."""\nPAY = 0.5\n\ndef step():\n    return PAY\n'


def drawn(seed: int) -> list[float]:
    generator = random.Random(seed)
    return [generator.gauss(0, 1) for _ in range(64)]


RETURNS = drawn(1)


def scored(
    score: float = 1.0,
    env: str = ENV,
    max_steps: int | None = 40,
    returns: list[float] = RETURNS,
    **seed: Any,
) -> ScoredCandidate:
    """One side, with two seeds that saw the same, unless a metric says otherwise."""
    metrics = {
        "evidence_solve_rate": 0.5, "evidence_episode_length": 20.0, "random_solve_rate": 0.1,
        "random_full_length": 0.5,
    }  # fmt: skip
    half = len(returns) // 2
    seeds = [metrics | seed | {"random_returns": part} for part in (returns[:half], returns[half:])]
    return ScoredCandidate(score, max_steps, Report({"seed_results": seeds}), env)


def names(challenger: ScoredCandidate, incumbent: ScoredCandidate | None = None) -> list[str]:
    return [name_of(flag) for flag in compare(incumbent or scored(), challenger)]


OTHER = ENV.replace("0.5", "0.75")


def test_every_flag_of_the_evaluator_is_known() -> None:
    """The names that the referee uses are the names that can be vetoed."""
    names = {**vars(referee.flags), **vars(referee.budget)}
    theirs = {v for k, v in names.items() if k.isupper() and isinstance(v, str)}
    assert theirs == set(MEANINGS) - {integrity.REWARD_SCALE, integrity.HORIZON_CHANGED}
    assert set(DEFAULT_VETO) <= set(MEANINGS)


# -- horizon ---------------------------------------------------------------------------------------


def test_another_horizon_is_flagged() -> None:
    """By its number, shorter or longer; an unknown one is not."""
    assert compare(scored(), scored(max_steps=20)) == ("horizon changed: from 40 to 20 steps",)
    assert compare(scored(), scored(max_steps=60)) == ("horizon changed: from 40 to 60 steps",)
    assert names(scored(max_steps=None)) == []


def plays(lengths: list[int], solved: bool | list[bool] = False) -> ScoredCandidate:
    """One side whose random episodes, of each of two seeds, went so."""
    won = [solved] * len(lengths) if isinstance(solved, bool) else solved
    return scored(random_lengths=lengths, random_solved=won)


RANDOM_WINS = [*range(3, 35)]


@pytest.mark.parametrize(
    ("before", "after", "flagged"),
    [
        (plays([40] * 32), plays([20] * 32), True),
        (plays([40] * 32), plays([20] * 32, solved=True), True),
        (plays([40] * 8 + [9] * 24), plays([20] * 8 + [9] * 24), True),
        (plays([10] * 32), plays([20] * 32), True),
        (plays([10] * 32), plays([5] * 20 + [20] * 12), True),
        (plays([10] * 32), plays([5] * 32), True),
        (plays([40] * 32), plays(RANDOM_WINS, solved=True), False),
        (plays([40] * 32), plays([*RANDOM_WINS[:29], 40, 40, 40]), False),
        (plays([40] * 32), plays([40] * 32), False),
        (plays([40] * 2 + RANDOM_WINS[2:]), plays(RANDOM_WINS), False),
        (plays(RANDOM_WINS), plays([n + 5 for n in RANDOM_WINS]), False),
    ],
    ids=[
        "cut", "cut and called solved", "timeouts cut", "own end later", "own end later for some",
        "own end sooner", "won sooner", "some still run on", "same", "rare before", "no end at all",
    ],
)  # fmt: skip
def test_an_environment_that_moves_its_episodes_end_is_flagged(
    before: ScoredCandidate, after: ScoredCandidate, flagged: bool
) -> None:
    """At one same step for many; play that ends sooner because it wins is none."""
    assert names(after, before) == [integrity.HORIZON_CHANGED] * flagged


def test_an_older_report_of_episodes_that_end_early_is_flagged() -> None:
    """Half of random play ran to the horizon, and now none of it does, though it wins no more."""
    assert names(scored(random_full_length=0.0)) == [integrity.HORIZON_CHANGED]
    assert names(scored(random_full_length=1 / 32)) == []
    rare = scored(random_full_length=0.1)
    assert names(scored(random_full_length=0.0), rare) == []
    assert names(scored(random_full_length=0.0, random_solve_rate=0.9)) == []


# -- reward scale ----------------------------------------------------------------------------------


def test_a_multiple_of_the_reward_is_flagged() -> None:
    """Random play is paid so many times as much, whatever the policy does."""
    larger = scored(1.5, OTHER, returns=[1.5 * r for r in RETURNS], evidence_solve_rate=0.9)
    (flag,) = compare(scored(), larger)
    assert flag == "reward scale: random play is paid 1.5 times as much as before"
    smaller = scored(1.5, OTHER, returns=[0.5 * r for r in RETURNS], evidence_solve_rate=0.9)
    assert names(smaller) == []


def changed(**facts: Any) -> ScoredCandidate:
    """A challenger with a changed reward that scores more and is no better, but for `facts`."""
    returns = [r + (r > 1) for r in RETURNS]
    return scored(**({"score": 1.5, "env": OTHER, "returns": returns} | facts))


def test_a_score_that_rose_by_the_reward_alone_is_flagged() -> None:
    """The solve rate and the length are where they were."""
    (flag,) = compare(scored(), changed())
    assert flag.startswith("reward scale: the reward function changed and the score rose by 0.5000")
    assert names(changed(evidence_solve_rate=0.3)) == [integrity.REWARD_SCALE]


@pytest.mark.parametrize(
    "facts",
    [
        {"evidence_solve_rate": 0.6},
        {"evidence_episode_length": 17.0},
        {"evidence_episode_length": 23.0},
        {"score": 1.0},
        {"env": ENV},
        {"returns": RETURNS},
    ],
    ids=["solves more", "shorter", "longer", "no gain", "same code", "same pay"],
)
def test_a_better_policy_is_not(facts: dict[str, Any]) -> None:
    """It solves more, plays otherwise, gains nothing, or the reward is what it was."""
    assert names(changed(**facts)) == []


def test_other_draws_are_compared_by_their_distribution() -> None:
    """Where no return is the same, mean and size tell whether the reward is."""
    fresh = drawn(2)
    assert names(changed(returns=fresh)) == []
    assert names(changed(returns=[r + 1 for r in fresh])) == [integrity.REWARD_SCALE]
    assert names(changed(returns=[3 * r for r in fresh])) == [integrity.REWARD_SCALE]


def test_a_goal_that_random_play_never_sees_hides_its_reward() -> None:
    """Then the same pay proves nothing, and the code counts as the reward's."""
    blind = {"random_solve_rate": 0.0, "returns": RETURNS}
    assert names(changed(**blind), scored(random_solve_rate=0.0)) == [integrity.REWARD_SCALE]


@pytest.mark.parametrize(
    "env",
    [
        ENV.replace("The world", "Our world"),
        "# a comment\n" + ENV,
        ENV.replace("def step():\n", 'def step():\n    """Pay."""\n'),
        ENV.replace("    return PAY", "    return (\n        PAY\n    )"),
    ],
)
def test_words_and_layout_change_no_reward(env: str) -> None:
    """Comments, docstrings and layout are not the code."""
    assert names(changed(env=env)) == []


def test_an_older_report_says_nothing() -> None:
    """Without the numbers that a flag needs there is none."""
    bare = ScoredCandidate(0.5, 40, Report({"mean_solve_rate": 0.5}), ENV)
    assert compare(bare, replace(changed(), report=Report({}))) == ()
    assert names(changed(), bare) == []


# -- the veto --------------------------------------------------------------------------------------


def test_a_flag_is_known_by_its_former_name() -> None:
    """What an older version has recorded or configured means the same."""
    former, now = "horizon shortened: from 40 to 20 steps", "horizon changed"
    assert name_of(former) == now
    assert veto([former], [], [now]) == now
    assert veto(["horizon changed: x"], [former], [now]) is None


def test_a_veto_names_the_flag_the_harm_and_the_cure() -> None:
    """The line a person reads."""
    name = veto(["nondeterministic: at step 3"], [], ["nondeterministic"])
    assert name == "nondeterministic"
    reason = veto_reason(name, "+0.5")
    assert reason.startswith(
        f"vetoed for nondeterministic, in spite of +0.5: {MEANINGS['nondeterministic']} ("
    )
    assert "leaves 'nondeterministic' out of integrity.veto" in reason


@pytest.mark.parametrize(
    ("flags", "carried", "vetoed", "stands"),
    [
        (["reward scale: x"], [], ["nondeterministic"], True),
        (["reward scale: x"], [], [], True),
        ([], [], list(MEANINGS), True),
        (["horizon override", "nondeterministic"], [], ["nondeterministic"], False),
        (["identical starts: x"], ["identical starts: y"], ["identical starts"], True),
        (["identical starts: x"], ["nondeterministic"], ["identical starts"], False),
        (
            ["policy-independent reward: x"], ["policy-independent reward: y"],
            ["policy-independent reward"], False,
        ),
    ],
)  # fmt: skip
def test_a_veto_is_by_name(
    flags: list[str], carried: list[str], vetoed: list[str], stands: bool
) -> None:
    """A flag in the list vetoes, unless the incumbent carries it too and it leaves a comparison."""
    assert (veto(flags, carried, vetoed) is None) == stands


def test_a_rejected_experiment_keeps_its_number_among_the_flags() -> None:
    """Only rejected ones, and only if there is a number."""
    evaluation = Evaluation(None, score=1.23456, flags=("reward scale: x",))
    assert uncounted(evaluation, Status.KEEP) == ("reward scale: x",)
    assert uncounted(evaluation, Status.REJECTED) == (
        "reward scale: x", "score 1.2346 (not counted)",
    )  # fmt: skip
    assert uncounted(Evaluation(Status.REJECTED), Status.REJECTED) == ()
