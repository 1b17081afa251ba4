"""The checking worker: plays and trains a candidate for a few steps, and names what is wrong.

Imports torch. It runs candidate code: whoever asked believes no message further than text.
"""

import contextlib
from collections.abc import Mapping
from functools import partial
from types import ModuleType
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from referee.candidate_code import (
    close,
    create_env,
    function,
    load_candidate,
    place,
    plain_override,
    seed_everything,
)
from referee.gpus import show_gpus
from referee.overrides import check_overrides, horizon, training_config, world_horizon
from referee.problems import CONTRACT_ERRORS, Problems, StoppedError, described
from referee.records import DEFAULT_MAX_STEPS, EvaluationRequest
from referee.world_check import checked_world
from sandbox import Channel
from simverse.core.checks import check_observation, check_step, observation_shape
from simverse.core.recurrence import FEED_FORWARD_ONLY, is_recurrent
from simverse.core.world import World
from simverse.errors import EnvironmentContractError, PolicyError
from simverse.testing import ConformanceError, check_env
from simverse.training.actor_critic import ActorCritic
from simverse.training.config import PPOConfig
from simverse.training.ppo import train
from simverse.worlds.observed import ObservedWorld
from simverse.worlds.perception import Perception

STEPS = 20
"""Steps of each play, and of the training episode."""
_MOST, _LONGEST = 50, 500
"""Bounds of what is told: problems, and characters of each."""


class _Check(Problems):
    """One check of a candidate."""

    def __init__(self, channel: Channel, request: EvaluationRequest) -> None:
        super().__init__(channel)
        self.request = request
        self._seen: Tensor | None = None
        """The first observations, once the environment gave legal ones."""

    def settings(self, train_module: ModuleType, world: World | None) -> tuple[int, dict[str, Any]]:
        """Return the horizon and the overrides; each that is not allowed is a problem."""
        request = self.request
        asked = self.attempt(
            "training_overrides()",
            lambda: function(train_module, "training_overrides")(
                num_envs=request.num_envs,
                max_steps=request.max_steps or DEFAULT_MAX_STEPS
                if world is None
                else world.max_steps,
                device=request.device,
            ),
        )
        if asked is None:
            asked = {}
        if not isinstance(asked, Mapping):
            kind = type(asked).__name__
            self.problems.append(f"training_overrides() must return a dict, not {kind}")
            raise StoppedError
        overrides: dict[str, Any] = {}
        for key, value in asked.items():
            try:
                overrides |= check_overrides({str(key): plain_override(str(key), value)})
            except CONTRACT_ERRORS as error:
                self.problems.append(str(error))
        if len(overrides) < len(asked):
            raise StoppedError
        known = (
            partial(horizon, overrides, request)
            if world is None
            else partial(world_horizon, overrides, world.max_steps)
        )
        return self.attempt("the horizon", known), overrides

    def observed(self, world: World, module: ModuleType) -> Any:
        """Return the world as the candidate sees it, played."""
        env = self.attempt(
            "observation_space()", lambda: ObservedWorld(world, Perception.of(module))
        )
        self.attempt("the observation space", partial(observation_shape, env))
        self.attempt("the first steps", partial(self._play, env, bound=None))
        return env

    def environment(self, module: ModuleType, max_steps: int) -> Any:
        """Return the candidate's environment, played; all that is wrong with it is listed."""
        before, env = len(self.problems), None
        with contextlib.suppress(StoppedError):
            env = self.attempt("create_env()", partial(self._make, module, max_steps))
            bound = self.request.reward_bound
            self.attempt("the first steps", partial(self._play, env, bound))
        if known := self.problems[before:]:
            # All of them at once; the one that stopped the play, should the check not see it.
            self.problems[before:] = self._conformance(module, max_steps) or known
        return env

    def policy(self, module: ModuleType, env: Any) -> nn.Module:
        """Return the policy that the candidate builds, once it has answered an observation."""
        policy = self.attempt(
            "build_policy()",
            lambda: function(module, "build_policy")(env.observation_space, env.action_space),
        )
        if not isinstance(policy, nn.Module):
            kind = type(policy).__name__
            self.problems.append(f"build_policy() must return a torch.nn.Module, not {kind}")
            raise StoppedError
        if is_recurrent(policy):
            self.problems.append(FEED_FORWARD_ONLY)
            raise StoppedError
        self.attempt("the policy", partial(self._forward, policy, env))
        return policy

    @torch.no_grad()
    def _forward(self, policy: nn.Module, env: Any) -> None:
        request = self.request
        shape = tuple(int(size) for size in env.observation_space.shape)
        zeros = torch.zeros((request.num_envs, *shape), device=request.device)
        act = ActorCritic(
            policy.to(request.device),
            int(env.action_space.n),
            cast("Literal['fp32', 'bf16']", request.precision),
        )
        logits, _ = act(zeros if self._seen is None else self._seen)
        if self._seen is not None and bool(act.distribution.unusable(logits).any()):
            raise PolicyError("the policy's logits are not finite")

    def train(self, env: Any, policy: nn.Module, overrides: Mapping[str, Any]) -> None:
        """Train the policy for a short episode."""
        request = self.request
        config = PPOConfig(**training_config(overrides, request, STEPS))
        self.attempt(
            "the first training steps",
            lambda: train(
                env, policy, config, episodes=1, seed=0, device=request.device,
                precision=cast("Literal['fp32', 'bf16']", request.precision),
                path=cast("Literal['fused', 'torch']", request.path),
            ),
        )  # fmt: skip

    def _make(self, module: ModuleType, max_steps: int) -> Any:
        request = self.request
        seed_everything(0)
        return create_env(
            module, num_envs=request.num_envs, max_steps=max_steps, seed=0, device=request.device
        )

    @torch.no_grad()
    def _play(self, env: Any, bound: float | None) -> None:
        count = self.request.num_envs
        shape = tuple(int(size) for size in env.observation_space.shape)
        self._seen = check_observation(env.reset(), count, shape)[0].float().clone()
        generator = torch.Generator().manual_seed(0)
        actions = torch.randint(int(env.action_space.n), (STEPS, count), generator=generator)
        for row in actions.to(self.request.device):
            reward = check_step(env.step(row), count, shape).reward.double()
            if not bool(reward.isfinite().all()):
                raise EnvironmentContractError("reward is not finite")
            if bound is not None and float(reward.abs().max()) > bound * (1 + 1e-6):
                worst = float(reward[reward.abs().argmax()])
                raise EnvironmentContractError(
                    f"reward {worst:g} exceeds the bound of {bound:g} (evaluator.reward_bound)"
                )

    def _conformance(self, module: ModuleType, max_steps: int) -> list[str]:
        """Return everything that the conformance check finds."""
        request = self.request
        try:
            check_env(
                function(module, "create_env"), num_envs=request.num_envs, max_steps=max_steps,
                reward_bound=request.reward_bound, device=request.device, steps=STEPS,
                is_candidate=True,
            )  # fmt: skip
        except ConformanceError as error:
            return list(error.problems)
        except CONTRACT_ERRORS as error:
            return [str(error)]
        except Exception as error:  # noqa: BLE001 - candidate code may raise anything
            return [f"raised {described(error)}"]
        return []


def check_candidate(channel: Channel) -> None:
    """Check one candidate; send `{"at": call}` before each call, and last `{"problems": [...]}`.

    It receives the fields of an `EvaluationRequest` that matter, and the two `files`.
    """
    job, _ = channel.receive()
    folder = place(job.pop("files"))
    request = EvaluationRequest(candidate_dir=folder, **job)
    show_gpus(request.device)
    seed_everything(0)
    check = _Check(channel, request)
    # Before the candidate's modules can be imported, by the world too.
    world = None if request.world is None else checked_world(check, request, STEPS)
    modules = {}
    for name in () if check.problems else ("env", "train"):
        with contextlib.suppress(StoppedError):
            importing = partial(load_candidate, folder, name)
            modules[name] = check.attempt(f"importing candidate/{name}.py", importing)
    with contextlib.suppress(StoppedError):
        _check_modules(check, modules, world)
    shown = [" ".join(problem.split())[:_LONGEST] for problem in check.problems]
    channel.send({"problems": list(dict.fromkeys(shown))[:_MOST]})


def _check_modules(check: _Check, modules: Mapping[str, ModuleType], world: World | None) -> None:
    max_steps: int = check.request.max_steps or DEFAULT_MAX_STEPS
    overrides: dict[str, Any] | None = None
    if "train" in modules:
        with contextlib.suppress(StoppedError):
            max_steps, overrides = check.settings(modules["train"], world)
    env = None
    if "env" in modules and check.request.world is None:
        env = check.environment(modules["env"], max_steps)
    elif "env" in modules and world is not None:
        env = check.observed(world, modules["env"])
    if env is None or "train" not in modules:
        return
    policy = check.policy(modules["train"], env)
    if overrides is not None and not check.problems:
        check.train(env, policy, overrides)
    close(env)
