"""One seed's evaluation: scored batches and audits, which no worker can tell apart.

Each batch is made and played in a fresh environment worker, over the same messages whatever it is
played for. A keyed draw orders the batches, and decides which of two equal plays is the scored one.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from referee.candidate_files import environment_files
from referee.comparison import IncumbentEnvironment, Play
from referee.courses import Course
from referee.environment import Environment, OpenWorker, reward_fault
from referee.episodes import (
    BatchRecorder,
    EpisodeTotals,
    Rollout,
    recorded_slots,
)
from referee.films import Films
from referee.messages import EnvironmentJob, Weights
from referee.records import CandidateError, EvaluationRequest, RulerComparison
from referee.seeds import PhaseSeeds
from referee.training import Trainer, Training

_Choose = Callable[[int, bytes], bytes | None]
"""Actions int64 `[N]` for a step, counted from 0, and its observations; None ends the play."""


@dataclass(frozen=True)
class Turn:
    """One batch to be played."""

    role: Literal["scored", "replay", "audit", "random", "untrained", "elsewhere"]
    batch: int = 0

    @property
    def phase(self) -> str:
        """The phase that the batch's seeds derive from."""
        other = {"audit": "audit", "untrained": "untrained", "elsewhere": "untrained"}
        return other.get(self.role, "evaluate")


def keyed_order(batches: int, draw: int, *, audited: bool) -> list[Turn]:
    """Return an evaluation's turns, shuffled by a drawn number; a replay follows its original."""
    turns = [
        *(Turn("scored", batch) for batch in range(batches)),
        *(Turn(role) for role in ("replay", "random", "untrained")),
        *([Turn("audit")] if audited else []),
    ]
    order = [turns[index] for index in np.random.default_rng(draw).permutation(len(turns))]
    first, second = order.index(Turn("scored")), order.index(Turn("replay"))
    if second < first:
        order[first], order[second] = order[second], order[first]
    return order


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """What the referee measured on one seed. Rollouts hold the recorded slots of batch 0."""

    counted: np.ndarray
    """Indices of the episodes of `trained` that count for the score."""
    trained: EpisodeTotals
    untrained: EpisodeTotals
    audited: EpisodeTotals | None
    """The trained policy's episodes in a batch of other seeds, which never count."""
    films: Films
    """The first episode that counts, or all of them (`EvaluationRequest.is_watched`)."""
    recorded: Rollout
    """Batch 0, played by the trained policy."""
    replayed: Rollout
    """Batch 0 again: the same seed, the same actions."""
    repeats: bool
    """Whether the whole replay was the same play: all slots' episodes, and on the CPU all
    observations. True where not all actions were kept."""
    random: Rollout
    """Batch 0's starts, with random actions."""
    elsewhere: Rollout | None
    """Batch 0's actions from another seed, played only if the two seeds start alike."""
    fault: str | None
    """Why the candidate is disqualified although it has a score."""
    compared: RulerComparison | None
    """With the incumbent's environment; None if that was not requested, or after a fault."""


def counted_episodes(request: EvaluationRequest, seeds: PhaseSeeds) -> np.ndarray:
    """Return the indices of the episodes that count, chosen before they are played."""
    slots = math.ceil(request.eval_episodes / request.num_envs) * request.num_envs
    generator = np.random.default_rng(seeds.of("slots"))
    return np.sort(generator.permutation(slots)[: request.eval_episodes])


class Evaluation:
    """Plays one seed's episodes with a trained policy."""

    def __init__(
        self,
        trainer: Trainer,
        open_worker: OpenWorker,
        request: EvaluationRequest,
        seeds: PhaseSeeds,
        training: Training,
        *,
        files: Mapping[str, str],
        audited: bool,
    ) -> None:
        """Prepare; if `audited`, the policy also plays a batch that never counts."""
        self._audited = audited
        self._trainer = trainer
        self._open_worker = open_worker
        self._request = request
        self._seeds = seeds
        self._training = training
        self._job = EnvironmentJob(
            files=environment_files(files),
            torch_seed=seeds.of("evaluate-import"),
            num_envs=request.num_envs,
            max_steps=training.max_steps,
            device=request.device,
        )
        self._fault: str | None = None

    def run(self) -> Evaluated:
        """Play everything.

        Raises:
            CandidateError: the candidate failed, or a reward is out of bounds.
        """
        counted = counted_episodes(self._request, self._seeds)
        films = Films(counted, is_watched=self._request.is_watched)
        played: dict[Turn, BatchRecorder] = {}
        order = keyed_order(self._batches(), self._seeds.of("order"), audited=self._audited)
        for turn in order:
            choose = self._player(turn, played.get(Turn("scored")))
            played[turn] = self._play(turn, choose, films if turn.role == "scored" else None)
        first, again = played[Turn("scored")], played[Turn("replay")]
        untrained = played[Turn("untrained")]
        elsewhere = None
        if first.start == untrained.start:
            turn = Turn("elsewhere")
            elsewhere = self._play(turn, self._player(turn, first), None).rollout()
        scored = [played[Turn("scored", batch)].totals for batch in range(self._batches())]
        if again.steps == first.steps and self._seeds.of("twin") % 2:
            scored[0] = again.totals
        exact = self._request.device == "cpu"
        return Evaluated(
            counted=counted,
            trained=EpisodeTotals.concatenate(scored),
            untrained=untrained.totals,
            audited=played[Turn("audit")].totals if self._audited else None,
            films=films,
            recorded=first.rollout(),
            replayed=again.rollout(),
            repeats=not first.is_whole or again.repeats(first, exact=exact),
            random=played[Turn("random")].rollout(),
            elsewhere=elsewhere,
            fault=f"{self._fault}, with random actions" if self._fault else None,
            compared=None if self._fault else self._compare(played),
        )

    def _compare(self, played: Mapping[Turn, BatchRecorder]) -> RulerComparison | None:
        """Repeat the compared turns in the incumbent's environment, if that was requested."""
        incumbent = self._request.compare_with
        if incumbent is None:
            return None
        environment = IncumbentEnvironment(
            self._open_worker,
            replace(self._job, files=environment_files(incumbent)),
            num_actions=self._training.facts.num_actions,
            horizon=self._training.max_steps,
            reward_bound=self._request.reward_bound,
        )
        return environment.compare(
            [
                Play(*self._env_seeds(turn), recorder, is_greedy=turn.role == "scored")
                for turn, recorder in played.items()
                if recorder.course is not None
            ]
        )

    def _env_seeds(self, turn: Turn) -> tuple[int, int]:
        """Return the seeds of a turn's sub-environments and of torch's generator."""
        return (
            self._seeds.of(turn.phase, turn.batch),
            self._seeds.of(f"{turn.phase}-torch", turn.batch),
        )

    def _batches(self) -> int:
        return math.ceil(self._request.eval_episodes / self._request.num_envs)

    def _player(self, turn: Turn, original: BatchRecorder | None) -> _Choose:
        """Return who chooses a batch's actions; `original` is batch 0, once it was played."""
        if turn.role == "random":
            return self._random_actions()
        if turn.role in {"replay", "elsewhere"}:
            assert original is not None
            return lambda step, _obs: original.actions(step)
        weights: Weights = "untrained" if turn.role == "untrained" else "trained"
        facts = self._training.facts
        return lambda _step, obs: self._trainer.act(weights, facts, obs)

    def _random_actions(self) -> _Choose:
        generator = np.random.default_rng(self._seeds.of("random-actions"))
        actions, count = self._training.facts.num_actions, self._request.num_envs
        return lambda _step, _obs: generator.integers(actions, size=count, dtype=np.int64).tobytes()

    def _repeats(self, turn: Turn) -> bool:
        """Return whether a turn will be repeated in the incumbent's environment."""
        return self._request.compare_with is not None and turn.role in {"scored", "random"}

    def _play(self, turn: Turn, choose: _Choose, films: Films | None) -> BatchRecorder:
        """Play one batch in a fresh worker, each slot to its first `done` or the horizon."""
        count, facts = self._request.num_envs, self._training.facts
        with self._open_worker() as channel:
            environment = Environment(channel, self._job, facts.observation_shape)
            obs = environment.create(*self._env_seeds(turn))
            course = Course(count, facts.observation_shape, obs) if self._repeats(turn) else None
            recorder = BatchRecorder(
                count,
                facts.num_actions,
                obs,
                course,
                recorded=recorded_slots(count, self._seeds.of("recorded-slots")),
            )
            while recorder.steps < self._training.max_steps and recorder.running.any():
                actions = choose(recorder.steps, obs)
                if actions is None:
                    break
                if films:
                    films.draw(turn.batch * count, recorder.running, environment.layers.of)
                step = environment.step(actions)
                bound = self._request.reward_bound
                if fault := reward_fault(step.reward, recorder.running, bound):
                    if turn.role != "random":
                        raise CandidateError("rejected", fault, told=fault)
                    self._fault = fault
                    break
                if films:
                    films.record(turn.batch * count, recorder.running, obs, actions, step)
                recorder.record(actions, step)
                obs = step.obs
        return recorder
