"""CartPole-v1 in torch (Barto, Sutton & Anderson 1983), gymnasium's equations and constants."""

import math
from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor

from simverse.core.env import Actions, SimEnv

GRAVITY = 9.8  # m / s^2
CART_MASS = 1.0  # kg
POLE_MASS = 0.1  # kg
TOTAL_MASS = CART_MASS + POLE_MASS
HALF_LENGTH = 0.5  # m, pivot to centre of mass
FORCE = 10.0  # N
STEP_S = 0.02
POSITION_LIMIT = 2.4  # m
ANGLE_LIMIT = 12 * math.pi / 180  # rad
EPISODE_STEPS = 500
START_RANGE = 0.05


class CartPole(SimEnv):
    """Keep a pole upright by pushing its cart left (0) or right (1).

    The observation `[N, 1, 1, 4]` is position (m), velocity (m/s), angle (rad) and angular velocity
    (rad/s); the reward is 1 a step. An episode ends when the cart or the pole leaves its limits and
    is cut short, which counts as success, after 500 steps. Sub-environments reset themselves, and
    every slot is live.
    """

    state: Tensor
    elapsed: Tensor

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
        self.num_envs = self._resolve_num_envs(num_envs, config)
        self.max_steps = int(config.max_steps)
        self._generator = torch.Generator().manual_seed(int(getattr(config, "seed", 0) or 0))
        # gymnasium integrates in float64; only the observation is rounded. MPS has no float64.
        state_dtype = torch.float32 if self.device.type == "mps" else torch.float64
        state = torch.zeros((4, self.num_envs), dtype=state_dtype, device=self.device)
        self.register_buffer("state", state)
        elapsed = torch.zeros(self.num_envs, dtype=torch.int64, device=self.device)
        self.register_buffer("elapsed", elapsed)
        self._action_space = spaces.Discrete(2)
        self._observation_space = spaces.Box(-math.inf, math.inf, shape=(1, 1, 4))

    @property
    def action_space(self) -> Any:
        """0 pushes left, 1 pushes right."""
        return self._action_space

    @property
    def observation_space(self) -> Any:
        """`(1, 1, 4)`, unbounded."""
        return self._observation_space

    def describe(self) -> str:
        """Say in one line what the task is."""
        return "CartPole-v1: keep the pole upright for 500 steps; 1 a step"

    def reset(self) -> dict[str, Tensor]:
        """Start every sub-environment near the upright position."""
        self.state.copy_(self._start_states())
        self.elapsed.zero_()
        return self._pack_observation_dict(self._observation())

    def step(self, actions: Actions) -> tuple[dict[str, Tensor], Tensor, Tensor, dict[str, Any]]:
        """Push every cart for 20 ms."""
        push = self._normalize_single_agent_actions(actions, missing_action=0)
        self.state.copy_(integrate(self.state, push))
        self.elapsed += 1
        fallen = (self.state[0].abs() > POSITION_LIMIT) | (self.state[2].abs() > ANGLE_LIMIT)
        truncated = (self.elapsed >= EPISODE_STEPS) & ~fallen
        done = fallen | truncated
        info: dict[str, Any] = {"success": truncated, "truncated": truncated}
        info["final_obs"] = self._observation()
        if bool(done.any()):
            self.state.copy_(torch.where(done, self._start_states(), self.state))
            self.elapsed.masked_fill_(done, 0)
        reward = torch.ones(self.num_envs, dtype=self.dtype, device=self.device)
        obs = self._pack_observation_dict(self._observation())
        return obs, reward, done, self._build_info(extra=info)

    def _observation(self) -> Tensor:
        return self.state.T.to(self.dtype).reshape(self.num_envs, 1, 1, 4)

    def _start_states(self) -> Tensor:
        # Drawn for all, used where needed: how many have fallen must not change later draws.
        uniform = torch.rand((4, self.num_envs), generator=self._generator, dtype=torch.float64)
        return ((2 * uniform - 1) * START_RANGE).to(self.state)


def integrate(state: Tensor, push: Tensor) -> Tensor:
    """Return the state `[4, N]` one explicit Euler step after pushing (`[N]`, 0 left, 1 right)."""
    position, velocity, angle, spin = state
    force = torch.where(push == 1, FORCE, -FORCE).to(state.dtype)
    cosine, sine = angle.cos(), angle.sin()
    pole_moment = POLE_MASS * HALF_LENGTH
    pressure = (force + pole_moment * spin.square() * sine) / TOTAL_MASS
    spin_rate = (GRAVITY * sine - cosine * pressure) / (
        HALF_LENGTH * (4.0 / 3.0 - POLE_MASS * cosine.square() / TOTAL_MASS)
    )
    acceleration = pressure - pole_moment * spin_rate * cosine / TOTAL_MASS
    return torch.stack(
        (
            position + STEP_S * velocity,
            velocity + STEP_S * acceleration,
            angle + STEP_S * spin,
            spin + STEP_S * spin_rate,
        )
    )


def create_env(
    config: Any,
    *,
    num_envs: int | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> CartPole:
    """Return the environment; its signature is a candidate's."""
    return CartPole(config, num_envs=num_envs, device=device, dtype=dtype)
