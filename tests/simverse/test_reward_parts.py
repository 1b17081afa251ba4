"""`info["reward_parts"]`: summed over trained episodes, whatever it holds, and never in the way."""

from typing import Any

import pytest
import torch
from torch import Tensor

from simverse.core.config import EnvConfig
from simverse.envs.grid_goal import GridGoal
from simverse.part_names import MAX_PARTS, is_part_name
from simverse.testing import ConformanceError, check_env
from simverse.training.ppo import train
from simverse.training.stats import EpisodeStats
from simverse.training.tally import explained_variance
from tests.simverse.fakes import LinearCritic, ScriptedEnv, config

REWARDS = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]]
DONES = [[0, 0], [1, 0], [0, 0], [0, 0]]


class Parted(ScriptedEnv):
    """Tells parts of its rewards, in one live buffer; a test decides how."""

    def __init__(self, parts: Any) -> None:
        super().__init__(REWARDS, DONES)
        self.parts = parts
        self.buffer = torch.zeros(2)

    def step(self, actions: Tensor) -> tuple[Any, Tensor, Tensor, dict[str, Any]]:
        payload, reward, done, info = super().step(actions)
        self.buffer.copy_(reward)
        return payload, reward, done, info | {"reward_parts": self.parts(self.buffer, self.taken)}


def trained(parts: Any, **changes: Any) -> EpisodeStats:
    (stats,) = train(Parted(parts), LinearCritic(), config(**changes), episodes=1, seed=0)
    return stats


@pytest.mark.parametrize("buffer_size", [1024, 4])
def test_parts_are_summed_up_to_the_first_end(buffer_size: int) -> None:
    """As the return is; in one segment or several, of a live buffer, of any number type."""
    stats = trained(
        lambda reward, step: {
            "all": reward, "half": reward.double() / 2, "steps": torch.ones(2, dtype=torch.int64),
            "first": torch.full((2,), step == 1),
        },
        buffer_size=buffer_size,
    )  # fmt: skip
    assert stats.mean_return == (1 + 3 + 2 + 4 + 6 + 8) / 2
    assert stats.reward_parts == {
        "all": stats.mean_return, "half": stats.mean_return / 2, "steps": 3.0, "first": 1.0
    }  # fmt: skip


def test_a_part_that_is_missing_at_a_step_is_nothing_there() -> None:
    """The names are those of the first step that has any; one that comes later is left out."""
    by_step = {
        1: None, 2: {}, 3: {"a": torch.ones(2), "b": torch.ones(2)},
        4: {"c": torch.ones(2), "b": torch.ones(2)},
    }  # fmt: skip
    assert trained(lambda _reward, step: by_step[step]).reward_parts == {"a": 0.5, "b": 1.0}
    assert trained(lambda _reward, _step: None).reward_parts == {}


MALFORMED: dict[str, Any] = {
    "a number": 1,
    "a tensor": torch.ones(2),
    "a list": [torch.ones(2)],
    "a float": {"a": 0.5},
    "another length": {"a": torch.ones(3)},
    "another shape": {"a": torch.ones(2, 1)},
    "a complex number": {"a": torch.ones(2, dtype=torch.complex64)},
    "too many": {str(number): torch.ones(2) for number in range(MAX_PARTS + 1)},
    "no text": {1: torch.ones(2)},
    "no name": {"": torch.ones(2)},
    "a long name": {"x" * 41: torch.ones(2)},
    "a name in two lines": {"a\nb": torch.ones(2)},
    "good and bad": {"a": torch.ones(2), "b": None},
}


@pytest.mark.parametrize("parts", MALFORMED.values(), ids=MALFORMED)
def test_malformed_parts_are_dropped_and_named_by_the_check(parts: Any) -> None:
    """The training is none the worse for them."""
    good = trained(lambda reward, _step: {"a": reward})
    for at in (1, 3):
        stats = trained(lambda reward, step, at=at: parts if step == at else {"a": reward})
        assert stats.reward_parts == {} or at == 3  # later on, what is new is merely left out
        assert (stats.mean_return, stats.entropy) == (good.mean_return, good.entropy)
    (problem,) = problems(parts)
    assert problem.startswith("info['reward_parts']")


def problems(parts: Any, num_envs: int = 2) -> tuple[str, ...]:
    """Return what the conformance check says of an environment with these parts."""

    class Env(GridGoal):
        def step(self, actions: Any) -> Any:
            payload, reward, done, info = super().step(actions)
            return payload, reward, done, info | {"reward_parts": parts}

    def create_env(conf: EnvConfig, *, num_envs: int, device: str, dtype: torch.dtype) -> Env:
        return Env(conf, num_envs=num_envs, device=device, dtype=dtype)

    try:
        check_env(create_env, num_envs=num_envs)
    except ConformanceError as error:
        return error.problems
    return ()


def test_the_check_passes_good_parts_and_names_what_is_not_finite() -> None:
    """Integers and flags are numbers too; none at all is fine."""
    flags = {"a": torch.ones(2), "b": torch.ones(2, dtype=torch.bool), "Größe": torch.ones(2).int()}
    assert problems(flags) == problems({}) == problems(None) == ()
    wrong = problems({"a": torch.tensor([0.0, float("nan")]), "b": torch.tensor([0.0, torch.inf])})
    assert wrong == (
        "info['reward_parts']['a'] is not finite", "info['reward_parts']['b'] is not finite"
    )  # fmt: skip


def test_parts_change_no_result() -> None:
    """The weights after a training are equal to the bit, with parts and without."""

    def weights(parts: Any) -> list[Tensor]:
        policy = LinearCritic(0.5, 0.1)
        train(Parted(parts), policy, config(batch_size=2), episodes=3, seed=1)
        return [parameter.detach().clone() for parameter in policy.parameters()]

    with_parts = weights(lambda reward, _step: {"a": reward, "b": reward * float("nan")})
    assert all(map(torch.equal, with_parts, weights(lambda _reward, _step: None)))


@pytest.mark.parametrize(
    ("values", "expected"),
    [([1.0, 2.0, 3.0], 1.0), ([5.0, 6.0, 7.0], 1.0), ([2.0, 2.0, 2.0], 0.0), ([3.0, 2.0, 1.0], -3.0)],
)  # fmt: skip
def test_explained_variance(values: list[float], expected: float) -> None:
    """All of it, an offset apart; none by a constant; less than none by the opposite."""
    returns = torch.tensor([1.0, 2.0, 3.0])
    assert float(explained_variance(torch.tensor(values), returns)) == pytest.approx(expected)
    assert float(explained_variance(torch.tensor(values), torch.ones(3))) == 0.0


def test_a_perfect_critic_explains_the_live_targets() -> None:
    """The observation counts the steps taken, so that it predicts what is left to earn."""
    env = ScriptedEnv([[0.0, 0.0], [0.0, 0.0], [1.0, 1.0]], [[0, 0], [0, 0], [1, 1]])
    exact = config(max_steps=3, gamma=1.0, gae_lambda=1.0)
    (stats,) = train(env, LinearCritic(0.0, 1.0), exact, episodes=1, seed=0)
    assert stats.explained_variance == 0.0  # every target is 1
    rewards = [[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]
    env = ScriptedEnv(rewards, [[0, 0], [0, 0], [1, 1]], marked=[[0, 0], [0, 0], [0, 0], [1, 1]])
    (stats,) = train(env, LinearCritic(-1.0, 3.0), exact, episodes=1, seed=0)
    assert stats.explained_variance == pytest.approx(1.0)


@pytest.mark.parametrize("name", ["a", "x" * 40, "key, door and time", "Größe"])
def test_names_that_can_be_shown(name: str) -> None:
    """Short and printable."""
    assert is_part_name(name)


@pytest.mark.parametrize("name", ["", "x" * 41, "a\n", "\x1b[31m", "\u202eabc", "\ud800", 1, None])
def test_names_that_cannot_be_shown(name: object) -> None:
    """They would break a line, a terminal or a prompt."""
    assert not is_part_name(name)
