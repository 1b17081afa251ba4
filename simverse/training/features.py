"""Observations of parts, an image and features beside it, under the same PPO.

An environment declares them with a `Dict` space of `obs` `(C, H, W)` and `features` `(F,)`, and its
observation dict has both, `[N, C, H, W]` and `[N, F]`; its policies are called as
`policy(obs, features)`. `FeatureEnv` joins the two to one row and `FeaturePolicy` parts them again,
so that rollout, advantages and loss are those of an environment without. Without `features` in the
space it is `policy(obs)`; what else the space declares is not looked at.
"""

import math
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from simverse.core.recurrence import is_recurrent
from simverse.errors import EnvironmentContractError, PolicyError

FEATURES = "features"


def has_parts(space: Any) -> bool:
    """Return whether an observation space is a `Dict` with an `obs`."""
    return isinstance(getattr(space, "spaces", None), Mapping) and "obs" in space.spaces


class FeatureEnv:
    """An environment with features as one whose observations are rows `[N, 1, 1, C*H*W + F]`.

    Agents' own views `local_obs` `[N, A, C, H, W]` become rows too; the features are every agent's.
    Where an episode is cut short, `info` has `final_features` `[N, F]` beside `final_obs`.
    """

    def __init__(self, env: Any) -> None:
        self.env = env
        self.num_envs = int(env.num_envs)
        self.num_agents = int(env.num_agents)
        self.action_space = env.action_space
        self.image = tuple(int(size) for size in env.observation_space["obs"].shape)
        self.seen = self.image
        """`(C, H, W)` of what a policy sees; of `local_obs` once there was one."""
        features = env.observation_space.spaces.get(FEATURES)
        self.count = 0 if features is None else math.prod(int(size) for size in features.shape)
        """How many features there are."""
        self.observation_space = SimpleNamespace(shape=(1, 1, math.prod(self.image) + self.count))

    def reset(self) -> dict[str, Any]:
        """Start every sub-environment anew."""
        return self._joined(self.env.reset())

    def step(self, actions: Tensor) -> tuple[dict[str, Any], Any, Any, Any]:
        """Let the agents act."""
        payload, reward, done, info = self.env.step(actions)
        if "final_obs" in info:
            final = {
                "obs": info["final_obs"],
                "local_obs": info.get("final_local_obs"),
                FEATURES: info.get("final_features"),
            }
            rows = self._joined(final, of="info['final_features']")
            info = dict(info) | {f"final_{name}": row for name, row in rows.items()}
        return self._joined(payload), reward, done, info

    def _joined(
        self, payload: Mapping[str, Any], of: str = "the observation's 'features'"
    ) -> dict[str, Any]:
        """Return the payload with rows for `obs` and `local_obs`."""
        features = payload.get(FEATURES) if self.count else torch.empty(self.num_envs, 0)
        if not isinstance(features, Tensor) or features.numel() != self.num_envs * self.count:
            raise EnvironmentContractError(
                f"{of} must be a tensor [{self.num_envs}, {self.count}], got "
                f"{list(features.shape) if isinstance(features, Tensor) else features!r:.60}"
            )
        features = features.reshape(self.num_envs, self.count).to(payload["obs"].device).float()
        told = {name: payload[name] for name in ("done", "mask") if name in payload}
        told["obs"] = _rows(payload["obs"].unsqueeze(1), features).squeeze(1)
        local = payload.get("local_obs")
        if local is not None:
            self.seen = tuple(local.shape[2:])
            told["local_obs"] = _rows(local, features)
        return told


class FeaturePolicy(nn.Module):
    """A policy of image and features as one of `FeatureEnv`'s rows.

    Raises `PolicyError` for a recurrent one.
    """

    def __init__(self, policy: nn.Module, env: FeatureEnv) -> None:
        super().__init__()
        if is_recurrent(policy):
            raise PolicyError(
                "a recurrent policy needs one observation: no Dict space, no 'features'"
            )
        self.policy = policy
        self.squashed = bool(getattr(policy, "squashed", False))
        self.seen, self.count = env.seen, env.count

    def forward(self, rows: Tensor) -> Any:
        """Return what the policy does for rows `[B, 1, 1, C*H*W + F]`."""
        image, features = _parted(rows, self.seen)
        return self.policy(image, features) if self.count else self.policy(image)


class FeaturelessCritic(nn.Module):
    """A critic of the image alone, given `FeatureEnv`'s rows."""

    def __init__(self, critic: nn.Module, env: FeatureEnv) -> None:
        super().__init__()
        self.critic = critic
        self.image = env.image

    def forward(self, rows: Tensor) -> Any:
        """Return what the critic does for rows `[B, 1, 1, C*H*W + F]`."""
        return self.critic(_parted(rows, self.image)[0])


def _parted(rows: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Return images of this shape `[B, C, H, W]` and features `[B, F]`."""
    flat, size = rows.flatten(1), math.prod(shape)
    return flat[:, :size].reshape(-1, *shape), flat[:, size:]


def _rows(images: Tensor, features: Tensor) -> Tensor:
    """Return rows `[N, A, 1, 1, C*H*W + F]` for `[N, A, C, H, W]` and `[N, F]`."""
    flat = images.flatten(2).float()
    each = features.unsqueeze(1).expand(-1, flat.shape[1], -1)
    return torch.cat((flat, each), dim=2)[:, :, None, None]
