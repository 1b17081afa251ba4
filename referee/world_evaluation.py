"""One seed's evaluation in the user's own world.

The world's worker holds no candidate's code, and the policy's none of the world's state or seeds:
the referee carries views one way and actions the other. The world's rewards can't tell a scored
play from another, so nothing is played twice to be compared.
"""

import math
from typing import Literal

import numpy as np

from referee.episodes import BatchRecorder, EpisodeRecorder, EpisodeTotals, recorded_slots
from referee.evaluation import Evaluated, counted_episodes
from referee.messages import Weights
from referee.records import EvaluationRequest
from referee.seeds import PhaseSeeds
from referee.training import Trainer, Training
from referee.world import WorldEnvironment

_Player = Literal["trained", "untrained", "random"]


class WorldEvaluation:
    """Plays one seed's episodes with a trained policy in the user's world."""

    def __init__(
        self,
        trainer: Trainer,
        world: WorldEnvironment,
        request: EvaluationRequest,
        seeds: PhaseSeeds,
        training: Training,
    ) -> None:
        self._trainer = trainer
        self._world = world
        self._request = request
        self._seeds = seeds
        self._training = training

    def run(self) -> Evaluated:
        """Play the scored batches, and one each by random actions and by the untrained policy.

        Raises:
            CandidateError: the candidate failed.
            WorldError: the world did.
        """
        batches = math.ceil(self._request.eval_episodes / self._request.num_envs)
        counted = counted_episodes(self._request, self._seeds)
        world = self._world.facts
        film = EpisodeRecorder(int(counted[0]), "" if world is None else world.view)
        scored = [self._play("trained", batch, film) for batch in range(batches)]
        random, untrained = self._play("random"), self._play("untrained")
        first = scored[0].rollout()
        return Evaluated(
            counted=counted,
            trained=EpisodeTotals.concatenate(batch.totals for batch in scored),
            untrained=untrained.totals,
            audited=None,
            first_counted=film,
            recorded=first,
            replayed=first,
            repeats=True,
            random=random.rollout(),
            elsewhere=None,
            fault=None,
            compared=None,
        )

    def _play(
        self, player: _Player, batch: int = 0, film: EpisodeRecorder | None = None
    ) -> BatchRecorder:
        """Play one batch, each slot to its first `done` or the horizon."""
        count, facts = self._request.num_envs, self._training.facts
        phase = "untrained" if player == "untrained" else "evaluate"
        seeds = self._seeds.of(phase, batch), self._seeds.of(f"{phase}-torch", batch)
        views = self._world.create(*seeds)
        slots = recorded_slots(count, self._seeds.of("recorded-slots"))
        recorder = BatchRecorder(count, facts.num_actions, views, recorded=slots)
        generator = np.random.default_rng(self._seeds.of("random-actions"))
        while recorder.steps < self._training.max_steps and recorder.running.any():
            if player == "random":
                drawn = generator.integers(facts.num_actions, size=count, dtype=np.int64)
                actions = drawn.tobytes()
            else:
                weights: Weights = player
                actions = self._trainer.act(weights, facts, views, first=recorder.steps == 0)
            step = self._world.step(actions, recorder.running)
            if film:
                film.record(batch * count, recorder.running, views, actions, step)
            recorder.record(actions, step)
            views = step.obs
        return recorder
