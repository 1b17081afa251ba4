"""The training worker, as the referee drives it: one seed's training, then its policy's actions."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

from referee import kept_weights, messages, world_messages
from referee.messages import CandidateFacts, TrainingJob
from referee.messages import Weights as WhichWeights
from referee.overrides import check_overrides, horizon, training_config, world_horizon
from referee.records import DEFAULT_MAX_STEPS, CandidateError, EvaluationRequest
from referee.seeds import PhaseSeeds
from referee.training_report import EpisodeReport, receive_episode
from referee.world_messages import WorldFacts
from sandbox import Channel
from simverse.weights import Weights, WeightsError


@dataclass(frozen=True, kw_only=True)
class Training:
    """What is known of one seed's training when it has ended."""

    facts: CandidateFacts
    max_steps: int
    """The horizon."""
    episodes: tuple[EpisodeReport, ...]
    threads: int
    """Threads that torch was set to at its end, as the worker reports them."""
    path: str
    """What trained the policy, `fused` or `torch`, as the worker reports it."""
    build_s: float
    """Time to import the candidate, ask for its overrides, and build environment and policy."""
    train_s: float

    @property
    def curve(self) -> tuple[float, ...]:
        """Mean return of each training episode."""
        return tuple(episode.mean_return for episode in self.episodes)

    @property
    def env_steps(self) -> int:
        """Steps of single sub-environments, as the worker reports them."""
        return sum(episode.env_steps for episode in self.episodes)


class Trainer:
    """Trains one seed through a channel, and then asks its policy for actions."""

    def __init__(
        self,
        channel: Channel,
        request: EvaluationRequest,
        seeds: PhaseSeeds,
        files: Mapping[str, str],
        world: WorldFacts | None = None,
    ) -> None:
        """Prepare; `world` is what the user's own world is, where there is one."""
        self._world = world
        self._channel = channel
        self._request = request
        self._seeds = seeds
        self._files = files

    def train(self, on_episode: Callable[[int, EpisodeReport], None]) -> Training:
        """Have the worker train.

        Args:
            on_episode: called with each training episode, counted from 1.

        Raises:
            CandidateError: the candidate failed, or the worker's messages are not legal.
        """
        request, channel = self._request, self._channel
        build_started_s = time.perf_counter()
        messages.send_job(channel, self._job())
        overrides = check_overrides(messages.receive_overrides(channel))
        max_steps = self._horizon(overrides)
        config = training_config(overrides, request, max_steps)
        messages.send_settings(channel, max_steps, config)
        facts = self._facts()
        started_s = time.perf_counter()
        episodes = []
        for index in range(request.train_episodes):
            episodes.append(receive_episode(channel))
            on_episode(index + 1, episodes[-1])
        threads, path = messages.receive_trained(channel)
        return Training(
            facts=facts,
            max_steps=max_steps,
            episodes=tuple(episodes),
            threads=threads,
            path=path,
            build_s=started_s - build_started_s,
            train_s=time.perf_counter() - started_s,
        )

    def weights(self) -> Weights | WeightsError:
        """Return the trained weights as they are before any evaluation, or why they aren't kept."""
        try:
            return kept_weights.ask(self._channel)
        except WeightsError as error:
            return error

    def act(
        self, weights: WhichWeights, facts: CandidateFacts, obs: bytes, *, first: bool = False
    ) -> bytes:
        """Return greedy actions, int64 `[N]`.

        Args:
            weights: of the trained policy or of the untrained one.
            facts: what the candidate is.
            obs: observations float32 `[N, C, H, W]`; with a world packed views `[N, K, 1, 1]`.
            first: whether a batch of a world begins.
        """
        count = self._request.num_envs
        if self._world is None:
            shape = (count, *facts.observation_shape)
            messages.send_act(self._channel, weights, shape, facts.num_actions, obs)
        else:
            world_messages.send_act_on_views(
                self._channel, weights, count, facts.num_actions, obs, first=first
            )
        return messages.receive_actions(self._channel, count, facts.num_actions)

    def _horizon(self, overrides: Mapping[str, Any]) -> int:
        if self._world is None:
            return horizon(overrides, self._request)
        return world_horizon(overrides, self._world.max_steps)

    def _facts(self) -> CandidateFacts:
        """Receive what environment and policy are. The user's world speaks for itself."""
        facts, world = messages.receive_facts(self._channel, self._request.num_envs), self._world
        if world is None:
            return facts
        if facts.num_actions != world.num_actions:
            raise CandidateError(
                "rejected",
                f"the policy's worker names {facts.num_actions} actions, and the world has "
                f"{world.num_actions}",
            )
        return replace(facts, env_name=world.name, env_description=world.description)

    def _job(self) -> TrainingJob:
        request = self._request
        return TrainingJob(
            files=self._files,
            env_seed=self._seeds.of("train"),
            torch_seed=self._seeds.of("policy"),
            sampling_seed=self._seeds.of("sampling"),
            num_envs=request.num_envs,
            max_steps=self._world.max_steps
            if self._world
            else request.max_steps or DEFAULT_MAX_STEPS,
            train_episodes=request.train_episodes,
            device=request.device,
            precision=cast("Literal['fp32', 'bf16']", request.precision),
            path=cast("Literal['fused', 'torch']", request.path),
            world=request.world,
            config_max_steps=request.max_steps or DEFAULT_MAX_STEPS,
        )
