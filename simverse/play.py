"""Playing episodes with a fixed policy, for numbers to report."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from simverse.core.checks import StepResult, check_observation, check_policy_output, check_step
from simverse.core.distributions import ActionDistribution, action_distribution, distribution_of
from simverse.core.recurrence import initial_state, is_recurrent, recurrent_forward, restarted

Act = Callable[..., Tensor]
"""Maps `obs [N, C, H, W]`, and the mask of legal actions `[N, n]` where there is one, to actions
`[N]`, or `[N, d]` (`simverse.core.distributions`)."""


class Episodes(NamedTuple):
    """The first episode of each sub-environment."""

    returns: Tensor
    """`[N]`: the rewards up to the first `done` or the horizon, added up; a world's own ones."""
    lengths: Tensor
    """`[N]`, in steps."""
    success: Tensor
    """`[N]` bool: whether it was ever true by then."""


def greedy(policy: nn.Module, actions: ActionDistribution | int) -> Act:
    """Return the policy's most likely legal actions as a function; `PolicyError` for bad output.

    `actions` is the distribution that the policy's first output describes (for a Gaussian its mean
    is played), or the number of actions.
    """
    policy.eval()
    distribution = distribution_of(actions)
    if is_recurrent(policy):
        return _Remembering(policy, distribution)

    def act(obs: Tensor, mask: Tensor | None = None) -> Tensor:
        outputs, _ = check_policy_output(
            policy(obs), obs.shape[0], distribution.width, name=distribution.name
        )
        return distribution.for_env(distribution.mode(outputs, mask))

    return act


class _Remembering:
    """Greedy actions of a recurrent policy. `Player` says when episodes begin."""

    def __init__(self, policy: nn.Module, distribution: ActionDistribution) -> None:
        self._policy, self._distribution = policy, distribution
        self._state: Any = None

    def restart(self, ended: Tensor | None = None) -> None:
        """Begin the state anew, where episodes have `ended` (bool `[N]`) or everywhere."""
        if ended is None:
            self._state = None
        elif self._state is not None:
            self._state = restarted(self._policy, self._state, ended)

    def __call__(self, obs: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the actions, and remember what was seen."""
        if self._state is None:
            self._state = initial_state(self._policy, len(obs))
        output, self._state = recurrent_forward(self._policy, obs, self._state)
        actions = self._distribution
        outputs, _ = check_policy_output(output, len(obs), actions.width, name=actions.name)
        return actions.for_env(actions.mode(outputs, mask))


def uniform(actions: ActionDistribution | int, seed: int) -> Act:
    """Return random actions as a function, random legal ones where there is a mask."""
    generator = torch.Generator().manual_seed(seed)
    distribution = distribution_of(actions)

    def act(obs: Tensor, mask: Tensor | None = None) -> Tensor:
        return distribution.uniform(len(obs), generator, mask).to(obs.device)

    return act


class Player:
    """Steps an environment with a policy: remembers what it saw, legal actions included."""

    def __init__(self, env: Any, act: Act) -> None:
        self._env, self._act = env, act
        self._restart = getattr(act, "restart", None)
        """What forgets, where the policy remembers."""
        self._marked: Tensor | None = None
        self._count = int(env.num_envs)
        self._distribution = action_distribution(env.action_space)
        self._shape = tuple(int(size) for size in env.observation_space.shape)
        self._mask: Tensor | None = None
        self.obs = torch.empty(0)
        """`[N, C, H, W]`: the latest observation."""

    def reset(self) -> Tensor:
        """Begin episodes everywhere; return the first observation."""
        if self._restart is not None:
            self._restart()
        payload = self._env.reset()
        self.obs, marked = check_observation(payload, self._count, self._shape)
        self._look(payload.get("mask"), marked)
        return self.obs

    def step(self) -> tuple[Tensor, StepResult]:
        """Return the actions taken, as the environment gets them, and what they led to."""
        obs = self.obs.float()
        actions = self._act(obs) if self._mask is None else self._act(obs, self._mask)
        result = check_step(self._env.step(actions), self._count, self._shape)
        self.obs = result.obs
        if self._restart is not None:
            self._restart(result.done if self._marked is None else result.done | self._marked)
        self._look(result.mask, result.marked)
        return actions, result

    def _look(self, mask: Any, marked: Tensor | None) -> None:
        self._marked = None if marked is None else marked.clone()
        self._mask = self._distribution.mask(mask, marked, self._count)


@torch.no_grad()
def play(env: Any, act: Act, *, max_steps: int) -> Episodes:
    """Play one batch of episodes from `reset` up to `max_steps`."""
    count, player = int(env.num_envs), Player(env, act)
    player.reset()
    returns = torch.zeros(count, dtype=torch.float64)
    lengths = torch.zeros(count, dtype=torch.int64)
    success = torch.zeros(count, dtype=torch.bool)
    running = torch.ones(count, dtype=torch.bool)
    for _ in range(max_steps):
        _, step = player.step()
        returns += torch.where(running, step.earned.cpu().double(), 0.0)
        lengths += running
        if step.success is not None:
            success |= step.success.cpu() & running
        running &= ~step.done.cpu()
        if not running.any():
            break
    return Episodes(returns, lengths, success)


def play_many(env: Any, act: Act, *, episodes: int, max_steps: int) -> Episodes:
    """Play as many batches as it takes; return `episodes` episodes."""
    batches = [
        play(env, act, max_steps=max_steps) for _ in range(-(-episodes // int(env.num_envs)))
    ]
    return Episodes(*(torch.cat(column)[:episodes] for column in zip(*batches, strict=True)))
