"""One seed's evaluation in the user's own world.

The world's worker holds no candidate's code, and the policy's none of the world's state or seeds:
the referee carries views one way and actions the other. The world's rewards can't tell a scored
play from another, so nothing is played twice to be compared. The play by random actions comes
first, before any candidate's code: a world that fails is then not taken for a candidate's failure.
"""

import math
from collections.abc import Callable

import numpy as np

from referee.episodes import BatchRecorder, EpisodeTotals, recorded_slots
from referee.evaluation import Evaluated, counted_episodes
from referee.films import Films
from referee.messages import Weights
from referee.records import EvaluationRequest
from referee.seeds import PhaseSeeds
from referee.training import Trainer, Training
from referee.world import WorldEnvironment
from referee.world_messages import WorldFacts

_Choose = Callable[[bytes, bool], bytes]
"""Returns actions for packed views; the flag says that a batch begins."""


class WorldEvaluation:
    """Plays one seed's episodes in the user's world."""

    def __init__(
        self, world: WorldEnvironment, request: EvaluationRequest, seeds: PhaseSeeds
    ) -> None:
        """Play a batch by random actions, and so find out what the world is.

        Raises:
            WorldError: it can't be played.
        """
        self._world = world
        self._request = request
        self._seeds = seeds
        world.create(seeds.of("world"), seeds.of("world-torch"), seeds.secret("world"))
        world.check_horizon(request.max_steps)
        assert world.facts is not None
        self.facts: WorldFacts = world.facts
        """What the world is."""
        generator, count = np.random.default_rng(seeds.of("random-actions")), request.num_envs
        self._random = self._play(
            lambda _views, _first: generator.integers(
                self.facts.num_actions, size=count, dtype=np.int64
            ).tobytes()
        ).rollout()

    def run(self, trainer: Trainer, training: Training) -> Evaluated:
        """Play the scored batches, and one by the untrained policy.

        Raises:
            CandidateError: the candidate failed.
            WorldError: the world did.
        """

        def by(weights: Weights) -> _Choose:
            return lambda views, first: trainer.act(weights, training.facts, views, first=first)

        batches = math.ceil(self._request.eval_episodes / self._request.num_envs)
        counted = counted_episodes(self._request, self._seeds)
        films = Films(counted, is_watched=self._request.is_watched, view=self.facts.view)
        scored = [self._play(by("trained"), batch=batch, films=films) for batch in range(batches)]
        untrained = self._play(by("untrained"), "untrained")
        first = scored[0].rollout()
        return Evaluated(
            counted=counted,
            trained=EpisodeTotals.concatenate(batch.totals for batch in scored),
            untrained=untrained.totals,
            audited=None,
            films=films,
            recorded=first,
            replayed=first,
            repeats=True,
            random=self._random,
            elsewhere=None,
            fault=None,
            compared=None,
        )

    def _play(
        self,
        choose: _Choose,
        phase: str = "evaluate",
        *,
        batch: int = 0,
        films: Films | None = None,
    ) -> BatchRecorder:
        """Play one batch, each slot to its first `done` or the horizon."""
        count, seeds = self._request.num_envs, self._seeds
        views = self._world.create(
            seeds.of(phase, batch), seeds.of(f"{phase}-torch", batch), seeds.secret(phase, batch)
        )
        slots = recorded_slots(count, self._seeds.of("recorded-slots"))
        recorder = BatchRecorder(count, self.facts.num_actions, views, recorded=slots)
        while recorder.steps < self.facts.max_steps and recorder.running.any():
            actions = choose(views, recorder.steps == 0)
            if films:
                films.draw(batch * count, recorder.running, self._world.layers)
            step = self._world.step(actions, recorder.running)
            if films:
                films.record(batch * count, recorder.running, views, actions, step)
            recorder.record(actions, step)
            views = step.obs
        return recorder
