"""What the policy sees of the floor, and how training rewards progress.

The agent sees the cells around it and a compass to the key, the door and the goal.
"""

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import torch
from torch import Tensor
from torch.nn.functional import pad

RADIUS = 1  # the agent sees this many cells in each direction
SIGHT = 2 * RADIUS + 1  # cells along each side of what it sees
WALL, KEY, DOOR, GOAL = range(4)  # observation channels

PROGRESS_REWARD = 0.05  # a cell nearer to what is needed next; as much is lost a cell farther


def observation_space(view_spaces: Mapping[str, Any]) -> gym.spaces.Box:
    """Return the space of `observe`'s observations, `(4, 3, 3)`."""
    del view_spaces
    return gym.spaces.Box(0.0, 1.0, shape=(4, SIGHT, SIGHT))


def observe(view: dict[str, Tensor]) -> Tensor:
    """Return observations `[N, 4, 3, 3]` float32, 0 or 1, the agent in the middle.

    =  ====  ====================================================
    0  WALL  walls, and everything outside the floor
    1  KEY   the key, until it is picked up
    2  DOOR  the door, until it is opened
    3  GOAL  the goal
    =  ====  ====================================================

    A key, door or goal beyond sight is drawn on the edge, in its direction.
    """
    agent = view["agent"]
    index = torch.arange(len(agent), device=agent.device)
    sight = torch.arange(SIGHT, device=agent.device)
    obs = torch.zeros(len(agent), 4, SIGHT, SIGHT, device=agent.device)

    walls = pad(view["walls"], (RADIUS,) * 4, value=True)  # so that no sight leaves the map
    rows, columns = (agent[:, axis, None] + sight for axis in (0, 1))
    obs[:, WALL] = walls[index[:, None, None], rows[:, :, None], columns[:, None, :]].float()

    present = {KEY: ~view["has_key"], DOOR: ~view["door_open"], GOAL: torch.ones_like(index)}
    for channel, name in ((KEY, "key"), (DOOR, "door"), (GOAL, "goal")):
        row, column = ((view[name] - agent).clamp(-RADIUS, RADIUS) + RADIUS).unbind(dim=1)
        obs[index, channel, row, column] = present[channel].float()
    return obs


def shape_reward(
    before: dict[str, Tensor],
    actions: Tensor,
    after: dict[str, Tensor],
    reward: Tensor,
    done: Tensor,
) -> dict[str, Tensor]:
    """Return the parts `[N]` that training pays for: the task's own reward, and progress.

    Progress is measured to what was needed before the step, so that picking it up costs nothing.
    """
    del actions, done
    after_key = torch.where(before["door_open"][:, None], before["goal"], before["door"])
    objective = torch.where(before["has_key"][:, None], after_key, before["key"])
    progress = _distance(before["agent"], objective) - _distance(after["agent"], objective)
    return {"task": reward, "progress": PROGRESS_REWARD * progress}


def _distance(here: Tensor, there: Tensor) -> Tensor:
    """Steps between positions `[N, 2]` if no wall were in the way, `[N]`."""
    return (there - here).abs().sum(dim=1)
