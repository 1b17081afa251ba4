"""What a training costs as it grows: `python -m benchmarks.scaling [--check] [--picture FILE]`.

By sub-environments, hidden width, seeds and workers, contenders in turn, medians with their range.
`--device cuda` measures the first two on a GPU. `--check` fails where a cost grows faster than the
work: a step of more sub-environments costs no more than one of few, twice the width at most four
times as much, twice the seeds at most twice as much (a quarter is allowed for noise).
"""

import argparse
import json
import math
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path

import torch

from benchmarks.evaluator import request
from benchmarks.machine import describe
from framework import Referee
from simverse import SimplePolicy, make
from simverse.training.config import PPOConfig
from simverse.training.ppo import train
from simverse.training.stats import TrainingPath

NUM_ENVS = (32, 64, 128, 256, 512, 1024, 2048, 4096)
WIDTHS = (16, 32, 64, 128, 256, 512, 1024)
SEEDS = (1, 2, 4, 8)
_STEPS, _HORIZON = 40_000, 20
_NOISE = 1.25


@dataclass(frozen=True)
class Point:
    """One measurement, in all its turns."""

    sweep: str
    contender: str
    x: int
    turns: list[float]
    """Microseconds of a step in training, or seconds of an evaluation."""

    @property
    def median(self) -> float:
        """Return the median turn."""
        return statistics.median(self.turns)


@dataclass(frozen=True)
class Sweep:
    """One thing that grows."""

    name: str
    xlabel: str
    unit: str
    growth: float
    """Most that a cost may grow by where `x` doubles, but for noise."""


SWEEPS = (
    Sweep("sub-environments", "sub-environments", "µs a step", 1.0),
    Sweep("width", "hidden width", "µs a step", 4.0),
    Sweep("seeds", "seeds (workers: one a core)", "s an evaluation", 2.0),
    Sweep("workers", "workers (four seeds)", "s an evaluation", 1.0),
)


def step_us(num_envs: int, hidden: int, path: TrainingPath, device: str) -> float:
    """Train on grid_goal once; return the microseconds of a step of one sub-environment."""
    torch.manual_seed(0)
    env = make("grid_goal", num_envs=num_envs, seed=0, device=device)
    policy = SimplePolicy(env.observation_space, env.action_space, hidden=hidden)
    config = PPOConfig.for_task(num_envs=num_envs, max_steps=_HORIZON)
    episodes = max(2, _STEPS // (num_envs * _HORIZON * max(1, hidden // 128)))
    train(env, policy, config, episodes=1, seed=0, device=device, path=path)
    _finish(device)
    started_s = time.perf_counter()
    history = train(env, policy, config, episodes=episodes, seed=1, device=device, path=path)
    _finish(device)
    return 1e6 * (time.perf_counter() - started_s) / sum(stats.env_steps for stats in history)


def _finish(device: str) -> None:
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()


def in_process(turns: int, device: str) -> Iterator[Point]:
    """Measure what grows within one training."""
    paths: tuple[TrainingPath, ...] = ("fused", "torch") if device == "cpu" else ("torch",)
    for sweep, xs in (("sub-environments", NUM_ENVS), ("width", WIDTHS)):
        for x in xs:
            sizes = (x, 64) if sweep == "sub-environments" else (64, x)
            found: dict[str, list[float]] = {path: [] for path in paths}
            for _ in range(turns):
                for path in paths:
                    found[path].append(step_us(*sizes, path, device))
            for path in paths:
                yield Point(sweep, path, x, found[path])


def evaluations(turns: int) -> Iterator[Point]:
    """Measure whole evaluations of keydoor at 12/8, confined."""
    one, cores = request("keydoor", 12, 8), os.cpu_count() or 1
    with Referee() as referee:
        referee.evaluate(one)

        def seconds(seeds: int, workers: int | None) -> float:
            asked = replace(one, seeds=tuple(range(101, 101 + seeds)), workers=workers)
            return float(referee.evaluate(asked).wall_s)

        for seeds in SEEDS:
            yield Point("seeds", "keydoor", seeds, [seconds(seeds, None) for _ in range(turns)])
        for workers in range(1, cores + 1):
            yield Point("workers", "keydoor", workers, [seconds(4, workers) for _ in range(turns)])


def faults(points: Sequence[Point]) -> list[str]:
    """Return where a cost grows faster than the work, a line each."""
    lines = []
    for sweep in SWEEPS:
        for contender in dict.fromkeys(p.contender for p in points if p.sweep == sweep.name):
            found = [p for p in points if (p.sweep, p.contender) == (sweep.name, contender)]
            for before, after in pairwise(found):
                allowed = before.median * sweep.growth ** math.log2(after.x / before.x) * _NOISE
                if after.median > allowed:
                    lines.append(
                        f"{sweep.name}, {contender}: {after.median:.3g} {sweep.unit} at {after.x}, "
                        f"more than {allowed:.3g} after {before.median:.3g} at {before.x}"
                    )
    return lines


def table(points: Sequence[Point]) -> list[str]:
    """Return the points as Markdown."""
    units = {sweep.name: sweep.unit for sweep in SWEEPS}
    lines = [
        "| what grows | trained by, or candidate | | cost, median (range) |",
        "|---|---|---|---|",
    ]
    return lines + [
        f"| {p.sweep} | {p.contender} | {p.x:,} | {p.median:.3g} {units[p.sweep]} "
        f"({min(p.turns):.3g} to {max(p.turns):.3g}) |"
        for p in points
    ]


def draw(points: Sequence[Point], file: Path) -> None:
    """Draw one panel for each thing that grows."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    shown = [sweep for sweep in SWEEPS if any(p.sweep == sweep.name for p in points)]
    figure, axes = plt.subplots(1, len(shown), figsize=(4 * len(shown), 3.6), squeeze=False)
    for sweep, ax in zip(shown, axes[0], strict=True):
        for contender in dict.fromkeys(p.contender for p in points if p.sweep == sweep.name):
            found = [p for p in points if (p.sweep, p.contender) == (sweep.name, contender)]
            middles = [p.median for p in found]
            low = [p.median - min(p.turns) for p in found]
            high = [max(p.turns) - p.median for p in found]
            ax.errorbar(
                [p.x for p in found], middles, (low, high), marker="o", capsize=2, label=contender
            )
        ax.set(xlabel=sweep.xlabel, ylabel=sweep.unit, xscale="log", ylim=(0, None))
        ax.xaxis.set_major_formatter("{x:g}")
        ax.xaxis.set_minor_formatter("")
        ax.set_title(f"Cost by {sweep.name}", fontsize=10)
        ax.grid(alpha=0.3)
        ax.legend(frameon=False, fontsize=8)
    figure.tight_layout()
    figure.savefig(file, dpi=130)


def main() -> int:
    """Measure, print, draw, check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--save", type=Path, help="write the points as JSON")
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    if args.device == "cpu":
        torch.set_num_threads(1)
    print(f"{describe()}; {args.device}, {args.turns} turns\n", flush=True)
    sweeps: list[Callable[[], Iterator[Point]]] = [lambda: in_process(args.turns, args.device)]
    sweeps += [lambda: evaluations(args.turns)] if args.device == "cpu" else []
    points = [point for sweep in sweeps for point in sweep()]
    print("\n".join(table(points)))
    if args.save:
        args.save.write_text(json.dumps([asdict(point) for point in points], indent=1) + "\n")
    if args.picture:
        draw(points, args.picture)
    wrong = faults(points) if args.check else []
    print("\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
