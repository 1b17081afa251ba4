"""Playing episodes with a fixed policy, for numbers to report."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from simverse.core.checks import check_observation, check_policy_output, check_step

Act = Callable[[Tensor], Tensor]
"""Maps `obs [N, C, H, W]` to actions `[N]`."""


class Episodes(NamedTuple):
    """The first episode of each sub-environment."""

    returns: Tensor
    """`[N]`: the rewards up to the first `done` or the horizon, added up; a world's own ones."""
    lengths: Tensor
    """`[N]`, in steps."""
    success: Tensor
    """`[N]` bool: whether it was ever true by then."""


def greedy(policy: nn.Module, num_actions: int) -> Act:
    """Return the policy's most likely actions as a function; `PolicyError` for a bad output."""
    policy.eval()

    def act(obs: Tensor) -> Tensor:
        logits, _ = check_policy_output(policy(obs), obs.shape[0], num_actions)
        return logits.argmax(dim=-1)

    return act


def uniform(num_actions: int, seed: int) -> Act:
    """Return random actions as a function."""
    generator = torch.Generator().manual_seed(seed)
    return lambda obs: torch.randint(num_actions, (len(obs),), generator=generator).to(obs.device)


@torch.no_grad()
def play(env: Any, act: Act, *, max_steps: int) -> Episodes:
    """Play one batch of episodes from `reset` up to `max_steps`."""
    count, shape = int(env.num_envs), tuple(env.observation_space.shape)
    obs, _ = check_observation(env.reset(), count, shape)
    returns = torch.zeros(count, dtype=torch.float64)
    lengths = torch.zeros(count, dtype=torch.int64)
    success = torch.zeros(count, dtype=torch.bool)
    running = torch.ones(count, dtype=torch.bool)
    for _ in range(max_steps):
        step = check_step(env.step(act(obs.float())), count, shape)
        obs = step.obs
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
