"""The starter canvas: the smallest legal environment. There is nothing to learn in it yet.

START HERE. Replace it with the task that program.md describes: its state, its actions, what the
policy sees of it, what is rewarded and what counts as success.
"""

from typing import Any

import gymnasium as gym
import torch

from simverse.core.env import SimEnv


class EmptyEnv(SimEnv):
    """`num_envs` empty worlds at once; a finished one stays frozen with `done` set until `reset`.

    Observation `[N, 1, 1, 1]`: always 0. Actions: 0 and 1, both without effect. Reward: always 0.
    Success: never. An episode lasts `max_steps`.
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
        # Draw whatever varies between episodes from this generator, never from the global one.
        self.generator = torch.Generator(device=self.device).manual_seed(int(config.seed))
        self._action_space = gym.spaces.Discrete(2)
        self._observation_space = gym.spaces.Box(0.0, 1.0, shape=(1, 1, 1))

        # The state: one row per sub-environment, registered so that `.to(device)` moves it.
        self.register_buffer("steps", self._zeros(dtype=torch.int64))
        self.register_buffer("done", self._zeros(dtype=torch.bool))

    @property
    def action_space(self) -> gym.spaces.Discrete:
        return self._action_space

    @property
    def observation_space(self) -> gym.spaces.Box:
        return self._observation_space

    def describe(self) -> str:
        return "An empty world: nothing to see, nothing to do, nothing to gain."

    def reset(self) -> dict[str, torch.Tensor]:
        """Start a fresh episode in every sub-environment; return the observation dict."""
        self.steps.zero_()
        self.done.zero_()
        return self._pack_observation_dict(self._observe())

    def step(
        self, actions: Any
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor, dict[str, Any]]:
        """Advance by one step. Actions `[N]`; what is finished changes no more.

        Returns the observation dict, the reward `[N]`, done `[N]` and info.
        """
        actions = self._normalize_single_agent_actions(actions, missing_action=0)
        self.steps += ~self.done
        self.done |= self.steps >= self.max_steps
        reward = self._zeros(dtype=self.dtype)
        success = torch.zeros_like(self.done)
        info = self._build_info(extra={"success": success})
        return self._pack_observation_dict(self._observe()), reward, self.done.clone(), info

    def _observe(self) -> torch.Tensor:
        return self._zeros(1, 1, 1, dtype=self.dtype)

    def _zeros(self, *shape: int, dtype: torch.dtype) -> torch.Tensor:
        return torch.zeros(self.num_envs, *shape, dtype=dtype, device=self.device)


def create_env(
    config: Any,
    *,
    num_envs: int | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> EmptyEnv:
    """Build the environment; `config` names its `seed` and `max_steps`."""
    return EmptyEnv(config, num_envs=num_envs, device=device, dtype=dtype)
