"""The tasks of the learning curves and their settings, the same ones for every contender.

The settings follow RL Baselines3 Zoo's `ppo.yml`, without what not every contender has (annealed
clipping, Pendulum's state-dependent exploration), with fewer steps, and for LunarLander a quarter
as many between updates. MiniGrid has no normalisation; its symbols are divided by 10.
"""

import importlib
from dataclasses import dataclass
from functools import partial
from typing import Any

import gymnasium
import numpy as np

POINTS = 10
"""Points of a curve, the last one at the end."""
CLIP, VALUE_LOSS, GRADIENT_NORM, HIDDEN = 0.2, 0.5, 0.5, 64
"""Of the probability ratio; the weight of the mean squared error; the longest gradient; the width
of each of two hidden layers."""
NORMALIZED_CLIP = 10.0
"""Largest normalised observation and reward, in standard deviations."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One environment and how PPO is set for it."""

    name: str
    package: str = ""
    """What registers it, if not Gymnasium."""
    wrapper: str = ""
    """One of the package's."""
    scale: float = 1.0
    """What observations are divided by."""
    needs: tuple[str, str] | None = None
    """A module that must be installed, and how."""
    steps: int
    """Of all sub-environments together, about."""
    num_envs: int
    num_steps: int
    """Steps of each sub-environment before each update."""
    batch_size: int = 64
    epochs: int
    lr: float = 3e-4
    anneal: bool = False
    gamma: float = 0.99
    gae_lambda: float = 0.95
    entropy: float = 0.0
    normalize: bool = False
    """Whether observations and rewards are normalised by running statistics."""

    @property
    def gym_name(self) -> str:
        """As simverse names it."""
        module = f"{self.package}:" if self.package else ""
        options = [f"wrappers={self.wrapper}"] * bool(self.wrapper)
        options += [f"scale={self.scale:g}"] * (self.scale != 1.0)
        return f"gym:{module}{self.name}" + (f"?{'&'.join(options)}" if options else "")

    def updates_a_point(self, fraction: float) -> int:
        """Return the updates between two points, with this fraction of the steps."""
        return max(1, round(fraction * self.steps / (POINTS * self.num_envs * self.num_steps)))

    def make(self, *, flat: bool = True) -> gymnasium.Env[Any, Any]:
        """Return one sub-environment; `flat` has scaled rows of numbers as observations."""
        if self.package:
            importlib.import_module(self.package)
        env = gymnasium.make(self.name)
        if self.wrapper:
            wrappers = importlib.import_module(f"{self.package}.wrappers")
            env = getattr(wrappers, self.wrapper)(env)
        if not flat or self.scale == 1.0:
            return env
        size = int(np.prod(env.observation_space.shape))
        space = gymnasium.spaces.Box(-np.inf, np.inf, (size,), np.float32)
        flatten = partial(_scaled, scale=np.float32(self.scale))
        return gymnasium.wrappers.TransformObservation(env, flatten, space)


def _scaled(obs: np.ndarray, *, scale: np.float32) -> np.ndarray:
    return obs.reshape(-1).astype(np.float32) / scale


def _minigrid(name: str, steps: int) -> Task:
    return Task(
        name=name, package="minigrid", wrapper="ImgObsWrapper", scale=10.0,
        needs=("minigrid", "pip install minigrid"), steps=steps, num_envs=8, num_steps=128,
        epochs=10, lr=2.5e-4, entropy=0.01,
    )  # fmt: skip


TASKS = {
    task.name: task
    for task in (
        Task(name="CartPole-v1", steps=100_000, num_envs=8, num_steps=32, batch_size=256,
             epochs=20, lr=1e-3, anneal=True, gamma=0.98, gae_lambda=0.8),
        Task(name="Acrobot-v1", steps=150_000, num_envs=16, num_steps=256, epochs=4,
             gae_lambda=0.94, normalize=True),
        Task(name="MountainCar-v0", steps=200_000, num_envs=16, num_steps=16, epochs=4,
             gae_lambda=0.98, normalize=True),
        Task(name="LunarLander-v3", needs=("Box2D", 'pip install "gymnasium[box2d]"'),
             steps=500_000, num_envs=16, num_steps=256, epochs=4, gamma=0.999, gae_lambda=0.98,
             entropy=0.01),
        _minigrid("MiniGrid-Empty-5x5-v0", 40_000),
        _minigrid("MiniGrid-Empty-8x8-v0", 80_000),
        Task(name="Pendulum-v1", steps=100_000, num_envs=4, num_steps=1024, epochs=10, lr=1e-3,
             gamma=0.9),
    )
}  # fmt: skip
