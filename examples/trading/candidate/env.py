"""Trading: one asset, four kinds of market, a fee on every trade.

Each episode draws two kinds of market and an hour at which the first gives way to the second.
The policy sees recent returns only: it has to tell which market it is in and act on that.
"""

import math
from typing import Any

import gymnasium as gym
import torch

from simverse.core.env import SimEnv

WINDOW = 12  # hours of past returns in the observation
HOLD, BUY, SELL = range(3)
RETURNS, POSITION, TIME_LEFT = range(3)  # observation channels

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


class TradingEnv(SimEnv):
    """`num_envs` markets at once; a finished one stays frozen with `done` set until `reset`.

    Observation `[N, 3, 1, 12]`, the window's oldest hour first:

    =  =========  ==============================================================
    0  RETURNS    hourly log returns as shares of the largest possible: -1..1
    1  POSITION   -1 short, 0 out of the market, 1 long; the same in every cell
    2  TIME_LEFT  share of the trading hours that remain; the same in every cell
    =  =========  ==============================================================

    Actions: 0 hold, 1 buy, 2 sell. Buying moves the position up by one (short, out, long) and
    selling down by one; beyond the ends both do nothing and cost nothing. The stake is always
    the whole wealth, so an hour's log growth is `position * log return - FEE * traded`.

    The reward is that growth times `REWARD_SCALE`: over an episode, 1.0 is a gain of 22 %.
    """

    def __init__(
        self,
        config: Any,
        *,
        num_envs: int | None = None,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(device=device, dtype=dtype)
        self.num_agents = 1
        self.num_envs = self._resolve_num_envs(num_envs, config, default=32)
        self.max_steps = int(config.max_steps)
        self.hours = WINDOW + self.max_steps  # the first WINDOW pass before trading opens
        self.generator = torch.Generator(device=self.device).manual_seed(int(config.seed))
        self._action_space = gym.spaces.Discrete(3)
        self._observation_space = gym.spaces.Box(-1.0, 1.0, shape=(3, 1, WINDOW))

        self.register_buffer("window_index", torch.arange(WINDOW, device=self.device))
        self.register_buffer("returns", self._zeros(self.hours))
        self.register_buffer("position", self._zeros())
        self.register_buffer("growth", self._zeros())  # log of wealth over starting wealth
        self.register_buffer("steps", torch.zeros_like(self.growth, dtype=torch.int64))
        self.register_buffer("done", torch.zeros_like(self.growth, dtype=torch.bool))
        self.reset()

    @property
    def action_space(self) -> gym.spaces.Discrete:
        return self._action_space

    @property
    def observation_space(self) -> gym.spaces.Box:
        return self._observation_space

    def describe(self) -> str:
        return f"Trade one asset for {self.max_steps} hours through two of four kinds of market."

    def reset(self) -> dict[str, torch.Tensor]:
        """Draw new prices for every sub-environment; return the observation dict."""
        self.returns.copy_(self._draw_returns())
        for state in (self.position, self.growth, self.steps, self.done):
            state.zero_()
        return self._pack_observation_dict(self._observe())

    def step(
        self, actions: Any
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor, dict[str, Any]]:
        """Trade, then let an hour pass. Actions `[N]`; what is finished changes no more.

        Returns the observation, the reward `[N]`, done `[N]` and info.
        """
        actions = self._normalize_single_agent_actions(actions, missing_action=HOLD)
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
        info = self._build_info(extra={"success": success})
        obs = self._pack_observation_dict(self._observe())
        return obs, REWARD_SCALE * growth, self.done.clone(), info

    def _next_return(self) -> torch.Tensor:
        """The log return of the hour about to pass, `[N]`."""
        hour = (self.steps + WINDOW).clamp(max=self.hours - 1)
        return self.returns.gather(1, hour[:, None]).squeeze(1)

    def _observe(self) -> torch.Tensor:
        recent = self.returns.gather(1, self.steps[:, None] + self.window_index)
        time_left = 1.0 - self.steps.to(self.dtype) / self.max_steps
        planes = (
            recent / MAX_RETURN,
            self.position[:, None].expand(-1, WINDOW),
            time_left[:, None].expand(-1, WINDOW),
        )
        return torch.stack(planes, dim=1)[:, :, None, :]

    def _draw_returns(self) -> torch.Tensor:
        """Log returns `[N, hours]`: one kind of market up to some hour, another from there on."""
        trends = self._trend(DRIFT), self._trend(-DRIFT)
        markets = torch.stack((*trends, self._cycle(), self._chop()))
        first, second = (self._uniform(0.0, len(markets)).long() for _ in range(2))
        change = self._uniform(WINDOW, self.hours)
        before = torch.arange(self.hours, device=self.device) < change[:, None]
        env = torch.arange(self.num_envs, device=self.device)
        drawn = torch.where(before, markets[first, env], markets[second, env])
        return drawn.clamp(-MAX_RETURN, MAX_RETURN)

    def _trend(self, drift: float) -> torch.Tensor:
        """Rally or slump: a steady drift under noise, `[N, hours]`."""
        return drift + NOISE * self._normal(self.hours)

    def _cycle(self) -> torch.Tensor:
        """A wave of drawn period and phase under noise, `[N, hours]`."""
        hour = torch.arange(self.hours + 1, device=self.device)
        frequency = 2.0 * math.pi / self._uniform(*CYCLE_HOURS)
        phase = self._uniform(0.0, 2.0 * math.pi)
        level = CYCLE_AMPLITUDE * torch.sin(frequency[:, None] * hour + phase[:, None])
        return level.diff(dim=1) + NOISE * self._normal(self.hours)

    def _chop(self) -> torch.Tensor:
        """Jumps about a fixed level: what one hour gives the next tends to take, `[N, hours]`."""
        return (CHOP_NOISE * self._normal(self.hours + 1)).diff(dim=1)

    def _uniform(self, low: float, high: float) -> torch.Tensor:
        """Numbers `[N]` between low and high."""
        uniform = torch.rand(
            self.num_envs, generator=self.generator, device=self.device, dtype=self.dtype
        )
        return low + uniform * (high - low)

    def _normal(self, hours: int) -> torch.Tensor:
        """Standard normal numbers `[N, hours]`."""
        shape = (self.num_envs, hours)
        return torch.randn(shape, generator=self.generator, device=self.device, dtype=self.dtype)

    def _zeros(self, *shape: int) -> torch.Tensor:
        return torch.zeros(self.num_envs, *shape, dtype=self.dtype, device=self.device)


def create_env(
    config: Any,
    *,
    num_envs: int | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> TradingEnv:
    """Build the environment; `config` names its `seed` and `max_steps`."""
    return TradingEnv(config, num_envs=num_envs, device=device, dtype=dtype)
