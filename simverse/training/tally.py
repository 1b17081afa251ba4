import torch
from torch import Tensor

from simverse.training.loss import Batch
from simverse.training.rollout import Rollout
from simverse.training.stats import EpisodeStats, TrainingPath


class Tally:
    """Adds up one PPO episode, segment by segment, without asking the device before its end."""

    def __init__(self, num_envs: int, device: torch.device) -> None:
        self._open = torch.ones(num_envs, dtype=torch.bool, device=device)
        self._returns = torch.zeros(num_envs, device=device)
        self._shaped: Tensor | None = None
        """`[N]`: returns of the shaped reward, if there is one."""
        self._lengths = torch.zeros(num_envs, device=device)
        self._solved = torch.zeros(num_envs, dtype=torch.bool, device=device)
        self._env_steps = 0
        self._updates = 0
        self._reports: list[list[float]] = []
        self._explained: list[Tensor] = []
        self._part_names: tuple[str, ...] = ()
        self._parts: Tensor | None = None
        """`[K, N]`."""

    def add_rollout(self, rollout: Rollout) -> None:
        """Count a segment's slots up to each sub-environment's first `done`, that one included."""
        finished = rollout.dones.cumsum(dim=0)
        counted = (finished - rollout.dones.long() == 0) & self._open
        returns = torch.where(counted, rollout.rewards, 0.0).sum(dim=0)
        if rollout.world_rewards is not None:
            self._shaped = returns if self._shaped is None else self._shaped + returns
            returns = torch.where(counted, rollout.world_rewards, 0.0).sum(dim=0)
        self._returns += returns
        self._lengths += counted.sum(dim=0)
        self._solved |= (rollout.success & counted).any(dim=0)
        self._open &= finished[-1] == 0
        self._env_steps += rollout.dones.numel()
        if rollout.reward_parts is not None:
            self._part_names, values = rollout.reward_parts
            sums = torch.where(counted.unsqueeze(1), values, 0.0).sum(dim=0)
            self._parts = sums if self._parts is None else self._parts + sums

    def add_critic(self, rollout: Rollout, batch: Batch) -> None:
        """Note how well the critic predicted the targets of a segment's live transitions."""
        values = rollout.values[:-1].flatten()
        if len(batch.returns) < len(values):
            values = values[rollout.live.flatten()]
        if len(values):
            self._explained.append(explained_variance(values, batch.returns))

    def add_update(self, steps: int, report: list[float]) -> None:
        """Count an update of `steps` optimiser steps; one without any has nothing to report."""
        self._updates += steps
        if steps:
            self._reports.append(report)

    def stats(self, episode: int, path: TrainingPath, *, seconds: float) -> EpisodeStats:
        """Return the episode's record."""
        policy_loss, value_loss, entropy, approx_kl = _means(self._reports)
        parts = [] if self._parts is None else self._parts.mean(dim=1).tolist()
        return EpisodeStats(
            episode=episode,
            mean_return=_mean(self._returns),
            solve_rate=_mean(self._solved),
            mean_length=_mean(self._lengths),
            env_steps=self._env_steps,
            updates=self._updates,
            seconds=seconds,
            policy_loss=policy_loss,
            value_loss=value_loss,
            entropy=entropy,
            approx_kl=approx_kl,
            explained_variance=_mean(torch.stack(self._explained)) if self._explained else 0.0,
            reward_parts=dict(zip(self._part_names, parts, strict=True)) if parts else {},
            shaped_return=None if self._shaped is None else _mean(self._shaped),
            path=path,
        )


def explained_variance(values: Tensor, returns: Tensor) -> Tensor:
    """Return 1 - Var(returns - values) / Var(returns), of `[B]` each; 0 if returns don't vary."""
    spread = returns.var(correction=0)
    share = 1.0 - (returns - values).var(correction=0) / spread
    return torch.where(spread > 0, share, 0.0)


def _mean(tensor: Tensor) -> float:
    return float(tensor.float().mean())


def _means(reports: list[list[float]]) -> list[float]:
    if not reports:
        return [0.0] * 4
    return [sum(column) / len(reports) for column in zip(*reports, strict=True)]
