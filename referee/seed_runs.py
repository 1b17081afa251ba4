"""The seeds of one evaluation: trained side by side, and followed in their order."""

import queue
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed

from referee.events import CheckpointReached, EpisodeDone, SeedDone
from referee.records import CandidateError, EvaluationRequest
from referee.resume import ResumeTexts
from referee.seed_run import MeasuredSeed, SeedRun
from referee.world_files import WorldError
from sandbox import WorkerPool, usable_cores

OnEpisode = Callable[[EpisodeDone], None]
ShouldContinue = Callable[[CheckpointReached | SeedDone], bool]
"""Called as seeds are finished, in order; returns whether the evaluation should continue."""

_Measuring = Future[MeasuredSeed]


class SeedRuns:
    """Measures the seeds of one request, but for those that were measured before."""

    def __init__(
        self,
        pool: WorkerPool,
        request: EvaluationRequest,
        files: Mapping[str, str],
        on_episode: OnEpisode,
    ) -> None:
        self._request = request
        self._on_episode = on_episode
        self._texts = ResumeTexts(request, files)
        self._resumed = self._texts.read_all()
        earlier_s = max((seed.wall_s for seed in self._resumed.values()), default=0.0)
        self._started_s = time.perf_counter() - earlier_s
        self._first = request.seeds[0]
        self._runs = {
            seed: SeedRun(pool, request, files, seed, self._report)
            for seed in request.all_seeds
            if seed not in self._resumed
        }
        self._futures: dict[int, _Measuring] = {}
        self._wakeups: queue.SimpleQueue[_Measuring | None] = queue.SimpleQueue()
        """A finished seed's future, or None for a training episode of the first seed."""

    @property
    def wall_s(self) -> float:
        """Seconds that the evaluation has taken, with what it took before it was resumed."""
        return time.perf_counter() - self._started_s

    def measure(self, should_continue: ShouldContinue | None) -> list[MeasuredSeed]:
        """Return the seeds that are used, in their order.

        Raises:
            CandidateError: one of them failed.
        """
        with ThreadPoolExecutor(_side_by_side(self._request)) as threads:
            try:
                for seed in self._request.all_seeds:
                    self._futures[seed] = self._begin(seed, threads)
                return self._all() if should_continue is None else self._follow(should_continue)
            finally:
                for future in self._futures.values():
                    future.cancel()
                for run in self._runs.values():
                    run.abort()

    def _begin(self, seed: int, threads: ThreadPoolExecutor) -> _Measuring:
        if seed in self._runs:
            return threads.submit(self._runs[seed].run)
        known: _Measuring = Future()
        known.set_result(self._resumed[seed].measured)
        return known

    def _report(self, done: EpisodeDone) -> None:
        if done.seed == self._first:
            self._wakeups.put(None)
        self._on_episode(done)

    def _all(self) -> list[MeasuredSeed]:
        """Wait for all seeds; whichever fails first ends the evaluation."""
        for finished in as_completed(self._futures.values()):
            finished.result()
        used: list[MeasuredSeed] = []
        for future in self._futures.values():
            used.append(future.result())
            _check_same_task(used)
        return used

    def _follow(self, should_continue: ShouldContinue) -> list[MeasuredSeed]:
        """Wait for the seeds in their order, and report those that were not measured before."""
        for future in self._futures.values():
            future.add_done_callback(self._wakeups.put)
        order, first = self._request.all_seeds, self._runs.get(self._first)
        checkpoints = list(self._request.checkpoints) if first else []
        used: list[MeasuredSeed] = []
        while len(used) < len(order):
            self._wakeups.get()
            while first and checkpoints and len(first.curve) >= checkpoints[0]:
                episode = checkpoints.pop(0)
                curve = tuple(first.curve[:episode])
                if not should_continue(CheckpointReached(episode=episode, curve=curve)):
                    return used
            while len(used) < len(order) and self._futures[seed := order[len(used)]].done():
                try:
                    used.append(self._futures[seed].result())
                    _check_same_task(used)
                except CandidateError as error:
                    error.seed = seed
                    raise
                if seed in self._runs and not should_continue(self._seed_done(used)):
                    return used
        return used

    def _seed_done(self, used: Sequence[MeasuredSeed]) -> SeedDone:
        """Return the event for the last of these seeds, with the values of all."""
        facts, last = used[0].facts, used[-1].result
        return SeedDone(
            seed=last.seed,
            value=last.full_return,
            solve_rate=last.evidence_solve_rate,
            curve=last.train_returns,
            returns=tuple(seed.result.full_return for seed in used),
            policy_parameters=facts.policy_parameters,
            observation_shape=facts.observation_shape,
            compared=last.compared,
            resume=self._texts.write(used[-1], self.wall_s),
        )


def _check_same_task(used: Sequence[MeasuredSeed]) -> None:
    """Raise `CandidateError` if the last seed's task has other sizes than the first one's.

    Returns over different horizons are no sample of one quantity, and one horizon is recorded. The
    user's world has horizon and actions of its own: then it is a `WorldError`.
    """
    first, last = used[0], used[-1]
    for name, one, other in (
        ("horizon", first.max_steps, last.max_steps),
        ("observations' shape", first.facts.observation_shape, last.facts.observation_shape),
        ("number of actions", first.facts.num_actions, last.facts.num_actions),
    ):
        if one != other and last.view and name != "observations' shape":
            raise WorldError(f"task/world.py: its {name} differs between seeds: {one} and {other}")
        if one != other:
            told = f"the {name} differs between seeds"
            raise CandidateError("rejected", f"{told}: {one} and {other}", told=told)


def _side_by_side(request: EvaluationRequest) -> int:
    """Return how many seeds to train at once."""
    default = len(request.seeds) if request.device == "cuda" else usable_cores()
    return request.workers or default
