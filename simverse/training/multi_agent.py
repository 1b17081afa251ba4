"""Several agents under the same PPO: independent learners, or a centralised critic.

A team of `A` agents in `N` sub-environments is trained as one policy in `N * A` of them, row
`n * A + a` being agent `a`'s view of sub-environment `n`. `TeamEnv` deals the environment out that
way and `TeamPolicy` picks the agent's own policy again, so that rollout, advantages and loss are
the single agent's. Advantages are normalised, and gradients clipped, over the whole team.
"""

import math
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from simverse.core.checks import check_observation, num_actions
from simverse.core.recurrence import is_recurrent
from simverse.errors import EnvironmentContractError, PolicyError


class Layout(NamedTuple):
    """What a packed row holds: what the agent sees, the state if a critic asks, the agent's number.

    The number is exact as a float32 up to 2^24.
    """

    num_agents: int
    local: tuple[int, ...]
    """`(C, H, W)` of what one agent sees."""
    state: tuple[int, ...] | None
    """`(C, H, W)` of the whole; None where no centralised critic looks at it."""

    @property
    def width(self) -> int:
        """Return how many numbers a row has."""
        return math.prod(self.local) + (math.prod(self.state) if self.state else 0) + 1

    def pack(self, state: Tensor, local: Tensor | None) -> Tensor:
        """Return rows `[N * A, 1, 1, width]`, from `[N, C, H, W]` and `[N, A, C, H, W]`.

        Without the latter every agent sees the state.
        """
        count, agents = state.shape[0], self.num_agents
        shared = state.reshape(count, 1, -1).expand(-1, agents, -1).float()
        seen = shared if local is None else local.reshape(count, agents, -1).float()
        number = torch.arange(agents, device=state.device).view(1, agents, 1)
        parts = [seen, number.expand(count, -1, -1).float()]
        if self.state is not None:
            parts.insert(1, shared)
        return torch.cat(parts, dim=2).view(count * agents, 1, 1, -1)

    def unpack(self, rows: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        """Return what is seen `[B, C, H, W]`, the state likewise or None, agents int64 `[B]`."""
        flat = rows.flatten(1)
        seen = math.prod(self.local)
        state = None if self.state is None else flat[:, seen:-1].reshape(-1, *self.state)
        return flat[:, :seen].reshape(-1, *self.local), state, flat[:, -1].long()


class TeamEnv:
    """An environment of `A` agents as a single agent's, of `N * A` sub-environments.

    Raises `EnvironmentContractError` unless its actions are discrete, the same for each agent.

    ====================  ==================================================================
    `obs["obs"]`          `[N, C, H, W]`: the state; what every agent sees without the next
    `obs["local_obs"]`    `[N, A, C, H, W]`, optional: what each agent sees
    actions               `[N, A]` int64, given to `step`
    reward                `[N, A]`, or `[N]` or `[N, 1]` for one that all share
    done, info's flags    `[N]`, as for one agent
    `final_obs`           `[N, C, H, W]`, with `truncated`; and `final_local_obs` `[N, A, ...]`
    ====================  ==================================================================
    """

    def __init__(self, env: Any, num_agents: int, *, with_state: bool) -> None:
        try:
            num_actions(env)
        except EnvironmentContractError as error:
            raise EnvironmentContractError(f"several agents: {error}") from error
        self.env = env
        self.num_agents = num_agents
        self.num_envs = int(env.num_envs) * num_agents
        self.action_space = env.action_space
        # Only an observation tells the shape of a local one; the first `reset` gives it out.
        self._first: Any = env.reset()
        state, local = self._views(self._first)
        shape = tuple(state.shape[1:])
        seen = shape if local is None else tuple(local.shape[2:])
        self.layout = Layout(num_agents, seen, shape if with_state else None)
        self.observation_space = SimpleNamespace(shape=(1, 1, self.layout.width))

    def reset(self) -> dict[str, Tensor]:
        """Start every sub-environment anew."""
        payload = self.env.reset() if self._first is None else self._first
        self._first = None
        return self._payload(payload)

    def step(self, actions: Tensor) -> tuple[dict[str, Tensor], Tensor, Tensor, dict[str, Any]]:
        """Let all agents of all sub-environments act (`[N * A]`)."""
        payload, reward, done, info = self.env.step(actions.view(-1, self.num_agents))
        told: dict[str, Any] = {
            name: self._each(info[name]) for name in ("success", "truncated") if name in info
        }
        if "final_obs" in info:
            final = {"obs": info["final_obs"], "local_obs": info.get("final_local_obs")}
            told["final_obs"] = self.layout.pack(*self._views(final))
        return self._payload(payload), self._rewards(reward), self._each(done), told

    def _views(self, payload: Mapping[str, Any]) -> tuple[Tensor, Tensor | None]:
        """Return the state and, if there, what each agent sees; checks their shapes."""
        shape = tuple(int(size) for size in self.env.observation_space.shape)
        count = int(self.env.num_envs)
        state, local = payload.get("obs"), payload.get("local_obs")
        if not isinstance(state, Tensor) or state.shape[0] != count:
            state, _ = check_observation(payload, count, shape)
        if local is not None and (local.dim() != 5 or local.shape[:2] != (count, self.num_agents)):
            raise EnvironmentContractError(
                f"local_obs must be a tensor [{count}, {self.num_agents}, C, H, W], "
                f"got {list(local.shape)}"
            )
        return state, local

    def _payload(self, payload: Mapping[str, Any]) -> dict[str, Tensor]:
        packed = {"obs": self.layout.pack(*self._views(payload))}
        return packed | ({"done": self._each(payload["done"])} if "done" in payload else {})

    def _rewards(self, reward: Tensor) -> Tensor:
        count = int(self.env.num_envs)
        if tuple(reward.shape) not in {(count,), (count, 1), (count, self.num_agents)}:
            raise EnvironmentContractError(
                f"reward must be a tensor [{count}, {self.num_agents}], got {list(reward.shape)}"
            )
        return reward.reshape(count, -1).expand(-1, self.num_agents).flatten()

    def _each(self, flags: Tensor) -> Tensor:
        """Return flags `[N]` for every agent, `[N * A]`."""
        return flags.repeat_interleave(self.num_agents)


class TeamPolicy(nn.Module):
    """Gives each packed row to its agent's policy, and to the centralised critic if there is one.

    `policies` has one entry an agent; agents that share a policy have the same module. The critic
    maps the state `[B, C, H, W]` to `[B, 1]`, or `[B, A]` for a value of each agent's own (Yu et
    al. 2021, "The surprising effectiveness of PPO in cooperative multi-agent games"); without one
    each policy's own value counts, which is independent PPO (de Witt et al. 2020). Raises
    `PolicyError` for recurrent policies.
    """

    owner: Tensor

    def __init__(
        self, policies: Sequence[nn.Module], layout: Layout, critic: nn.Module | None = None
    ) -> None:
        super().__init__()
        if any(map(is_recurrent, policies)):
            raise PolicyError("several agents: recurrent policies are trained for one agent only")
        self.distinct = nn.ModuleList(dict.fromkeys(policies))
        order = list(self.distinct)
        self.register_buffer("owner", torch.tensor([order.index(p) for p in policies]))
        self.layout = layout
        self.critic = critic

    def forward(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits `[B, n]` and values `[B, 1]`."""
        seen, state, agent = self.layout.unpack(rows)
        logits, values = self._act(seen, agent)
        if self.critic is not None:
            values = self.critic(state)
            if values.shape[1] > 1:
                values = values.gather(1, agent.unsqueeze(1))
        return logits, values

    def _act(self, seen: Tensor, agent: Tensor) -> tuple[Tensor, Tensor]:
        if len(self.distinct) == 1:
            shared: tuple[Tensor, Tensor] = self.distinct[0](seen)
            return shared
        owner = self.owner[agent]
        rows = [(owner == index).nonzero().squeeze(1) for index in range(len(self.distinct))]
        outputs = [p(seen[r]) for p, r in zip(self.distinct, rows, strict=True)]
        # Back from the order of policies to that of the rows.
        back = torch.cat(rows).argsort()
        logits, values = (torch.cat(parts)[back] for parts in zip(*outputs, strict=True))
        return logits, values


class JointOptimizer:
    """Several optimisers behind what an update needs of one."""

    def __init__(self, optimizers: Sequence[torch.optim.Optimizer]) -> None:
        self.optimizers = list(optimizers)

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Return the groups of all."""
        return [group for optimizer in self.optimizers for group in optimizer.param_groups]

    def step(self) -> None:
        """Let each take a step."""
        for optimizer in self.optimizers:
            optimizer.step()
