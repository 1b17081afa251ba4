"""What the policy sees of the skirmish, and how training rewards it: a roster of all units."""

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import torch
from torch import Tensor

RANGE = 3  # cells a shot carries
GRENADE_RANGE = 2
HEALTH, COVERED, IN_RANGE, IN_GRENADE_RANGE, DISTANCE, TIME_LEFT = range(6)  # channels

VERDICT_REWARD = 0.5  # for a victory; as much is lost with a defeat


def observation_space(view_spaces: Mapping[str, Any]) -> gym.spaces.Box:
    """Return the space of `observe`'s observations, `(6, 1, 7)`."""
    units = view_spaces["our_health"].shape[0] + view_spaces["their_health"].shape[0]
    return gym.spaces.Box(0.0, 1.0, shape=(6, 1, units))


def observe(view: dict[str, Tensor]) -> Tensor:
    """Return observations `[N, 6, 1, 7]` float32, one column a unit, our four first.

    =  ================  ===========================================================
    0  HEALTH            1 unhurt .. 0 fallen
    1  COVERED           1 for a living unit in cover
    2  IN_RANGE          1 if a living opponent is within shooting range
    3  IN_GRENADE_RANGE  1 if a living opponent is within grenade range
    4  DISTANCE          to the nearest living opponent, as a share of the grid's side
    5  TIME_LEFT         share of the steps that remain; the same in every column
    =  ================  ===========================================================
    """
    ours, theirs, side = view["ours"], view["theirs"], view["cover"].shape[1]
    our_health, their_health = view["our_health"], view["their_health"]
    health = torch.cat((our_health, their_health), dim=1)
    cells = torch.cat((ours, theirs), dim=1)
    covered = view["cover"].flatten(1).gather(1, cells[..., 0] * side + cells[..., 1])

    apart = (ours[:, :, None] - theirs[:, None]).abs().amax(dim=3)  # king's moves
    to_theirs = apart.masked_fill(their_health[:, None, :] <= 0, side).amin(dim=2)
    to_ours = apart.masked_fill(our_health[:, :, None] <= 0, side).amin(dim=1)
    distance = torch.cat((to_theirs, to_ours), dim=1).masked_fill(health <= 0, side)

    time_left = 1.0 - view["steps"].float() / (view["steps"] + view["steps_left"])
    planes = (
        health,
        covered & (health > 0),
        distance <= RANGE,
        distance <= GRENADE_RANGE,
        distance / side,
        time_left[:, None].expand_as(health),
    )
    return torch.stack([plane.float() for plane in planes], dim=1)[:, :, None, :]


def shape_reward(
    before: dict[str, Tensor],
    actions: Tensor,
    after: dict[str, Tensor],
    reward: Tensor,
    done: Tensor,
) -> dict[str, Tensor]:
    """Return the parts `[N]` that training pays for: the task's own reward, in two."""
    del before, actions
    won = (after["their_health"] <= 0).all(dim=1)
    verdict = VERDICT_REWARD * (won.float() - (done & ~won).float())
    return {"verdict": verdict, "damage": reward - verdict}
