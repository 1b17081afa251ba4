import json
import sys
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

TrainingPath = Literal["fused", "torch"]
"""What trains a policy: `fused` arithmetic (`simverse.training.fused`) or `torch` and autograd."""


@dataclass(frozen=True, kw_only=True)
class EpisodeStats:
    """One PPO episode: a rollout of every sub-environment and the updates that followed.

    Losses are means over the transitions of the last epoch of each update.
    """

    episode: int
    """Counted from 0."""
    mean_return: float
    """Mean over sub-environments of the reward sum up to the first `done` or the horizon: the
    world's reward, where training sees a shaped one."""
    solve_rate: float
    """Share of sub-environments with `info["success"]` before or at their first `done`."""
    mean_length: float
    """Mean number of steps up to the first `done` or the horizon."""
    env_steps: int
    """Sub-environment steps taken in this episode, masked ones included."""
    updates: int
    """Optimiser steps taken in this episode."""
    seconds: float
    """Wall time of this episode."""
    policy_loss: float
    """Minus the clipped surrogate (Schulman et al. 2017, eq. 7)."""
    value_loss: float
    """Half the mean squared error of the critic, before its weight."""
    entropy: float
    """Mean entropy of the policy, in nats."""
    approx_kl: float
    """Estimate of KL(old policy || new policy), in nats: the mean of (r - 1) - log r."""
    explained_variance: float = 0.0
    """Share of the variance of the critic's targets that its values explained when acting, mean of
    the updates; 0 where the targets do not vary."""
    reward_parts: Mapping[str, float] = field(default_factory=dict)
    """Mean over sub-environments of the sum of each of `info["reward_parts"]`, over the steps of
    which `mean_return` is the sum of the rewards."""
    shaped_return: float | None = None
    """As `mean_return`, of the shaped reward; None where training sees the world's own."""
    path: TrainingPath = "torch"
    """What trained the policy."""


def _metrics() -> defaultdict[int, defaultdict[str, list[float]]]:
    return defaultdict(lambda: defaultdict(list))


@dataclass
class TrainingStats:
    """What a training run looked like.

    `PPOTrainer` calls `record` once a PPO episode. The other methods are for trainers of one's own,
    and of what they fill `record` fills what it knows.
    """

    episode_rewards: list[float] = field(default_factory=list)
    """Each episode's mean return over sub-environments (and agents)."""
    episode_lengths: list[float] = field(default_factory=list)
    """Each episode's mean length over sub-environments, in steps up to the first `done`."""
    solve_rates: list[float] = field(default_factory=list)
    episodes: list[EpisodeStats] = field(default_factory=list)
    steps: int = 0
    """Steps of sub-environments so far."""
    episode_count: int = 0
    episode_steps: list[int] = field(default_factory=list)
    """Each episode's steps of the whole batch."""
    policy_losses: list[float] = field(default_factory=list)
    """`record`: one an episode, of its updates' last epochs."""
    value_losses: list[float] = field(default_factory=list)
    agent_metrics: defaultdict[int, defaultdict[str, list[float]]] = field(default_factory=_metrics)
    """By agent and name; of a team `record` knows no agent's own numbers."""
    env_count: int = 1
    """Sub-environments."""
    step_rewards: list[float] = field(default_factory=list)
    experiences: list[Any] = field(default_factory=list)
    current_episode_frames: list[dict[str, Any]] = field(default_factory=list)
    episode_harvested_tiles: list[float] = field(default_factory=list)
    """Of the public library's farm; `record` has none."""

    def record(self, episode: EpisodeStats, *, num_agents: int = 1) -> None:
        """Append an episode, whose steps are `num_agents` times those of its sub-environments."""
        self.episode_rewards.append(episode.mean_return)
        self.episode_lengths.append(episode.mean_length)
        self.solve_rates.append(episode.solve_rate)
        self.episodes.append(episode)
        self.episode_count += 1
        steps = episode.env_steps // num_agents
        self.steps += steps
        self.push_episode_metrics(steps=steps // self.env_count)
        if num_agents == 1:
            self.push_agent_losses(0, episode.policy_loss, episode.value_loss)
        else:
            self.policy_losses.append(episode.policy_loss)
            self.value_losses.append(episode.value_loss)

    # -- for trainers of one's own ----------------------------------------------------------------

    def set_env_count(self, count: int) -> None:
        """Say how many sub-environments there are; a count below 1 changes nothing."""
        if count > 0:
            self.env_count = count

    def step(self, increment: int = 1) -> None:
        """Count steps of sub-environments, at least one."""
        self.steps += max(int(increment), 1)

    def push_reward(self, reward: float, env_count: int | None = None) -> None:
        """End an episode that brought `reward` in all of `env_count` sub-environments."""
        self.episode_rewards.append(reward / env_count if env_count else reward)
        self.episode_count += 1

    def push_episode_metrics(
        self, *, steps: int | None = None, harvested_tiles: float | None = None
    ) -> None:
        """Note an episode's steps, and what was harvested on a farm."""
        if steps is not None:
            self.episode_steps.append(int(steps))
        if harvested_tiles is not None:
            self.episode_harvested_tiles.append(float(harvested_tiles))

    def push_agent_losses(self, agent_id: int, policy_loss: float, value_loss: float) -> None:
        """Note the losses of an agent's update."""
        self.policy_losses.append(policy_loss)
        self.value_losses.append(value_loss)
        self.agent_metrics[agent_id]["loss/policy"].append(policy_loss)
        self.agent_metrics[agent_id]["loss/value"].append(value_loss)

    def push_experience(self, experience: Any) -> None:
        """Note a step: anything with `agent_id` and `reward`, a number or a dict of numbers."""
        self.experiences.append(experience)
        reward = experience.reward
        total = float(sum(reward.values()) if isinstance(reward, Mapping) else reward or 0.0)
        self.step_rewards.append(total)
        self.agent_metrics[experience.agent_id]["reward"].append(total)

    def record_frame(self, frame: dict[str, Any]) -> None:
        """Keep a frame for `dump_episode_recording`."""
        self.current_episode_frames.append(frame)

    def reset_episode(self) -> None:
        """Forget steps and frames of the last episode."""
        self.step_rewards.clear()
        self.experiences.clear()
        self.current_episode_frames.clear()

    def dump_episode_recording(
        self, output_dir: str | Path, episode: int, metadata: Mapping[str, Any] | None = None
    ) -> Path:
        """Write the frames to `replay.json` in a folder, forget them, and return the file's path.

        Tensors and arrays become lists. (`PPOTrainer(episode_save_dir=...)` writes a replay that
        `sim watch` shows; this writes what it was given.)
        """
        document = {
            "episode": episode,
            "steps": self.steps,
            "agent_metrics": self.agent_metrics,
            "frames": self.current_episode_frames,
        } | ({} if metadata is None else {"metadata": dict(metadata)})
        path = Path(output_dir) / "replay.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document, indent=2, default=_plain), encoding="utf-8")
        self.current_episode_frames.clear()
        return path

    def log_wandb(self, step: int | None = None) -> None:
        """Log the latest numbers to the W&B run that is going on; without one do nothing.

        `step` is the horizontal axis, by default `steps`.
        """
        wandb = sys.modules.get("wandb")
        if wandb is None or wandb.run is None:
            return
        latest: dict[str, list[Any]] = {
            "step/reward": self.step_rewards,
            "episode/reward": self.episode_rewards,
            "episode/steps": self.episode_steps,
            "episode/harvested_tiles": self.episode_harvested_tiles,
            "loss/policy": self.policy_losses,
            "loss/value": self.value_losses,
        }
        for agent, metrics in self.agent_metrics.items():
            latest |= {f"agent/{agent}/{name}": values for name, values in metrics.items()}
        numbers = {name: values[-1] for name, values in latest.items() if values}
        counts = {"trainer/steps": self.steps, "trainer/episodes": self.episode_count}
        wandb.log(counts | numbers, step=self.steps if step is None else step)


def _plain(value: Any) -> Any:
    """Return what JSON has no form for as what it has one for."""
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"a {type(value).__name__} can't be written as JSON")
