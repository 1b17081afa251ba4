"""Gymnasium's environments under simverse's contract: any with discrete actions."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from simverse.core.env import Actions, SimEnv
from simverse.envs.base import Step

NEXT_STEP, SAME_STEP, DISABLED = "NextStep", "SameStep", "Disabled"
_LEGACY_SEEDS = 2**31
_IMAGE_CHANNELS = {1, 3, 4}


class GymEnv(SimEnv):
    """A Gymnasium vector environment (>= 1.0) with discrete actions.

    Observations become `[N, C, H, W]`: a vector of d numbers `(1, 1, d)`, a matrix `(1, H, W)`, an
    image `(C, H, W)`, its channels last or first before; a `Discrete` one is one-hot `(1, 1, n)`.
    Bytes are divided by 255. Actions count from 0 and rewards are Gymnasium's own.

    Episodes end as Gymnasium says, at its own horizon, not at `config.max_steps`, which is a
    rollout's. `done` is terminated or truncated; truncation is declared, with `final_obs`. How a
    finished sub-environment begins again is the vector environment's mode:

    =========  ==============================================================================
    SAME_STEP  inside `step`: every slot is live
    NEXT_STEP  in the next step, which ignores the action: that slot is void, and marked so
    DISABLED   never by itself: the adapter resets it inside `step`
    =========  ==============================================================================

    Success is the environment's own `is_success` or `success`, else a return that reaches its
    `reward_threshold`; without either nothing counts as success.
    """

    def __init__(
        self,
        vector_env: gymnasium.vector.VectorEnv,
        *,
        seed: int = 0,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(device=device, dtype=dtype)
        if not isinstance(vector_env.single_action_space, spaces.Discrete):
            space = vector_env.single_action_space
            raise ValueError(f"only discrete actions, got {space}")  # noqa: TRY004 - its value
        self.vector_env = vector_env
        self.num_envs = int(vector_env.num_envs)
        self.mode = autoreset_mode(vector_env)
        # A vector environment put together by hand has no specification, its parts may have.
        parts = getattr(vector_env, "envs", ())
        spec = vector_env.spec or getattr(parts[0] if parts else None, "spec", None)
        self.env_id = getattr(spec, "id", None) or type(vector_env).__name__
        self.max_steps = getattr(spec, "max_episode_steps", None)
        self._threshold = getattr(spec, "reward_threshold", None)
        self._first_action = int(vector_env.single_action_space.start)
        self._action_space = spaces.Discrete(int(vector_env.single_action_space.n))
        self._shape, self._convert = observation_layout(vector_env.single_observation_space)
        self._observation_space = spaces.Box(-math.inf, math.inf, shape=self._shape)
        self._seed: int | None = seed
        self._returns = np.zeros(self.num_envs)
        self._waiting = np.zeros(self.num_envs, dtype=bool)  # void in the next step

    @property
    def action_space(self) -> Any:
        """Gymnasium's, counted from 0."""
        return self._action_space

    @property
    def observation_space(self) -> Any:
        """`(C, H, W)`, unbounded."""
        return self._observation_space

    def describe(self) -> str:
        """Say in one line what the task is."""
        return f"Gymnasium's {self.env_id}"

    def close(self) -> None:
        """Close Gymnasium's environment."""
        self.vector_env.close()

    def reseed(self, seed: int) -> None:
        """Begin with another seed, of any number of bits, at the next `reset`."""
        self._seed = seed

    def reset(self) -> dict[str, Tensor]:
        """Start all over; only the first time with the seed, so that later episodes differ."""
        try:
            obs, _ = self.vector_env.reset(seed=self._seed)
        except (OverflowError, ValueError):  # one that seeds numpy's legacy generator
            if self._seed is None or self._seed < _LEGACY_SEEDS:
                raise
            obs, _ = self.vector_env.reset(seed=self._seed % _LEGACY_SEEDS)
        self._seed = None
        self._returns[:] = 0.0
        self._waiting[:] = False
        return self._payload(self._tensor(obs))

    def step(self, actions: Actions) -> Step:
        """Step Gymnasium's environment once."""
        chosen = self._normalize_single_agent_actions(actions, missing_action=0)
        obs, reward, terminated, truncated, infos = self.vector_env.step(
            chosen.cpu().numpy() + self._first_action
        )
        # A void step brings reward 0 and ends nothing: Gymnasium's promise, made sure of here.
        terminated, truncated = terminated & ~self._waiting, truncated & ~self._waiting
        done = terminated | truncated
        self._returns += np.where(self._waiting, 0.0, reward)
        success = self._success(infos, done)
        self._returns[done] = 0.0
        self._waiting = done.copy() if self.mode == NEXT_STEP else self._waiting

        final_obs = self._final_obs(obs, infos, done)
        if self.mode == DISABLED and done.any():
            obs, _ = self.vector_env.reset(options={"reset_mask": done.copy()})
        flags = {"success": success, "truncated": truncated & ~terminated}
        info: dict[str, Any] = {name: self._flag(value) for name, value in flags.items()}
        info["final_obs"] = final_obs
        rewards = torch.as_tensor(np.asarray(reward), dtype=self.dtype, device=self.device)
        return (
            self._payload(self._tensor(obs)),
            rewards,
            self._flag(done),
            self._build_info(extra=info),
        )

    def _payload(self, obs: Tensor) -> dict[str, Tensor]:
        extra = {"done": self._flag(self._waiting)} if self.mode == NEXT_STEP else None
        return self._pack_observation_dict(obs, extra=extra)

    def _final_obs(self, obs: Any, infos: Mapping[str, Any], done: np.ndarray) -> Tensor:
        """Return what each sub-environment looked like after its action, `[N, C, H, W]`."""
        if self.mode != SAME_STEP or not done.any():
            return self._tensor(obs)
        last = np.array(obs)
        for index in np.flatnonzero(done):
            last[index] = infos["final_obs"][index]
        return self._tensor(last)

    def _success(self, infos: Mapping[str, Any], done: np.ndarray) -> np.ndarray:
        for source in (infos.get("final_info", {}), infos):
            for name in ("is_success", "success"):
                if name in source:
                    told = source.get(f"_{name}", np.ones_like(done))
                    succeeded: np.ndarray = np.asarray(source[name], dtype=bool) & told
                    return succeeded & ~self._waiting
        reached = math.inf if self._threshold is None else self._threshold
        at_the_end: np.ndarray = done & (self._returns >= reached)
        return at_the_end

    def _tensor(self, obs: Any) -> Tensor:
        return self._convert(torch.as_tensor(np.array(obs)).to(self.device)).to(self.dtype)

    def _flag(self, value: np.ndarray) -> Tensor:
        return torch.as_tensor(np.array(value, dtype=bool), device=self.device)


def autoreset_mode(vector_env: gymnasium.vector.VectorEnv) -> str:
    """Return the mode a vector environment declares; 1.0 knew no other than `NEXT_STEP`."""
    mode = (vector_env.metadata or {}).get("autoreset_mode", NEXT_STEP)
    return str(getattr(mode, "value", mode))


def observation_layout(
    space: spaces.Space[Any],
) -> tuple[tuple[int, ...], Callable[[Tensor], Tensor]]:
    """Return `(C, H, W)` and what turns a batch of observations into `[N, C, H, W]`.

    Raises `ValueError` for spaces other than `Box` of up to three axes, `Discrete` and
    `MultiBinary`.
    """
    if isinstance(space, spaces.Discrete):
        count, start = int(space.n), int(space.start)

        def one_hot(obs: Tensor) -> Tensor:
            hot = torch.nn.functional.one_hot(obs.long() - start, count)
            return hot.view(-1, 1, 1, count)

        return (1, 1, count), one_hot
    shape = tuple(int(size) for size in space.shape or ())
    if not isinstance(space, spaces.Box | spaces.MultiBinary) or not 1 <= len(shape) <= 3:
        raise ValueError(f"observations must be Box, Discrete or MultiBinary, got {space}")
    scale = 255.0 if space.dtype == np.uint8 and isinstance(space, spaces.Box) else 1.0
    channels_last = len(shape) == 3 and shape[2] in _IMAGE_CHANNELS
    target = (shape[2], *shape[:2]) if channels_last else (1,) * (3 - len(shape)) + shape

    def convert(obs: Tensor) -> Tensor:
        moved = obs.movedim(-1, 1) if channels_last else obs
        return moved.reshape(-1, *target) / scale

    return target, convert


def create_env(
    config: Any,
    *,
    env_id: str = "CartPole-v1",
    num_envs: int | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    **options: Any,
) -> GymEnv:
    """Return `env_id`, vectorised in this process; `options` go to Gymnasium's constructor.

    Raises `ValueError` if Gymnasium cannot make it.
    """
    count = int(config.num_envs if num_envs is None else num_envs)
    make = {"num_envs": count, "vectorization_mode": "sync"} | options
    try:
        if hasattr(gymnasium.vector, "AutoresetMode"):
            same_step = {"autoreset_mode": gymnasium.vector.AutoresetMode.SAME_STEP}
            made = gymnasium.make_vec(env_id, vector_kwargs=same_step, **make)
        else:  # 1.0
            made = gymnasium.make_vec(env_id, **make)
    except gymnasium.error.Error as error:
        raise ValueError(f"Gymnasium cannot make {env_id!r}: {error}") from error
    seed = int(getattr(config, "seed", 0) or 0)
    return GymEnv(made, seed=seed, device=device, dtype=dtype)
