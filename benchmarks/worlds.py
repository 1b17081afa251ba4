"""What a world costs: each example's world form beside its open form, by turns.

`python -m benchmarks.worlds [--rounds 5] [--rung 12 8]`. One seed and one worker, so that training
and evaluation follow each other. In the open form the evaluation includes the plays that audit the
candidate's environment, which a world does without.
"""

import argparse
import statistics
from dataclasses import replace

from benchmarks.evaluator import request
from benchmarks.machine import describe
from framework import EvaluationRequest, Referee
from orchestrator.daemon.templates import (
    examples_with_candidates,
    examples_with_worlds,
    template_root,
)
from referee.world_files import read_world


def requests(example: str, rung: tuple[int, int]) -> tuple[EvaluationRequest, EvaluationRequest]:
    """Return an example's evaluation in the open form and in its world, on one seed."""
    opened = replace(request(example, *rung), seeds=(101,), workers=1)
    folder = template_root() / "examples" / example / "world"
    in_world = replace(
        opened,
        candidate_dir=folder / "candidate",
        world=read_world(folder / "task"),
        max_steps=None,
    )
    return opened, in_world


def seconds(referee: Referee, one: EvaluationRequest) -> tuple[float, float]:
    """Return the seconds of training, and of all the rest of one evaluation."""
    result = referee.evaluate(one)
    train_s = result.seed_results[0].train_s
    return train_s, result.wall_s - train_s


def main() -> None:
    """Print a row an example: medians, and ratios of the world's to the open form's."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.worlds", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rung", type=int, nargs=2, default=(12, 8), metavar="EPISODES")
    args = parser.parse_args()
    print(describe(), flush=True)
    rung = (args.rung[0], args.rung[1])
    head = ("example", "training, open", "world", "ratio", "evaluation, open", "world", "ratio")
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}", flush=True)
    both = [name for name in examples_with_candidates() if name in examples_with_worlds()]
    with Referee() as referee:
        for name in both:
            pair = requests(name, rung)
            for one in pair:
                seconds(referee, one)  # the first one of a kind is not counted
            turns = [[seconds(referee, one) for one in pair] for _ in range(args.rounds)]
            cells = []
            for part in (0, 1):
                opened = [turn[0][part] for turn in turns]
                world = [turn[1][part] for turn in turns]
                ratios = sorted(b / a for a, b in zip(opened, world, strict=True))
                cells += [f"{statistics.median(opened):.3f} s", f"{statistics.median(world):.3f} s"]
                cells.append(
                    f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
                )
            print(f"| {' | '.join([name, *cells])} |", flush=True)


if __name__ == "__main__":
    main()
