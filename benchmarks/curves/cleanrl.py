"""A plain single-file PPO on one of the tasks: `python -m benchmarks.curves.cleanrl --task ...`.

Written here, with the structure of CleanRL's `ppo.py` and `ppo_continuous_action.py`: gymnasium's
`SyncVectorEnv`, a distribution object at each step, one minibatch of an unfused Adam at a time, and
an episode that is cut short taken for one that is over.
"""

import math
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import nn
from torch.distributions import Categorical, Independent, Normal

from benchmarks.curves.course import Course, main
from benchmarks.curves.tasks import CLIP, GRADIENT_NORM, HIDDEN, NORMALIZED_CLIP, VALUE_LOSS


def layer(inputs: int, outputs: int, gain: float = math.sqrt(2)) -> nn.Linear:
    """Return an orthogonally initialised layer."""
    linear = nn.Linear(inputs, outputs)
    nn.init.orthogonal_(linear.weight, gain)
    nn.init.constant_(linear.bias, 0.0)
    return linear


def network(inputs: int, outputs: int, gain: float) -> nn.Sequential:
    """Return two hidden layers of tanh and one on top."""
    return nn.Sequential(
        layer(inputs, HIDDEN), nn.Tanh(), layer(HIDDEN, HIDDEN), nn.Tanh(),
        layer(HIDDEN, outputs, gain),
    )  # fmt: skip


class Agent(nn.Module):
    """Two networks; for a box of actions a normal distribution whose deviation no state changes."""

    def __init__(self, obs_space: Any, action_space: Any) -> None:
        super().__init__()
        self.is_box = isinstance(action_space, gym.spaces.Box)
        inputs = int(np.prod(obs_space.shape))
        outputs = int(np.prod(action_space.shape)) if self.is_box else int(action_space.n)
        self.critic = network(inputs, 1, 1.0)
        self.actor = network(inputs, outputs, 0.01)
        self.logstd = nn.Parameter(torch.zeros(outputs)) if self.is_box else None

    def distribution(self, obs: torch.Tensor) -> Any:
        """Return the distribution over actions."""
        outputs = self.actor(obs)
        if self.logstd is None:
            return Categorical(logits=outputs)
        return Independent(Normal(outputs, self.logstd.exp().expand_as(outputs)), 1)

    def greedy(self, obs: torch.Tensor) -> torch.Tensor:
        """Return the most likely actions."""
        outputs = self.actor(obs)
        return outputs if self.is_box else outputs.argmax(dim=-1)


class RunningMeanStd:
    """Mean and variance of everything so far."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.mean, self.var, self.count = np.zeros(shape), np.ones(shape), 1e-4

    def update(self, batch: np.ndarray) -> None:
        """Take a batch into account."""
        mean, var, count = batch.mean(axis=0), batch.var(axis=0), len(batch)
        delta, total = mean - self.mean, self.count + count
        squares = self.var * self.count + var * count + delta**2 * self.count * count / total
        self.mean, self.var, self.count = self.mean + delta * count / total, squares / total, total


class Normalizer:
    """Observations and rewards by running statistics, or as they are."""

    def __init__(self, task: Any, shape: tuple[int, ...]) -> None:
        self.is_on, self.gamma = task.normalize, task.gamma
        self.obs, self.returns = RunningMeanStd(shape), RunningMeanStd(())
        self.sums = np.zeros(task.num_envs)

    def seen(self, obs: np.ndarray, *, learn: bool = False) -> torch.Tensor:
        """Return observations as the agent sees them."""
        if learn and self.is_on:
            self.obs.update(obs)
        if self.is_on:
            scaled = (obs - self.obs.mean) / np.sqrt(self.obs.var + 1e-8)
            obs = np.clip(scaled, -NORMALIZED_CLIP, NORMALIZED_CLIP)
        return torch.Tensor(obs)

    def paid(self, rewards: np.ndarray, over: np.ndarray) -> np.ndarray:
        """Return rewards as the agent is paid them."""
        if not self.is_on:
            return rewards
        self.sums = self.sums * self.gamma + rewards
        self.returns.update(self.sums)
        self.sums[over] = 0.0
        scaled = rewards / np.sqrt(self.returns.var + 1e-8)
        return np.clip(scaled, -NORMALIZED_CLIP, NORMALIZED_CLIP)


def run(course: Course) -> dict[str, Any]:
    """Train."""
    task = course.task
    np.random.seed(course.seed)  # noqa: NPY002 - as its model
    torch.manual_seed(course.seed)
    envs = gym.vector.SyncVectorEnv(
        [task.make] * task.num_envs, autoreset_mode=gym.vector.AutoresetMode.SAME_STEP
    )
    obs_space, action_space = envs.single_observation_space, envs.single_action_space
    agent, normal = Agent(obs_space, action_space), Normalizer(task, obs_space.shape)
    optimizer = torch.optim.Adam(agent.parameters(), lr=task.lr, eps=1e-5)
    for_env = partial(np.clip, a_min=action_space.low, a_max=action_space.high) if (
        agent.is_box
    ) else np.asarray  # fmt: skip

    @torch.no_grad()
    def act(raw: np.ndarray) -> np.ndarray:
        return for_env(agent.greedy(normal.seen(raw)).numpy())

    steps, width = task.num_steps, task.num_envs
    obs = torch.zeros((steps, width, *obs_space.shape))
    actions = torch.zeros((steps, width, *action_space.shape))
    logprobs, rewards, dones, values = (torch.zeros((steps, width)) for _ in range(4))
    with course.clock():
        next_obs = normal.seen(envs.reset(seed=course.seed)[0], learn=True)
        next_done = torch.zeros(width)
        for update in range(1, course.updates + 1):
            if task.anneal:
                left = 1.0 - (update - 1.0) / course.updates
                optimizer.param_groups[0]["lr"] = left * task.lr
            for step in range(steps):
                obs[step], dones[step] = next_obs, next_done
                with torch.no_grad():
                    distribution = agent.distribution(next_obs)
                    action = distribution.sample()
                    values[step] = agent.critic(next_obs).flatten()
                actions[step], logprobs[step] = action, distribution.log_prob(action)
                raw, reward, terminations, truncations, _ = envs.step(for_env(action.numpy()))
                over = np.logical_or(terminations, truncations)
                rewards[step] = torch.Tensor(normal.paid(reward, over))
                next_obs, next_done = normal.seen(raw, learn=True), torch.Tensor(over)
            with torch.no_grad():
                next_value = agent.critic(next_obs).flatten()
            advantages = torch.zeros_like(rewards)
            last: Any = 0.0
            for step in reversed(range(steps)):
                going_on = 1.0 - (next_done if step == steps - 1 else dones[step + 1])
                following = next_value if step == steps - 1 else values[step + 1]
                delta = rewards[step] + task.gamma * following * going_on - values[step]
                last = delta + task.gamma * task.gae_lambda * going_on * last
                advantages[step] = last
            returns = advantages + values
            columns = [
                column.flatten(0, 1) for column in (obs, actions, logprobs, advantages, returns)
            ]
            order = np.arange(steps * width)
            for _ in range(task.epochs):
                np.random.shuffle(order)  # noqa: NPY002
                for start in range(0, len(order), task.batch_size):
                    rows = order[start : start + task.batch_size]
                    loss = minibatch_loss(agent, [column[rows] for column in columns], task.entropy)
                    optimizer.zero_grad()
                    loss.backward()
                    nn.utils.clip_grad_norm_(agent.parameters(), GRADIENT_NORM)
                    optimizer.step()
            if update % course.updates_a_point == 0:
                course.point(act)
    return course.result(act)


def minibatch_loss(agent: Agent, columns: list[torch.Tensor], entropy: float) -> torch.Tensor:
    """Return PPO's loss of observations, actions, their log-probabilities, advantages, returns."""
    obs, actions, logprobs, advantages, returns = columns
    distribution = agent.distribution(obs)
    ratio = (distribution.log_prob(actions) - logprobs).exp()
    advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    clipped = torch.clamp(ratio, 1 - CLIP, 1 + CLIP)
    policy_loss = torch.max(-advantages * ratio, -advantages * clipped).mean()
    value_loss = ((agent.critic(obs).flatten() - returns) ** 2).mean()
    return policy_loss - entropy * distribution.entropy().mean() + VALUE_LOSS * value_loss


if __name__ == "__main__":
    main(run)
