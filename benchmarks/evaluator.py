"""How long one evaluation takes, for each example: `python -m benchmarks.evaluator`.

Cold includes starting the worker server (importing torch, once a day); warm is what an experiment
pays. The examples take turns, so that a noisy moment hits them all alike.

`--against TREE` compares with another checkout, turn by turn in one run: the first evaluation of a
turn finds its workers launched, as after an agent that took its time, the others follow at once.

`--compare` measures what it costs to compare a candidate's environment with the incumbent's: each
example is evaluated with its own environment as the incumbent's and without, by turns.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.machine import describe
from framework import EvaluationRequest, EvaluationResult, Referee
from orchestrator.config.loading import load_config
from orchestrator.daemon.templates import examples_with_candidates, template_root


def request(example: str, train_episodes: int, eval_episodes: int) -> EvaluationRequest:
    """Return what the daemon would ask for this example at one rung."""
    folder = template_root() / "examples" / example
    config = load_config(folder / "config.yaml", environment={})
    return EvaluationRequest(
        candidate_dir=folder / "candidate",
        train_episodes=train_episodes,
        eval_episodes=eval_episodes,
        max_steps=config.task.max_steps,
        reward_bound=config.evaluator.reward_bound,
    )


TURN = 4
"""Evaluations in a row, the first of them with workers ready."""
_DRIVER = """
import sys, time
from benchmarks.evaluator import request
from framework import Referee
with Referee() as referee:
    for line in sys.stdin:
        name, train, evaluate, count = line.split()
        one = request(name, int(train), int(evaluate))
        started = time.perf_counter()
        results = [referee.evaluate(one) for _ in range(int(count))]
        referee._pool.wait_idle()
        in_a_row = (time.perf_counter() - started) / int(count)
        trained = [max(seed.train_s for seed in result.seed_results) for result in results]
        print(results[0].wall_s, in_a_row, sum(trained) / int(count), flush=True)
"""


@dataclass(frozen=True)
class Turn:
    """Seconds of one contender's evaluations in a row."""

    ready_s: float
    """Of the first, whose workers were ready."""
    in_a_row_s: float
    """Of each one with what follows it."""
    train_s: float
    """Of each one's training, that of its slower seed."""


class Contender:
    """One checkout's evaluator, in a process of its own."""

    def __init__(self, tree: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _DRIVER], cwd=tree, text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(tree)},
        )  # fmt: skip

    def turn(self, name: str, rung: tuple[int, int], count: int = TURN) -> Turn:
        """Evaluate an example `count` times."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{name} {rung[0]} {rung[1]} {count}\n")
        self._process.stdin.flush()
        return Turn(*map(float, self._process.stdout.readline().split()))

    @contextmanager
    def ended(self) -> Iterator[None]:
        """End the process after the block."""
        try:
            yield
        finally:
            self._process.communicate()


def compare(tree: Path, rung: tuple[int, int], rounds: int) -> None:
    """Print how the seconds of this checkout compare with another's, turn by turn."""
    here, there = Contender(Path.cwd()), Contender(tree.resolve())
    with here.ended(), there.ended():
        for one in (here, there):
            one.turn(examples_with_candidates()[0], rung)
        for name in examples_with_candidates():
            rows = [(here.turn(name, rung), there.turn(name, rung)) for _ in range(rounds)]
            for what in ("ready_s", "in_a_row_s", "train_s"):
                seconds = [tuple(getattr(turn, what) for turn in row) for row in rows]
                ratios = sorted(ours / theirs for ours, theirs in seconds)
                here_s, there_s = (statistics.median(side) for side in zip(*seconds, strict=True))
                print(
                    f"{name:<10} {what:<10} here {here_s:.2f} s, there {there_s:.2f} s, ratio "
                    f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
                )


def measure_comparison(rung: tuple[int, int], rounds: int) -> None:
    """Print how long evaluations take with and without a comparison of environments."""
    with Referee() as referee:
        for name in examples_with_candidates():
            plain = request(name, *rung)
            compared = replace(plain, compare_with=read_candidate_files(plain.candidate_dir))
            referee.evaluate(plain)
            walls: dict[bool, list[float]] = {False: [], True: []}
            for turn in range(2 * rounds):
                is_compared = turn % 4 in {1, 2}  # neither always comes first
                result = referee.evaluate(compared if is_compared else plain)
                walls[is_compared].append(result.wall_s)
            without, with_it = (statistics.median(walls[which]) for which in (False, True))
            least = min(walls[True]) - min(walls[False])
            print(
                f"{name:<10} without {without:.2f} s ({min(walls[False]):.2f} to "
                f"{max(walls[False]):.2f}), with {with_it:.2f} s ({min(walls[True]):.2f} to "
                f"{max(walls[True]):.2f}): {with_it - without:+.2f} s, "
                f"{with_it / without - 1:+.0%}; least times {least:+.2f} s"
            )


def read_candidate_files(folder: Path) -> dict[str, str]:
    """Return the two files of a candidate, by name."""
    return {name: (folder / name).read_text(encoding="utf-8") for name in ("env.py", "train.py")}


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rung", type=int, nargs=2, default=(12, 8), metavar=("TRAIN", "EVAL"))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--against", type=Path, metavar="TREE", help="compare with a checkout")
    parser.add_argument("--compare", action="store_true", help="the cost of comparisons")
    parser.add_argument(
        "--rounds", type=int, default=7, help="turns of each with --against and --compare"
    )
    args = parser.parse_args()
    if args.against is not None:
        print(describe())
        compare(args.against, tuple(args.rung), args.rounds)
        return
    if args.compare:
        print(describe())
        print(f"budget {args.rung[0]}/{args.rung[1]}, two seeds, median of {args.rounds} (spread)")
        measure_comparison(tuple(args.rung), args.rounds)
        return
    requests = {name: request(name, *args.rung) for name in examples_with_candidates()}

    started = time.perf_counter()
    warm: dict[str, list[EvaluationResult]] = {name: [] for name in requests}
    with Referee() as referee:
        referee.evaluate(next(iter(requests.values())))
        cold_s = time.perf_counter() - started
        for _ in range(args.repeats):
            for name, one in requests.items():
                warm[name].append(referee.evaluate(one))

    print(describe())
    print(f"budget {args.rung[0]}/{args.rung[1]}, two seeds, median of {args.repeats} (spread)")
    print(f"first evaluation, server start included: {cold_s:.2f} s")
    for name, results in warm.items():
        walls = [result.wall_s for result in results]
        trains = [max(seed.train_s for seed in result.seed_results) for result in results]
        print(
            f"{name:<10} {statistics.median(walls):.2f} s ({min(walls):.2f} to {max(walls):.2f}), "
            f"of it training {statistics.median(trains):.2f} s; "
            f"{statistics.median(r.steps_per_s for r in results):,.0f} training steps/s; "
            f"score {results[0].score:.3f}"
        )


if __name__ == "__main__":
    main()
