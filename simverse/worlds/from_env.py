"""Environments as worlds, in one line each."""

from typing import Any

import gymnasium
import torch
from torch import Tensor

from simverse.core.checks import check_observation, check_step, observation_shape
from simverse.core.config import EnvConfig
from simverse.core.views import DONE, View
from simverse.core.world import World


def from_env(
    env: Any,
    config: Any = None,
    *,
    num_envs: int | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> World:
    """Return a world whose views are an environment's observations, and whose reward is its own.

    Args:
        env: a name as `sim envs` lists them (`"snake"`, `"gym:CartPole-v1"`), a `SimEnv` or
            anything with its contract, or a vector environment of Gymnasium's.
        config: for a name: what `create_world` was given. Its `seed` decides all draws.
        num_envs: for a name: sub-environments, if not `config.num_envs`.
        device: for a name.
        dtype: for a name.

    Raises:
        ValueError: there is no environment of that name, or it has no discrete actions.
        EnvironmentContractError: the environment breaks its contract.
    """
    from simverse.envs import registry
    from simverse.envs.gym import GymEnv

    if isinstance(env, str):
        config = EnvConfig() if config is None else config
        env = registry.make(env, config, num_envs=num_envs, device=device, dtype=dtype)
    elif isinstance(env, gymnasium.vector.VectorEnv):
        seed = int(getattr(config, "seed", 0))
        env = GymEnv(env, seed=seed, device=device, dtype=dtype)
    return _EnvWorld(env, config)


class _EnvWorld(World):
    """The view has the field `obs`, `[N, C, H, W]`, and `done` where the environment marks it."""

    def __init__(self, env: Any, config: Any) -> None:
        super().__init__(device=getattr(env, "device", "cpu"))
        self.env = env
        self.num_envs = int(env.num_envs)
        self.action_space = env.action_space
        self._shape = observation_shape(env)
        self.view_spaces = {"obs": env.observation_space}
        horizon = getattr(env, "max_steps", None) or getattr(config, "max_steps", None)
        self.max_steps = int(horizon or EnvConfig.max_steps)

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
