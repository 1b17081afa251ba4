"""The two services a candidate is run as, each in a process of its own.

`train_and_serve` builds the candidate's environment and policy, trains the policy with PPO and then
answers observations with greedy actions. `serve_environment` runs fresh environments for an
evaluation elsewhere to step, or plays them through with given actions. Both speak through a channel
(`send(head, payload)` and `receive() -> (head, payload)`) given by whoever started the process, and
both run candidate code: whoever listens must not believe them further than it can check.

Payloads are C-contiguous arrays: observations float32 `[N, C, H, W]`, actions int64 `[N]`; a step
is rewards float64 `[N]`, then done uint8 `[N]`, then success uint8 `[N]`, then the observations; a
play is the first three of its steps, `[T, N]` each.
"""

import importlib
import random
import sys
import time
import traceback
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, get_args

import numpy as np
import torch
from torch import Tensor, nn

from simverse.core.checks import check_observation, check_step
from simverse.core.config import EnvConfig
from simverse.errors import EnvironmentContractError, PolicyError
from simverse.training.config import PPOConfig
from simverse.training.ppo import EpisodeStats, train
from simverse.training.rollout import ActorCritic, Precision

MAX_TEXT = 8_000
"""Longest text sent to the listener, in characters."""
_PRECISION_TRIES = 4


class _Channel(Protocol):
    def send(self, head: Mapping[str, Any], payload: bytes | memoryview = b"") -> None: ...

    def receive(self) -> tuple[dict[str, Any], bytes]: ...


class CandidateContractError(Exception):
    """The candidate lacks something or returns the wrong kind of thing, before any training."""


def prepare() -> None:
    """Make a process ready to be forked from: one thread, the slow imports done.

    Those are what candidates import (gymnasium's spaces) and what torch's optimisers import lazily.
    """
    import gymnasium.spaces  # noqa: F401 - importing it is the point
    import torch.profiler

    from simverse.training.utils import keep_freed_memory, warm_up

    torch.set_num_threads(1)
    keep_freed_memory()
    warm_up()


def train_and_serve(channel: _Channel) -> None:
    """Train one seed, then answer observations until the listener closes the channel."""
    _guarded(channel, _train_and_serve)


def serve_environment(channel: _Channel) -> None:
    """Create and step environments until the listener closes the channel."""
    _guarded(channel, _serve_environment)


def _guarded(channel: _Channel, service: Callable[[_Channel], None]) -> None:
    """Run a service; whatever the candidate raises becomes one last message."""
    try:
        service(channel)
    except CandidateContractError as error:
        _send_error(channel, "contract", error)
    except Exception as error:  # noqa: BLE001 - candidate code may raise anything
        _send_error(channel, "crash", error)


def _send_error(channel: _Channel, kind: str, error: Exception) -> None:
    # The last call comes last in a traceback, so the tail is what helps.
    text = "".join(traceback.format_exception(error))[-MAX_TEXT:]
    message = f"{type(error).__name__}: {error}"[:MAX_TEXT]
    channel.send({"kind": "error", "error": kind, "message": message, "traceback": text})


# -- training ----------------------------------------------------------------------------------


def _train_and_serve(channel: _Channel) -> None:
    job, _ = channel.receive()
    seed_everything(job["torch_seed"])
    folder = _place(job["files"])
    policy_module = load_candidate(folder, "train")
    channel.send({"kind": "overrides", "overrides": _overrides(policy_module, job)})
    settings, _ = channel.receive()

    env = _create_env(load_candidate(folder, "env"), job, settings["max_steps"])
    policy = _build_policy(policy_module, env).to(job["device"])
    channel.send({"kind": "ready", **_description(env, policy)})
    untrained = {name: value.detach().clone() for name, value in policy.state_dict().items()}

    episodes = 0

    def report(stats: EpisodeStats) -> None:
        nonlocal episodes
        episodes += 1
        channel.send({"kind": "episode", **_episode(stats)})

    try:
        train(
            env,
            policy,
            PPOConfig(**settings["config"]),
            episodes=job["train_episodes"],
            seed=job["sampling_seed"],
            device=job["device"],
            on_episode=report,
            precision=job["precision"],
        )
    except (EnvironmentContractError, PolicyError) as error:
        if episodes:
            raise  # it could do it at first: a crash in training, not a breach of contract
        raise CandidateContractError(str(error)) from error
    trained = {name: value.detach().clone() for name, value in policy.state_dict().items()}
    head: dict[str, Any] = {"kind": "trained", "threads": torch.get_num_threads()}
    if job["time_precisions"]:
        head["precision_s"] = _time_precisions(env, policy, settings["config"]["batch_size"], job)
    _close(env)
    channel.send(head)
    _serve_policy(channel, policy, {"trained": trained, "untrained": untrained}, job)


def _time_precisions(
    env: Any, policy: nn.Module, batch_size: int, job: dict[str, Any]
) -> dict[str, float]:
    """Return the seconds of one minibatch, forward and backward, by precision.

    It may change the weights (batch norms do) and the environment: both have done their work.
    """
    obs = check_observation(env.reset(), job["num_envs"], tuple(env.observation_space.shape))[0]
    obs = obs.detach().to(torch.float32).repeat(batch_size // len(obs) + 1, 1, 1, 1)[:batch_size]
    seconds: dict[str, float] = {}
    with torch.random.fork_rng(devices=[]):
        for precision in get_args(Precision):
            act = ActorCritic(policy, int(env.action_space.n), precision)
            tries = []
            for _ in range(_PRECISION_TRIES):
                started_s = time.perf_counter()
                outputs = [output for output in act(obs) if output.requires_grad]
                torch.autograd.backward(outputs, [torch.ones_like(output) for output in outputs])
                if obs.is_cuda:
                    torch.cuda.synchronize()
                tries.append(time.perf_counter() - started_s)
            seconds[precision] = min(tries)
    return seconds


def _overrides(module: ModuleType, job: dict[str, Any]) -> dict[str, Any]:
    function = _function(module, "training_overrides")
    overrides = function(num_envs=job["num_envs"], max_steps=job["max_steps"], device=job["device"])
    if overrides is None:
        return {}
    if not isinstance(overrides, Mapping):
        raise CandidateContractError(
            f"training_overrides() must return a dict, not {type(overrides).__name__}"
        )
    return {str(key): _plain(str(key), value) for key, value in overrides.items()}


def _plain(key: str, value: object) -> object:
    if isinstance(value, np.generic):
        value = value.item()
    if not isinstance(value, bool | int | float):
        raise CandidateContractError(
            f"training_overrides()[{key!r}] must be a number or a bool, not {type(value).__name__}"
        )
    return value


def _build_policy(module: ModuleType, env: Any) -> nn.Module:
    policy = _function(module, "build_policy")(env.observation_space, env.action_space)
    if not isinstance(policy, nn.Module):
        raise CandidateContractError(
            f"build_policy() must return a torch.nn.Module, not {type(policy).__name__}"
        )
    return policy


def _description(env: Any, policy: nn.Module) -> dict[str, Any]:
    name = type(env).__name__
    describe = getattr(env, "describe", None)
    return {
        "env_name": name[:200],
        "env_description": (str(describe()) if callable(describe) else name)[:2000],
        "observation_shape": [int(size) for size in env.observation_space.shape],
        "num_actions": int(env.action_space.n),
        "policy_parameters": sum(parameter.numel() for parameter in policy.parameters()),
    }


def _episode(stats: EpisodeStats) -> dict[str, Any]:
    return {
        "episode": stats.episode,
        "mean_return": stats.mean_return,
        "solve_rate": stats.solve_rate,
        "env_steps": stats.env_steps,
        "seconds": stats.seconds,
    }


def _serve_policy(
    channel: _Channel,
    policy: nn.Module,
    weights: dict[str, dict[str, Tensor]],
    job: dict[str, Any],
) -> None:
    policy.eval()
    loaded = None
    while (request := _next(channel)) is not None:
        head, payload = request
        if head["weights"] != loaded:
            loaded = head["weights"]
            policy.load_state_dict(weights[loaded])
        obs = np.frombuffer(payload, dtype=np.float32).reshape(head["shape"])
        with torch.no_grad():
            act = ActorCritic(policy, head["num_actions"], job["precision"])
            actions = _greedy(act, torch.from_numpy(obs.copy()).to(job["device"]))
        channel.send({"kind": "actions"}, actions.cpu().numpy().astype(np.int64).tobytes())


def _greedy(act: ActorCritic, obs: Tensor) -> Tensor:
    logits, _ = act(obs)
    if not bool(torch.isfinite(logits).all()):
        raise PolicyError("the policy's logits are not finite")
    return logits.argmax(dim=-1)


# -- environments ------------------------------------------------------------------------------


def _serve_environment(channel: _Channel) -> None:
    job, _ = channel.receive()
    seed_everything(job["torch_seed"])
    module = load_candidate(_place(job["files"]), "env")
    env: Any = None
    while (request := _next(channel)) is not None:
        head, payload = request
        if head["do"] == "create":
            if env is not None:
                _close(env)
            seed_everything(head["torch_seed"])
            env = _create_env(module, job | {"env_seed": head["env_seed"]}, job["max_steps"])
            with torch.no_grad():
                shape = tuple(env.observation_space.shape)
                obs = _array(check_observation(env.reset(), job["num_envs"], shape)[0])
            channel.send({"kind": "reset", "shape": list(obs.shape)}, obs.tobytes())
            continue
        actions = np.frombuffer(payload, dtype=np.int64).reshape(-1, job["num_envs"])
        if head["do"] == "play":
            played, digest = _play(env, actions, job["device"], digest=head["digest"])
            channel.send({"kind": "play", "digest": digest}, played)
        else:
            arrays = _step(env, actions[0], job["device"])
            channel.send({"kind": "step"}, b"".join(array.tobytes() for array in arrays))


def _create_env(module: ModuleType, job: dict[str, Any], max_steps: int) -> Any:
    config = EnvConfig(num_envs=job["num_envs"], max_steps=max_steps, seed=job["env_seed"])
    env = _function(module, "create_env")(
        config, num_envs=job["num_envs"], device=job["device"], dtype=torch.float32
    )
    for name in ("reset", "step", "action_space", "observation_space"):
        if not hasattr(env, name):
            raise CandidateContractError(f"create_env() returned an environment without `{name}`")
    if len(tuple(env.observation_space.shape)) != 3:
        raise CandidateContractError(
            f"observation_space.shape must be (C, H, W), not {tuple(env.observation_space.shape)}"
        )
    if int(env.action_space.n) < 1:
        raise CandidateContractError("action_space.n must be at least 1")
    return env


def _play(env: Any, actions: np.ndarray, device: str, *, digest: bool) -> tuple[bytes, int]:
    """Step through actions `[T, N]` until every sub-environment has ended once.

    Returns rewards, done and success, zeros for the steps that were spared, and a checksum of all
    observations (0 without).
    """
    columns = [np.zeros(actions.shape, dtype) for dtype in (np.float64, np.uint8, np.uint8)]
    ended = np.zeros(actions.shape[1], dtype=bool)
    checksum = 0
    for step, row in enumerate(actions):
        *values, obs = _step(env, row, device)
        for column, value in zip(columns, values, strict=True):
            column[step] = value
        if digest:
            checksum = zlib.crc32(obs.data, checksum)
        ended |= values[1].astype(bool)
        if ended.all():
            break
    return b"".join(column.tobytes() for column in columns), checksum


def _step(env: Any, actions: np.ndarray, device: str) -> tuple[np.ndarray, ...]:
    with torch.no_grad():
        result = env.step(torch.from_numpy(actions.copy()).to(device))
    step = check_step(result, len(actions), tuple(env.observation_space.shape))
    success = torch.zeros_like(step.done) if step.success is None else step.success
    return (
        step.reward.detach().cpu().numpy().astype(np.float64),
        step.done.cpu().numpy().astype(np.uint8),
        success.cpu().numpy().astype(np.uint8),
        _array(step.obs),
    )


def _array(obs: Tensor) -> np.ndarray:
    """Return observations `[N, C, H, W]` as contiguous float32."""
    return np.ascontiguousarray(obs.detach().cpu().to(torch.float32).numpy())


# -- both --------------------------------------------------------------------------------------


def seed_everything(seed: int) -> None:
    """Seed every global generator a candidate may draw from (Python's, numpy's, torch's)."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - candidates may use the legacy global generator
    torch.manual_seed(seed)


def _place(files: Mapping[str, str]) -> Path:
    """Write the candidate's files to a folder below the working directory, and return it."""
    folder = Path.cwd() / "candidate"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8", newline="")
    return folder


def load_candidate(candidate_dir: str | Path, name: str) -> ModuleType:
    """Import `candidate.<name>` from any folder, whatever that folder is called."""
    if "candidate" not in sys.modules:
        package = ModuleType("candidate")
        package.__path__ = [str(Path(candidate_dir))]
        sys.modules["candidate"] = package
    return importlib.import_module(f"candidate.{name}")


def _function(module: ModuleType, name: str) -> Callable[..., Any]:
    function = getattr(module, name, None)
    if not callable(function):
        raise CandidateContractError(f"{module.__name__.replace('.', '/')}.py lacks {name}()")
    found: Callable[..., Any] = function
    return found


def _close(env: Any) -> None:
    close = getattr(env, "close", None)
    if callable(close):
        close()


def _next(channel: _Channel) -> tuple[dict[str, Any], bytes] | None:
    """Return the next request, or None when the listener has closed the channel."""
    head, payload = channel.receive()
    return None if head.get("do") == "close" else (head, payload)
