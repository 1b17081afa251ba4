"""One seed of an evaluation: train, evaluate, and sum up what the referee measured."""

import contextlib
import math
import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from referee import films, kept_weights
from referee.budget import Work
from referee.evaluation import Evaluated, Evaluation
from referee.events import EpisodeDone
from referee.flags import Observations
from referee.learning import learning_summary, part_summaries
from referee.messages import CandidateFacts, WorldJob
from referee.records import DEFAULT_MAX_STEPS, CandidateError, EvaluationRequest, SeedResult
from referee.seeds import PhaseSeeds
from referee.training import Trainer, Training
from referee.training_report import EpisodeReport
from referee.workers import ENVIRONMENT, TRAINING, SeedWorkers
from referee.world import WorldEnvironment
from referee.world_evaluation import WorldEvaluation
from sandbox import Channel, WorkerPool


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
    view: str = ""
    """The fields of the world's views, where there is a world."""


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
            WorldError: the user's world did.
            AbortedError: after `abort`.
        """
        request, trained = self._request, False
        keep_dir = request.keep_dir if self._seed in request.seeds else None
        try:
            with self._world() as world, self._workers.acquire(TRAINING) as worker:
                facts = None if world is None else world.facts
                trainer = Trainer(worker.channel, request, self._seeds, self._files, facts)
                training = trainer.train(self._report)
                if keep_dir is not None:
                    kept_weights.write(keep_dir, self._seed, trainer.weights())
                trained = True
                trained_s, _ = worker.processor_s()
                evaluated = self._evaluate(trainer, training, world)
                main_s, all_s = worker.processor_s()
                peak_memory_mb = worker.peak_memory_mb()
        except CandidateError as error:
            if trained:
                error.withhold()
            raise
        documents = evaluated.films.documents(training.facts, training.max_steps)
        if keep_dir is not None and request.is_watched:
            films.write(keep_dir, self._seed, documents)
        # A GPU's libraries have threads of their own.
        beside_s = all_s - main_s if request.device == "cpu" else 0.0
        # In the open mode the environment is the candidate's, and hides nothing to search for.
        acting_s = 0.0 if world is None else main_s - trained_s
        work = _work(training, request, main_s, beside_s, acting_s)
        return MeasuredSeed(
            facts=training.facts,
            max_steps=training.max_steps,
            result=_seed_result(self._seed, training, evaluated, peak_memory_mb, documents[0]),
            observations=_observations(evaluated, work, exact=request.device == "cpu"),
            fault=evaluated.fault,
            view="" if facts is None else facts.view,
        )

    def _evaluate(
        self, trainer: Trainer, training: Training, world: WorldEvaluation | None
    ) -> Evaluated:
        request, seeds = self._request, self._seeds
        if world is not None:
            return world.run(trainer, training)
        return Evaluation(
            trainer,
            self._environment,
            request,
            seeds,
            training,
            files=self._files,
            audited=self._is_audited(),
        ).run()

    @contextlib.contextmanager
    def _world(self) -> Iterator[WorldEvaluation | None]:
        """Open the user's own world, if there is one.

        First of all: whatever is wrong with it is then not taken for the candidate's fault.
        """
        request, seeds = self._request, self._seeds
        if request.world is None:
            yield None
            return
        job = WorldJob(
            files=request.world,
            torch_seed=seeds.of("evaluate-import"),
            num_envs=request.num_envs,
            max_steps=request.max_steps or DEFAULT_MAX_STEPS,
            device=request.device,
        )
        with self._workers.acquire_world() as worker:
            yield WorldEvaluation(WorldEnvironment(worker.channel, job), request, seeds)

    def _is_audited(self) -> bool:
        """Return whether the policy plays a batch that never counts beside the scored ones.

        From the third seed on: of two, the comparison could say nothing that chance does not, and
        most candidates are put aside by then.
        """
        return self._request.all_seeds.index(self._seed) >= 2

    @contextlib.contextmanager
    def _environment(self) -> Iterator[Channel]:
        with self._workers.acquire(ENVIRONMENT) as worker:
            yield worker.channel

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


def _work(
    training: Training,
    request: EvaluationRequest,
    main_s: float,
    beside_s: float,
    acting_s: float,
) -> Work:
    # The scored batches, that of the untrained policy, and one of other seeds.
    batches = math.ceil(request.eval_episodes / request.num_envs) + 2
    return Work(
        acting_s=acting_s,
        acting_steps=batches * request.num_envs * training.max_steps,
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
        repeats=evaluated.repeats,
        scored_returns=trained.returns,
        audited_returns=np.zeros(0) if evaluated.audited is None else evaluated.audited.returns,
        returns=np.concatenate([trained.returns, untrained.returns]),
        solved=np.concatenate([trained.solved, untrained.solved]),
        exact=exact,
        work=work,
    )


def _seed_result(
    seed: int,
    training: Training,
    evaluated: Evaluated,
    peak_memory_mb: float,
    replay: Mapping[str, Any],
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
        random_lengths=tuple(random.lengths.tolist()),
        random_solved=tuple(random.solved.tolist()),
        train_returns=training.curve,
        env_steps=training.env_steps,
        train_s=training.train_s,
        peak_memory_mb=peak_memory_mb,
        replay=replay,
        compared=evaluated.compared,
        learning=learning_summary(training.episodes),
        reward_parts=part_summaries(training.episodes),
        path=training.path,
    )
