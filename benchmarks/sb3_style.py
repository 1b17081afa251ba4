"""Stable-Baselines3's PPO on CartPole-v1 with the same settings: `python -m benchmarks.sb3_style`.

Needs the extra `benchmarks`. Stops when the last 100 episodes' mean reaches 475; prints one JSON
line.
"""

import argparse
import contextlib
import json
import time

import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env

SOLVED = 475.0


class UntilSolved(BaseCallback):
    """Stops training when the task is solved."""

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        self.solved = mean_return(self.model) >= SOLVED
        if self.solved:
            raise StopIteration


def mean_return(model: PPO) -> float:
    """Return the mean of the last 100 episodes, 0 while there are fewer."""
    episodes = model.ep_info_buffer or ()
    return sum(e["r"] for e in episodes) / 100 if len(episodes) == 100 else 0.0


def run(total_steps: int, seed: int, lr: float) -> dict[str, float]:
    """Train until solved or out of steps."""
    env = make_vec_env("CartPole-v1", n_envs=32, seed=seed)
    model = PPO(
        "MlpPolicy",
        env,
        n_steps=128,
        batch_size=1024,
        n_epochs=4,
        learning_rate=lambda left: lr * left,
        gamma=0.99,
        gae_lambda=0.95,
        clip_range=0.2,
        clip_range_vf=0.2,
        ent_coef=0.01,
        vf_coef=0.5,
        max_grad_norm=0.5,
        policy_kwargs={"net_arch": [64, 64]},
        seed=seed,
        device="cpu",
    )
    started_s, started_cpu_s = time.perf_counter(), time.process_time()
    with contextlib.suppress(StopIteration):
        model.learn(total_steps, callback=UntilSolved())
    mean = mean_return(model)
    return {
        "steps": model.num_timesteps,
        "seconds": time.perf_counter() - started_s,
        "cpu_s": time.process_time() - started_cpu_s,
        "mean_return": mean,
        "solved": mean >= SOLVED,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--total-steps", type=int, default=500_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lr", type=float, default=2.5e-4)
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(json.dumps(run(args.total_steps, args.seed, args.lr)))
