"""What the environments of this folder share: spaces, seeded draws, the end of a step."""

from abc import abstractmethod
from typing import Any, ClassVar

import torch
from gymnasium import spaces
from torch import Tensor

from simverse.core.env import SimEnv

Step = tuple[dict[str, Tensor], Tensor, Tensor, dict[str, Any]]
"""`(obs, reward, done, info)`, as in the table of `SimEnv`."""

# (row, column) of a step up, right, down, left.
MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))


class BatchedEnv(SimEnv):
    """`N` sub-environments on one device, drawing from one generator seeded by `config.seed`.

    A subclass names its channels, registers its state and implements `_restart` (new episodes where
    a mask says so; draw for all, use where needed, so that one sub-environment's end does not
    change how many numbers are drawn) and `_observe`.
    """

    CHANNELS: ClassVar[tuple[str, ...]]
    """The observation's channels, in order."""

    steps: Tensor
    moves: Tensor
    rows: Tensor

    def __init__(
        self,
        config: Any,
        *,
        num_envs: int | None,
        device: str | torch.device,
        dtype: torch.dtype,
        size: tuple[int, int],
        actions: int,
        agents: int = 1,
    ) -> None:
        super().__init__(device=device, dtype=dtype)
        self.num_agents = agents
        self.num_envs = self._resolve_num_envs(num_envs, config)
        self.max_steps = int(config.max_steps)
        seed = int(getattr(config, "seed", 0) or 0)
        self._generator = torch.Generator(device=self.device).manual_seed(seed)
        self._action_space = spaces.Discrete(actions)
        self._observation_space = spaces.Box(0.0, 1.0, shape=(agents * len(self.CHANNELS), *size))
        self.register_buffer("steps", self._whole())
        self.register_buffer("moves", torch.tensor(MOVES, device=self.device))
        self.register_buffer("rows", torch.arange(self.num_envs, device=self.device))

    @property
    def action_space(self) -> Any:
        """What the class's docstring lists under actions."""
        return self._action_space

    @property
    def observation_space(self) -> Any:
        """`(C, H, W)` of numbers from 0 to 1; with `A` agents `(A * C, H, W)`, all their views."""
        return self._observation_space

    def reset(self) -> dict[str, Tensor]:
        """Draw a new episode for every sub-environment."""
        self._restart(torch.ones(self.num_envs, dtype=torch.bool, device=self.device))
        self.steps.zero_()
        return self._shown(self._observe())

    @abstractmethod
    def _restart(self, mask: Tensor) -> None:
        """Begin a new episode in the sub-environments of `mask` `[N]`."""

    @abstractmethod
    def _observe(self) -> Tensor:
        """Return a fresh observation `[N, C, H, W]`, or with agents `[N, A, C, H, W]`."""

    def _conclude(self, reward: Tensor, over: Tensor, success: Tensor) -> Step:
        """End a step that brought `reward` and left the sub-environments of `over` `[N]` finished.

        An episode that only ran out of time is declared truncated. Whatever is done resets itself.
        """
        self.steps += 1
        truncated = (self.steps >= self.max_steps) & ~over
        done = over | truncated
        final_obs = obs = self._observe()
        if bool(done.any()):
            self._restart(done)
            self.steps.masked_fill_(done, 0)
            obs = self._observe()
        info = {"success": success, "truncated": truncated, **self._final(final_obs)}
        return self._shown(obs), reward, done, self._build_info(extra=info)

    def _shown(self, seen: Tensor) -> dict[str, Tensor]:
        """Return the payload of what is seen; agents' views are also `local_obs`."""
        if self.num_agents == 1:
            return self._pack_observation_dict(seen)
        return self._pack_observation_dict(seen.flatten(1, 2), extra={"local_obs": seen})

    def _final(self, seen: Tensor) -> dict[str, Tensor]:
        """Return the entries of `info` that show a state before its reset."""
        if self.num_agents == 1:
            return {"final_obs": seen}
        return {"final_obs": seen.flatten(1, 2), "final_local_obs": seen}

    def _assign(self, name: str, mask: Tensor, drawn: Tensor) -> None:
        """Write `drawn` into a buffer where `mask` `[N]` says so."""
        buffer = getattr(self, name)
        buffer.copy_(torch.where(mask.view(-1, *[1] * (drawn.dim() - 1)), drawn, buffer))

    def _uniform(self, *shape: int) -> Tensor:
        """Return numbers from [0, 1), `[N, *shape]`."""
        return torch.rand(self.num_envs, *shape, generator=self._generator, device=self.device)

    def _below(self, limit: int, *shape: int) -> Tensor:
        """Return whole numbers from [0, limit), `[N, *shape]`."""
        full = (self.num_envs, *shape)
        return torch.randint(limit, full, generator=self._generator, device=self.device)

    def _whole(self, *shape: int) -> Tensor:
        return torch.zeros(self.num_envs, *shape, dtype=torch.int64, device=self.device)

    def _flags(self, *shape: int) -> Tensor:
        return torch.zeros(self.num_envs, *shape, dtype=torch.bool, device=self.device)
