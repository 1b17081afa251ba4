"""One seed of an evaluation: train, evaluate, and sum up what the referee measured."""

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from referee.evaluation import Environment, Evaluated, Evaluation
from referee.flags import Observations, Work
from referee.messages import CandidateFacts, EpisodeReport
from referee.records import EpisodeDone, EvaluationRequest, SeedResult
from referee.seeds import PhaseSeeds
from referee.training import Trainer, Training
from referee.workers import ENVIRONMENT, TRAINING, SeedWorkers
from sandbox import WorkerPool


@dataclass(frozen=True, kw_only=True)
class MeasuredSeed:
    """The measurement of one seed: everything that the evaluation's result is made of."""

    facts: CandidateFacts
    max_steps: int
    """The horizon."""
    result: SeedResult
    observations: Observations
    fault: str | None
    """Why the candidate is disqualified although it has a score."""


class SeedRun:
    """Trains and evaluates one seed, in a thread of its own."""

    def __init__(
        self,
        pool: WorkerPool,
        request: EvaluationRequest,
        files: Mapping[str, str],
        seed: int,
        on_episode: Callable[[EpisodeDone], None],
    ) -> None:
        self._request = request
        self._files = files
        self._seeds = PhaseSeeds(request.key, seed)
        self._on_episode = on_episode
        self._workers = SeedWorkers(pool, request)
        self._seed = seed
        self.curve: list[float] = []
        """Mean return of each training episode so far."""

    def abort(self) -> None:
        """End this seed's workers; its `run` then raises `AbortedError`."""
        self._workers.abort()

    def run(self) -> MeasuredSeed:
        """Train and evaluate.

        Raises:
            CandidateError: the candidate failed.
            AbortedError: after `abort`.
        """
        request = self._request
        with self._workers.acquire(TRAINING) as worker:
            trainer = Trainer(worker.channel, request, self._seeds, self._files)
            training = trainer.train(self._report)
            with self._workers.acquire(ENVIRONMENT) as other:
                environment = Environment(
                    other.channel, request, self._seeds, training, self._files
                )
                evaluation = Evaluation(trainer, environment, request, self._seeds, training)
                evaluated = evaluation.run()
            main_s, all_s = worker.processor_s()
            peak_memory_mb = worker.peak_memory_mb()
        # A GPU's libraries have threads of their own.
        beside_s = all_s - main_s if request.device == "cpu" else 0.0
        work = _work(training, request, main_s, beside_s)
        return MeasuredSeed(
            facts=training.facts,
            max_steps=training.max_steps,
            result=_seed_result(self._seed, training, evaluated, peak_memory_mb),
            observations=_observations(evaluated, work, exact=request.device == "cpu"),
            fault=evaluated.fault,
        )

    def _report(self, episode: int, report: EpisodeReport) -> None:
        self.curve.append(report.mean_return)
        self._on_episode(
            EpisodeDone(
                seed=self._seed,
                episode=episode,
                episodes=self._request.train_episodes,
                mean_return=report.mean_return,
                solve_rate=report.solve_rate,
                env_steps=report.env_steps,
            )
        )


def _work(training: Training, request: EvaluationRequest, main_s: float, beside_s: float) -> Work:
    return Work(
        env_steps=training.env_steps,
        allowed_steps=request.train_episodes * request.num_envs * training.max_steps,
        threads=training.threads,
        main_s=main_s,
        beside_s=beside_s,
        build_s=training.build_s,
        train_s=training.train_s,
    )


def _observations(evaluated: Evaluated, work: Work, *, exact: bool) -> Observations:
    trained, untrained = evaluated.trained, evaluated.untrained
    return Observations(
        trained=evaluated.recorded,
        replayed=evaluated.replayed,
        random=evaluated.random,
        elsewhere=evaluated.elsewhere,
        returns=np.concatenate([trained.returns, untrained.returns]),
        solved=np.concatenate([trained.solved, untrained.solved]),
        exact=exact,
        work=work,
    )


def _seed_result(
    seed: int, training: Training, evaluated: Evaluated, peak_memory_mb: float
) -> SeedResult:
    counted, trained, random = evaluated.counted, evaluated.trained, evaluated.random
    return SeedResult(
        seed=seed,
        eval_return=statistics.fmean(trained.returns[counted].tolist()),
        full_return=statistics.fmean(trained.returns.tolist()),
        solve_rate=statistics.fmean(trained.solved[counted].tolist()),
        untrained_solve_rate=statistics.fmean(evaluated.untrained.solved.tolist()),
        episode_length=statistics.fmean(trained.lengths[counted].tolist()),
        episode_returns=tuple(trained.returns[counted].tolist()),
        evidence_returns=tuple(np.delete(trained.returns, counted).tolist()),
        evidence_solve_rate=statistics.fmean(trained.solved.tolist()),
        evidence_episode_length=statistics.fmean(trained.lengths.tolist()),
        random_returns=tuple(random.returns.tolist()),
        random_solve_rate=statistics.fmean(random.solved.tolist()),
        random_full_length=statistics.fmean((random.lengths >= training.max_steps).tolist()),
        train_returns=training.curve,
        env_steps=training.env_steps,
        train_s=training.train_s,
        peak_memory_mb=peak_memory_mb,
        replay=evaluated.first_counted.document(training.facts, training.max_steps),
    )
