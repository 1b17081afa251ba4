"""The examples on a GPU beside the CPU, confined as in a run: `python -m benchmarks.cuda`.

First a confined evaluation of the smallest budget, which fails in one line where a sandbox hides
the GPU. Then each example in turn on both devices and in both precisions: scores over the same
seeds (equal in distribution, not to the bit), training steps a second, seconds of an evaluation.
"""

import argparse
import statistics
import sys
from collections.abc import Sequence
from dataclasses import replace

import torch

from benchmarks.evaluator import request
from benchmarks.machine import describe
from framework import EvaluationResult, Referee
from orchestrator.daemon.templates import examples_with_candidates

_CONTENDERS = (("cpu", "fp32"), ("cuda", "fp32"), ("cuda", "bf16"))


def main() -> int:
    """Measure and print; 2 where there is no GPU."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--train-episodes", type=int, default=32)
    parser.add_argument("--eval-episodes", type=int, default=32)
    parser.add_argument("--num-envs", type=int, nargs="+", default=[32, 256, 2048])
    args = parser.parse_args()
    print(describe())
    if not torch.cuda.is_available():
        print("no CUDA device that torch can use: nothing was measured")
        return 2
    print(f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}\n")
    with Referee() as referee:
        first = replace(request("keydoor", 2, 1), device="cuda", seeds=(101,))
        print(f"confined, on the GPU: score {referee.evaluate(first).score:.4f}\n", flush=True)
        print("| example | sub-environments | device | score by seed | steps/s | evaluation |")
        print("|---|---|---|---|---|---|")
        for name in examples_with_candidates():
            for count in args.num_envs:
                one = request(name, args.train_episodes, args.eval_episodes)
                one = replace(one, num_envs=count)
                results: dict[tuple[str, str], list[EvaluationResult]] = {}
                for _ in range(args.turns):
                    for device, precision in _CONTENDERS:
                        asked = replace(one, device=device, precision=precision)
                        results.setdefault((device, precision), []).append(referee.evaluate(asked))
                for (device, precision), found in results.items():
                    print(_row(name, count, f"{device} {precision}", found), flush=True)
    return 0


def _row(name: str, count: int, device: str, found: Sequence[EvaluationResult]) -> str:
    scores = " ".join(f"{seed.eval_return:.3f}" for seed in found[0].seed_results)
    speeds = [seed.env_steps / seed.train_s for result in found for seed in result.seed_results]
    wall_s = [result.wall_s for result in found]
    return (
        f"| {name} | {count} | {device} | {scores} | {statistics.median(speeds):,.0f} "
        f"| {statistics.median(wall_s):.2f} s ({min(wall_s):.2f} to {max(wall_s):.2f}) |"
    )


if __name__ == "__main__":
    sys.exit(main())
