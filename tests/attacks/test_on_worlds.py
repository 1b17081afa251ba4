"""Every attack on the score works where the world is in reach, and none does with the referee."""

import dataclasses
from collections.abc import Iterator
from types import ModuleType

import pytest
import torch

from referee.generators import move_on
from referee.seeds import PhaseSeeds
from simverse.core.config import EnvConfig
from tests.attacks.on_worlds import ON_WORLDS
from tests.attacks.worlds_paying import everyone, pays
from tests.attacks.worlds_template import ENVS, HONEST_SCORE, TASK, Change, WorldAttack
from tests.attacks.worlds_trial import KEY, WorldTrial

# What the world pays is known: 0.5, 1 or -1 by its hidden answers and the action, which the policy
# chooses by the numbers that it sees, whatever it has learnt.
FIXED: tuple[Change, ...] = (
    (
        "logits = self.logits(hidden)",
        "choice = (obs[:, 0, 0, 0] * 997).long() % 4\n"
        "        logits = self.logits(hidden) * 0 + nn.functional.one_hot(choice, 4)",
    ),
)


@pytest.fixture(scope="module")
def trial() -> Iterator[WorldTrial]:
    with WorldTrial() as trial:
        yield trial


def _case(attack: WorldAttack) -> object:
    marks = [pytest.mark.long_form] if attack.is_long else []
    return pytest.param(attack, id=attack.name, marks=marks)


@pytest.mark.parametrize("attack", [_case(attack) for attack in ON_WORLDS])
def test_an_attack_on_a_world_earns_nothing(trial: WorldTrial, attack: WorldAttack) -> None:
    """It works where it is shown to, or the test is vacuous; with the referee every promise holds."""
    found = trial.withstand(attack)
    assert not found.violations, found.violations
    if not found.shown and attack.optional:
        pytest.skip(f"it is harmless, but elsewhere too: {attack.optional}")
    assert found.shown, f"it did not work where it should: {found.outcome.text[:500]}"


def _returns(trial: WorldTrial, env: tuple[Change, ...], **more: object) -> list[list[float]]:
    attack = WorldAttack(name="fixed", attempts="nothing", env=env, train=FIXED)
    outcome = trial.evaluate(dataclasses.replace(attack, **more))  # type: ignore[arg-type]
    assert outcome.status == "scored", outcome.text
    seeds = outcome.metrics["seed_results"]
    return [[*seed["episode_returns"], *seed["evidence_returns"]] for seed in seeds]


def test_what_shaping_pays_changes_no_return(trial: WorldTrial) -> None:
    """Where the policy plays the same, each episode's return is the same to the bit."""
    plain = _returns(trial, ())
    assert len({value for seed in plain for value in seed}) > 3
    for env in (everyone("1e3"), pays("-7 * reward"), pays("{'a': reward * 0, 'b': -reward}")):
        assert _returns(trial, env) == plain


def test_the_score_is_the_sum_of_the_worlds_rewards(trial: WorldTrial) -> None:
    """A loop of our own, with the same seed and the same choices, adds up to it to the bit."""
    module = ModuleType("world")
    exec(TASK, module.__dict__)
    seeds = PhaseSeeds(KEY, 101)
    seed = seeds.of("evaluate")
    world = module.create_world(EnvConfig(num_envs=ENVS, max_steps=5, seed=seed), num_envs=ENVS)
    move_on(world, seeds.secret("evaluate"))
    view, returns = world.reset(), torch.zeros(ENVS, dtype=torch.float64)
    for _ in range(world.max_steps):
        choices = (view["noise"][:, 0] * 997).long() % 4
        view, reward, _, _ = world.step(choices)
        returns += reward.double()
    assert _returns(trial, everyone("1e3")) == [returns.tolist()]


def test_no_hidden_field_is_in_what_an_observer_gets(trial: WorldTrial) -> None:
    """In evaluation a view has the fields that the world shows, as copies with nothing behind them."""
    attack = WorldAttack(
        name="look",
        attempts="tells what it gets",
        code="""
        behind = {name: value.untyped_storage().nbytes() for name, value in given.items()}
        assert list(given) == ["noise", "steps", "done"], list(given)
        assert behind["noise"] == 16 * 2 * 4, behind
        assert all(value._base is None for value in given.values())
        LOOKED.append(True)
        """,
        strikes="each observe in evaluation",
        env=(
            ("#prelude#", "LOOKED = []\n#prelude#"),
            ("    seen = torch.cat", "    assert LOOKED or not evaluating()\n    seen = torch.cat"),
        ),
    )
    outcome = trial.evaluate(attack)
    assert outcome.status == "scored", outcome.text
    assert outcome.score == HONEST_SCORE
