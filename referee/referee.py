"""The referee: evaluates candidates in worker processes, and holds no candidate code itself.

One worker trains a seed's policy and then serves its actions; a fresh one serves held-out
environments. The referee passes observations and actions between the two, adds up every return
itself until an episode's first `done`, and disqualifies rewards out of bounds. It never reads what
a candidate reports about its own returns. After the scored episodes it plays a few more without a
policy and raises flags (`referee.flags`); flags never change a score.
"""

import dataclasses
import functools
import os
import subprocess
import sys
from typing import Self

from referee.candidate_files import read_candidate
from referee.records import (
    CandidateError,
    EvaluationRequest,
    EvaluationResult,
    EvaluationStoppedError,
)
from referee.seed_runs import OnEpisode, SeedRuns, ShouldContinue
from referee.summary import summarise
from referee.workers import PRELOAD
from sandbox import ConfinementError, Tier, WorkerPool, WorkerServer
from sandbox.probe import examine


class Referee:
    """Evaluates candidates with the workers of one warm server."""

    def __init__(self, sandbox: str = "auto") -> None:
        """Start the server; `sandbox` is `auto`, or the name of a `Tier` to use unexamined.

        Raises:
            ConfinementError: `auto`, and this system can't confine candidates.
        """
        tier = _best_tier() if sandbox == "auto" else Tier(sandbox)
        self._server = WorkerServer(preload=PRELOAD, environment=os.environ, tier=tier)
        self._pool = WorkerPool(self._server)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End the server and everything it runs."""
        try:
            self._pool.close()
        finally:
            self._server.close()

    def wait_idle(self) -> set[int]:
        """Wait until ended workers are gone; return the idle workers' process numbers."""
        return self._pool.wait_idle()

    def evaluate(
        self,
        request: EvaluationRequest,
        on_episode: OnEpisode = lambda _done: None,
        should_continue: ShouldContinue | None = None,
    ) -> EvaluationResult:
        """Evaluate one candidate.

        Seeds are trained side by side, as many as there are workers, but followed in their order:
        which results are used, and which failure counts, never depends on how many run at once.

        Args:
            request: what to evaluate.
            on_episode: called with every training episode, from several threads.
            should_continue: called at each checkpoint of the first seed, and after each seed, in
                this order however many run at once. Once it returns False, later seeds are aborted
                and leave no trace. Nothing is reported of seeds that were measured before
                (`request.measured`).

        Raises:
            EvaluationStoppedError: `should_continue` returned False before one seed was finished.
            CandidateError, ValueError: as for `framework.evaluate_candidate`.
        """
        files = read_candidate(request.candidate_dir)
        request = dataclasses.replace(request, device=resolve_device(request.device))
        seeds = SeedRuns(self._pool, request, files, on_episode)
        used = seeds.measure(should_continue)
        if not used:
            raise EvaluationStoppedError
        result = summarise(request, used, seeds.wall_s)
        if fault := next((seed.fault for seed in used if seed.fault), None):
            raise CandidateError("rejected", fault, score=result.score)
        return result


def _best_tier() -> Tier:
    examination = examine()
    if examination.problem is not None or examination.tier is None:
        raise ConfinementError(
            f"{examination.problem}. `python -m sandbox.probe` shows the details; to run "
            "candidates unconfined, at your own risk: `sandbox: off` in config.yaml, or "
            "`train.py --no-sandbox`"
        )
    return examination.tier


def resolve_device(device: str) -> str:
    """Return the device itself, or for `auto` the fastest. Raises `ValueError`."""
    if device not in {"auto", "cpu", "cuda", "mps"}:
        raise ValueError(f"unknown device {device!r}")
    return _fastest_device() if device == "auto" else device


@functools.cache
def _fastest_device() -> str:
    """Ask torch in a process of its own: the referee needs no torch, and starts without it."""
    code = "from simverse.training.utils import resolve_torch_device as f; print(f())"
    command = [sys.executable, "-P", "-c", code]
    return subprocess.check_output(command, stdin=subprocess.DEVNULL, text=True).strip()
