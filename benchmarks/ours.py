"""simverse's PPO on CartPole-v1 with the settings of the others: `python -m benchmarks.ours`.

Stops when the last 100 episodes' mean reaches 475; prints one JSON line.
"""

import argparse
import contextlib
import json
import time
from collections import deque
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from simverse.core.env import SimEnv
from simverse.envs import cartpole
from simverse.policies import SimplePolicy
from simverse.training.ppo import PPOConfig, train
from simverse.training.utils import keep_freed_memory, warm_up

NUM_ENVS, NUM_STEPS = 32, 128
SOLVED = 475.0


class SolvedError(Exception):
    """The task is solved; training can stop."""


class NumpyCartPole(SimEnv):
    """CartPole-v1 for all sub-environments at once in numpy, gymnasium's equations and constants.

    numpy's small-array calls cost half of torch's, and its arrays become tensors without a copy.
    Stops training at the end of a rollout that finds the task solved.
    """

    def __init__(self, num_envs: int, seed: int) -> None:
        super().__init__()
        self.num_envs = num_envs
        self._random = np.random.default_rng(seed)
        self._state = np.zeros((4, num_envs))
        self._elapsed = np.zeros(num_envs, dtype=np.int64)
        self._ones = torch.ones(num_envs)
        self.finished: deque[float] = deque(maxlen=100)
        self.taken = 0

    @property
    def action_space(self) -> Any:
        """0 left, 1 right."""
        return spaces.Discrete(2)

    @property
    def observation_space(self) -> Any:
        """Position, velocity, angle, angular velocity."""
        return spaces.Box(-np.inf, np.inf, shape=(1, 1, 4))

    def reset(self) -> dict[str, Tensor]:
        """Start every sub-environment near the upright position."""
        self._state = self._random.uniform(-0.05, 0.05, self._state.shape)
        self._elapsed[:] = 0
        return {"obs": self._observation()}

    def step(self, actions: Any) -> Any:
        """Push every cart for 20 ms."""
        state = self._state = self._moved(actions.numpy())
        self._elapsed += 1
        self.taken += 1
        fallen = (np.abs(state[0]) > cartpole.POSITION_LIMIT) | (
            np.abs(state[2]) > cartpole.ANGLE_LIMIT
        )
        done = fallen | (self._elapsed >= cartpole.EPISODE_STEPS)
        obs, info = self._observation(), {}
        if done.any():
            info = {"truncated": torch.from_numpy(done & ~fallen), "final_obs": obs}
            self.finished.extend(self._elapsed[done].tolist())
            state[:, done] = self._random.uniform(-0.05, 0.05, (4, int(done.sum())))
            self._elapsed[done] = 0
            obs = self._observation()
        if self.taken % NUM_STEPS == 0 and self.mean_return() >= SOLVED:
            raise SolvedError
        return {"obs": obs}, self._ones, torch.from_numpy(done), info

    def _moved(self, push: np.ndarray) -> np.ndarray:
        """Return the state one explicit Euler step of 20 ms later."""
        _, velocity, angle, spin = self._state
        cosine, sine = np.cos(angle), np.sin(angle)
        pole_moment = cartpole.POLE_MASS * cartpole.HALF_LENGTH
        force = (2 * push - 1) * cartpole.FORCE
        pressure = (force + pole_moment * spin * spin * sine) / cartpole.TOTAL_MASS
        spin_rate = (cartpole.GRAVITY * sine - cosine * pressure) / (
            cartpole.HALF_LENGTH
            * (4.0 / 3.0 - cartpole.POLE_MASS * cosine * cosine / cartpole.TOTAL_MASS)
        )
        acceleration = pressure - pole_moment * spin_rate * cosine / cartpole.TOTAL_MASS
        rates = np.array((velocity, acceleration, spin, spin_rate))
        return self._state + cartpole.STEP_S * rates

    def _observation(self) -> Tensor:
        obs = self._state.T.astype(np.float32, order="C")
        return torch.from_numpy(obs).view(self.num_envs, 1, 1, 4)

    def mean_return(self) -> float:
        """Return the mean of the last 100 episodes, 0 while there are fewer."""
        return sum(self.finished) / 100 if len(self.finished) == 100 else 0.0


def run(total_steps: int, seed: int, lr: float) -> dict[str, float]:
    """Train until solved or out of steps."""
    torch.manual_seed(seed)
    horizon = total_steps // NUM_ENVS
    env = NumpyCartPole(NUM_ENVS, seed)
    policy = SimplePolicy(env.observation_space, env.action_space, hidden=64)
    config = PPOConfig(
        lr=lr,
        anneal_lr=True,
        value_clip=0.2,
        training_epochs=4,
        batch_size=NUM_ENVS * NUM_STEPS // 4,
        buffer_size=NUM_ENVS * NUM_STEPS,
        max_steps=horizon,
    )
    keep_freed_memory()
    warm_up()  # the others build their optimiser before the clock starts too
    started_s, started_cpu_s = time.perf_counter(), time.process_time()
    with contextlib.suppress(SolvedError):
        # One long episode, trained on in segments of 128 steps.
        train(env, policy, config, episodes=1, seed=seed)
    return {
        "steps": env.taken * NUM_ENVS,
        "seconds": time.perf_counter() - started_s,
        "cpu_s": time.process_time() - started_cpu_s,
        "mean_return": env.mean_return(),
        "solved": env.mean_return() >= SOLVED,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--total-steps", type=int, default=500_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lr", type=float, default=2.5e-4)
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(json.dumps(run(args.total_steps, args.seed, args.lr)))
