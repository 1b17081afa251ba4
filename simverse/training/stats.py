from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

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


@dataclass
class TrainingStats:
    """What a training run looked like, one entry per PPO episode."""

    episode_rewards: list[float] = field(default_factory=list)
    episode_lengths: list[float] = field(default_factory=list)
    solve_rates: list[float] = field(default_factory=list)
    episodes: list[EpisodeStats] = field(default_factory=list)

    def record(self, episode: EpisodeStats) -> None:
        """Append an episode."""
        self.episode_rewards.append(episode.mean_return)
        self.episode_lengths.append(episode.mean_length)
        self.solve_rates.append(episode.solve_rate)
        self.episodes.append(episode)
