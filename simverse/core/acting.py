"""Agents that act in any environment: observations in, actions out, whoever wrote the environment.

`N` is sub-environments, `A` agents.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from simverse.core.checks import check_policy_output, num_actions
from simverse.core.distributions import action_distribution
from simverse.core.recurrence import (
    State,
    initial_state,
    is_recurrent,
    recurrent_forward,
    restarted,
)
from simverse.errors import EnvironmentContractError, PolicyError

NO_ACTION = -1
"""Of an agent without a policy."""


class Actor:
    """Draws the actions of agents from their policies, by torch's global generator.

    Raises `EnvironmentContractError` for several agents whose actions are not discrete.
    """

    def __init__(self, env: Any, policies: Sequence[nn.Module | None]) -> None:
        """Prepare; `policies` has one an agent, None for one that does not act."""
        if len(policies) > 1 or None in policies:
            num_actions(env)
        self._observation_space = env.observation_space
        self._action_space = env.action_space
        self._policies = policies
        self._states: dict[int, State] = {}
        """Of recurrent policies, by agent."""
        for policy in policies:
            if policy is not None:
                policy.eval()

    def actions(self, payload: Any) -> list[Tensor]:
        """Return each agent's actions, `[N]` or of more numbers `[N, d]`, for an observation.

        It is a dict of `obs` and what else there is (`local_obs`, `features`, `mask`), or an array.
        """
        parts = payload if isinstance(payload, Mapping) else {"obs": payload}
        if "obs" not in parts:
            raise EnvironmentContractError(f"the observation has no 'obs', only {sorted(parts)}")
        obs = self._batch("obs", parts["obs"])
        features = parts.get("features")
        others = () if features is None else (self._batch("features", features),)
        local = parts.get("local_obs")
        return [
            self._draw(
                agent,
                policy,
                (obs if local is None else torch.as_tensor(local)[:, agent].float(), *others),
                parts,
            )
            for agent, policy in enumerate(self._policies)
        ]

    def restart(self, ended: Tensor) -> None:
        """Let recurrent policies forget where episodes have `ended`, bool `[N]` or one for all."""
        for agent, state in self._states.items():
            parts = state if isinstance(state, tuple) else (state,)
            flags = ended.to(parts[0].device).expand(len(parts[0]))
            self._states[agent] = restarted(self._policies[agent], state, flags)

    def _outputs(self, agent: int, policy: nn.Module, inputs: tuple[Tensor, ...]) -> Any:
        """Return what the policy does, and remember its state if it has one."""
        if not is_recurrent(policy):
            return policy(*inputs)
        state = self._states.get(agent)
        if state is None:
            state = initial_state(policy, len(inputs[0]))
        output, self._states[agent] = recurrent_forward(policy, inputs[0], state)
        return output

    def _draw(
        self,
        agent: int,
        policy: nn.Module | None,
        inputs: tuple[Tensor, ...],
        parts: Mapping[str, Any],
    ) -> Tensor:
        count, device = len(inputs[0]), inputs[0].device
        if policy is None:
            return torch.full((count,), NO_ACTION, dtype=torch.int64, device=device)
        distribution = action_distribution(self._action_space, policy)
        weight = next(policy.parameters(), inputs[0])
        outputs, _ = check_policy_output(
            self._outputs(agent, policy, tuple(part.to(weight.device) for part in inputs)),
            count,
            distribution.width,
            name=distribution.name,
        )
        outputs = outputs.float().cpu()  # where torch's global generator draws
        mask = distribution.mask(parts.get("mask"), parts.get("done"), count)
        mask = None if mask is None else mask.cpu()
        if bool(distribution.unusable(outputs, mask).any()):
            raise PolicyError(
                f"no action can be drawn: the policy's {distribution.name} not finite"
            )
        noise = distribution.noise(outputs, torch.default_generator)
        drawn = distribution.sample(outputs, noise, mask)
        return distribution.for_env(drawn).to(device)

    def _batch(self, name: str, values: Any) -> Tensor:
        """Return values of all sub-environments, float32 `[N, ...]`; of one alone, `[1, ...]`."""
        tensor = torch.as_tensor(values).float()
        space = self._observation_space
        spaces = getattr(space, "spaces", {"obs": space})
        shape = getattr(spaces.get(name), "shape", None)
        alone = shape is not None and tuple(tensor.shape) == tuple(int(size) for size in shape)
        return tensor.unsqueeze(0) if alone else tensor


def first_observation(result: Any) -> Any:
    """Return the observation of `reset`, which may come with an info dict."""
    is_pair = isinstance(result, tuple) and len(result) == 2
    return result[0] if is_pair else result


def outcome(result: Any) -> tuple[Any, Tensor]:
    """Return the observation and what is done, bool `[N]` or a scalar, of `step`'s tuple."""
    if isinstance(result, tuple) and len(result) == 4:
        obs, _, done, _ = result
        return obs, torch.as_tensor(done).bool()
    if isinstance(result, tuple) and len(result) == 5:
        obs, _, terminated, truncated, _ = result
        return obs, torch.as_tensor(terminated).bool() | torch.as_tensor(truncated).bool()
    raise EnvironmentContractError(
        "step() must return (obs, reward, done, info) or (obs, reward, terminated, truncated, info)"
    )


def together(actions: Sequence[Tensor]) -> Tensor:
    """Return agents' actions as a `SimEnv` takes them: `[N, A]`, or an only one's `[N, d]`."""
    return torch.stack(list(actions), dim=1) if actions[0].dim() == 1 else actions[0]


def apart(actions: Sequence[Tensor]) -> list[dict[int, Any]] | dict[int, Any]:
    """Return agents' actions as a dict for each sub-environment; of one alone, its."""
    columns = [column.tolist() for column in actions]
    rows = [dict(enumerate(row)) for row in zip(*columns, strict=True)]
    return rows[0] if len(rows) == 1 else rows
