"""One seed's evaluation: the scored episodes, and what is played after them for the flags."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from referee import messages
from referee.episodes import (
    MAX_RECORDED_SLOTS,
    BatchRecorder,
    EpisodeRecorder,
    EpisodeTotals,
    Rollout,
    random_steps,
)
from referee.messages import EnvironmentJob, Step, Weights
from referee.records import CandidateError, EvaluationRequest
from referee.seeds import PhaseSeeds
from referee.training import Trainer, Training
from sandbox import Channel


class Environment:
    """The environment worker, as the referee drives it: one batch at a time."""

    def __init__(
        self,
        channel: Channel,
        request: EvaluationRequest,
        seeds: PhaseSeeds,
        training: Training,
        files: Mapping[str, str],
    ) -> None:
        """Have the worker import the candidate's environment."""
        self._channel = channel
        self._seeds = seeds
        self._num_envs = request.num_envs
        self._shape = [request.num_envs, *training.facts.observation_shape]
        job = EnvironmentJob(
            files=files,
            torch_seed=seeds.of("evaluate-import"),
            num_envs=request.num_envs,
            max_steps=training.max_steps,
            device=request.device,
        )
        messages.send_job(channel, job)

    def create(self, phase: str, batch: int) -> bytes:
        """Have a fresh batch made; return its first observations, float32 `[N, C, H, W]`."""
        env_seed = self._seeds.of(phase, batch)
        torch_seed = self._seeds.of(f"{phase}-torch", batch)
        messages.send_create(self._channel, env_seed, torch_seed)
        return messages.receive_reset(self._channel, self._shape)

    def step(self, actions: bytes) -> Step:
        """Take one step of the batch with actions int64 `[N]`."""
        messages.send_step_request(self._channel, actions)
        return messages.receive_step(self._channel, self._num_envs, 4 * math.prod(self._shape))

    def play(self, phase: str, actions: bytes, *, digest: bool = False) -> Rollout:
        """Have batch 0 of a phase made afresh and played with given actions, int64 `[T, N]`."""
        self.create(phase, 0)
        messages.send_play_request(self._channel, actions, digest=digest)
        steps = len(actions) // (8 * self._num_envs)
        columns, checksum = messages.receive_play(
            self._channel, steps, self._num_envs, digest=digest
        )
        rewards, done, success = (column[:, :MAX_RECORDED_SLOTS] for column in columns)
        return Rollout(rewards, done, success, checksum)


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """What the referee measured on one seed. Recorded rollouts hold the first slots of batch 0."""

    counted: np.ndarray
    """Indices of the episodes of `trained` that count for the score."""
    trained: EpisodeTotals
    untrained: EpisodeTotals
    first_counted: EpisodeRecorder
    """The first episode that counts."""
    recorded: Rollout
    """Batch 0, played by the trained policy."""
    replayed: Rollout
    """Batch 0 again: the same seed, the same actions."""
    random: Rollout
    """Batch 0's starts, with random actions."""
    elsewhere: Rollout | None
    """Batch 0's actions from another seed, played only if the two seeds start alike."""
    fault: str | None
    """Why the candidate is disqualified although it has a score."""


class Evaluation:
    """Plays one seed's episodes with a trained policy and a fresh environment worker."""

    def __init__(
        self,
        trainer: Trainer,
        environment: Environment,
        request: EvaluationRequest,
        seeds: PhaseSeeds,
        training: Training,
    ) -> None:
        self._trainer = trainer
        self._environment = environment
        self._request = request
        self._seeds = seeds
        self._training = training

    def run(self) -> Evaluated:
        """Play everything.

        Raises:
            CandidateError: the candidate failed, or a reward of a scored episode is out of bounds.
        """
        counted = self._counted()
        episode_recorder = EpisodeRecorder(int(counted[0]))
        sizes = self._training.max_steps, self._request.num_envs
        batch_recorder, other = BatchRecorder(*sizes), BatchRecorder(*sizes)
        trained = EpisodeTotals.concatenate(
            self._play(
                "trained", "evaluate", batch, episode_recorder, None if batch else batch_recorder
            )
            for batch in range(self._batches())
        )
        untrained = self._play("untrained", "untrained", 0, None, other)
        # Rollouts after the scored episodes; no score depends on them.
        alike = batch_recorder.start == other.start
        actions, play = batch_recorder.actions(), self._environment.play
        replayed = play("evaluate", actions, digest=alike)
        elsewhere = play("untrained", actions, digest=True) if alike else None
        random = play("evaluate", self._random_actions())
        fault = self._reward_fault(random.rewards[random.live])
        return Evaluated(
            counted=counted,
            trained=trained,
            untrained=untrained,
            first_counted=episode_recorder,
            recorded=batch_recorder.rollout(),
            replayed=replayed,
            random=random,
            elsewhere=elsewhere,
            fault=f"{fault}, with random actions" if fault else None,
        )

    def _batches(self) -> int:
        return math.ceil(self._request.eval_episodes / self._request.num_envs)

    def _counted(self) -> np.ndarray:
        """Return the indices of the episodes that count, chosen before they are played."""
        slots = self._batches() * self._request.num_envs
        generator = np.random.default_rng(self._seeds.of("slots"))
        return np.sort(generator.permutation(slots)[: self._request.eval_episodes])

    def _play(
        self,
        weights: Weights,
        phase: str,
        batch: int,
        episode_recorder: EpisodeRecorder | None,
        batch_recorder: BatchRecorder | None,
    ) -> EpisodeTotals:
        """Play one batch of fresh sub-environments greedily, each to its first `done`."""
        count = self._request.num_envs
        obs = self._environment.create(phase, batch)
        if batch_recorder:
            batch_recorder.start = obs
        episodes = EpisodeTotals.zeros(count)
        running = np.ones(count, dtype=bool)
        for _ in range(self._training.max_steps):
            actions = self._trainer.act(weights, self._training.facts, obs)
            step = self._environment.step(actions)
            if fault := self._reward_fault(step.reward[running]):
                raise CandidateError("rejected", fault)
            if episode_recorder:
                episode_recorder.record(batch * count, running, obs, actions, step)
            if batch_recorder:
                batch_recorder.record(actions, step.reward, step.done, step.success)
            episodes.add(running, step)
            obs = step.obs
            running &= ~step.done
            if not running.any():
                break
        return episodes

    def _random_actions(self) -> bytes:
        """Return random actions for batch 0, int64 `[T, N]`."""
        count = self._request.num_envs
        steps = random_steps(self._training.max_steps, count)
        generator = np.random.default_rng(self._seeds.of("random-actions"))
        actions = generator.integers(
            self._training.facts.num_actions, size=(steps, count), dtype=np.int64
        )
        return actions.tobytes()

    def _reward_fault(self, rewards: np.ndarray) -> str | None:
        """Return what is wrong with one of the rewards, None if they are within their bound."""
        bound = self._request.reward_bound
        if not np.isfinite(rewards).all():
            return "a reward is not finite"
        # A float32 reward of exactly the bound may exceed it by rounding.
        if rewards.size and np.abs(rewards).max() > bound * (1 + 1e-6):
            return (
                f"a reward of {rewards[np.abs(rewards).argmax()]:g} is outside "
                f"[-{bound:g}, {bound:g}] a step (evaluator.reward_bound)"
            )
        return None
