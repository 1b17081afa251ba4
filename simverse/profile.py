"""Where a training's time goes: `python -m simverse.profile --candidate DIR` or `--env NAME`.

Runs the real `train` once with clocks around environment, policy and optimiser (nothing of this
is in the way when it is not asked for), and holds the time in forward and backward passes
against bare matrix products of the same shapes, the roofline of dense layers on this machine.
"""

import argparse
import importlib
import json
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

import torch
from torch import nn

from simverse.core.config import EnvConfig
from simverse.envs.registry import load_candidate
from simverse.policies import SimplePolicy
from simverse.timing import Clock, Products, TimedEnv, matmul_seconds, timed_training
from simverse.training.actor_critic import Precision
from simverse.training.config import PPOConfig
from simverse.training.ppo import train
from simverse.training.stats import EpisodeStats, TrainingPath
from simverse.training.utils import keep_freed_memory

WORTH_SWITCHING = 1.15
"""A precision this many times as fast is recommended."""


@dataclass(frozen=True)
class Profile:
    """One training's time in seconds, by part, and its dense arithmetic."""

    path: TrainingPath
    """What trained the policy."""
    total_s: float
    seconds: dict[str, float]
    """By part, `PARTS`, the loss's gradient as part of backward; what is missing to `total_s` is
    ours."""
    env_steps: int
    updates: int
    flop: float
    """Operations of the matrix products and convolutions in forward and backward passes."""
    matmul_s: float
    """What bare matrix products of the same shapes, as many, take here."""

    @property
    def other_s(self) -> float:
        """Everything that is not one of `PARTS`: sampling, storing, advantages, clipping."""
        return self.total_s - sum(self.seconds.values())

    def __str__(self) -> str:
        shares = self.seconds | {"other": self.other_s}
        lines = [f"{name:<12} {s:8.3f} s  {s / self.total_s:6.1%}" for name, s in shares.items()]
        policy_s = self.seconds["forward"] + self.seconds["backward"]
        return "\n".join(
            (
                f"{self.env_steps:,} steps and {self.updates:,} updates in {self.total_s:.3f} s, "
                f"{self.env_steps / self.total_s:,.0f} steps/s, {self.path}",
                *lines,
                f"roofline: {self.flop / policy_s / 1e9:.2f} GFLOP/s in forward and backward, "
                f"{self.flop / self.matmul_s / 1e9:.2f} in matrix products of the same shapes "
                f"({self.matmul_s / policy_s:.0%} of the limit)"
                if self.flop
                else "roofline: no matrix products",
            )
        )


def profile(
    env: Any,
    policy: nn.Module,
    config: PPOConfig,
    *,
    episodes: int,
    seed: int = 0,
    device: str | torch.device = "cpu",
    precision: Precision = "fp32",
) -> Profile:
    """Train `policy` in place for `episodes` and return where the time went.

    Two episodes more are trained, one before to warm up and one after to count the arithmetic.
    """
    device = torch.device(device)

    def run(env: Any, episodes: int, path: TrainingPath = "fused") -> list[EpisodeStats]:
        return train(
            env,
            policy,
            config,
            episodes=episodes,
            seed=seed,
            device=device,
            precision=precision,
            path=path,
        )

    run(env, 1)
    clock = Clock(device)
    with timed_training(clock):
        started_s = time.perf_counter()
        history = run(TimedEnv(env, clock), episodes)
        total_s = time.perf_counter() - started_s
    with Products() as products:
        run(env, 1, "torch")  # whose operations can be counted; the products are the same
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    matmul_s = sum(
        count * matmul_seconds(shape, device, dtype) for shape, count in products.shapes.items()
    )
    flop = sum(2.0 * math.prod(shape) * count for shape, count in products.shapes.items())
    return Profile(
        path=history[-1].path,
        total_s=total_s,
        seconds=clock.seconds,
        env_steps=sum(episode.env_steps for episode in history),
        updates=sum(episode.updates for episode in history),
        flop=flop * episodes,
        matmul_s=matmul_s * episodes,
    )


def _candidate(folder: Path, num_envs: int, device: str) -> tuple[Any, nn.Module, PPOConfig]:
    settings = load_candidate(folder, "train").training_overrides(
        num_envs=num_envs, max_steps=20, device=device
    )
    config = PPOConfig.for_task(num_envs=num_envs, **({"max_steps": 20} | dict(settings or {})))
    env = load_candidate(folder, "env").create_env(
        EnvConfig(num_envs=num_envs, max_steps=config.max_steps, seed=1),
        num_envs=num_envs,
        device=device,
    )
    policy = load_candidate(folder, "train").build_policy(env.observation_space, env.action_space)
    return env, policy, config


def _library_env(
    name: str, num_envs: int, max_steps: int, device: str
) -> tuple[Any, nn.Module, PPOConfig]:
    module = importlib.import_module(f"simverse.envs.{name}")
    config = PPOConfig.for_task(num_envs=num_envs, max_steps=max_steps)
    env = module.create_env(
        EnvConfig(num_envs=num_envs, max_steps=max_steps, seed=1), device=device
    )
    return env, SimplePolicy(env.observation_space, env.action_space), config


def main() -> None:
    """Profile one training and print the table."""
    parser = argparse.ArgumentParser(prog="simverse.profile", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--candidate", type=Path, metavar="DIR", help="folder with env.py, train.py")
    what.add_argument("--env", metavar="NAME", help="module of simverse.envs, such as cartpole")
    parser.add_argument("--episodes", type=int, default=12, help="PPO episodes to time")
    parser.add_argument("--num-envs", type=int, default=32, help="sub-environments")
    parser.add_argument("--max-steps", type=int, default=128, help="horizon, with --env")
    parser.add_argument("--device", choices=("cpu", "cuda", "mps"), default="cpu")
    parser.add_argument(
        "--precision",
        choices=(*get_args(Precision), "both"),
        default="fp32",
        help="`both` profiles one after the other and says which is faster",
    )
    parser.add_argument("--threads", type=int, default=1, help="torch threads; workers have one")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    keep_freed_memory()
    torch.set_num_threads(args.threads)
    precisions = get_args(Precision) if args.precision == "both" else (args.precision,)
    profiles = {}
    for precision in precisions:
        torch.manual_seed(0)
        if args.candidate is not None:
            task = _candidate(args.candidate, args.num_envs, args.device)
        else:
            task = _library_env(args.env, args.num_envs, args.max_steps, args.device)
        profiles[precision] = profile(
            *task, episodes=args.episodes, device=args.device, precision=precision
        )
    if args.json:
        found = {precision: asdict(each) for precision, each in profiles.items()}
        print(json.dumps(found if args.precision == "both" else found[args.precision]))
        return
    for precision, each in profiles.items():
        print(f"{precision}: {each}" if len(profiles) > 1 else each)
    if args.precision == "both":
        print(recommend({precision: each.total_s for precision, each in profiles.items()}))


def recommend(seconds: Mapping[Precision, float]) -> str:
    """Say which precision is faster here, from the seconds of the same training in both."""
    faster, slower = sorted(seconds, key=lambda precision: seconds[precision])
    ratio = seconds[slower] / seconds[faster]
    if ratio < WORTH_SWITCHING:
        return f"{faster} takes about as long as {slower} here ({ratio:.2f}x): keep fp32"
    return (
        f"{faster} is {ratio:.2f} times as fast as {slower} here: `evaluator.precision: {faster}` "
        "in a new run (scores of the two can't be compared)"
    )


if __name__ == "__main__":
    main()
