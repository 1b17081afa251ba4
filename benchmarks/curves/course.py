"""One training as every contender runs it: a clock that evaluations stop, and greedy returns."""

import argparse
import json
import time
from collections.abc import Callable
from contextlib import contextmanager
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import torch

from benchmarks.curves.tasks import POINTS, TASKS, Task

CURVE_EPISODES, FINAL_EPISODES = 20, 100
_MOST_STEPS = 10_000
_HELD_OUT = 1_000_003
"""Added to a training's seed for the episodes that it is measured by."""

Act = Callable[[np.ndarray], np.ndarray]
"""Takes observations `[N, ...]`, returns the greedy actions."""


class Course:
    """A training's curve and its seconds, while it runs.

    `flat` says whether `Act` takes rows of scaled numbers, or what the environment shows.
    `episodes` are those of a point, and of the final policy.
    """

    def __init__(
        self,
        task: Task,
        seed: int,
        fraction: float,
        *,
        flat: bool = True,
        episodes: tuple[int, int] = (CURVE_EPISODES, FINAL_EPISODES),
    ) -> None:
        self.task, self.seed, self.flat, self.episodes = task, seed, flat, episodes
        self.updates_a_point = task.updates_a_point(fraction)
        self.updates = POINTS * self.updates_a_point
        self.steps_a_point = self.updates_a_point * task.num_steps * task.num_envs
        self.steps = POINTS * self.steps_a_point
        self.curve: list[tuple[int, float]] = []
        self._wall_s = self._cpu_s = 0.0

    @contextmanager
    def clock(self) -> Any:
        """Count the seconds of a block as training's, but for those of `point` within it."""
        self._shift(-1)
        try:
            yield
        finally:
            self._shift(1)

    def point(self, act: Act) -> None:
        """Add a point, the next one of the curve; the clock stands still."""
        self._shift(1)
        steps = (len(self.curve) + 1) * self.steps_a_point
        self.curve.append((steps, self._mean_return(act, self.episodes[0])))
        self._shift(-1)

    def result(self, act: Act, **more: Any) -> dict[str, Any]:
        """Return what is kept of the training; the final policy is measured by more episodes."""
        return {
            "task": self.task.name, "seed": self.seed, "steps": self.steps, "curve": self.curve,
            "final": self._mean_return(act, self.episodes[1]), "cpu_s": round(self._cpu_s, 2),
            "wall_s": round(self._wall_s, 2), **more,
        }  # fmt: skip

    def _mean_return(self, act: Act, episodes: int) -> float:
        return float(greedy_returns(self.task, act, episodes, self.seed, flat=self.flat).mean())

    def _shift(self, sign: int) -> None:
        self._wall_s += sign * time.perf_counter()
        self._cpu_s += sign * time.process_time()


def greedy_returns(task: Task, act: Act, episodes: int, seed: int, *, flat: bool) -> np.ndarray:
    """Return the returns `[episodes]` of fresh episodes, by the task's own reward."""
    envs = gymnasium.vector.SyncVectorEnv([partial(task.make, flat=flat)] * episodes)
    obs, _ = envs.reset(seed=seed + _HELD_OUT)
    returns, running = np.zeros(episodes), np.ones(episodes, dtype=bool)
    for _ in range(_MOST_STEPS):
        obs, rewards, terminated, truncated, _ = envs.step(act(obs))
        returns += np.where(running, rewards, 0.0)
        running &= ~(terminated | truncated)
        if not running.any():
            break
    envs.close()
    return returns


def main(run: Callable[[Course], dict[str, Any]], *, flat: bool = True) -> None:
    """Run one training as the command line says; print one line of JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--task", choices=TASKS, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fraction", type=float, default=1.0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    course = Course(TASKS[args.task], args.seed, args.fraction, flat=flat)
    print(json.dumps(run(course)))
