from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class EnvConfig:
    """What `create_env(config, ...)` is told about the task."""

    num_agents: int = 1
    """Policies that act; an environment that commands many units still has one."""
    num_envs: int = 32
    """Sub-environments stepped in lockstep."""
    max_steps: int = 20
    """Horizon of a rollout, in steps."""
    seed: int = 0
    """Seed of everything the environment draws."""
    policies: Sequence[Any] = ()
    """Unused here; environments written for the public library may look at it."""
