"""Environments as worlds, in one line each."""

from typing import Any

import gymnasium
import torch
from torch import Tensor

from simverse.core.checks import check_observation, check_step, observation_shape
from simverse.core.config import EnvConfig
from simverse.core.views import DONE, View
from simverse.core.world import World
from simverse.errors import EnvironmentContractError


def from_env(
    env: Any,
    config: Any = None,
    *,
    max_steps: int | None = None,
    num_envs: int | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> World:
    """Return a world whose views are an environment's observations, and whose reward is its own.

    Args:
        env: a name as `sim envs` lists them (`"snake"`, `"gym:CartPole-v1"`), a `SimEnv` or
            anything with its contract, or a vector environment of Gymnasium's.
        config: what `create_world` was given. For a name or a vector environment, its `seed`
            decides all draws.
        max_steps: the world's horizon; without it the environment's own, and `config.max_steps`
            where it has none.
        num_envs: for a name: sub-environments, if not `config.num_envs`.
        device: for a name or a vector environment.
        dtype: for a name or a vector environment.

    Raises:
        ValueError: there is no environment of that name, or its actions are not discrete.
        EnvironmentContractError: the environment breaks its contract, or has several agents.
    """
    from simverse.envs import registry
    from simverse.envs.gym import GymEnv

    seed = int(getattr(config, "seed", 0) or 0)
    if isinstance(env, str):
        max_steps = max_steps or registry.entry(env).max_steps
        count = num_envs or getattr(config, "num_envs", None) or EnvConfig.num_envs
        env = registry.make(
            env, num_envs=count, max_steps=max_steps, seed=seed, device=device, dtype=dtype
        )
    elif isinstance(env, gymnasium.vector.VectorEnv):
        env = GymEnv(env, seed=seed, device=device, dtype=dtype)
    if isinstance(env, GymEnv) and not isinstance(env.action_space, gymnasium.spaces.Discrete):
        env.close()
        raise ValueError(f"a world has only discrete actions, got {env.action_space}")  # noqa: TRY004 - its value
    if max_steps is None:
        own = getattr(env, "max_steps", None) or getattr(config, "max_steps", None)
        max_steps = int(own or EnvConfig.max_steps)
    return _EnvWorld(env, max_steps)


class _EnvWorld(World):
    """The view has the field `obs`, `[N, C, H, W]`, and `done` where the environment marks it."""

    def __init__(self, env: Any, max_steps: int) -> None:
        super().__init__(
            device=getattr(env, "device", "cpu"), dtype=getattr(env, "dtype", torch.float32)
        )
        if (agents := getattr(env, "num_agents", 1)) != 1:
            raise EnvironmentContractError(f"a world has one agent, the environment has {agents}")
        self.env = env
        self.num_envs = int(env.num_envs)
        self.action_space = env.action_space
        self._shape = observation_shape(env)
        self.view_spaces = {"obs": env.observation_space}
        self.max_steps = max_steps

    @property
    def name(self) -> str:
        """The environment's."""
        return type(self.env).__name__

    def describe(self) -> str:
        """What the environment says of itself."""
        describe = getattr(self.env, "describe", None)
        return str(describe()) if callable(describe) else type(self.env).__name__

    def close(self) -> None:
        """Close the environment, if it can be closed."""
        close = getattr(self.env, "close", None)
        if callable(close):
            close()

    def reset(self) -> View:
        """Start a fresh episode everywhere."""
        return self._view(*check_observation(self.env.reset(), self.num_envs, self._shape))

    def step(self, actions: Tensor) -> tuple[View, Tensor, Tensor, dict[str, Any]]:
        """Step the environment."""
        step = check_step(self.env.step(actions), self.num_envs, self._shape)
        info: dict[str, Any] = {}
        if step.success is not None:
            info["success"] = step.success
        if step.truncated is not None and step.final_obs is not None:
            info["truncated"] = step.truncated
            info["final_view"] = self._view(step.final_obs, step.marked)
        return self._view(step.obs, step.marked), step.reward, step.done, info

    @staticmethod
    def _view(obs: Tensor, marked: Tensor | None) -> View:
        view = {"obs": obs.float()}
        if marked is not None:
            view[DONE] = marked
        return view
