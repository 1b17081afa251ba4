"""Generalised advantage estimation (Schulman et al. 2016). `T` is steps, `N` is `num_envs`."""

import torch
from torch import Tensor


def successor_values(
    values: Tensor, bootstrap: Tensor, dones: Tensor, final_values: Tensor
) -> Tensor:
    """Return the value of the state each slot led to, `[T, N]`: 0 where that state is terminal.

    ==============  ========  ==============================================================
    `values`        `[T, N]`  the critic at each slot's observation
    `bootstrap`     `[N]`     the critic at the observation after the last slot
    `dones`         `[T, N]`  bool; the slot ended its episode
    `final_values`  `[T, N]`  the critic at `final_obs` where an episode was cut short, 0 elsewhere
    ==============  ========  ==============================================================
    """
    following = torch.cat((values[1:], bootstrap.unsqueeze(0)))
    return torch.where(dones, final_values, following)


def compute_gae(
    rewards: Tensor,
    values: Tensor,
    next_values: Tensor,
    dones: Tensor,
    live: Tensor,
    *,
    gamma: float,
    lam: float,
) -> Tensor:
    """Return the advantages `[T, N]`, 0 where a slot is not live (eqs. 11 and 16).

    With `delta_t = r_t + gamma * V(s_t+1) - V(s_t)`, `A_t = delta_t + gamma * lam * A_t+1`. The sum
    stops at an episode's end and before a slot that is not live: neither what a finished
    sub-environment does nor the next episode may credit an earlier action. All inputs are `[T, N]`;
    `next_values` are `successor_values`, `dones` and `live` are bool. The critic's targets are
    `advantages + values`.
    """
    deltas = torch.where(live, rewards + gamma * next_values - values, 0.0)
    # A void slot has delta 0 and passes nothing on, so the sum stops before it too.
    decay = gamma * lam * (live & ~dones).to(deltas.dtype)
    advantages = torch.empty_like(deltas)
    running = torch.zeros_like(deltas[0])
    slots = (deltas.unbind(), decay.unbind(), advantages.unbind())
    for delta, kept, advantage in zip(*map(reversed, slots), strict=True):
        running = torch.addcmul(delta, kept, running, out=advantage)
    return advantages
