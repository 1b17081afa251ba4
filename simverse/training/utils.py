"""Optimisers, devices and the dictionary of settings that the public simverse's scripts pass on."""

import contextlib
import ctypes
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

import torch
from torch import nn

from simverse.errors import PolicyError
from simverse.training.flat import flatten_parameters

# Where torch has a fused Adam, one kernel for all parameters.
_FUSED_DEVICES = frozenset({"cpu", "cuda"})

# Looked up here by scripts, defined where the trainer may be imported: it imports this module.
_RUNS = frozenset({"run_ippo_training", "run_mappo_training", "run_ppo_training"})


def __getattr__(name: str) -> Any:
    if name not in _RUNS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("simverse.training.runs"), name)


@dataclass
class PolicySpec:
    """A policy with a name, as environments of the public library find them in their config."""

    name: str
    model: nn.Module


def adam(policy: nn.Module, *, lr: float, flat: bool = False) -> torch.optim.Adam:
    """Return Adam over a policy's trainable parameters, fused where torch can.

    `eps` is 1e-5 as in Huang et al. 2022, detail 3. With `flat` the parameters become views of one
    vector (see `flatten_parameters`) if they all have the same dtype and device. Raises
    `PolicyError` if there is none to train.
    """
    parameters = [p for p in policy.parameters() if p.requires_grad]
    if not parameters:
        raise PolicyError("the policy has no trainable parameters")
    if flat and len({(p.dtype, p.device) for p in parameters}) == 1:
        parameters = [flatten_parameters(parameters)]
    fused = all(p.device.type in _FUSED_DEVICES for p in parameters)
    return torch.optim.Adam(parameters, lr=lr, eps=1e-5, fused=fused)


class HasGroups(Protocol):
    """An optimiser, as far as its step sizes and its state go."""

    param_groups: list[dict[str, Any]]
    """Each with its `lr`."""

    def state_dict(self) -> dict[str, Any]:
        """Return its state."""

    def load_state_dict(self, state: Any, /) -> Any:
        """Take it over."""


class Annealing:
    """Lets an optimiser's step sizes fall linearly to 0 over `updates` calls of `step`.

    The first leaves them whole, as in Huang et al. 2022, detail 4. (Torch's schedulers would count
    the optimiser's own steps, of which an update has many.)
    """

    def __init__(self, optimizer: HasGroups, updates: int) -> None:
        self._optimizer = optimizer
        self._lrs = [group["lr"] for group in optimizer.param_groups]
        self._updates = updates
        self._done = 0

    def step(self) -> None:
        """Set the step sizes of the next update."""
        left = 1.0 - self._done / self._updates
        for group, lr in zip(self._optimizer.param_groups, self._lrs, strict=True):
            group["lr"] = left * lr
        self._done += 1

    def state_dict(self) -> dict[str, Any]:
        """Return how far it has come, and from which step sizes."""
        return {"done": self._done, "lrs": self._lrs}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self._done, self._lrs = int(state["done"]), list(state["lrs"])


def build_adam_optimizers(
    policy_models: Sequence[nn.Module], *, lr: float, device: str
) -> dict[int, torch.optim.Optimizer]:
    """Return one Adam per policy, by agent id."""
    return {
        agent_id: adam(policy.to(device), lr=lr) for agent_id, policy in enumerate(policy_models)
    }


def build_ppo_training_config(
    *,
    num_agents: int,
    num_envs: int,
    max_steps: int,
    episodes: int,
    training_epochs: int,
    lr: float,
    batch_size: int,
    buffer_size: int,
    device: str,
    dtype: torch.dtype,
    extras: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return settings for `PPOTrainer(config=...)`, `extras` on top.

    The buffer is rounded up to whole steps of all agents, of which it holds at least
    `min(max_steps, 64)`.
    """
    step = num_envs * num_agents
    buffer_size = max(math.ceil(buffer_size / step) * step, step * min(max_steps, 64))
    return {
        "num_agents": num_agents,
        "num_envs": num_envs,
        "max_steps": max_steps,
        "episodes": episodes,
        "training_epochs": training_epochs,
        "lr": lr,
        "batch_size": batch_size,
        "buffer_size": buffer_size,
        "clip_epsilon": 0.2,
        "gamma": 0.99,
        "gae_lambda": 0.95,
        "entropy_coef": 0.01,
        "value_coef": 0.5,
        "max_grad_norm": 0.5,
        "normalize_advantages": True,
        "torch_fastpath": True,
        "device": device,
        "dtype": dtype,
    } | dict(extras or {})


def compile_policy_models(
    policy_specs: Sequence[PolicySpec], *, use_compile: bool, device: str
) -> list[nn.Module]:
    """Return the policies; with `use_compile`, on CUDA, each through `torch.compile`."""
    models = [spec.model for spec in policy_specs]
    if not use_compile or torch.device(device).type != "cuda":
        return models
    compiled: list[Any] = [torch.compile(model, mode="max-autotune") for model in models]
    return compiled


def configure_torch_backend(device: str | torch.device) -> None:
    """Let a CUDA device multiply float32 matrices in TF32; other devices stay as they are."""
    if torch.device(device).type == "cuda":
        torch.set_float32_matmul_precision("high")


def resolve_torch_device(*, prefer_mps: bool = True) -> str:
    """Return the fastest device there is: `cuda`, `mps` (unless not preferred), else `cpu`."""
    if torch.cuda.is_available():
        return "cuda"
    if prefer_mps and torch.backends.mps.is_available():
        return "mps"
    return "cpu"


def resolve_rollout_dtype(
    device: str,
    *,
    cuda_dtype: torch.dtype = torch.float16,
    mps_dtype: torch.dtype = torch.bfloat16,
    cpu_dtype: torch.dtype = torch.float32,
) -> torch.dtype:
    """Return the dtype in which an environment on this device may hold its observations."""
    by_device = {"cuda": cuda_dtype, "mps": mps_dtype}
    return by_device.get(torch.device(device).type, cpu_dtype)


def keep_freed_memory() -> None:
    """Make this process keep memory it frees instead of returning it to the kernel.

    glibc gives tensors of a few hundred KiB back at once and asks for them again in the next
    operation; the page faults took a fifth of an update's time. Does nothing without glibc.
    """
    trim_threshold, top_pad, mmap_threshold = -1, -2, -3  # malloc.h
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(mmap_threshold, 32 * 1024 * 1024)  # the most glibc takes
        mallopt(trim_threshold, 1024 * 1024 * 1024)
        mallopt(top_pad, 16 * 1024 * 1024)


def warm_up() -> None:
    """Make torch import what its optimisers import lazily, about a second's worth.

    For a server that forks workers later, hence no call of `backward`: autograd's threads would not
    survive a fork, but the child would take them to be there.
    """
    layer = nn.Linear(1, 1)
    for parameter in layer.parameters():
        parameter.grad = torch.zeros_like(parameter)
    adam(layer, lr=1e-3).step()
