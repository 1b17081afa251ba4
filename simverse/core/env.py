"""The environment contract: batched, torch-native, one object for many sub-environments.

`N` is `num_envs` (sub-environments stepped in lockstep), `A` is `num_agents`, `C, H, W` are the
observation's channels, height and width.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import torch
from torch import nn

Actions = torch.Tensor | Sequence[int] | Mapping[int, int] | None
"""What `step` accepts: a tensor, a list, `{0: action}` (one sub-environment), or nothing."""

# Buffers every payload carries when the environment has registered them.
_STATE_BUFFERS = ("done", "winner", "steps")


class SimEnv(nn.Module, ABC):
    """Base class of batched environments; state lives in buffers, so `.to()` moves all of it.

    A subclass sets `num_envs` and `num_agents`, registers its state with `register_buffer` and
    implements `action_space` (Gymnasium's `Discrete`, `MultiDiscrete` or `Box` of shape `(d,)`, or
    anything with their attributes), `observation_space` (with `.shape == (C, H, W)`), `reset` and
    `step`. An environment that is to be evaluated as a candidate, or has several agents, has
    `Discrete` actions.

    ====================== =======================  ==========================================
    value                  shape                    dtype
    ====================== =======================  ==========================================
    `obs["obs"]`           `[N, C, H, W]`           floating; may alias a live buffer
    `obs["done"]`          `[N]`, optional          bool; the next slot of a marked one is void
    `obs["mask"]`          `[N, n]`, optional       bool: the actions that are legal, at least one
                                                    for each that is not marked done; of
                                                    `MultiDiscrete`'s components side by side
    actions                `[N]` or `[N, 1]`        int64, from 0, for `Discrete`
                           `[N, k]`                 int64, from 0, for `MultiDiscrete`
                           `[N, d]`                 float32, within the bounds of a `Box`
    reward                 `[N]` or `[N, 1]`        floating, finite
    done                   `[N]`                    bool
    `info["success"]`      `[N]`, optional          bool
    `info["truncated"]`    `[N]`, optional          bool; needs `info["final_obs"]`
    `info["final_obs"]`    `[N, C, H, W]`           floating; the state before a reset inside `step`
    `info["reward_parts"]` dict, optional           at most 32 named tensors `[N]`: the terms of the
                                                    reward, shown by name and never scored
    ====================== =======================  ==========================================

    `render_layers(index)` is optional, and draws one sub-environment (`simverse.core.layers`).

    A finished sub-environment either resets itself inside `step` or stays frozen with `done` set
    until `reset`.
    """

    num_envs: int = 1
    num_agents: int = 1

    def __init__(
        self, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__()
        self.device = torch.device(device)
        self.dtype = dtype
        self.agents: list[Any] = []
        self.clone_payload_tensors = False

    # -- what a subclass implements ---------------------------------------------------------

    @property
    @abstractmethod
    def action_space(self) -> Any:
        """`Discrete`, anything with an integer `.n`; or `MultiDiscrete`, or a `Box`."""

    @property
    @abstractmethod
    def observation_space(self) -> Any:
        """A box: anything with `.shape == (C, H, W)`."""

    @abstractmethod
    def reset(self) -> dict[str, torch.Tensor]:
        """Start a fresh episode in every sub-environment and return its first observation."""

    @abstractmethod
    def step(
        self, actions: Any
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor, dict[str, Any]]:
        """Advance every sub-environment; return `(obs, reward, done, info)` as in the table."""

    # -- what a subclass may override -------------------------------------------------------

    def describe(self) -> str:
        """Say in one line what the task is, for people and agents."""
        return type(self).__name__

    def close(self) -> None:
        """Release whatever the environment holds; the default holds nothing."""

    def assign_agents(self, agents: list[Any]) -> None:
        """Remember the agents that act here, `num_agents` of them."""
        self._assign_agents(agents, label=type(self).__name__)

    def get_observation(self) -> dict[str, torch.Tensor]:
        """Return an observation; the default has none to offer but a fresh episode's first."""
        return self.reset()

    def set_fast_payload_mode(self, enabled: bool) -> None:
        """Let payloads alias live buffers (`True`, how an environment starts) or be clones."""
        self.clone_payload_tensors = not enabled

    # -- helpers for subclasses -------------------------------------------------------------

    @staticmethod
    def _resolve_num_envs(num_envs: int | None, config: Any, *, default: int = 1) -> int:
        """Return the argument if given, else `config.num_envs`, else `default`.

        Raises `ValueError` if that is not positive.
        """
        found = num_envs if num_envs is not None else getattr(config, "num_envs", None)
        count = int(default if found is None else found)
        if count < 1:
            raise ValueError(f"num_envs must be at least 1, got {count}")
        return count

    def _normalize_action_matrix(
        self, actions: Actions, *, num_agents: int | None = None, missing_action: int = -1
    ) -> torch.Tensor:
        """Return the actions of every agent of every sub-environment, int64 `[N, A]`.

        `None` becomes `missing_action` everywhere. A 1-D input is taken where it can mean one thing
        only: one sub-environment, or one agent. Raises `ValueError` for any other shape.
        """
        agents = int(self.num_agents if num_agents is None else num_agents)
        shape = (int(self.num_envs), agents)
        if actions is None:
            return torch.full(shape, missing_action, dtype=torch.int64, device=self.device)
        matrix = torch.as_tensor(actions, device=self.device)
        if matrix.dim() == 1 and 1 in shape and matrix.numel() == shape[0] * shape[1]:
            matrix = matrix.reshape(shape)
        if tuple(matrix.shape) != shape:
            raise ValueError(f"actions must have shape {shape}, got {tuple(matrix.shape)}")
        return matrix.to(torch.int64)

    def _normalize_single_agent_actions(
        self, actions: Actions, *, missing_action: int = -1, dict_default: int | None = None
    ) -> torch.Tensor:
        """Return the actions of a one-agent environment, int64 `[N]`.

        Takes `None` (`missing_action` everywhere), `{0: action}` for one sub-environment (without
        the key: `dict_default`, else `missing_action`), a scalar or single action (repeated for
        all), `[N]` or `[N, 1]`. Raises `ValueError` for a mapping with several sub-environments or
        a wrong number of actions.
        """
        count = int(self.num_envs)
        if actions is None:
            return torch.full((count,), missing_action, dtype=torch.int64, device=self.device)
        if isinstance(actions, Mapping):
            if count != 1:
                raise ValueError(f"a mapping of actions needs num_envs == 1, here it is {count}")
            fallback = missing_action if dict_default is None else dict_default
            actions = [int(actions.get(0, fallback))]
        tensor = torch.as_tensor(actions, device=self.device)
        if tensor.dim() > 2 or (tensor.dim() == 2 and tensor.shape[1] != 1):
            raise ValueError(
                f"actions must have shape [{count}] or [{count}, 1], got {tuple(tensor.shape)}"
            )
        tensor = tensor.reshape(-1).to(torch.int64)
        if tensor.numel() == 1:
            # A copy, not an expanded view: callers write into what they get.
            tensor = tensor.repeat(count)
        if tensor.numel() != count:
            raise ValueError(f"expected {count} actions, got {tensor.numel()}")
        return tensor

    def _assign_agents(
        self,
        agents: Sequence[Any],
        *,
        expected_count: int | None = None,
        label: str = "Environment",
    ) -> None:
        """Set `agents`; `ValueError` unless there are `expected_count` (default `num_agents`)."""
        expected = int(self.num_agents if expected_count is None else expected_count)
        if len(agents) != expected:
            raise ValueError(f"{label} expects {expected} agent(s), got {len(agents)}")
        self.agents = list(agents)

    def _empty_rewards(self, *, num_agents: int | None = None) -> torch.Tensor:
        """Return zeros `[N, A]` in the environment's dtype."""
        agents = int(self.num_agents if num_agents is None else num_agents)
        return torch.zeros((int(self.num_envs), agents), dtype=self.dtype, device=self.device)

    def _reset_episode_state(self, *, winner_none: int | None = None) -> None:
        """Zero the `done` and `steps` buffers and fill `winner` with `winner_none` (else -1).

        A buffer the environment does not have is left out.
        """
        for name in ("done", "steps"):
            buffer = getattr(self, name, None)
            if isinstance(buffer, torch.Tensor):
                buffer.zero_()
        winner = getattr(self, "winner", None)
        if isinstance(winner, torch.Tensor):
            winner.fill_(-1 if winner_none is None else winner_none)

    def _pack_observation_dict(
        self,
        obs: torch.Tensor,
        *,
        clone_obs: bool = False,
        extra: Mapping[str, Any] | None = None,
    ) -> dict[str, torch.Tensor]:
        """Return `obs`, and `done`, `winner` and `steps` when the environment has them.

        `clone_obs` clones the observation even in fast payload mode; `extra` adds entries.
        """
        payload = {"obs": obs.clone() if clone_obs else self._payload_value(obs)}
        payload.update(self._state_payload())
        payload.update({name: self._payload_value(value) for name, value in (extra or {}).items()})
        return payload

    def _build_info(self, *, extra: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return `done`, `winner` and `steps` when the environment has them, and `extra`."""
        info: dict[str, Any] = self._state_payload()
        info.update({name: self._payload_value(value) for name, value in (extra or {}).items()})
        return info

    def _payload_value(self, value: Any) -> Any:
        """Return a value as it leaves: itself in fast payload mode, else a clone."""
        if self.clone_payload_tensors and isinstance(value, torch.Tensor):
            return value.clone()
        return value

    def _state_payload(self) -> dict[str, Any]:
        """Return those state buffers that exist, as they leave the environment."""
        found = {name: getattr(self, name, None) for name in _STATE_BUFFERS}
        return {
            name: self._payload_value(value)
            for name, value in found.items()
            if isinstance(value, torch.Tensor)
        }

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> Self:
        """Keep `device` and `dtype` true after `.to()`, `.cuda()`, `.double()` and the like.

        All of those end here; sending an empty tensor the same way tells what they asked for.
        """
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call, unused-ignore]
        probe = fn(torch.empty(0, device=self.device, dtype=self.dtype))
        self.device, self.dtype = probe.device, probe.dtype
        return self
