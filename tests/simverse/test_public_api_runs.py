"""Whole runs by the public simverse's helpers: trained, saved, recorded."""

import inspect
import json
import logging
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from simverse.checkpoint import Checkpoint, save
from simverse.core.config import EnvConfig
from simverse.core.simulator import Simulator
from simverse.envs import make, maze_race
from simverse.policies import CentralizedCritic, SimplePolicy
from simverse.replay import check_replay, frames
from simverse.training import (
    Checkpointer,
    PPOTrainer,
    TrainingStats,
    build_ppo_training_config,
    run_ippo_training,
    run_mappo_training,
    run_ppo_training,
)
from simverse.training.checkpoints import load_policies
from simverse.training.recording import RecordedEnv
from tests.simverse.fakes import LinearCritic, ScriptedEnv
from tests.simverse.test_public_api import OneAgent, agent_factory


def settings(env, **changes):
    """Return the settings of two short episodes."""
    defaults = {
        "num_agents": env.num_agents, "num_envs": env.num_envs, "max_steps": 6, "episodes": 2,
        "training_epochs": 1, "lr": 1e-2, "batch_size": 32, "buffer_size": 64, "device": "cpu",
        "dtype": torch.float32,
    }  # fmt: skip
    return build_ppo_training_config(**(defaults | changes))


def race(agents=2, **options):
    """Return a small maze race."""
    return maze_race.create_env(EnvConfig(num_envs=4, max_steps=6, num_agents=agents), **options)


def arguments(env, **changes):
    """Return the arguments of a run in an environment whose agents see `local_obs`."""
    space = SimpleNamespace(shape=(4, 5, 5))
    return {
        "env": env,
        "training_config": settings(env),
        "agent_factory": agent_factory,
        "policy_factory": lambda _, actions: SimplePolicy(space, actions, hidden=8),
        "title": "a race",
    } | changes


def test_positional_order():
    """The trainer's arguments stand in the public library's order."""
    names = list(inspect.signature(PPOTrainer).parameters)
    assert (
        names
        == (
            "optimizer optimizers centralized_critic centralized_critic_optimizer episodes "
            "training_epochs clip_epsilon gamma gae_lambda stats config project_name run_name "
            "episode_save_dir device batch_size buffer_size dtype use_wandb"
        ).split()
    )


@pytest.mark.parametrize("run", [run_ppo_training, run_ippo_training, run_mappo_training])
def test_a_run_trains_one_policy_an_agent(run):
    """They come back trained, and sit in the environment with their agents."""
    torch.manual_seed(0)
    env = race()
    made = []

    def policy_factory(_, actions):
        made.append(SimplePolicy(SimpleNamespace(shape=(4, 5, 5)), actions, hidden=8))
        return made[-1]

    torch.manual_seed(1)
    policies = run(**arguments(env, policy_factory=policy_factory))
    assert policies == made
    assert len(policies) == 2
    assert [agent.policy for agent in env.agents] == made
    torch.manual_seed(1)
    for policy in policies:
        fresh = SimplePolicy(SimpleNamespace(shape=(4, 5, 5)), env.action_space, hidden=8)
        assert not torch.equal(policy.actor.weight, fresh.actor.weight)


def test_mappo_trains_a_critic_of_the_state():
    """Made by the factory for the state's space, at a step size of its own if there is one."""
    made = []

    def critic_factory(space):
        made.append(CentralizedCritic(space, hidden=8))
        return made[-1]

    env = race()
    frozen = settings(env, extras={"critic_lr": 1e-12})
    for config in (settings(env), frozen):
        torch.manual_seed(3)
        run_mappo_training(
            **arguments(env, training_config=config, centralized_critic_factory=critic_factory)
        )
    torch.manual_seed(3)
    for _ in range(2):
        SimplePolicy(SimpleNamespace(shape=(4, 5, 5)), env.action_space, hidden=8)
    untrained = CentralizedCritic(env.observation_space, hidden=8).network[0].weight
    trained, at_rest = (critic.network[0].weight for critic in made)
    assert not torch.allclose(trained, untrained, atol=1e-4)
    assert torch.allclose(at_rest, untrained, atol=1e-8)


def test_unknown_variants_are_refused():
    """By name, before anything is trained."""
    with pytest.raises(ValueError, match="'ippo' or 'mappo', got 'qmix'"):
        run_ppo_training(**arguments(race(), variant="qmix"))


def test_a_run_tells_the_config_its_policies():
    """Under the names asked for, where the environment has a config that can be set."""
    env = ScriptedEnv([[1.0]] * 6, [[0]] * 6)
    env.config = SimpleNamespace(policies=[])
    run_ppo_training(
        **arguments(env, policy_factory=lambda *_: LinearCritic(), policy_name_prefix="walker")
    )
    (spec,) = env.config.policies
    assert spec.name == "walker_0"
    assert spec.model is env.agents[0].policy


def test_half_precision_environments_train_float32_policies():
    """As in the public library; what a rollout keeps is float32."""
    env = race(agents=1, dtype=torch.bfloat16)
    config = settings(env, dtype=torch.bfloat16)
    (policy,) = run_ppo_training(**arguments(env, training_config=config))
    assert {parameter.dtype for parameter in policy.parameters()} == {torch.float32}


def test_one_optimizer_for_everybody():
    """All policies' parameters are moved by it, once."""
    env = race()
    policies = [SimplePolicy(SimpleNamespace(shape=(4, 5, 5)), env.action_space, hidden=8)
                for _ in range(2)]  # fmt: skip
    shared = torch.optim.SGD([p for policy in policies for p in policy.parameters()], lr=0.0)
    before = [policy.actor.weight.detach().clone() for policy in policies]
    PPOTrainer(optimizer=shared, config={"max_steps": 6}).train(
        env, [OneAgent(index, 4, policy) for index, policy in enumerate(policies)]
    )
    for policy, weight in zip(policies, before, strict=True):
        assert torch.equal(policy.actor.weight, weight)


def test_statistics_of_a_team():
    """Steps are those of sub-environments, whatever the number of agents."""
    stats = TrainingStats()
    env = race()
    policy = SimplePolicy(SimpleNamespace(shape=(4, 5, 5)), env.action_space, hidden=8)
    PPOTrainer(stats=stats, episodes=2, config={"max_steps": 6}).train(
        env, [OneAgent(index, 4, policy) for index in range(2)]
    )
    assert (stats.episode_count, stats.env_count) == (2, 4)
    assert stats.episode_steps == [6, 6]
    assert stats.steps == 2 * 6 * 4
    assert len(stats.policy_losses) == len(stats.value_losses) == 2
    assert stats.agent_metrics == {}


def test_progress_is_logged(caplog):
    """The title, a line an episode, and the end; silent unless a program listens."""
    env = ScriptedEnv([[1.0, 3.0]] * 6, [[0, 0]] * 6)
    with caplog.at_level(logging.INFO, logger="simverse"):
        PPOTrainer(config={"max_steps": 4}).train(env, [OneAgent(0, 2, LinearCritic())], "a title")
    assert [record.getMessage() for record in caplog.records] == [
        "a title", "training for 1 episodes", "episode 1 of 1: return 8, reward 2, steps 4", "done",
    ]  # fmt: skip


def test_the_horizon_may_stand_in_the_environments_config():
    """As environments of the public library have it."""
    env = ScriptedEnv([[1.0]] * 6, [[0]] * 6)
    env.config = SimpleNamespace(max_steps=3)
    trainer = PPOTrainer()
    trainer.train(env, [OneAgent(0, 2, LinearCritic())])
    assert trainer.stats.episode_lengths == [3.0]


# -- checkpoints -----------------------------------------------------------------------------------


def test_a_trainers_checkpoint_is_loaded_by_a_simulator(tmp_path):
    """Into the run's own folder, and back into other policies of the same shape."""
    env = race()
    policies = [SimplePolicy(SimpleNamespace(shape=(4, 5, 5)), env.action_space, hidden=8)
                for _ in range(2)]  # fmt: skip
    trainer = PPOTrainer(config={"max_steps": 6})
    with pytest.raises(ValueError, match="train first"):
        trainer.save_checkpoint(tmp_path / "early.pt")
    Simulator(env, 2, policies, trainer, agent_factory).train()
    first = trainer.save_checkpoint(str(tmp_path / "first.pt"))
    second = trainer.save_checkpoint(str(tmp_path / "second.pt"))
    assert first.parent == second.parent
    assert first.parent.parent == tmp_path
    assert (first.name, second.name) == ("first.pt", "second.pt")

    others = [SimplePolicy(SimpleNamespace(shape=(4, 5, 5)), env.action_space, hidden=8)
              for _ in range(2)]  # fmt: skip
    Simulator(env, 2, others, trainer, agent_factory).load_checkpoint(str(second))
    for policy, other in zip(policies, others, strict=True):
        assert torch.equal(policy.actor.weight, other.actor.weight)


def test_a_checkpointer_by_itself(tmp_path):
    """Its run may be named; it needs agents that have policies."""
    env = make("snake", num_envs=1)
    checkpointer = Checkpointer(env, run_id="mine")
    assert checkpointer.resolve_checkpoint_path("a/b.pt").as_posix() == "a/mine/b.pt"
    with pytest.raises(ValueError, match="assign agents first"):
        Checkpointer(env).save(tmp_path / "x.pt")
    policy = SimplePolicy(env.observation_space, env.action_space, hidden=8)
    env.assign_agents([OneAgent(0, 4, policy)])
    path = Checkpointer(env, run_id="mine").save(tmp_path / "x.pt")
    assert path == tmp_path / "mine" / "x.pt"
    kept = policy.actor.weight.detach().clone()
    nn.init.zeros_(policy.actor.weight)
    Checkpointer(env).load(path)
    assert torch.equal(policy.actor.weight, kept)
    assert Checkpointer(env).run_id != Checkpointer(env).run_id


def test_a_file_of_sim_train_fits_one_agent(tmp_path):
    """One format: what the command line saved is loaded."""
    env = make("snake", num_envs=1)
    policy, other = (SimplePolicy(env.observation_space, env.action_space, hidden=8)
                     for _ in range(2))  # fmt: skip
    save(tmp_path / "snake.pt", Checkpoint(env="snake", observation_shape=(3, 6, 6), num_actions=4,
                                           weights=policy.state_dict()))  # fmt: skip
    load_policies(tmp_path / "snake.pt", env, [other])
    assert torch.equal(policy.first.weight, other.first.weight)


# -- episodes on disk ------------------------------------------------------------------------------


def test_training_episodes_are_saved(tmp_path):
    """The latest is in `replay.json`: what the first sub-environment saw, did and got."""
    env = ScriptedEnv(
        [[0.5, 9.0], [0.25, 9.0], [-1.0, 9.0], [7.0, 9.0]], [[0, 0], [0, 0], [1, 0], [0, 0]]
    )
    trainer = PPOTrainer(episodes=2, config={"max_steps": 4}, episode_save_dir=str(tmp_path / "e"))
    trainer.train(env, [OneAgent(0, 2, LinearCritic())])
    document = json.loads((tmp_path / "e" / "replay.json").read_text())
    check_replay(document)
    assert [path.name for path in (tmp_path / "e").iterdir()] == ["replay.json"]
    assert [step["reward"] for step in document["steps"]] == [0.5, 0.25, -1]
    assert [step["action"] for step in document["steps"]] == [
        int(actions[0]) for actions in env.actions[4:7]
    ]
    assert frames(document).flatten().tolist() == [0, 1, 2]


def test_an_episode_ends_at_the_horizon(tmp_path):
    """And one of a team is the first agent's."""
    env = race()
    recorded = RecordedEnv(env, tmp_path, max_steps=3)
    seen = [recorded.reset()["local_obs"][0, 0].clone()]
    rewards = []
    for _ in range(5):
        obs, reward, _, _ = recorded.step(torch.tensor([[1, 2]] * 4))
        seen.append(obs["local_obs"][0, 0].clone())
        rewards.append(float(reward[0, 0]))
    document = json.loads((tmp_path / "replay.json").read_text())
    check_replay(document)
    assert document["horizon"] == len(document["steps"]) == 3
    assert [step["action"] for step in document["steps"]] == [1, 1, 1]
    assert [step["reward"] for step in document["steps"]] == pytest.approx(rewards[:3])
    assert torch.equal(frames(document), torch.stack(seen[:4]))
    assert document["channels"] == list(env.CHANNELS)


def test_recording_changes_no_training(tmp_path):
    """The same weights to the bit with and without."""
    weights = []
    for folder in (None, str(tmp_path)):
        torch.manual_seed(0)
        env = make("snake", num_envs=4, max_steps=8)
        policy = SimplePolicy(env.observation_space, env.action_space, hidden=8)
        PPOTrainer(episodes=2, episode_save_dir=folder, config={"seed": 1}).train(
            env, [OneAgent(0, 4, policy)]
        )
        weights.append(policy.first.weight.detach().clone())
    assert torch.equal(*weights)
