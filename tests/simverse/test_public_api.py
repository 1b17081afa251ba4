"""What scripts and candidates written for the public simverse call."""

import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import simverse
from simverse.core.agent import SimAgent
from simverse.core.config import EnvConfig
from simverse.core.simulator import Simulator
from simverse.envs import grid_goal
from simverse.policies import RandomPolicy, SimplePolicy
from simverse.training.ppo import PPOTrainer
from simverse.training.stats import TrainingStats
from simverse.training.utils import (
    build_adam_optimizers,
    build_ppo_training_config,
    configure_torch_backend,
    resolve_torch_device,
)
from tests.simverse.fakes import LinearCritic, ScriptedEnv


class OneAgent(SimAgent):
    """An agent as public frameworks define theirs."""

    def __init__(self, agent_id, action_count, policy=None):
        super().__init__(
            name=f"agent_{agent_id}", action_space=np.arange(action_count), policy=policy
        )
        self.agent_id = agent_id

    def action(self, obs):
        return np.array([0])

    def info(self):
        return {"agent_id": float(self.agent_id)}

    def reset(self):
        pass

    def get_memory(self):
        return {}

    def current_state(self):
        return np.zeros(1)


def agent_factory(agent_id, policy, env):
    return OneAgent(agent_id, env.action_space.n, policy)


def settings(**changes):
    """Return settings for a tiny run, as a public framework builds them."""
    defaults = {
        "num_agents": 1,
        "num_envs": 4,
        "max_steps": 10,
        "episodes": 3,
        "training_epochs": 2,
        "lr": 1e-3,
        "batch_size": 16,
        "buffer_size": 40,
        "device": "cpu",
        "dtype": torch.float32,
    }
    return build_ppo_training_config(**(defaults | changes))


def run(seed=0, **trainer_options):
    """Train as a public framework does; return the policy, the environment and the statistics."""
    torch.manual_seed(seed)
    env = grid_goal.create_env(EnvConfig(num_envs=4, max_steps=10, seed=seed))
    policy = SimplePolicy(env.observation_space, env.action_space, hidden=16)
    chosen = settings()
    stats = TrainingStats()
    trainer = PPOTrainer(
        optimizers=build_adam_optimizers([policy], lr=chosen["lr"], device="cpu"),
        episodes=chosen["episodes"],
        training_epochs=chosen["training_epochs"],
        clip_epsilon=chosen["clip_epsilon"],
        gamma=chosen["gamma"],
        gae_lambda=chosen["gae_lambda"],
        stats=stats,
        config=dict(chosen),
        run_name="a-run",
        use_wandb=False,
        device="cpu",
        batch_size=chosen["batch_size"],
        buffer_size=chosen["buffer_size"],
        dtype=torch.float32,
        **trainer_options,
    )
    simulator = Simulator(
        env=env, num_agents=1, policies=[policy], loss_trainer=trainer, agent_factory=agent_factory
    )
    simulator.train(title="a candidate")
    return policy, env, stats


def test_simulator_and_trainer_train_a_policy():
    """The public way of wiring things trains the policy and records every episode's return."""
    torch.manual_seed(0)
    env = grid_goal.create_env(EnvConfig(num_envs=4, max_steps=10))
    untrained = SimplePolicy(env.observation_space, env.action_space, hidden=16)
    policy, env, stats = run()
    assert len(stats.episode_rewards) == len(stats.episodes) == 3
    assert all(np.isfinite(stats.episode_rewards))
    assert not torch.equal(policy.first.weight, untrained.first.weight)
    (agent,) = env.agents
    assert agent.get_policy() is policy


def test_global_seed_decides_a_run_without_its_own():
    """Without a seed in the config, torch's global one makes a run repeatable."""
    first, again, other = (run(seed)[2].episode_rewards for seed in (7, 7, 8))
    assert first == again
    assert first != other


def test_own_seed_wins_over_the_global_one():
    """A seed in the config decides the run."""

    def weights(global_seed):
        policy, env = LinearCritic(), ScriptedEnv([[1.0] * 4] * 3, [[0] * 4] * 3)
        torch.manual_seed(global_seed)
        PPOTrainer(config={"seed": 3, "max_steps": 3}).train(env, [OneAgent(0, 2, policy)])
        return policy.logits.detach()

    assert torch.equal(weights(1), weights(2))


def test_arguments_win_over_the_config():
    """The trainer's arguments and the config's remaining fields both reach PPO."""
    env = ScriptedEnv([[1.0] * 4] * 6, [[0] * 4] * 6)
    stats = TrainingStats()
    trainer = PPOTrainer(
        stats=stats,
        training_epochs=3,
        batch_size=8,
        config={"training_epochs": 99, "max_steps": 6, "something": "else"},
    )
    trainer.train(env, [OneAgent(0, 2, LinearCritic())])
    assert stats.episodes[0].updates == 3 * 3
    assert stats.episode_lengths == [6.0]


def test_horizon_may_come_from_the_environment():
    """Without `max_steps` in the config the environment's is used; with neither it is an error."""
    env = ScriptedEnv([[1.0]] * 6, [[0]] * 6)
    trainer, agents = PPOTrainer(), [OneAgent(0, 2, LinearCritic())]
    with pytest.raises(ValueError, match="max_steps"):
        trainer.train(env, agents)
    env.max_steps = 5
    trainer.train(env, agents)
    assert trainer.stats.episode_lengths == [5.0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": torch.float64}, "float32"),
        ({"optimizer": object(), "optimizers": {0: object()}}, "give one alone"),
    ],
)
def test_trainer_refuses_what_it_cannot_do(options, message):
    """What it can't do is refused when asked for, not ignored."""
    with pytest.raises(ValueError, match=message):
        PPOTrainer(**options)


def test_agents_that_do_not_fit_are_refused():
    """Another number of agents than the environment's and an agent without a policy are named."""
    env = ScriptedEnv([[1.0]], [[0]])
    trainer = PPOTrainer(config={"max_steps": 1})
    policy = LinearCritic()
    with pytest.raises(ValueError, match="has 1 agents, got 2"):
        trainer.train(env, [OneAgent(0, 2, policy), OneAgent(1, 2, policy)])
    with pytest.raises(ValueError, match="'agent_0' has no policy"):
        trainer.train(env, [OneAgent(0, 2)])


def test_simulator_shares_or_deals_out_policies():
    """One policy serves all agents, several one each; any other number is refused."""

    class Recorder:
        def train(self, env, agents, **options):
            self.policies = [agent.get_policy() for agent in agents]
            self.options = options

    env, a, b, recorder = ScriptedEnv([[0.0]], [[0]]), LinearCritic(), LinearCritic(), Recorder()
    env.num_agents = 2
    for given, expected in (([a], [a, a]), ([a, b], [a, b])):
        Simulator(env, 2, given, recorder, agent_factory).train(title="t")
        assert all(x is y for x, y in zip(recorder.policies, expected, strict=True))
        assert recorder.options == {"title": "t"}
    with pytest.raises(ValueError, match="1 or 3 policies, got 2"):
        Simulator(env, 3, [a, b], recorder, agent_factory)


def test_agent_keeps_its_policy():
    """A policy can be read and replaced, and the action space read."""
    agent = OneAgent(0, 3)
    assert agent.get_policy() is None
    policy = LinearCritic()
    agent.set_policy(policy)
    assert agent.get_policy() is policy
    assert agent.get_action_space().tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("asked", "num_envs", "max_steps", "buffer_size"),
    [(640, 32, 20, 640), (641, 32, 20, 672), (1, 32, 20, 640), (1, 32, 1000, 2048)],
)
def test_buffer_is_rounded_up(asked, num_envs, max_steps, buffer_size):
    """The buffer holds whole steps of all agents, and at least min(max_steps, 64) of them."""
    got = settings(buffer_size=asked, num_envs=num_envs, max_steps=max_steps)
    assert got["buffer_size"] == buffer_size


def test_extras_win():
    """Extra settings are added, and replace what is there."""
    got = settings(extras={"gamma": 0.5, "entropy_coef": 0.0, "note": "x"})
    assert (got["gamma"], got["entropy_coef"], got["note"], got["clip_epsilon"]) == (
        0.5,
        0.0,
        "x",
        0.2,
    )


def test_optimizers_by_agent():
    """Each policy gets an Adam of its own over its parameters, by agent id."""
    first, second = nn.Linear(1, 1), nn.Linear(2, 2)
    optimizers = build_adam_optimizers([first, second], lr=0.5, device="cpu")
    assert list(optimizers) == [0, 1]
    assert optimizers[1].param_groups[0]["params"][0] is second.weight
    assert optimizers[0].param_groups[0]["lr"] == 0.5


def test_device_is_one_torch_has():
    """The device named can be used, and configuring it is harmless."""
    device = resolve_torch_device()
    configure_torch_backend(device)
    assert torch.zeros(1, device=device).item() == 0.0
    assert resolve_torch_device(prefer_mps=False) in {"cpu", "cuda"}


def test_random_policy():
    """Its actions come from the space, and its logits prefer none."""
    space = SimpleNamespace(n=3, sample=lambda: 2)
    policy = RandomPolicy(space)
    assert policy.act(np.zeros(4)) == 2
    logits, value = policy(torch.zeros(5, 1, 2, 2))
    assert logits.shape == (5, 3)
    assert logits.unique().tolist() == [0.0]
    assert value.shape == (5, 1)


def test_simple_policy_starts_undecided():
    """An untrained policy is close to uniform, whatever it sees (Huang et al. 2022, detail 2)."""
    torch.manual_seed(0)
    spaces = SimpleNamespace(shape=(2, 3, 3)), SimpleNamespace(n=4)
    logits, value = SimplePolicy(*spaces)(torch.randn(16, 2, 3, 3))
    assert value.shape == (16, 1)
    assert logits.softmax(dim=-1).sub(0.25).abs().max().item() < 0.02


@pytest.mark.parametrize("name", simverse.__all__)
def test_exported_names_exist(name):
    """Every exported name can be had from the package itself."""
    assert getattr(simverse, name).__name__ == name


def test_unknown_names_are_attribute_errors():
    """A name the package does not export raises AttributeError, not something of import's."""
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        simverse.nothing  # noqa: B018 - looking it up is the test


@pytest.mark.system
@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("simverse", ("torch", "numpy", "gymnasium")),
        ("simverse.training.ppo", ("matplotlib", "wandb", "tensorboard", "gymnasium")),
        ("simverse.testing", ("matplotlib", "wandb", "tensorboard", "gymnasium")),
    ],
)
def test_imports_stay_light(module, absent):
    """Importing a module does not import what it may never need."""
    code = f"import sys, {module}; print([m for m in {absent!r} if m in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert result.stdout.strip() == "[]"
