"""Score the candidate once: `python train.py [flags]`. The fixed command line of the evaluator.

Prints `---` and one `name: value` line per metric, and appends one row to `results.tsv`. It reads
flags only, no configuration. When the candidate fails it writes a `crash` row, prints the traceback
to stderr and exits 1.
"""

import argparse
import dataclasses
import subprocess
import sys
import traceback
from pathlib import Path

from framework import (
    CANDIDATE_DIR,
    CandidateError,
    EvaluationRequest,
    EvaluationResult,
    Referee,
    WorldError,
    default_seeds,
    read_world,
)

COLUMNS = (
    "commit train_episodes eval_episodes max_steps score solve_rate eval_return status description"
).split()
_NOT_PRINTED = {"seed_results"}


def parse_args() -> argparse.Namespace:
    """Return the parsed flags."""
    parser = argparse.ArgumentParser(description="Train and score the current candidate.")
    parser.add_argument("--train-episodes", type=int, default=12, help="PPO episodes, 2 to 1000")
    parser.add_argument("--eval-episodes", type=int, default=8, help="greedy episodes, 1 to 100")
    parser.add_argument("--seed-count", type=int, default=2, help="seeds 101, 138, …")
    parser.add_argument("--num-envs", type=int, default=32, help="sub-environments")
    parser.add_argument("--device", choices=("auto", "cpu", "mps", "cuda"), default="cpu")
    parser.add_argument("--reward-bound", type=float, default=10.0, help="largest |reward| a step")
    parser.add_argument("--status", choices=("pending", "keep", "discard"), default="pending")
    parser.add_argument("--description", default="", help="what this candidate tries")
    parser.add_argument("--results-path", type=Path, default=Path("results.tsv"))
    parser.add_argument("--wandb", action="store_true", help="log to Weights & Biases (extra)")
    parser.add_argument("--tensorboard", type=Path, metavar="DIR", help="log to DIR (extra)")
    parser.add_argument(
        "--no-sandbox", action="store_true", help="run the candidate unconfined, at your own risk"
    )
    return parser.parse_args()


def main() -> int:
    """Evaluate, print, record. Returns the exit code."""
    args = parse_args()
    try:
        request = EvaluationRequest(
            candidate_dir=CANDIDATE_DIR,
            train_episodes=args.train_episodes,
            eval_episodes=args.eval_episodes,
            seeds=default_seeds(args.seed_count),
            num_envs=args.num_envs,
            device=args.device,
            reward_bound=args.reward_bound,
            world=read_world(CANDIDATE_DIR.parent / "task"),
        )
        with Referee("off" if args.no_sandbox else "auto") as referee:
            result = referee.evaluate(request)
    except WorldError as error:
        append_row(args, None)
        print(error, file=sys.stderr)
        return 1
    except Exception as error:  # noqa: BLE001 - any other failure is recorded as a crash row
        append_row(args, None)
        if isinstance(error, CandidateError) and (text := error.details or error.withheld):
            print(text, file=sys.stderr)
            print(f"{error.kind}: {error.reason}", file=sys.stderr)
        else:
            traceback.print_exc()
        return 1
    print_metrics(result)
    append_row(args, result)
    log_metrics(args, result)
    return 0


def print_metrics(result: EvaluationResult) -> None:
    """Print `---` and one `name: value` line per metric."""
    print("---")
    for name, value in dataclasses.asdict(result).items():
        if name not in _NOT_PRINTED and (name != "view" or value):  # that of a world alone
            shown = f"{value:.6f}" if isinstance(value, float) else " ".join(str(value).split())
            print(f"{name}: {shown}")
    for seed in result.seed_results:
        print(f"eval_return_seed_{seed.seed}: {seed.eval_return:.6f}")


def append_row(args: argparse.Namespace, result: EvaluationResult | None) -> None:
    """Append one row to the results file; None for a crash."""
    score, solved = (result.score, result.mean_solve_rate) if result else (0.0, 0.0)
    values = [
        _commit(),
        args.train_episodes,
        args.eval_episodes,
        result.max_steps if result else 0,
        f"{score:.6f}",
        f"{solved:.6f}",
        f"{score:.6f}",
        args.status if result else "crash",
        " ".join(args.description.split()),
    ]
    args.results_path.parent.mkdir(parents=True, exist_ok=True)
    new = not args.results_path.exists() or args.results_path.stat().st_size == 0
    with args.results_path.open("a", encoding="utf-8") as file:
        if new:
            file.write("\t".join(COLUMNS) + "\n")
        file.write("\t".join(str(value) for value in values) + "\n")


def log_metrics(args: argparse.Namespace, result: EvaluationResult) -> None:
    """Send the training curve and the score to the loggers that were asked for."""
    if args.tensorboard:
        from torch.utils.tensorboard import SummaryWriter

        with SummaryWriter(str(args.tensorboard)) as writer:
            for seed in result.seed_results:
                for episode, value in enumerate(seed.train_returns):
                    writer.add_scalar(f"train_return/{seed.seed}", value, episode)
            writer.add_scalar("score", result.score)
    if args.wandb:
        import wandb

        with wandb.init(project="autorl") as run:
            for seed in result.seed_results:
                for episode, value in enumerate(seed.train_returns):
                    run.log({f"train_return/{seed.seed}": value, "episode": episode})
            run.log({"score": result.score})


def _commit() -> str:
    """Return the short hash of HEAD, or `nogit`."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "nogit"
    return done.stdout.strip()


if __name__ == "__main__":
    raise SystemExit(main())
