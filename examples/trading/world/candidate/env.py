"""What the policy sees of the market. Training pays the task's own reward: nothing is shaped."""

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import torch
from torch import Tensor

WINDOW = 12  # hours of past returns in the observation
MAX_RETURN = 0.09  # the price moves no further in an hour, in log terms
RETURNS, POSITION, TIME_LEFT = range(3)  # observation channels


def observation_space(view_spaces: Mapping[str, Any]) -> gym.spaces.Box:
    """Return the space of `observe`'s observations, `(3, 1, 12)`."""
    del view_spaces
    return gym.spaces.Box(-1.0, 1.0, shape=(3, 1, WINDOW))


def observe(view: dict[str, Tensor]) -> Tensor:
    """Return observations `[N, 3, 1, 12]` float32, the window's oldest hour first.

    =  =========  ==============================================================
    0  RETURNS    hourly log returns as shares of the largest possible: -1..1
    1  POSITION   -1 short, 0 out of the market, 1 long; the same in every cell
    2  TIME_LEFT  share of the trading hours that remain; the same in every cell
    =  =========  ==============================================================
    """
    time_left = 1.0 - view["steps"].float() / (view["steps"] + view["steps_left"])
    planes = (
        view["past_returns"][:, -WINDOW:] / MAX_RETURN,
        view["position"][:, None].expand(-1, WINDOW),
        time_left[:, None].expand(-1, WINDOW),
    )
    return torch.stack(planes, dim=1)[:, :, None, :]
