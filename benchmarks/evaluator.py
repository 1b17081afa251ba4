"""How long one evaluation takes, for each example: `python -m benchmarks.evaluator`.

Cold includes starting the worker server (importing torch, once a day); warm is what an experiment
pays. The examples take turns, so that a noisy moment hits them all alike.
"""

import argparse
import statistics
import time

from benchmarks.machine import describe
from framework import EvaluationRequest, EvaluationResult, Referee
from orchestrator.config.loading import load_config
from orchestrator.daemon.new_workspace import examples, template_root


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


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rung", type=int, nargs=2, default=(12, 8), metavar=("TRAIN", "EVAL"))
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    requests = {name: request(name, *args.rung) for name in examples()}

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
