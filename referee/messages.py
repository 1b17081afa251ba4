"""Both ends of the channel between the referee and a worker: every message's kind, size and checks.

A message is a JSON head and a raw payload. The functions come in pairs, one for each end. The
referee's end checks everything it receives: a worker runs the candidate's code, so any message may
be forged. Payloads are C-contiguous arrays, `T` steps of `N` sub-environments:

===============  =========  ==================================================================
message          sender     payload
===============  =========  ==================================================================
job, settings    referee    none
overrides        trainer    none
ready, trained   trainer    none
episode          trainer    none
`act`            referee    observations float32 `[N, C, H, W]`
actions          trainer    int64 `[N]`
`create`         referee    none
reset            env.       observations
`step`           referee    actions int64 `[N]`
step             env.       rewards float64 `[N]`, done, success uint8 `[N]`, observations
play             env.       rewards float64 `[T, N]`, done, success uint8 `[T, N]`
error            both       none; the last message
===============  =========  ==================================================================

The evaluator file of version 0.1's workspaces has the referee's end of its own: heads and payloads
can't change without a new `EVALUATOR_PROTOCOL`. It alone requests a `play` of many steps at once.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np

from referee.records import CandidateError
from referee.wire import count as whole
from referee.wire import receive, shown
from sandbox import Channel
from sandbox.channel import MAX_PAYLOAD_BYTES

MAX_OBSERVATION_SIZE = 2**21
"""Most numbers of one observation."""
MAX_ACTIONS = 2**16
"""Most actions to choose from."""
Weights = Literal["trained", "untrained"]


# -- jobs: the first message to a worker -----------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """What the training worker needs before it imports the candidate."""

    files: Mapping[str, str]
    """The candidate's modules by file name."""
    env_seed: int
    torch_seed: int
    sampling_seed: int
    num_envs: int
    max_steps: int
    """The horizon, unless the candidate overrides it."""
    train_episodes: int
    device: str
    precision: Literal["fp32", "bf16"]
    world: Mapping[str, str] | None = None
    """The modules of the user's own world by file name, where there is one."""
    config_max_steps: int = 0
    """What `config.max_steps` is for that world, as in evaluation."""
    path: Literal["fused", "torch"] = "fused"
    """What trains the policy: fused arithmetic where it is known, or torch in any case."""


@dataclass(frozen=True, kw_only=True)
class EnvironmentJob:
    """What the environment worker needs before it imports the candidate."""

    files: Mapping[str, str]
    torch_seed: int
    num_envs: int
    max_steps: int
    device: str


@dataclass(frozen=True, kw_only=True)
class WorldJob:
    """What the world's worker needs before it imports the world."""

    files: Mapping[str, str]
    """The world's modules by file name."""
    torch_seed: int
    num_envs: int
    max_steps: int
    """What `config.max_steps` is; the horizon is the world's."""
    device: str


_Job = TypeVar("_Job", TrainingJob, EnvironmentJob, WorldJob)


def send_job(channel: Channel, job: TrainingJob | EnvironmentJob | WorldJob) -> None:
    """Send a worker its job."""
    channel.send(dataclasses.asdict(job))


def receive_job(channel: Channel, job: type[_Job]) -> _Job:
    """Receive a worker's job. The evaluator file of an older workspace may send further keys."""
    head, _ = channel.receive()
    known = (field.name for field in dataclasses.fields(job) if field.name in head)
    return job(**{name: head[name] for name in known})


# -- training --------------------------------------------------------------------------------------


def send_overrides(channel: Channel, overrides: Mapping[str, object]) -> None:
    """Send what the candidate's `training_overrides` returned."""
    channel.send({"kind": "overrides", "overrides": overrides})


def receive_overrides(channel: Channel) -> object:
    """Receive the overrides, still to be checked (`overrides.check_overrides`)."""
    return receive(channel, "overrides")[0].get("overrides")


def send_settings(channel: Channel, max_steps: int, config: Mapping[str, Any]) -> None:
    """Send the horizon and the fields of `PPOConfig` to train with."""
    channel.send({"max_steps": max_steps, "config": config})


def receive_settings(channel: Channel) -> tuple[int, dict[str, Any]]:
    """Receive the horizon and the fields of `PPOConfig`."""
    head, _ = channel.receive()
    return head["max_steps"], head["config"]


@dataclass(frozen=True, kw_only=True)
class CandidateFacts:
    """What environment and policy are, once they are built."""

    env_name: str
    env_description: str
    observation_shape: tuple[int, ...]
    num_actions: int
    policy_parameters: int


def send_facts(channel: Channel, facts: CandidateFacts) -> None:
    """Say that environment and policy are built."""
    channel.send({"kind": "ready", **dataclasses.asdict(facts)})


def receive_facts(channel: Channel, num_envs: int) -> CandidateFacts:
    """Wait until environment and policy are built."""
    head, _ = receive(channel, "ready")
    return CandidateFacts(
        env_name=text(head, "env_name", 200),
        env_description=text(head, "env_description", 2000),
        observation_shape=checked_shape(head.get("observation_shape"), num_envs),
        num_actions=checked_actions(head),
        policy_parameters=whole(head.get("policy_parameters"), "policy_parameters"),
    )


def checked_actions(head: Mapping[str, Any]) -> int:
    """Return how many actions a worker says that there are, if it can be."""
    return whole(head.get("num_actions"), "num_actions", least=1, most=MAX_ACTIONS)


def checked_shape(sizes: object, num_envs: int) -> tuple[int, ...]:
    """Return `(C, H, W)` as a worker names it, if observations of that shape can be handled."""
    if not isinstance(sizes, list) or len(sizes) != 3:
        raise CandidateError("rejected", f"the worker's observation_shape is {shown(sizes)}")
    shape = tuple(whole(size, "observation_shape", least=1) for size in sizes)
    if math.prod(shape) > MAX_OBSERVATION_SIZE:
        raise CandidateError(
            "invalid", f"observations of shape {shape} are over {MAX_OBSERVATION_SIZE:,} numbers"
        )
    if num_envs * (4 * math.prod(shape) + 10) > MAX_PAYLOAD_BYTES:
        raise CandidateError(
            "invalid",
            f"observations of shape {shape} times {num_envs} sub-environments are over "
            f"{MAX_PAYLOAD_BYTES >> 20} MiB",
        )
    return shape


def text(head: Mapping[str, Any], name: str, most: int) -> str:
    """Return a text of a message that any file and stream can hold, cut to `most` characters."""
    value = head.get(name)
    if not isinstance(value, str):
        raise CandidateError("rejected", f"the worker's {name} is no text: {shown(value)}")
    return value[:most].encode(errors="replace").decode()


def send_trained(channel: Channel, threads: int, path: str) -> None:
    """Say that training has ended, how many threads torch is set to, and what trained."""
    channel.send({"kind": "trained", "threads": threads, "path": path})


def receive_trained(channel: Channel) -> tuple[int, str]:
    """Wait for the end of training; return the number of threads, and `fused` or `torch`."""
    head, _ = receive(channel, "trained")
    threads, path = whole(head.get("threads"), "threads"), head.get("path")
    if path not in ("fused", "torch"):  # of a worker: it may be anything
        raise CandidateError("rejected", f"the worker's path is none: {shown(path)}")
    return threads, str(path)


# -- acting ----------------------------------------------------------------------------------------


def send_act(
    channel: Channel, weights: Weights, shape: Sequence[int], num_actions: int, obs: bytes
) -> None:
    """Request greedy actions for observations of a shape `[N, C, H, W]`."""
    head = {"do": "act", "weights": weights, "shape": list(shape), "num_actions": num_actions}
    channel.send(head, obs)


def send_actions(channel: Channel, actions: np.ndarray) -> None:
    """Answer with int64 `[N]`."""
    channel.send({"kind": "actions"}, actions.astype(np.int64).tobytes())


def receive_actions(channel: Channel, count: int, num_actions: int) -> bytes:
    """Receive `count` legal actions, as the environment worker expects them."""
    _, payload = receive(channel, "actions", payload_bytes=8 * count)
    actions = np.frombuffer(payload, np.int64)
    if actions.min() < 0 or actions.max() >= num_actions:
        raise CandidateError(
            "rejected", f"the policy worker chose an action outside 0 to {num_actions - 1}"
        )
    return payload


# -- environments ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """One step of a batch."""

    reward: np.ndarray
    """float64 `[N]`, a view of the whole message."""
    done: np.ndarray
    """bool `[N]`."""
    success: np.ndarray
    """bool `[N]`."""
    obs: bytes
    """The next observations, float32 `[N, C, H, W]`."""


def send_create(channel: Channel, env_seed: int, torch_seed: int) -> None:
    """Request a fresh batch."""
    channel.send({"do": "create", "env_seed": env_seed, "torch_seed": torch_seed})


def send_reset(channel: Channel, obs: np.ndarray, num_actions: int) -> None:
    """Answer with a fresh batch's first observations, float32 `[N, C, H, W]`."""
    head = {"kind": "reset", "shape": list(obs.shape), "num_actions": num_actions}
    channel.send(head, obs.tobytes())


def receive_reset(channel: Channel, shape: list[int]) -> bytes:
    """Receive the first observations, `[N, C, H, W]`."""
    head, obs = receive(channel, "reset", payload_bytes=4 * math.prod(shape))
    if head.get("shape") != shape:
        raise CandidateError(
            "rejected", f"evaluation observations are {shown(head.get('shape'))}, not {shape}"
        )
    return obs


def send_step_request(channel: Channel, actions: bytes) -> None:
    """Request one step."""
    channel.send({"do": "step"}, actions)


def send_step(channel: Channel, arrays: Sequence[np.ndarray]) -> None:
    """Answer with rewards, done, success and observations, in the dtypes of the table above."""
    channel.send({"kind": "step"}, b"".join(array.tobytes() for array in arrays))


def receive_step(
    channel: Channel, count: int, obs_bytes: int, *, timeout_s: float | None = None
) -> Step:
    """Receive one step of `count` sub-environments."""
    size = 10 * count + obs_bytes
    _, payload = receive(channel, "step", payload_bytes=size, timeout_s=timeout_s)
    return Step(
        reward=np.frombuffer(payload, np.float64, count),
        done=np.frombuffer(payload, np.uint8, count, offset=8 * count).astype(bool),
        success=np.frombuffer(payload, np.uint8, count, offset=9 * count).astype(bool),
        obs=payload[10 * count :],
    )


def send_play(channel: Channel, columns: Sequence[np.ndarray], digest: int) -> None:
    """Answer with rewards, done and success, `[T, N]`, and the observations' checksum."""
    payload = b"".join(column.tobytes() for column in columns)
    channel.send({"kind": "play", "digest": digest}, payload)
