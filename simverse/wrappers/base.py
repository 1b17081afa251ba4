"""Environments around environments.

A wrapper keeps the contract of `simverse.core.env.SimEnv` for whatever keeps it below: batches of
observations, sub-environments that reset themselves or freeze, flags in the observation dict, and
`info["final_obs"]`, which is treated as the observation that it is.
"""

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from simverse.core.checks import (
    StepResult,
    check_observation,
    check_step,
    observation_shape,
)
from simverse.core.env import SimEnv
from simverse.envs.base import Step


class Wrapper(SimEnv):
    """An environment `env` with something about it changed; all else is the environment's own.

    Public members that a wrapper does not have itself are looked up in the environment, so that
    `max_steps`, `render_layers` and the like are found; `unwrapped` is the innermost environment.
    `eval()` freezes what a wrapper learns (running statistics), `train()` lets it go on.

    Raises `ValueError` for an environment of several agents.
    """

    env: Any

    def __init__(self, env: Any) -> None:
        super().__init__(
            device=getattr(env, "device", "cpu"), dtype=getattr(env, "dtype", torch.float32)
        )
        if (agents := int(getattr(env, "num_agents", 1))) != 1:
            raise ValueError(
                f"{type(self).__name__} is for one agent, the environment has {agents}"
            )
        self.env = env
        self.num_envs, self.num_agents = int(env.num_envs), 1

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name.startswith("_") or name == "env":
                raise
            return getattr(self.env, name)

    @property
    def unwrapped(self) -> Any:
        """The environment itself."""
        return self.env.unwrapped if isinstance(self.env, Wrapper) else self.env

    @property
    def text(self) -> str | None:
        """Its name in `simverse.wrappers.named`, None if a policy can be played without it."""
        return None

    def again(self, env: Any) -> Any:  # noqa: ARG002 - for subclasses
        """Return another environment changed likewise, to play what was trained in this one.

        Running statistics are shared. Raises `ValueError` for a wrapper that can't be repeated.
        """
        raise ValueError(f"{type(self).__name__} does not say how it is put on again (`again`)")

    @property
    def action_space(self) -> Any:
        """The environment's."""
        return self.env.action_space

    @property
    def observation_space(self) -> Any:
        """The environment's."""
        return self.env.observation_space

    def reset(self) -> dict[str, Tensor]:
        """Start a fresh episode everywhere."""
        payload: dict[str, Tensor] = self.env.reset()
        return payload

    def step(self, actions: Any) -> Step:
        """Step the environment."""
        result: Step = self.env.step(actions)
        return result

    def describe(self) -> str:
        """Say what the environment is."""
        return str(self.env.describe())

    def close(self) -> None:
        """Close the environment."""
        self.env.close()

    def assign_agents(self, agents: list[Any]) -> None:
        """Tell the environment who acts in it."""
        self.env.assign_agents(agents)

    def set_fast_payload_mode(self, enabled: bool) -> None:
        """Let the environment's payloads alias live buffers, or be clones."""
        super().set_fast_payload_mode(enabled)
        self.env.set_fast_payload_mode(enabled)


class ObservationWrapper(Wrapper):
    """Changes observations, `final_obs` among them; a subclass says how.

    Raises `EnvironmentContractError` where the environment below breaks its contract.
    """

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self._below = observation_shape(env)

    @abstractmethod
    def _begin(self, obs: Tensor, marked: Tensor | None) -> Tensor:
        """Return a first observation of fresh episodes, changed.

        Args:
            obs: `[N, C, H, W]`, may alias a live buffer.
            marked: `[N]` bool, the observation dict's `done`, None if it has none.
        """

    @abstractmethod
    def _follow(self, step: StepResult, final_obs: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Return a step's observation and its `final_obs`, both changed."""

    def reset(self) -> dict[str, Tensor]:
        """Start a fresh episode everywhere."""
        payload = self.env.reset()
        obs, marked = check_observation(payload, self.num_envs, self._below)
        return {**payload, "obs": self._begin(obs, marked)}

    def step(self, actions: Any) -> Step:
        """Step the environment."""
        result = self.env.step(actions)
        step = check_step(result, self.num_envs, self._below)
        payload, reward, done, info = result
        obs, final_obs = self._follow(step, info.get("final_obs"))
        if final_obs is not None:
            info = {**info, "final_obs": final_obs}
        return {**payload, "obs": obs}, reward, done, info
