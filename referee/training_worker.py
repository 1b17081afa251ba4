"""The training worker: builds environment and policy, trains with PPO, then answers observations.

Imports torch. It runs candidate code: the referee believes no message further than it can check.
"""

import copy
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from referee import kept_weights, messages
from referee.candidate_code import (
    CandidateContractError,
    Untrained,
    WithoutGradients,
    close,
    create_env,
    function,
    load_candidate,
    make_world,
    place,
    place_world,
    plain_override,
    seed_everything,
    without_gradients,
)
from referee.gpus import show_gpus
from referee.messages import CandidateFacts, TrainingJob
from referee.training_report import EpisodeReport, send_episode
from referee.wire import receive_request
from sandbox import Channel
from simverse.core.checks import check_observation, num_actions, observation_shape
from simverse.core.legal import greedy_actions
from simverse.core.recurrence import FEED_FORWARD_ONLY, is_recurrent
from simverse.errors import EnvironmentContractError, PolicyError
from simverse.training.actor_critic import ActorCritic
from simverse.training.config import PPOConfig
from simverse.training.ppo import EpisodeStats, train
from simverse.training.stats import TrainingPath
from simverse.worlds.observed import ObservedWorld
from simverse.worlds.perception import Observer, Perception, observed_with_mask
from simverse.worlds.workspace import load_world

_Weights = dict[str, Any]
"""A policy's tensors, and whatever it has as extra state."""


def train_and_serve(channel: Channel) -> None:
    """Train one seed, then answer observations with greedy actions until the referee closes."""
    job = messages.receive_job(channel, TrainingJob)
    show_gpus(job.device)
    seed_everything(job.torch_seed, job.device)
    folder = place(job.files)
    policy_module = load_candidate(folder, "train")
    messages.send_overrides(channel, _overrides(policy_module, job))
    max_steps, config = messages.receive_settings(channel)

    # The policy learns, and what it is played in does not.
    quiet = without_gradients({**job.files, **(job.world or {})})
    env = _environment(folder, job, max_steps, quiet)
    policy = _build_policy(policy_module, env).to(job.device)
    if _is_lazy(policy):
        _initialise(policy, torch.zeros(job.num_envs, *observation_shape(env), device=job.device))
    messages.send_facts(channel, _facts(env, policy))
    untrained = _copy_weights(policy)
    path = _train(channel, Untrained(env, quiet), policy, job, PPOConfig(**config))
    trained = _copy_weights(policy)
    threads = torch.get_num_threads()
    with quiet():
        close(env)
    messages.send_trained(channel, threads, path)
    weights = {"trained": trained, "untrained": untrained}
    observe = _Views(env) if isinstance(env, ObservedWorld) else None
    _serve_policy(channel, policy, weights, job, observe)


def _environment(folder: Path, job: TrainingJob, max_steps: int, quiet: WithoutGradients) -> Any:
    """Return what the policy is trained in: the candidate's environment, or its view of a world."""
    count, seed, device = job.num_envs, job.env_seed, job.device
    if job.world is None:
        module = load_candidate(folder, "env")
        with quiet():
            return create_env(module, num_envs=count, max_steps=max_steps, seed=seed, device=device)
    create = load_world(place_world(job.world))
    with quiet():
        world = make_world(
            create, num_envs=count, max_steps=job.config_max_steps, seed=seed, device=device
        )
    module = load_candidate(folder, "env")
    try:
        with quiet():
            env = ObservedWorld(world, Perception.of(module))
            observation_shape(env)
    except EnvironmentContractError as error:
        raise CandidateContractError(str(error)) from error
    return env


class _Views:
    """Observes the packed views of an evaluation as the candidate does in training."""

    def __init__(self, env: ObservedWorld) -> None:
        self._env = env
        self._observer: Observer

    def __call__(self, packed: Tensor, *, first: bool) -> tuple[Tensor, Tensor | None]:
        """Return observations `[N, C, H, W]` of packed views `[N, K, 1, 1]`, and legal actions."""
        view, begun = self._env.layout.unpack(packed)
        if first:
            self._observer = self._env.perception.new_observer()
        if bool(begun.any()):
            self._observer.reset(view, begun)
        obs, mask = observed_with_mask(self._observer, view, num_actions(self._env))
        shape = (len(packed), *self._env.observation_space.shape)
        return check_observation({"obs": obs}, shape[0], shape[1:])[0].float(), mask


def _train(
    channel: Channel, env: Any, policy: nn.Module, job: TrainingJob, config: PPOConfig
) -> TrainingPath:
    """Train, report each episode, and return what trained the policy."""
    episodes = 0

    def report(stats: EpisodeStats) -> None:
        nonlocal episodes
        episodes += 1
        shaped = stats.shaped_return
        send_episode(
            channel,
            EpisodeReport(
                mean_return=stats.mean_return,
                solve_rate=stats.solve_rate,
                env_steps=stats.env_steps,
                learning={
                    "entropy": stats.entropy,
                    "value_loss": stats.value_loss,
                    "approx_kl": stats.approx_kl,
                    "explained_variance": stats.explained_variance,
                    "episode_length": stats.mean_length,
                    **({} if shaped is None else {"shaped_return": shaped}),
                },
                reward_parts=stats.reward_parts,
            ),
        )

    try:
        history = train(
            env,
            policy,
            config,
            episodes=job.train_episodes,
            seed=job.sampling_seed,
            device=job.device,
            on_episode=report,
            precision=job.precision,
            # In the open mode evaluation has none, so that training must not have any either.
            masked=job.world is not None,
            path=job.path,
        )
    except (EnvironmentContractError, PolicyError) as error:
        if episodes:
            raise  # it worked at first: a crash in training, not a breach of contract
        raise CandidateContractError(str(error)) from error
    return history[-1].path


def _copy_weights(policy: nn.Module) -> _Weights:
    return {
        name: value.detach().clone() if isinstance(value, Tensor) else copy.deepcopy(value)
        for name, value in policy.state_dict().items()
    }


def _overrides(module: ModuleType, job: TrainingJob) -> dict[str, object]:
    training_overrides = function(module, "training_overrides")
    overrides = training_overrides(
        num_envs=job.num_envs, max_steps=job.max_steps, device=job.device
    )
    if overrides is None:
        return {}
    if not isinstance(overrides, Mapping):
        raise CandidateContractError(
            f"training_overrides() must return a dict, not {type(overrides).__name__}"
        )
    return {str(key): plain_override(str(key), value) for key, value in overrides.items()}


def _build_policy(module: ModuleType, env: Any) -> nn.Module:
    policy = function(module, "build_policy")(env.observation_space, env.action_space)
    if not isinstance(policy, nn.Module):
        raise CandidateContractError(
            f"build_policy() must return a torch.nn.Module, not {type(policy).__name__}"
        )
    if is_recurrent(policy):
        raise CandidateContractError(FEED_FORWARD_ONLY)
    return policy


def _is_lazy(policy: nn.Module) -> bool:
    return any(is_lazy(value) for value in (*policy.parameters(), *policy.buffers()))


@torch.no_grad()
def _initialise(policy: nn.Module, obs: Tensor) -> None:
    """Have lazy parameters made from observations `[N, C, H, W]`.

    Only for a policy that has any: a forward may draw from torch's generator.
    """
    policy.eval()(obs)
    if _is_lazy(policy):
        raise CandidateContractError(
            "build_policy() returned a policy with lazy parameters that its forward leaves out"
        )


def _facts(env: Any, policy: nn.Module) -> CandidateFacts:
    name = type(env).__name__
    describe = getattr(env, "describe", None)
    return CandidateFacts(
        env_name=name[:200],
        env_description=(str(describe()) if callable(describe) else name)[:2000],
        observation_shape=observation_shape(env),
        num_actions=num_actions(env),
        policy_parameters=sum(parameter.numel() for parameter in policy.parameters()),
    )


def _serve_policy(
    channel: Channel,
    policy: nn.Module,
    weights: Mapping[str, _Weights],
    job: TrainingJob,
    observe: "_Views | None",
) -> None:
    policy.eval()
    quiet, loaded = without_gradients(job.files), None
    while (request := receive_request(channel)) is not None:
        head, payload = request
        if head["do"] == kept_weights.ASK:
            kept_weights.answer(channel, weights["trained"])
            continue
        obs = np.frombuffer(payload, dtype=np.float32).reshape(head["shape"])
        with quiet():  # the loading too: a buffer set in inference mode can't be written elsewhere
            if head["weights"] != loaded:
                loaded = head["weights"]
                # A buffer registered in a forward may not have been there when they were copied.
                policy.load_state_dict(weights[loaded], strict=False)
            act = ActorCritic(policy, head["num_actions"], job.precision)
            seen, mask = torch.from_numpy(obs.copy()).to(job.device), None
            if observe is not None:
                seen, mask = observe(seen, first=head["first"])
            actions = _greedy(act, seen, mask)
        messages.send_actions(channel, actions.cpu().numpy())


def _greedy(act: ActorCritic, obs: Tensor, mask: Tensor | None) -> Tensor:
    logits, _ = act(obs)
    # Minus infinity is for an action that the policy rules out.
    is_finite = bool(torch.isfinite(logits).all())
    if not is_finite and bool(act.distribution.unusable(logits).any()):
        raise PolicyError("the policy's logits are not finite")
    return greedy_actions(logits, mask)
