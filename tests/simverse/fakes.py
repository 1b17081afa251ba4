"""Small environments and policies whose every number a test decides."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from simverse.core.env import SimEnv
from simverse.core.world import View, World
from simverse.training.config import PPOConfig

SHAPE = (1, 1, 1)
ACTIONS = 2


class ScriptedEnv(SimEnv):
    """Plays given tables back from the top after each `reset`.

    The observation is the number of steps taken, in one live buffer that `step` writes to.
    """

    def __init__(
        self,
        rewards: list[list[float]],
        dones: list[list[int]],
        *,
        marked: list[list[int]] | None = None,
        success: list[list[int]] | None = None,
        truncated: list[list[int]] | None = None,
        final_obs: float = 0.0,
    ) -> None:
        super().__init__()
        self.rewards = torch.tensor(rewards)
        self.dones = torch.tensor(dones).bool()
        self.marked = None if marked is None else torch.tensor(marked).bool()
        self.success = None if success is None else torch.tensor(success).bool()
        self.truncated = None if truncated is None else torch.tensor(truncated).bool()
        self.final_obs = final_obs
        self.num_envs = self.rewards.shape[1]
        self.taken = 0
        self.actions: list[Tensor] = []
        self.register_buffer("live_obs", torch.zeros(self.num_envs, *SHAPE))

    @property
    def action_space(self) -> Any:
        return SimpleNamespace(n=ACTIONS)

    @property
    def observation_space(self) -> Any:
        return SimpleNamespace(shape=SHAPE)

    def reset(self) -> dict[str, Tensor]:
        self.taken = 0
        return self._payload()

    def step(self, actions: Tensor) -> tuple[Any, Tensor, Tensor, dict[str, Tensor]]:
        self.actions.append(actions.clone())
        now = self.taken
        self.taken += 1
        info = {}
        if self.success is not None:
            info["success"] = self.success[now]
        if self.truncated is not None:
            info["truncated"] = self.truncated[now]
            info["final_obs"] = torch.full_like(self.live_obs, self.final_obs)
        return self._payload(), self.rewards[now], self.dones[now], info

    def _payload(self) -> dict[str, Tensor]:
        self.live_obs.fill_(self.taken)
        payload = {"obs": self.live_obs}
        if self.marked is not None:
            payload["done"] = self.marked[self.taken]
        return payload


class CountingWorld(World):
    """Counts each episode's steps; the reward is the count, an episode takes `lengths[i]` steps.

    The view's `count` is int64 `[N]`, in one live buffer. `ending` is how an episode makes room
    for the next: `reset` inside the step, `frozen` until `reset`, or a `void` step in between, as
    in Gymnasium's NEXT_STEP mode. With `cut` episodes are truncated instead of over.
    """

    def __init__(
        self,
        lengths: list[int],
        ending: Literal["reset", "frozen", "void"] = "reset",
        *,
        cut: bool = False,
        max_steps: int = 8,
    ) -> None:
        super().__init__()
        self.num_envs, self.max_steps = len(lengths), max_steps
        self.action_space = SimpleNamespace(n=ACTIONS)
        self.lengths, self.ending, self.cut = torch.tensor(lengths), ending, cut
        self.register_buffer("count", torch.zeros(self.num_envs, dtype=torch.int64))
        self.register_buffer("over", torch.zeros(self.num_envs, dtype=torch.bool))

    def reset(self) -> View:
        self.count.zero_()
        self.over.zero_()
        return self._view()

    def step(self, actions: Tensor) -> tuple[View, Tensor, Tensor, dict[str, Any]]:
        void = self.over.clone()
        self.count += ~void
        ended = ~void & (self.count >= self.lengths)
        reward = torch.where(void, 0, self.count).float()
        if self.ending != "frozen":
            self.count.masked_fill_(void, 0)
            self.over &= ~void
        self.over |= ended
        final = {name: value.clone() for name, value in self._view().items()}
        if self.ending == "reset":
            self.count.masked_fill_(ended, 0)
            self.over.zero_()
        info: dict[str, Any] = {"success": ended}
        if self.cut:
            info |= {"truncated": ended, "final_view": final}
        return self._view(), reward, ended | (self.over & void), info

    def _view(self) -> View:
        done = {} if self.ending == "reset" else {"done": self.over}
        return {"count": self.count, **done}


class LinearCritic(nn.Module):
    """Logits that do not look at the observation; the value is `scale * obs + offset`."""

    def __init__(self, scale: float = 0.0, offset: float = 0.0) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(ACTIONS))
        self.scale = nn.Parameter(torch.tensor(scale))
        self.offset = nn.Parameter(torch.tensor(offset))

    def forward(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        value = self.scale * obs.flatten(1) + self.offset
        return self.logits.expand(len(obs), ACTIONS), value


def config(**changes: Any) -> PPOConfig:
    """Return a small configuration without discounting surprises, with `changes` on top."""
    defaults: dict[str, Any] = {
        "batch_size": 64,
        "buffer_size": 1024,
        "max_steps": 4,
        "gamma": 0.9,
        "gae_lambda": 0.8,
        "normalize_advantages": False,
    }
    return PPOConfig(**(defaults | changes))


class Bandit(SimEnv):
    """Episodes of one step: the observation is a cue drawn anew, `pay` says what an action earns.

    `cues` is how many numbers the cue has; `taken` holds the actions of each step.
    """

    def __init__(
        self,
        action_space: Any,
        pay: Callable[[Tensor, Tensor], Tensor],
        *,
        cues: int = 1,
        num_envs: int = 64,
    ) -> None:
        super().__init__()
        self.num_envs, self.max_steps, self.pay = num_envs, 8, pay
        self.shape, self.space, self.taken = (1, 1, cues), action_space, []
        self.generator = torch.Generator().manual_seed(0)

    @property
    def action_space(self) -> Any:
        return self.space

    @property
    def observation_space(self) -> Any:
        return SimpleNamespace(shape=self.shape)

    def reset(self) -> dict[str, Tensor]:
        """Draw cues `[N, cues]` from -1 to 1."""
        size = (self.num_envs, self.shape[2])
        self.cue = 2 * torch.rand(size, generator=self.generator) - 1
        return {"obs": self.cue.view(-1, *self.shape)}

    def step(self, actions: Tensor) -> tuple[Any, Tensor, Tensor, dict[str, Tensor]]:
        self.taken.append(actions.clone())
        reward = self.pay(self.cue, actions)
        over = torch.ones(self.num_envs, dtype=torch.bool)
        return self.reset(), reward, over, {"success": reward > 0}
