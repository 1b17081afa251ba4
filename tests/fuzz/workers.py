"""Hostile workers: messages that are cut, forged and absurd, read by the referee over real sockets.

Every worker's replies are written before the referee reads them; honest ones would be a short
training and evaluation. Whatever they become, a seed's measurement must end as a result that the
daemon can read, or as the candidate's fault.
"""

import contextlib
import dataclasses
import json
import random
import resource
import socket
import struct
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np

from orchestrator.core.evaluations import Measurement
from orchestrator.core.records import Files, Rung
from orchestrator.evaluation.messages import read_message
from referee.records import CandidateError, EvaluationRequest
from referee.resume import ResumeTexts
from referee.seed_run import SeedRun
from referee.summary import summarise
from referee.workers import TRAINING
from sandbox import Channel, WorkerPool

N, STEPS, SHAPE, ACTIONS = 3, 4, (1, 1, 2), 2
REQUEST = EvaluationRequest(
    candidate_dir=Path("c"), seeds=(7, 8, 9), train_episodes=2, eval_episodes=2, num_envs=N,
    max_steps=STEPS, reward_bound=1.0, memory_mb=900, compare_with={"env.py": "", "train.py": ""},
)  # fmt: skip
WHAT = Measurement(Rung(2, 2), REQUEST.seeds, compared_with=Files("", ""))
PLAYS = 8
_FILES = {"env.py": "", "train.py": ""}
"""Scored, replay, random, untrained, an audit from the third seed on, one more if two seeds start
alike, and two in the incumbent's environment."""
SLOWEST_S = 20.0
GROWTH_MB = 400.0


def _nested(depth: int, leaf: Any = 1) -> Any:
    for _ in range(depth):
        leaf = [leaf]
    return leaf


VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 3, 7, 2**16, 2**31, 2**53 + 1, 2**63, 2**64, 2**70, -(2**70),
    10**400, 10**4200, 0.0, -0.0, 0.5, 1e-320, 1e299, 1e300, 1e308, float("inf"), -float("inf"),
    float("nan"), "", "1", "nan", "error", "kind", "x" * 5000, "\x1b[31m\0\n", "\ud800", "ä🙂",
    [], {}, [1], [1, 1, 2], [1, 1, 2, 3], [-1, -1, 2], [True, 1, 2], [1.0, 1.0, 2.0], [2**40] * 3,
    ["1", "1", "2"], [2**21, 1, 1], [2**20, 1, 2], {"a": 1}, {"lr": 1}, {"lr": [1]},
    {"lr": float("nan")}, {"lr": 10**400}, {"max_steps": 3}, {"max_steps": 4}, {"x" * 9000: 1},
    {"batch_size": True}, {"gamma": "1"}, _nested(40), _nested(900), {"a": _nested(900)},
    {str(n): n for n in range(300)}, {"goal": float("nan"), "\x1b[31m": 1, "entropy": 10**400},
)  # fmt: skip
KINDS = ("overrides", "ready", "episode", "trained", "actions", "reset", "step", "play", "error")
KEYS = (
    "kind", "overrides", "env_name", "env_description", "observation_shape", "num_actions",
    "policy_parameters", "mean_return", "solve_rate", "env_steps", "learning", "reward_parts",
    "threads", "shape", "error",
    "message", "traceback", "type", "file", "line",
)  # fmt: skip
TEXTS = (
    b"", b"{}", b"[]", b"null", b"1", b'"x"', b"{", b"[" * 100_000, b'{"a":' * 5_000, b"\xff\xfe",
    b'{"kind":"step","kind":"reset"}', b'{"kind":"actions","kind":"actions"}', b"NaN",
    b'{"kind":' + b"9" * 5000 + b"}", b'{"kind":"ready","num_actions":1e999}', b"\0" * 64,
)  # fmt: skip
HEADERS = ((2**32 - 1, 0), (0, 2**32 - 1), (2**31, 2**31), (4 * 2**20, 0), (0, 512 * 2**20))
ERROR = {
    "kind": "error", "error": "crash", "message": "ValueError: seed 1", "traceback": "T",
    "type": "ValueError", "file": "env.py", "line": 3,
}  # fmt: skip


@dataclasses.dataclass
class _Message:
    """One message as it will be written."""

    head: dict[str, Any]
    payload: bytes = b""
    raw: bytes | None = None
    """The whole message as bytes, where it is none that JSON could say."""

    def encode(self) -> bytes:
        """Return the message's bytes on the wire."""
        if self.raw is not None:
            return self.raw
        text = json.dumps(self.head).encode()
        return struct.pack("<II", len(text), len(self.payload)) + text + self.payload


def _trainer() -> list[_Message]:
    """Return what an honest training worker sends, and its actions for three plays."""
    ready = {
        "kind": "ready", "env_name": "Tiny", "env_description": "a task",
        "observation_shape": list(SHAPE), "num_actions": ACTIONS, "policy_parameters": 9,
    }  # fmt: skip
    episode = {
        "kind": "episode", "mean_return": 0.5, "solve_rate": 0.5, "env_steps": N * STEPS,
        "learning": {"entropy": 0.6}, "reward_parts": {"goal": 0.5},
    }  # fmt: skip
    actions = np.arange(N, dtype=np.int64) % ACTIONS
    return [
        _Message({"kind": "overrides", "overrides": {"lr": 0.01}}),
        _Message(ready),
        *(_Message(dict(episode)) for _ in range(REQUEST.train_episodes)),
        _Message({"kind": "trained", "threads": 1, "path": "torch"}),
        *(_Message({"kind": "actions"}, actions.tobytes()) for _ in range(3 * STEPS)),
    ]


def _environment(generator: random.Random) -> list[_Message]:
    """Return what an honest environment worker sends in one play."""
    start = generator.choice([0.0, generator.random()])
    obs = np.full((N, *SHAPE), start, np.float32).tobytes()
    steps = []
    for step in range(1, STEPS + 1):
        reward = np.array([generator.choice([0.0, 0.5, 1.0]) for _ in range(N)])
        done = np.array([step == STEPS or generator.random() < 0.2] * N, np.uint8)
        steps.append(reward.tobytes() + done.tobytes() + done.tobytes() + obs)
    reset = _Message({"kind": "reset", "shape": [N, *SHAPE], "num_actions": ACTIONS}, obs)
    return [reset, *(_Message({"kind": "step"}, payload) for payload in steps)]


def _again(message: _Message) -> _Message:
    return dataclasses.replace(message, head=dict(message.head))


def _spoil(messages: list[_Message], generator: random.Random) -> None:
    """Change one message of a worker, or their order."""
    index = generator.randrange(len(messages))
    message = messages[index]
    match generator.randrange(11):
        case 0 | 1 | 2:
            key = generator.choice([*message.head, generator.choice(KEYS)])
            message.head[key] = generator.choice(VALUES)
        case 3:
            message.head.pop(generator.choice([*message.head, "kind"]), None)
        case 4:
            message.head = ERROR | {generator.choice([*ERROR]): generator.choice(VALUES)}
            message.payload = b""
        case 5:
            payload = bytearray(message.payload)
            for _ in range(generator.randint(1, 9) if payload else 0):
                payload[generator.randrange(len(payload))] = generator.choice([0, 127, 255, 240])
            message.payload = bytes(payload)
        case 6:
            cut = generator.randint(0, len(message.payload) + 8)
            message.payload = (message.payload + bytes(8))[:cut]
        case 7:
            text = generator.choice(TEXTS)
            message.raw = struct.pack("<II", len(text), len(message.payload)) + text
            message.raw += message.payload
        case 8:
            whole = message.encode()
            message.raw = generator.choice(
                [
                    struct.pack("<II", *generator.choice(HEADERS)),
                    whole[: generator.randrange(max(1, len(whole)))],
                    generator.randbytes(generator.randint(0, 40)),
                ]
            )
        case 9:
            messages.insert(generator.randrange(len(messages) + 1), _again(message))
        case 10:
            del messages[index]
            messages.append(_Message({"kind": generator.choice(KINDS)}))


@dataclasses.dataclass(frozen=True)
class _Ending:
    """How a worker ended."""

    why: str = ""
    signal: int | None = None


class _Worker:
    """A worker whose replies have all arrived already, and that has gone."""

    pid = 0

    def __init__(self, replies: list[_Message]) -> None:
        ours, theirs = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**21)
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**21)
        theirs.setblocking(False)
        with contextlib.suppress(BlockingIOError):  # then its end stays unsaid
            theirs.sendall(b"".join(reply.encode() for reply in replies))
        theirs.shutdown(socket.SHUT_WR)
        self.channel = Channel(ours)
        self._theirs = theirs

    def end(self, *, grace_s: float = 0.0) -> Any:
        """Tell how it ended."""
        del grace_s
        return _Ending()

    def processor_s(self) -> tuple[float, float]:
        """Return no processor time at all."""
        return 0.0, 0.0

    def peak_memory_mb(self) -> float:
        """Return some memory."""
        return 1.0

    def output(self) -> str:
        """Return what it printed."""
        return "printed by the candidate"

    def close(self) -> None:
        """Close both ends."""
        self.channel.close()
        self._theirs.close()


class _Pool:
    """Hands out the workers of one input."""

    def __init__(self, trainer: list[_Message], environments: list[list[_Message]]) -> None:
        self._trainer = trainer
        self._environments: Iterator[list[_Message]] = iter(environments)

    def acquire(self, entry: str, **_limits: Any) -> _Worker:
        """Return the trainer, or the next environment."""
        return _Worker(self._trainer if entry == TRAINING else next(self._environments, []))

    def release(self, worker: _Worker) -> None:
        """Close what a worker holds."""
        worker.close()

    def has_died(self) -> bool:
        """Say that the server lives."""
        return False


def _pool(generator: random.Random) -> _Pool:
    trainer = _trainer()
    environments = [_environment(generator) for _ in range(PLAYS)]
    if generator.random() < 0.3:  # two equal plays, as an honest environment gives them
        environments = [[_again(one) for one in environments[0]] for _ in range(PLAYS)]
    for _ in range(generator.choice([0, 1, 1, 1, 2, 5])):
        _spoil(generator.choice([trainer, trainer, *environments]), generator)
    return _Pool(trainer, environments)


def measure(generator: random.Random) -> str:
    """Measure one seed with hostile workers; return how it ended.

    Raises:
        Exception: a fault of the referee, or of the daemon's reader.
    """
    pool = cast("WorkerPool", _pool(generator))
    try:
        seed = SeedRun(
            pool,
            REQUEST,
            _FILES,
            generator.choice(REQUEST.seeds),
            lambda done: json.dumps(vars(done)),
        )
        measured = seed.run()
        ResumeTexts(REQUEST, _FILES).write(measured, 1.0)
        result = dataclasses.asdict(summarise(REQUEST, [measured], 1.0))
        event: dict[str, Any] = {"event": "result", "result": result}
    except CandidateError as error:
        told = {"reason": error.reason, "details": error.details, "seed": None, "score": None}
        event = {"event": "failure", "kind": error.kind, **told, "withheld": error.withheld}
        if error.withheld and "printed by" in error.reason + error.details:
            raise AssertionError("the output of an evaluation's worker is told") from error
    with np.errstate(all="ignore"):
        read_message(json.dumps(event).encode(), WHAT)
    return str(event.get("kind", "result"))


def run(inputs: int, seed: int) -> tuple[int, list[str]]:
    """Try so many inputs; return how many were tried, and every fault found."""
    faults = []
    before_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    for number in range(inputs):
        started_s = time.monotonic()
        try:
            measure(random.Random(f"{seed}/{number}"))
        except Exception:  # noqa: BLE001 - each is a fault to be shown
            faults.append(f"input {seed}/{number}: {traceback.format_exc(limit=-4)}")
        if time.monotonic() - started_s > SLOWEST_S:
            faults.append(f"input {seed}/{number}: took over {SLOWEST_S:g} s")
    growth_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before_mb
    if growth_mb > GROWTH_MB:
        faults.append(f"the process grew by {growth_mb:.0f} MB")
    return inputs, faults
