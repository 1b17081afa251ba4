"""What holds for the starter canvas and for every example alike."""

import pytest
import torch

from orchestrator.agents.optuna_search import find_tunables
from orchestrator.config.loading import load_config
from simverse.testing import check_env
from simverse.training.config import PPOConfig

from .helpers import (
    EXAMPLES,
    HORIZONS,
    ROOT,
    env_module,
    folder,
    load,
    make_env,
    play_episodes,
    random_policy,
)

EVERYTHING = ("canvas", *EXAMPLES)
OVERRIDES = set(
    "batch_size buffer_size clip_epsilon entropy_coef gae_lambda gamma lr max_grad_norm "
    "normalize_advantages torch_fastpath training_epochs max_steps".split()
)


@pytest.mark.parametrize("name", EVERYTHING)
def test_keeps_the_environment_contract(name: str) -> None:
    """The conformance check finds no problem and nothing worth a note."""
    report = check_env(
        env_module(name).create_env, num_envs=16, max_steps=HORIZONS.get(name, 20), reward_bound=1.0
    )
    assert report.notes == ()
    assert report.finished == 16


@pytest.mark.system
@pytest.mark.parametrize("name", EVERYTHING)
def test_rewards_and_observations_stay_within_their_bounds(name: str) -> None:
    """Over tens of thousands of random steps no reward leaves [-1, 1], no observation its space."""
    env = make_env(name, num_envs=100, seed=5)
    space, act = env.observation_space, random_policy(env)
    for episode in range(25):
        obs = env.reset()["obs"]
        for _ in range(env.max_steps):
            payload, reward, _, _ = env.step(act(obs))
            obs = payload["obs"]
            assert reward.abs().max() <= 1.0, episode
            assert obs.min() >= float(space.low.min())
            assert obs.max() <= float(space.high.max())


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_seed_decides_what_is_drawn(name: str) -> None:
    """The same seed gives the same starts, another seed gives others."""
    first, again = (make_env(name, seed=3).reset()["obs"] for _ in range(2))
    other = make_env(name, seed=4).reset()["obs"]
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    ("name", "buffer"), [("keydoor", "goal"), ("trading", "returns"), ("squad", "cover")]
)
def test_every_episode_is_drawn_anew(name: str, buffer: str) -> None:
    """Starts differ between sub-environments and from one reset to the next."""
    env = make_env(name)
    drawn = []
    for _ in range(2):
        env.reset()
        drawn.append(getattr(env, buffer).flatten(1).clone())
    assert len(torch.unique(drawn[0], dim=0)) > 10
    assert (drawn[0] != drawn[1]).any(dim=1).sum() > 20


@pytest.mark.parametrize("name", EVERYTHING)
def test_leaves_the_global_generator_alone(name: str) -> None:
    """Creating, resetting and stepping an environment draws nothing from torch's generator."""
    before = torch.random.get_rng_state()
    env = make_env(name)
    play_episodes(env, lambda obs: torch.zeros(len(obs), dtype=torch.int64))
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("name", EVERYTHING)
def test_describes_itself_in_one_line(name: str) -> None:
    """`describe()` is one line of its own."""
    text = make_env(name).describe()
    assert "\n" not in text
    assert 20 < len(text) < 100


@pytest.mark.parametrize("name", EVERYTHING)
def test_the_policy_and_its_settings_fit_the_evaluator(name: str) -> None:
    """`forward` gives logits and values of the right shape; the overrides are allowed ones."""
    env, train = make_env(name), load(name, "train")
    logits, value = train.build_policy(env.observation_space, env.action_space)(env.reset()["obs"])
    assert logits.shape == (32, env.action_space.n)
    assert value.shape == (32, 1)
    overrides = train.training_overrides(num_envs=32, max_steps=20, device="cpu")
    assert set(overrides) <= OVERRIDES
    PPOConfig.for_task(num_envs=32, **({"max_steps": 20} | overrides))


def test_there_is_nothing_to_tune_or_to_gain_on_the_canvas() -> None:
    """The starter has no constant for a search, and no reward or success for anybody."""
    assert find_tunables((folder("canvas") / "train.py").read_text()) == []
    env = make_env("canvas")
    returns, succeeded = play_episodes(env, random_policy(env))
    assert not returns.any()
    assert not succeeded.any()


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_embedded_search_finds_constants_to_tune(name: str) -> None:
    """Every constant but the horizon can be tuned, and its shipped value lies in its range."""
    tunables = {t.name: t for t in find_tunables((folder(name) / "train.py").read_text())}
    train = load(name, "train")
    constants = {key for key in vars(train) if key.isupper()}
    assert set(tunables) == constants - {"MAX_STEPS"}
    assert all(t.low <= t.value <= t.high for t in tunables.values())


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_config_pins_the_horizon_and_the_bound(name: str) -> None:
    """`config.yaml` is valid, and its horizon is the one the candidate declares."""
    config = load_config(ROOT / "examples" / name / "config.yaml", environment={})
    assert config.task.max_steps == HORIZONS[name] == load(name, "train").MAX_STEPS
    assert config.evaluator.reward_bound == 1.0
    assert config.budget.ladder[0] == (12, 8)


@pytest.mark.parametrize("name", EXAMPLES)
def test_more_than_one_way_to_finish_is_shown(name: str) -> None:
    """Trading stays frozen once finished, the other two reset themselves."""
    env = make_env(name, num_envs=8)
    env.reset()
    for _ in range(env.max_steps):
        payload, _, _, _ = env.step(torch.zeros(8, dtype=torch.int64))
    frozen = "done" in payload and bool(payload["done"].all())
    assert frozen == (name == "trading")
