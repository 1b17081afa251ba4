"""Gymnasium's environments under simverse's contract."""

import math
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from simverse.core.env import Actions, SimEnv
from simverse.envs.base import Step
from simverse.envs.gym_names import WRAPPERS, GymName, wrappers_named
from simverse.envs.gym_spaces import action_layout, observation_layout
from simverse.envs.gym_vectors import SYNC, make_vector, random_states, set_random_states

NEXT_STEP, SAME_STEP, DISABLED = "NextStep", "SameStep", "Disabled"
_LEGACY_SEEDS = 2**31
_LAYOUT_OPTIONS = ("scale", "channels", "images", "without")


class GymEnv(SimEnv):
    """A Gymnasium vector environment (>= 1.0).

    Observations become `[N, C, H, W]` by the rules of `observation_layout`; `describe` says how.
    Actions are int64 `[N]`, counted from 0, of a `Discrete` space, int64 `[N, k]`, likewise, of a
    `MultiDiscrete` one and float32 `[N, d]` of a `Box`. Rewards are Gymnasium's own.

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
        **layout: Any,
    ) -> None:
        """Adapt a vector environment.

        Args:
            vector_env: it is closed with the adapter.
            seed: of the first `reset`.
            device: of all tensors.
            dtype: of observations and rewards.
            layout: `scale`, `channels`, `images`, `without`, as in `observation_layout`.

        Raises:
            ValueError: its spaces are of kinds that can't be taken.
        """
        super().__init__(device=device, dtype=dtype)
        self.vector_env = vector_env
        self.num_envs = int(vector_env.num_envs)
        self.mode = autoreset_mode(vector_env)
        # A vector environment put together by hand has no specification, its parts may have.
        parts = getattr(vector_env, "envs", ())
        spec = vector_env.spec or getattr(parts[0] if parts else None, "spec", None)
        self.env_id = getattr(spec, "id", None) or type(vector_env).__name__
        self.max_steps = getattr(spec, "max_episode_steps", None)
        self._threshold = getattr(spec, "reward_threshold", None)
        self._actions = action_layout(vector_env.single_action_space)
        self._layout = observation_layout(vector_env.single_observation_space, **layout)
        self._seed: int | None = seed
        self._returns = np.zeros(self.num_envs)
        self._waiting = np.zeros(self.num_envs, dtype=bool)  # void in the next step

    @property
    def action_space(self) -> Any:
        """Gymnasium's: counted from 0, a box of one axis."""
        return self._actions.space

    @property
    def observation_space(self) -> Any:
        """`(C, H, W)`, unbounded; of named fields it carries the layout."""
        return self._layout.space

    def describe(self) -> str:
        """Say in one line what the task is, and how its observations are shown."""
        return f"Gymnasium's {self.env_id}: {self._layout}"

    def close(self) -> None:
        """Close Gymnasium's environment."""
        self.vector_env.close()

    def reseed(self, seed: int) -> None:
        """Begin with another seed, of any number of bits, at the next `reset`."""
        self._seed = seed

    def get_extra_state(self) -> dict[str, Any]:
        """Return what a training that is continued needs: the sub-environments' `np_random`.

        Those that draw from something else, or are vectorised in their own way, begin anew.
        """
        return {"np_random": random_states(self.vector_env)}

    def set_extra_state(self, state: Mapping[str, Any]) -> None:
        """Draw on from there; only the next `reset` makes it the episodes' too."""
        set_random_states(self.vector_env, state["np_random"])

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
        chosen = self._chosen(actions)
        obs, reward, terminated, truncated, infos = self.vector_env.step(chosen)
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

    def _chosen(self, actions: Actions) -> Any:
        """Return actions as Gymnasium takes them."""
        if isinstance(self._actions.space, spaces.Discrete):
            chosen = self._normalize_single_agent_actions(actions, missing_action=0)
        else:
            chosen, shape = torch.as_tensor(actions), (self.num_envs, *self._actions.space.shape)
            if tuple(chosen.shape) != shape:
                raise ValueError(f"actions must have shape {shape}, got {tuple(chosen.shape)}")
        return self._actions.convert(chosen.cpu().numpy())

    def _payload(self, obs: Tensor) -> dict[str, Tensor]:
        extra = {"done": self._flag(self._waiting)} if self.mode == NEXT_STEP else None
        return self._pack_observation_dict(obs, extra=extra)

    def _final_obs(self, obs: Any, infos: Mapping[str, Any], done: np.ndarray) -> Tensor:
        """Return what each sub-environment looked like after its action, `[N, C, H, W]`."""
        last = self._tensor(obs)
        if self.mode == SAME_STEP and done.any():
            ended = np.flatnonzero(done)
            final = self._layout.pack_each([infos["final_obs"][index] for index in ended])
            last[torch.as_tensor(ended, device=self.device)] = final.to(last)
        return last

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
        """Return a copy of observations, `[N, C, H, W]`."""
        return self._layout.pack(obs).to(self.device, self.dtype)

    def _flag(self, value: np.ndarray) -> Tensor:
        return torch.as_tensor(np.array(value, dtype=bool), device=self.device)


def autoreset_mode(vector_env: gymnasium.vector.VectorEnv) -> str:
    """Return the mode a vector environment declares; 1.0 knew no other than `NEXT_STEP`."""
    mode = (vector_env.metadata or {}).get("autoreset_mode", NEXT_STEP)
    return str(getattr(mode, "value", mode))


def create_env(
    config: Any,
    *,
    env_id: str = "CartPole-v1",
    num_envs: int | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    **options: Any,
) -> GymEnv:
    """Return an environment by its name, `[MODULE:]ID[?option=value&...]`, vectorised.

    Options are given in the name, or here, where they come first:

    ==================== =========================================================================
    `wrappers`           what wraps each sub-environment, the innermost first: names, `A,B(k=1)`,
                         and here functions too (`simverse.envs.gym_names.wrappers_named`)
    `scale` `channels`   how observations are shown: `simverse.envs.gym_spaces.observation_layout`
    `images` `without`
    `vectorization_mode` `sync` (default), `async`, `auto`, `vector_entry_point`:
                         `simverse.envs.gym_vectors.make_vector`
    others               to the environment's constructor: `is_slippery=False`
    ==================== =========================================================================

    Raises:
        ValueError: Gymnasium cannot make it, or an option's value can't be used.
    """
    name = GymName.parse(env_id)
    spec = name.spec()
    given = {**name.options, **options}
    layout = {key: given.pop(key) for key in _LAYOUT_OPTIONS if key in given}
    made = make_vector(
        spec,
        int(config.num_envs if num_envs is None else num_envs),
        mode=given.pop("vectorization_mode", SYNC),
        wrappers=wrappers_named(given.pop(WRAPPERS, ()), name.module),
        options=given,
    )
    try:
        seed = int(getattr(config, "seed", 0) or 0)
        return GymEnv(made, seed=seed, device=device, dtype=dtype, **layout)
    except ValueError:
        made.close()
        raise
