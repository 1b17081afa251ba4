"""`TrainingStats`, as trainers of one's own fill it."""

import json
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from simverse.training.stats import EpisodeStats, TrainingStats


def episode(**changes):
    """Return an episode of 10 steps of 4 sub-environments."""
    defaults = {
        "episode": 0, "mean_return": 2.0, "solve_rate": 0.5, "mean_length": 8.0, "env_steps": 40,
        "updates": 3, "seconds": 0.1, "policy_loss": 0.25, "value_loss": 1.5, "entropy": 0.7,
        "approx_kl": 0.01,
    }  # fmt: skip
    return EpisodeStats(**(defaults | changes))


def test_an_episode_fills_every_list_it_knows():
    """Counts add up, and an only agent's losses are its own too."""
    stats = TrainingStats()
    stats.set_env_count(4)
    stats.record(episode())
    stats.record(episode(episode=1, mean_return=3.0))
    assert stats.episode_rewards == [2.0, 3.0]
    assert (stats.episode_lengths, stats.solve_rates) == ([8.0, 8.0], [0.5, 0.5])
    assert (stats.episode_count, stats.steps, stats.episode_steps) == (2, 80, [10, 10])
    assert (stats.policy_losses, stats.value_losses) == ([0.25, 0.25], [1.5, 1.5])
    assert stats.agent_metrics[0]["loss/policy"] == [0.25, 0.25]


def test_a_trainer_of_ones_own_fills_it():
    """Rewards are means over sub-environments, steps count at least one, zero counts change nothing."""
    stats = TrainingStats()
    stats.push_reward(12.0, env_count=4)
    stats.push_reward(5.0)
    stats.step()
    stats.step(7)
    stats.step(0)
    stats.set_env_count(0)
    stats.push_episode_metrics(steps=10, harvested_tiles=3)
    stats.push_episode_metrics()
    stats.push_agent_losses(1, 0.5, 0.25)
    assert (stats.episode_rewards, stats.episode_count) == ([3.0, 5.0], 2)
    assert (stats.steps, stats.env_count) == (9, 1)
    assert (stats.episode_steps, stats.episode_harvested_tiles) == ([10], [3.0])
    assert stats.policy_losses == stats.agent_metrics[1]["loss/policy"] == [0.5]
    assert stats.value_losses == stats.agent_metrics[1]["loss/value"] == [0.25]


@pytest.mark.parametrize(("reward", "number"), [(2, 2.0), (None, 0.0), ({0: 1.0, 1: 2.5}, 3.5)])
def test_experiences_have_rewards(reward, number):
    """One number, none, or one an agent; all gone with the episode, but for the agent's own list."""
    stats = TrainingStats()
    stats.push_experience(SimpleNamespace(agent_id=3, reward=reward))
    assert stats.step_rewards == stats.agent_metrics[3]["reward"] == [number]
    assert len(stats.experiences) == 1
    stats.record_frame({})
    stats.reset_episode()
    assert stats.step_rewards == stats.experiences == stats.current_episode_frames == []


def test_frames_are_written_down(tmp_path):
    """Tensors, arrays and paths as JSON, once; what has no form there is named."""
    stats = TrainingStats()
    stats.step(5)
    stats.push_agent_losses(0, 0.5, 0.25)
    stats.record_frame({"obs": torch.zeros(1, 2), "rewards": np.float32(0.5), "at": tmp_path})
    path = stats.dump_episode_recording(tmp_path / "new", 3, metadata={"lr": 0.1})
    assert path == tmp_path / "new" / "replay.json"
    assert json.loads(path.read_text()) == {
        "episode": 3,
        "steps": 5,
        "agent_metrics": {"0": {"loss/policy": [0.5], "loss/value": [0.25]}},
        "frames": [{"obs": [[0.0, 0.0]], "rewards": 0.5, "at": str(tmp_path)}],
        "metadata": {"lr": 0.1},
    }
    assert stats.current_episode_frames == []
    stats.record_frame({"obs": object()})
    with pytest.raises(TypeError, match="a object can't be written"):
        stats.dump_episode_recording(tmp_path, 4)


def test_nothing_is_logged_without_a_run():
    """W&B need not even be installed."""
    TrainingStats().log_wandb()


@pytest.mark.system
def test_the_latest_numbers_go_to_wandb(tmp_path, monkeypatch):
    """To the run that is going on, by the names of the public library."""
    wandb = pytest.importorskip("wandb", reason="the extra `wandb` is not installed")
    for name in ("WANDB_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("WANDB_SILENT", "true")
    stats = TrainingStats()
    stats.record(episode())
    with wandb.init(project="p", mode="offline", dir=str(tmp_path)):
        stats.log_wandb(step=7)
    (run,) = (tmp_path / "wandb").glob("offline-run-*")
    (written,) = run.glob("*.wandb")
    names = (b"trainer/steps", b"episode/reward", b"loss/value", b"agent/0/loss/policy")
    deadline_s = time.monotonic() + 30  # W&B's own process writes the file
    while not all(name in written.read_bytes() for name in names):
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
