"""Trading: one asset, four kinds of market, a fee on every trade.

The task, with its reward, its success and its horizon. Each episode draws two kinds of market and
an hour at which the first gives way to the second. The policy is told past returns only.
"""

import math
from typing import Any

import gymnasium as gym
import torch
from torch import Tensor

from simverse.core.views import DONE
from simverse.core.world import View, World

MAX_STEPS = 48  # the horizon in trading hours, one a step
OPENING = 12  # hours that pass, and are seen, before trading opens
HOURS = OPENING + MAX_STEPS
HOLD, BUY, SELL = range(3)

FEE = 0.002  # of the amount traded
DRIFT = 0.012  # log return an hour, up in a rally, down in a slump
NOISE = 0.010  # standard deviation of the log return, an hour: rally, slump and cycle
CYCLE_AMPLITUDE = 0.08  # of the log price
CYCLE_HOURS = (8.0, 14.0)  # shortest and longest period
CHOP_NOISE = 0.025  # standard deviation of the log price about its level
MAX_RETURN = 0.09  # the price moves no further in an hour, in log terms

TARGET_GROWTH = 0.10  # success: end with this much more than the starting wealth
MARGIN_CALL = 0.30  # trading ends at once when this share of the starting wealth is lost
REWARD_SCALE = 5.0  # reward for a log growth of 1


class TradingWorld(World):
    """`num_envs` markets at once; a finished one stays frozen with `done` set until `reset`.

    The view:

    ==============  =======  =========  ====================================================
    `past_returns`  float32  `[N, 60]`  hourly log returns, the newest last, 0 where there is
                                        none yet; the last 12 are there from the start
    `position`      float32  `[N]`      -1 short, 0 out of the market, 1 long
    `growth`        float32  `[N]`      log of wealth over starting wealth
    `steps`         int64    `[N]`      trading hours that have passed
    `steps_left`    int64    `[N]`      trading hours until the horizon
    `done`          bool     `[N]`      over, and frozen
    ==============  =======  =========  ====================================================

    Hidden: the returns to come, the kinds of market drawn, and when one gives way to the other.

    Actions: 0 hold, 1 buy, 2 sell. Buying moves the position up by one (short, out, long) and
    selling down by one; beyond the ends both do nothing and cost nothing. The stake is always
    the whole wealth, so an hour's log growth is `position * log return - FEE * traded`.

    Reward: that growth times `REWARD_SCALE`: over an episode, 1.0 is a gain of 22 %.
    Success: ending with at least 10 % more than at the start. A loss of 30 % ends trading at once.
    """

    max_steps = MAX_STEPS
    reward_bound = 1.0

    def __init__(
        self,
        config: Any,
        *,
        num_envs: int | None = None,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(device=device, dtype=dtype)
        self.num_envs = int(config.num_envs if num_envs is None else num_envs)
        self.generator = torch.Generator(device=self.device).manual_seed(int(config.seed))
        self.action_space = gym.spaces.Discrete(3)

        self.register_buffer("hours_back", torch.arange(-HOURS, 0, device=self.device))
        self.register_buffer("returns", self._zeros(HOURS))
        self.register_buffer("position", self._zeros())
        self.register_buffer("growth", self._zeros())  # log of wealth over starting wealth
        self.register_buffer("steps", torch.zeros_like(self.growth, dtype=torch.int64))
        self.register_buffer("done", torch.zeros_like(self.growth, dtype=torch.bool))

    def describe(self) -> str:
        return f"Trade one asset for {MAX_STEPS} hours through two of four kinds of market."

    def reset(self) -> View:
        """Draw new prices for every sub-environment; return the first view."""
        self.returns.copy_(self._draw_returns())
        for state in (self.position, self.growth, self.steps, self.done):
            state.zero_()
        return self._view()

    def step(self, actions: Tensor) -> tuple[View, Tensor, Tensor, dict[str, Any]]:
        """Trade, then let an hour pass. Actions `[N]`; what is finished changes no more.

        Returns the view, the reward `[N]`, done `[N]` and info.
        """
        live = ~self.done
        order = (actions == BUY).to(self.dtype) - (actions == SELL).to(self.dtype)
        wanted = (self.position + order * live).clamp(-1.0, 1.0)
        traded = (wanted - self.position).abs()
        growth = (wanted * self._next_return() - FEE * traded) * live

        self.position.copy_(wanted)
        self.growth += growth
        self.steps += live
        called = self.growth <= math.log1p(-MARGIN_CALL)
        self.done |= called | (self.steps >= self.max_steps)
        success = self.done & (self.growth >= math.log1p(TARGET_GROWTH))
        return self._view(), REWARD_SCALE * growth, self.done.clone(), {"success": success}

    def _view(self) -> View:
        # Backwards from the hour just past: no return that is yet to come is ever read.
        hour = self.steps[:, None] + OPENING + self.hours_back
        past = self.returns.gather(1, hour.clamp(min=0)).masked_fill(hour < 0, 0.0)
        return {
            "past_returns": past.float(),
            "position": self.position.float(),
            "growth": self.growth.float(),
            "steps": self.steps,
            "steps_left": self.max_steps - self.steps,
            DONE: self.done,
        }

    def _next_return(self) -> Tensor:
        """The log return of the hour about to pass, `[N]`."""
        hour = (self.steps + OPENING).clamp(max=HOURS - 1)
        return self.returns.gather(1, hour[:, None]).squeeze(1)

    def _draw_returns(self) -> Tensor:
        """Log returns `[N, HOURS]`: one kind of market up to some hour, another from there on."""
        trends = self._trend(DRIFT), self._trend(-DRIFT)
        markets = torch.stack((*trends, self._cycle(), self._chop()))
        first, second = (self._uniform(0.0, len(markets)).long() for _ in range(2))
        change = self._uniform(OPENING, HOURS)
        before = torch.arange(HOURS, device=self.device) < change[:, None]
        env = torch.arange(self.num_envs, device=self.device)
        drawn = torch.where(before, markets[first, env], markets[second, env])
        return drawn.clamp(-MAX_RETURN, MAX_RETURN)

    def _trend(self, drift: float) -> Tensor:
        """Rally or slump: a steady drift under noise, `[N, HOURS]`."""
        return drift + NOISE * self._normal(HOURS)

    def _cycle(self) -> Tensor:
        """A wave of drawn period and phase under noise, `[N, HOURS]`."""
        hour = torch.arange(HOURS + 1, device=self.device)
        frequency = 2.0 * math.pi / self._uniform(*CYCLE_HOURS)
        phase = self._uniform(0.0, 2.0 * math.pi)
        level = CYCLE_AMPLITUDE * torch.sin(frequency[:, None] * hour + phase[:, None])
        return level.diff(dim=1) + NOISE * self._normal(HOURS)

    def _chop(self) -> Tensor:
        """Jumps about a fixed level: what one hour gives the next tends to take, `[N, HOURS]`."""
        return (CHOP_NOISE * self._normal(HOURS + 1)).diff(dim=1)

    def _uniform(self, low: float, high: float) -> Tensor:
        """Numbers `[N]` between low and high."""
        uniform = torch.rand(
            self.num_envs, generator=self.generator, device=self.device, dtype=self.dtype
        )
        return low + uniform * (high - low)

    def _normal(self, hours: int) -> Tensor:
        """Standard normal numbers `[N, hours]`."""
        shape = (self.num_envs, hours)
        return torch.randn(shape, generator=self.generator, device=self.device, dtype=self.dtype)

    def _zeros(self, *shape: int) -> Tensor:
        return torch.zeros(self.num_envs, *shape, dtype=self.dtype, device=self.device)


def create_world(
    config: Any,
    *,
    num_envs: int | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> TradingWorld:
    """Build the world; `config` names its `seed`."""
    return TradingWorld(config, num_envs=num_envs, device=device, dtype=dtype)
