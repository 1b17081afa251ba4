"""The checking worker: plays and trains a candidate for a few steps, and names what is wrong.

Imports torch. It runs candidate code: whoever asked believes no message further than text.
"""

import contextlib
from collections.abc import Callable, Mapping
from functools import partial
from types import ModuleType
from typing import Any, Literal, TypeVar, cast

import torch
from torch import Tensor, nn

from referee.candidate_code import (
    CandidateContractError,
    close,
    create_env,
    create_world,
    function,
    load_candidate,
    load_world,
    place,
    place_world,
    plain_override,
    seed_everything,
)
from referee.gpus import show_gpus
from referee.overrides import check_overrides, horizon, training_config, world_horizon
from referee.records import DEFAULT_MAX_STEPS, CandidateError, EvaluationRequest
from sandbox import Channel
from simverse.core.checks import check_observation, check_step, observation_shape
from simverse.core.world import World
from simverse.errors import EnvironmentContractError, PolicyError
from simverse.testing import ConformanceError, check_env, check_world
from simverse.training.config import PPOConfig
from simverse.training.ppo import train
from simverse.training.rollout import ActorCritic
from simverse.worlds.observed import ObservedWorld
from simverse.worlds.perception import Perception

T = TypeVar("T")

STEPS = 20
"""Steps of each play, and of the training episode."""
_MOST, _LONGEST = 50, 500
"""Bounds of what is told: problems, and characters of each."""
_CONTRACT = (CandidateContractError, CandidateError, EnvironmentContractError, PolicyError)
"""Errors whose text says all; of any other the type is told too, and the line."""


class _StoppedError(Exception):
    """What follows can't be checked; why is among the problems."""


class _Check:
    """One check: what is being called, and the problems so far."""

    def __init__(self, channel: Channel, request: EvaluationRequest) -> None:
        self._channel = channel
        self.request = request
        self.problems: list[str] = []
        self._seen: Tensor | None = None
        """The first observations, once the environment gave legal ones."""

    def attempt(self, what: str, call: Callable[[], T]) -> T:
        """Call something of the candidate's. Raises `_StoppedError` once its error is a problem."""
        self._channel.send({"at": what})  # so that it is known where a candidate hangs
        try:
            return call()
        except _CONTRACT as error:
            self.problems.append(str(error))
        except Exception as error:  # noqa: BLE001 - candidate code may raise anything
            self.problems.append(f"{what} raised {type(error).__name__}: {error}{_place(error)}")
        raise _StoppedError

    def settings(self, train_module: ModuleType, world: World | None) -> tuple[int, dict[str, Any]]:
        """Return the horizon and the overrides; each that is not allowed is a problem."""
        request = self.request
        asked = self.attempt(
            "training_overrides()",
            lambda: function(train_module, "training_overrides")(
                num_envs=request.num_envs,
                max_steps=request.max_steps or DEFAULT_MAX_STEPS,
                device=request.device,
            ),
        )
        if asked is None:
            asked = {}
        if not isinstance(asked, Mapping):
            kind = type(asked).__name__
            self.problems.append(f"training_overrides() must return a dict, not {kind}")
            raise _StoppedError
        overrides: dict[str, Any] = {}
        for key, value in asked.items():
            try:
                overrides |= check_overrides({str(key): plain_override(str(key), value)})
            except _CONTRACT as error:
                self.problems.append(str(error))
        if len(overrides) < len(asked):
            raise _StoppedError
        known = (
            partial(horizon, overrides, request)
            if world is None
            else partial(world_horizon, overrides, world.max_steps)
        )
        return self.attempt("the horizon", known), overrides

    def world(self, max_steps: int) -> World | None:
        """Return the user's world, if it keeps its contract; all that is wrong is listed."""
        files = self.request.world
        assert files is not None
        with contextlib.suppress(_StoppedError):
            module = self.attempt("importing task/world.py", lambda: load_world(place_world(files)))
            world = self.attempt("create_world()", partial(self._make_world, module, max_steps))
            problems = self.attempt("the world", partial(self._world_problems, module))
            if not problems:
                return world
            self.problems += [f"task/world.py: {problem}" for problem in problems]
        return None

    def observed(self, world: World, module: ModuleType) -> Any:
        """Return the world as the candidate sees it, played."""
        env = self.attempt(
            "observation_space()", lambda: ObservedWorld(world, Perception.of(module))
        )
        self.attempt("the observation space", partial(observation_shape, env))
        self.attempt("the first steps", partial(self._play, env, bound=None))
        return env

    def _make_world(self, module: ModuleType, max_steps: int) -> World:
        request = self.request
        seed_everything(0)
        return create_world(
            module, num_envs=request.num_envs, max_steps=max_steps, seed=0, device=request.device
        )

    def _world_problems(self, module: ModuleType) -> list[str]:
        request = self.request
        try:
            check_world(
                module.create_world, num_envs=request.num_envs, device=request.device, steps=STEPS
            )
        except ConformanceError as error:
            return list(error.problems)
        return []

    def environment(self, module: ModuleType, max_steps: int) -> Any:
        """Return the candidate's environment, played; all that is wrong with it is listed."""
        before, env = len(self.problems), None
        with contextlib.suppress(_StoppedError):
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
            raise _StoppedError
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
        if self._seen is not None and not bool(logits.isfinite().all()):
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
            )  # fmt: skip
        except ConformanceError as error:
            return list(error.problems)
        except Exception as error:  # noqa: BLE001 - candidate code may raise anything
            return [f"raised {type(error).__name__}: {error}{_place(error)}"]
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
    modules = {}
    for name in ("env", "train"):
        with contextlib.suppress(_StoppedError):
            importing = partial(load_candidate, folder, name)
            modules[name] = check.attempt(f"importing candidate/{name}.py", importing)
    with contextlib.suppress(_StoppedError):
        _check_modules(check, modules)
    shown = [" ".join(problem.split())[:_LONGEST] for problem in check.problems]
    channel.send({"problems": list(dict.fromkeys(shown))[:_MOST]})


def _check_modules(check: _Check, modules: Mapping[str, ModuleType]) -> None:
    max_steps: int = check.request.max_steps or DEFAULT_MAX_STEPS
    overrides: dict[str, Any] | None = None
    world = None if check.request.world is None else check.world(max_steps)
    if "train" in modules:
        with contextlib.suppress(_StoppedError):
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


def _place(error: BaseException) -> str:
    """Return the line of the candidate's code that raised, as ` (candidate/env.py line 3)`."""
    place, trace = "", error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if "/candidate/" in file:
            place = f" (candidate/{file.rpartition('/')[2]} line {trace.tb_lineno})"
        trace = trace.tb_next
    return place
