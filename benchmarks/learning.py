"""Does the fast path learn what the plain one does? `python -m benchmarks.learning`.

Trains both on the same examples, settings and number of seeds, and compares the mean training
returns of the last third of the episodes (each path's own rewards, summed over the horizon, of
every sub-environment), seed by seed: a Mann-Whitney test and Cliff's delta. Seeds mean different
draws on the two paths, so that the samples are independent.

The fast path is what the evaluator trains with; it is held against the public library's plain one,
or with `--torch` against ours where small policies are not trained fused.
"""

import argparse
import math
import statistics
from typing import Any, cast

import torch

from benchmarks import reference
from benchmarks.evaluator import request
from benchmarks.machine import describe
from simverse.core.config import EnvConfig
from simverse.training.config import PPOConfig
from simverse.training.ppo import train
from simverse.training.stats import TrainingPath

EXAMPLES = ("keydoor", "trading", "squad")


class Summed:
    """An environment that adds up its own rewards, so that both paths are measured alike."""

    def __init__(self, env: Any) -> None:
        self.env = env
        self.episodes: list[float] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.env, name)

    def reset(self) -> Any:
        """Begin another episode's sum."""
        self.episodes.append(0.0)
        return self.env.reset()

    def step(self, actions: Any) -> Any:
        """Step, and add the mean reward."""
        result = self.env.step(actions)
        self.episodes[-1] += float(result[1].mean())
        return result


def final_return(
    modules: tuple[Any, Any], settings: dict[str, Any], *, way: str, seed: int, episodes: int
) -> float:
    """Train one seed; return the mean of the last third of the episodes."""
    env_module, train_module = modules
    torch.manual_seed(seed)
    config = EnvConfig(num_envs=reference.NUM_ENVS, max_steps=settings["max_steps"], seed=seed)
    env = Summed(env_module.create_env(config, num_envs=reference.NUM_ENVS, device="cpu"))
    policy = train_module.build_policy(env.observation_space, env.action_space)
    if way != "reference":
        path = cast("TrainingPath", way)
        train(env, policy, PPOConfig(**settings), episodes=episodes, seed=seed, path=path)
    else:
        reference.train(env, policy, settings, episodes)
    return statistics.fmean(env.episodes[-(episodes // 3) :])


def mann_whitney(ours: list[float], theirs: list[float]) -> tuple[float, float]:
    """Return the two-sided p-value (normal approximation) and Cliff's delta (ours above: > 0)."""
    wins = sum((a > b) + 0.5 * (a == b) for a in ours for b in theirs)
    pairs = len(ours) * len(theirs)
    deviation = math.sqrt(pairs * (len(ours) + len(theirs) + 1) / 12)
    z = (wins - pairs / 2) / deviation
    return math.erfc(abs(z) / math.sqrt(2)), 2 * wins / pairs - 1


def main() -> None:
    """Train, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=16)
    parser.add_argument("--episodes", type=int, default=48)
    parser.add_argument("--examples", nargs="+", choices=EXAMPLES, default=EXAMPLES)
    parser.add_argument("--torch", action="store_true", help="against our own torch path")
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(describe())
    plain = "torch" if args.torch else "reference"
    for example in args.examples:
        modules = reference.load(request(example, 2, 1).candidate_dir)
        settings = reference.settings_of(modules[1], reference.NUM_ENVS, None)
        returns: dict[str, list[float]] = {"fused": [], plain: []}
        for index in range(args.seeds):
            for way, found in returns.items():
                seed = 1000 * (way == "fused") + index
                found.append(
                    final_return(modules, settings, way=way, seed=seed, episodes=args.episodes)
                )
        ours, theirs = returns["fused"], returns[plain]
        p, delta = mann_whitney(ours, theirs)
        pooled = math.sqrt((statistics.variance(ours) + statistics.variance(theirs)) / 2)
        cohen = (statistics.fmean(ours) - statistics.fmean(theirs)) / pooled
        print(
            f"{example:<10} {args.seeds} seeds each, {args.episodes} episodes: "
            f"fused {statistics.fmean(ours):.3f} (sd {statistics.stdev(ours):.3f}), "
            f"{plain} {statistics.fmean(theirs):.3f} (sd {statistics.stdev(theirs):.3f}); "
            f"p {p:.2f}, Cliff's delta {delta:+.2f}, Cohen's d {cohen:+.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
