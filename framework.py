"""The fixed evaluator: train a candidate with PPO on every seed, then score it greedily.

    score = mean return over all greedy evaluation episodes of all seeds

`evaluate_candidate` is the function; `python framework.py --serve` answers requests as JSON lines,
so that a daemon imports torch once and not per experiment. This file is the evaluator's entry, its
machinery is the package `referee`. The agent edits neither: a run records the hashes of both,
because scores of different evaluators can't be compared.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from referee.records import (
    CandidateError,
    EvaluationRequest,
    EvaluationResult,
    EvaluationStoppedError,
    SeedResult,
)
from referee.referee import Referee
from referee.seeds import PUBLIC_KEY, default_seeds, derive_seed
from referee.service import serve
from referee.world_files import WorldError, read_world
from sandbox import Tier

__all__ = [
    "CANDIDATE_DIR",
    "EVALUATOR_PROTOCOL",
    "PUBLIC_KEY",
    "CandidateError",
    "EvaluationRequest",
    "EvaluationResult",
    "EvaluationStoppedError",
    "Referee",
    "SeedResult",
    "WorldError",
    "default_seeds",
    "derive_seed",
    "evaluate_candidate",
    "read_world",
]

EVALUATOR_PROTOCOL = 3
"""Which requests `--serve` understands. The daemon reads this number before it runs the file."""

CANDIDATE_DIR = Path(__file__).resolve().parent / "candidate"


def evaluate_candidate(
    *,
    train_episodes: int = 12,
    eval_episodes: int = 8,
    seed_count: int = 2,
    num_envs: int = 32,
    max_steps: int | None = None,
    lr: float = 3e-4,
    device: str = "cpu",
    seeds: Sequence[int] | None = None,
    reward_bound: float = 10.0,
    precision: str = "fp32",
    workers: int | None = None,
    candidate_dir: str | os.PathLike[str] | None = None,
) -> EvaluationResult:
    """Train and score a candidate.

    Args:
        train_episodes: PPO episodes; one is a rollout of all `num_envs` sub-environments of up to
            `max_steps` steps, then the updates. 2 to 1000.
        eval_episodes: greedy episodes a seed that count for the score. 1 to 100.
        seed_count: how many of the default seeds 101, 138, 175, … to use.
        num_envs: sub-environments in training and in evaluation.
        max_steps: horizon in steps; None takes the candidate's override, else 20.
        lr: learning rate where the candidate does not override it.
        device: `cpu`, `cuda`, `mps` or `auto`.
        seeds: these seeds instead of the default ones.
        reward_bound: largest magnitude of one step's reward; beyond it the candidate is rejected.
        precision: `fp32`, or `bf16` to run the policy under autocast (faster for wide
            convolutions, slower for small networks; scores of the two are not comparable).
        workers: seeds trained side by side, None for one a core; the score does not depend on it.
        candidate_dir: folder with `env.py` and `train.py`; None for `candidate/` beside this file.

    Raises:
        ConfinementError: this system can't confine the candidate; `Referee("off")` does without.
        ValueError: a budget beyond the caps, or an unknown device or precision.
        CandidateError: the candidate breaks the contract, crashes or is disqualified.
        WorldError: `task/world.py` beside the candidate's folder, the user's own world, is at
            fault. Without that file the candidate's environment is the task.
    """
    folder = Path(candidate_dir or CANDIDATE_DIR)
    request = EvaluationRequest(
        candidate_dir=folder,
        train_episodes=train_episodes,
        eval_episodes=eval_episodes,
        seeds=default_seeds(seed_count) if seeds is None else tuple(seeds),
        num_envs=num_envs,
        max_steps=max_steps,
        lr=lr,
        device=device,
        reward_bound=reward_bound,
        precision=precision,
        workers=workers,
        world=read_world(folder.resolve().parent / "task"),
    )
    with Referee() as referee:
        return referee.evaluate(request)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The fixed evaluator. To score once: train.py.")
    parser.add_argument("--serve", action="store_true", required=True, help="answer JSON lines")
    parser.add_argument("--sandbox", default="auto", choices=["auto", *Tier], help="the tier")
    serve(parser.parse_args().sandbox, EVALUATOR_PROTOCOL)
