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
import queue
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self

from referee.candidate_files import read_candidate
from referee.records import (
    CandidateError,
    CheckpointReached,
    EpisodeDone,
    EvaluationRequest,
    EvaluationResult,
    EvaluationStoppedError,
    SeedDone,
)
from referee.seed_run import SeedRun
from referee.summary import summarise
from referee.workers import PRELOAD
from sandbox import ConfinementError, Tier, WorkerPool, WorkerServer
from sandbox.probe import examine

OnEpisode = Callable[[EpisodeDone], None]
ShouldContinue = Callable[[CheckpointReached | SeedDone], bool]
"""Called as seeds are finished, in order; returns whether the evaluation should continue."""

_Wakeups = queue.SimpleQueue["Future[None] | None"]
"""A finished seed's future, or None for a training episode of the first seed."""


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
                and leave no trace.

        Raises:
            EvaluationStoppedError: `should_continue` returned False before one seed was finished.
            CandidateError, ValueError: as for `framework.evaluate_candidate`.
        """
        files = read_candidate(request.candidate_dir)
        started_s = time.perf_counter()
        request = dataclasses.replace(request, device=_resolve_device(request.device))
        wakeups: _Wakeups = queue.SimpleQueue()

        def episode_of_first(done: EpisodeDone) -> None:
            wakeups.put(None)
            on_episode(done)

        first, *others = request.all_seeds
        runs = [
            SeedRun(self._pool, request, files, first, episode_of_first),
            *(SeedRun(self._pool, request, files, seed, on_episode) for seed in others),
        ]
        with ThreadPoolExecutor(_side_by_side(request)) as threads:
            futures = [threads.submit(run.run) for run in runs]
            try:
                used = _follow_in_order(request, runs, futures, wakeups, should_continue)
            finally:
                for run, future in zip(runs, futures, strict=True):
                    future.cancel()
                    run.abort()
        if not used:
            raise EvaluationStoppedError
        return _conclude(request, runs[:used], time.perf_counter() - started_s)


def _side_by_side(request: EvaluationRequest) -> int:
    """Return how many seeds to train at once."""
    default = len(request.seeds) if request.device == "cuda" else os.cpu_count() or 1
    return request.workers or default


def _follow_in_order(
    request: EvaluationRequest,
    runs: Sequence[SeedRun],
    futures: Sequence["Future[None]"],
    wakeups: _Wakeups,
    should_continue: ShouldContinue | None,
) -> int:
    """Wait for the runs in their order; return how many of them, from the first, are used.

    Raises:
        CandidateError: one of these failed.
    """
    for future in futures:
        future.add_done_callback(wakeups.put)
    first, checkpoints, used = runs[0], list(request.checkpoints), 0
    while used < len(runs):
        finished = wakeups.get()
        if should_continue is None:
            if finished is not None:
                finished.result()  # all are used, so the first failure ends the evaluation
                used += 1
            continue
        while checkpoints and len(first.curve) >= checkpoints[0]:
            episode = checkpoints.pop(0)
            curve = tuple(first.curve[:episode])
            if not should_continue(CheckpointReached(episode=episode, curve=curve)):
                return used
        while used < len(runs) and futures[used].done():
            try:
                futures[used].result()
            except CandidateError as error:
                error.seed = runs[used].seed
                raise
            used += 1
            if not should_continue(_seed_done(runs[:used])):
                return used
    return used


def _seed_done(runs: Sequence[SeedRun]) -> SeedDone:
    """Return the event for the last of these runs, with the values of all."""
    results = [run.result for run in runs if run.result is not None]
    last, training = results[-1], runs[0].training
    assert training is not None
    return SeedDone(
        seed=last.seed,
        value=last.full_return,
        solve_rate=last.evidence_solve_rate,
        curve=last.train_returns,
        returns=tuple(result.full_return for result in results),
        policy_parameters=training.facts.policy_parameters,
        observation_shape=training.facts.observation_shape,
    )


def _conclude(
    request: EvaluationRequest, runs: Sequence[SeedRun], wall_s: float
) -> EvaluationResult:
    """Return the result of finished runs, or disqualify the candidate."""
    results = [run.result for run in runs if run.result is not None]
    observations = [run.observations for run in runs if run.observations is not None]
    training = runs[0].training
    assert training is not None
    assert len(results) == len(observations) == len(runs)
    result = summarise(request, training, results, observations, wall_s)
    if fault := next((run.fault for run in runs if run.fault), None):
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


def _resolve_device(device: str) -> str:
    if device not in {"auto", "cpu", "cuda", "mps"}:
        raise ValueError(f"unknown device {device!r}")
    return _fastest_device() if device == "auto" else device


@functools.cache
def _fastest_device() -> str:
    """Ask torch in a process of its own: the referee needs no torch, and starts without it."""
    code = "from simverse.training.utils import resolve_torch_device as f; print(f())"
    command = [sys.executable, "-P", "-c", code]
    return subprocess.check_output(command, stdin=subprocess.DEVNULL, text=True).strip()
