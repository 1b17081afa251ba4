"""Clocks around a training, and counts of its matrix products: what `simverse.profile` measures."""

import math
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)
from torch.utils._python_dispatch import TorchDispatchMode

from simverse.training import update
from simverse.training.actor_critic import ActorCritic
from simverse.training.fused import FlatAdam, FusedLearner
from simverse.training.fused_loss import LossGradient
from simverse.training.fused_network import Pass

PARTS = ("environment", "forward", "backward", "optimiser")
_ROOFLINE_S = 0.05
"""How long each shape's matrix product is repeated, in seconds."""

Shape = tuple[int, int, int]
"""`(m, k, n)` of a product `[m, k] @ [k, n]`, which costs `2 m k n` operations."""


class Clock:
    """Adds up time by part; parts do not overlap."""

    def __init__(self, device: torch.device) -> None:
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self._device = device
        self._since_s = 0.0

    def _now_s(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()

    def start(self, *_: Any) -> None:
        """Begin a part's time."""
        self._since_s = self._now_s()

    def stop(self, part: str) -> None:
        """Add the time since `start` to a part's."""
        self.seconds[part] += self._now_s() - self._since_s

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        """Time what happens inside the block."""
        self.start()
        yield
        self.stop(part)


class TimedEnv:
    """An environment whose `reset` and `step` are timed."""

    def __init__(self, env: Any, clock: Clock) -> None:
        self._env = env
        self._clock = clock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._env, name)

    def reset(self) -> Any:
        """Reset the environment, timed."""
        with self._clock.timed("environment"):
            return self._env.reset()

    def step(self, actions: Any) -> Any:
        """Step the environment, timed."""
        with self._clock.timed("environment"):
            return self._env.step(actions)


@contextmanager
def _timed(clock: Clock, part: str, owner: Any, name: str) -> Iterator[None]:
    """Time each call of a function of a module, or method of a class, during the block."""
    original = getattr(owner, name)

    def timed(*args: Any, **kwargs: Any) -> Any:
        with clock.timed(part):
            return original(*args, **kwargs)

    setattr(owner, name, timed)
    try:
        yield
    finally:
        setattr(owner, name, original)


@contextmanager
def timed_training(clock: Clock) -> Iterator[None]:
    """Time forward, backward and optimiser of whatever is trained, and undo all of it after.

    From outside: a policy with a hook would not be trained as one without (`training.fused`).
    """
    hooks = (
        register_optimizer_step_pre_hook(clock.start),
        register_optimizer_step_post_hook(lambda *_: clock.stop("optimiser")),
    )
    functions = (
        ("forward", ActorCritic, "__call__"),
        ("forward", FusedLearner, "forward"),
        ("backward", torch.autograd, "backward"),
        ("backward", update, "loss_gradient"),
        ("backward", LossGradient, "write"),
        ("backward", Pass, "backward"),
        ("optimiser", FlatAdam, "step"),
    )
    try:
        with ExitStack() as stack:
            for part, owner, name in functions:
                stack.enter_context(_timed(clock, part, owner, name))
            yield
    finally:
        for hook in hooks:
            hook.remove()


class Products(TorchDispatchMode):  # type: ignore[no-untyped-call, unused-ignore]
    """Counts the shapes of all matrix products and convolutions made inside the block."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call, unused-ignore]
        self.shapes: Counter[Shape] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name in {"mm", "addmm"}:
            left, right = args[-2:]
            self.shapes[left.shape[0], left.shape[1], right.shape[1]] += 1
        elif name == "bmm":
            left, right = args
            self.shapes[left.shape[1], left.shape[2], right.shape[2]] += left.shape[0]
        elif name == "convolution":
            self.shapes[_convolution(args[1], result)] += 1
        elif name == "convolution_backward":
            needed = sum(bool(wanted) for wanted in args[-1][:2])
            self.shapes[_convolution(args[2], args[0])] += needed
        return result


def _convolution(weight: Tensor, output: Tensor) -> Shape:
    """Return the matrix product a convolution amounts to."""
    positions = output.shape[0] * math.prod(output.shape[2:])
    return positions, math.prod(weight.shape[1:]), weight.shape[0]


def matmul_seconds(shape: Shape, device: torch.device, dtype: torch.dtype) -> float:
    """Return how long one product of this shape takes."""
    rows, inner, columns = shape
    left = torch.randn(rows, inner, device=device, dtype=dtype)
    right = torch.randn(inner, columns, device=device, dtype=dtype)
    out = torch.mm(left, right)
    clock = Clock(device)
    done = 0
    while clock.seconds["forward"] < _ROOFLINE_S:
        with clock.timed("forward"):
            for _ in range(8):
                torch.mm(left, right, out=out)
        done += 8
    return clock.seconds["forward"] / done
