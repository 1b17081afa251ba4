"""Fakes: small classes that stand in for the outside world. Our own code is never patched."""

import contextlib
import json
import random
import re
import statistics
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

from orchestrator.core.errors import EvaluatorError, StopRequestedError
from orchestrator.core.evaluations import Evaluation, Measurement, Report, SeedResult
from orchestrator.core.records import Files, Phase, Rung, Status
from orchestrator.engine.ports import Host, Watch

T = TypeVar("T")


class StubEvaluator:
    """An evaluator in this process: it scores by `SCORE = x` in train.py, or does what it is told.

    `DO = "crash"` gives that status, `DO = "stop"` behaves as if the run was ended meanwhile,
    `DO = "broken"` as if the evaluator itself had failed. `FLAG = "x"` raises that flag, `STEPS = 9`
    is the horizon, and with `DO = "rejected"` the score is told too if `SCORE` is given. Seeds differ
    by `NOISE`, and alike for every candidate by `LUCK`; it fails on the seed `FAILS_ON` (of fresh
    seeds: by its last four digits).
    """

    def __init__(self) -> None:
        self.seen: list[tuple[Files, Rung]] = []

    def evaluate(
        self, files: Files, what: Measurement, folder: str, host: Host, watch: Watch
    ) -> Evaluation:
        """Answer by the constants in the candidate."""
        rung = what.rung
        self.seen.append((files, rung))
        watch({"event": "episode"})
        host.wait("", 0)
        do = _constant(files.train, "DO", '"score"').strip('"')
        if do == "stop":
            raise StopRequestedError("stopped by a test")
        if do == "broken":
            raise EvaluatorError("broken by a test")
        if do != "score":
            told = _constant(files.train, "SCORE", "")
            return Evaluation(
                Status(do), score=float(told) if told and do == "rejected" else None,
                reason=f"told to {do}", details="Traceback: told to",
            )  # fmt: skip
        score = float(_constant(files.train, "SCORE", "0"))
        score += rung.train_episodes * float(_constant(files.train, "PER_EPISODE", "0"))
        noise = float(_constant(files.train, "NOISE", "0"))
        luck = float(_constant(files.train, "LUCK", "0"))
        values = {
            seed: score
            + noise * random.Random(f"{files.train}{seed}").gauss(0, 1)
            + luck * random.Random(seed).gauss(0, 1)
            for seed in (*what.seeds, *what.more_seeds)
        }
        fails_on = int(_constant(files.train, "FAILS_ON", "-1"))
        curve = tuple(score * (i + 1) / rung.train_episodes for i in range(rung.train_episodes))
        used: list[int] = []
        if what.follow:
            for episode in what.checkpoints:
                event = {"event": "checkpoint", "episode": episode, "curve": curve[:episode]}
                if not watch(event):
                    return Evaluation(None)
            for seed, value in values.items():
                if fails_on in {seed, seed % 10_000}:
                    failed = (SeedResult(seed, None),)
                    return Evaluation(Status.CRASH, reason="told to fail", evidence=failed)
                used.append(seed)
                event = {
                    "event": "seed", "seed": seed, "value": value, "solve_rate": 0.5,
                    "curve": curve, "returns": [values[s] for s in used],
                    "policy_parameters": 100,
                    "observation_shape": [1, 5, 5],
                }  # fmt: skip
                if not watch(event):
                    break
        scored = {seed: values[seed] for seed in (used or what.seeds) if seed in what.seeds}
        return Evaluation(
            None, scores_by_seed=scored,
            score=statistics.fmean(scored.values()) if len(scored) == len(what.seeds) else None,
            max_steps=int(_constant(files.train, "STEPS", "20")),
            report=Report({
                "mean_solve_rate": 0.5, "observation_shape": [1, 5, 5],
                "policy_parameters": 100,
            }),
            flags=tuple(filter(None, [_constant(files.train, "FLAG", "").strip('"')])),
            evidence=tuple(
                SeedResult(seed, values[seed], 0.5, curve,
                           purpose=what.purpose_of(seed))
                for seed in used or what.seeds
            ),
        )  # fmt: skip

    def close(self) -> None:
        """Nothing to end."""


class QuietHost:
    """A host that never waits and remembers what it was told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, object]]] = []
        self.phases: list[Phase] = []
        self.stop_after_waits: int | None = None

    def show(self, phase: Phase, **facts: object) -> None:
        """Remember the phase."""
        self.phases.append(phase)

    def log(self, event: str, level: str = "info", **facts: object) -> None:
        """Remember the event."""
        self.events.append((event, facts))

    def now(self) -> str:
        """Return always the same time."""
        return "2026-11-22T03:04:05.000Z"

    def wait(self, reason: str, seconds: float) -> None:
        """Return at once, or end the run after so many waits."""
        if seconds and self.stop_after_waits is not None:
            self.stop_after_waits -= 1
            if self.stop_after_waits < 0:
                raise StopRequestedError("stopped by a test")

    def call(self, function: Callable[[], T], timeout_s: float) -> T:
        """Call it here."""
        return function()


def _constant(source: str, name: str, default: str) -> str:
    found = re.search(rf"^{name} = (.+)$", source, re.MULTILINE)
    return found[1] if found else default


def reply(train: str | None = None, env: str | None = None, description: str = "a change") -> str:
    """Return a reply in the format of the contract."""
    parts = [f"description: {description}", "rationale: because"]
    for path, text in (("candidate/train.py", train), ("candidate/env.py", env)):
        if text is not None:
            parts.append(f"\n{path}\n````python\n{text}````")
    return "\n".join(parts) + "\n"


def write_script(folder: Path, replies: Sequence[str]) -> Path:
    """Write replies as a `scripted` agent reads them; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, text in enumerate(replies, 1):
        (folder / f"{number:04d}.md").write_text(text)
    return folder


class WaitingContext:
    """An agent's context whose waits take no time and are recorded; calls run against a clock.

    `on_wait` is called at every wait, for a test that changes the world meanwhile.
    """

    def __init__(self, on_wait: Callable[[], None] | None = None) -> None:
        self.waits: list[tuple[str, float]] = []
        self._on_wait = on_wait

    def wait(self, reason: str, seconds: float) -> None:
        """Record the wait and return at once; after a hundred of them a test has gone wrong."""
        self.waits.append((reason, seconds))
        assert len(self.waits) <= 100
        if self._on_wait is not None:
            self._on_wait()

    def call(self, function: Callable[[], T], timeout_s: float) -> T:
        """Run it in a thread that is left alone when the time is up."""
        done: Future[T] = Future()

        def work() -> None:
            try:
                done.set_result(function())
            except BaseException as error:  # noqa: BLE001 - it belongs to the caller
                done.set_exception(error)

        threading.Thread(target=work, daemon=True).start()
        return done.result(timeout_s)


class SimulatedContext:
    """An agent's context with a clock that only waits move; the run ends at a time."""

    def __init__(self, *, ends_at_s: float, on_wait: Callable[[float], None] | None = None) -> None:
        self.now_s = 0.0
        self.waits: list[float] = []
        self._ends_at_s = ends_at_s
        self._on_wait = on_wait

    def wait(self, reason: str, seconds: float) -> None:
        """Let the time pass; `on_wait` is told what time it is then."""
        self.waits.append(seconds)
        self.now_s += seconds
        if self.now_s >= self._ends_at_s:
            raise StopRequestedError("the simulated time is over")
        if self._on_wait is not None:
            self._on_wait(self.now_s)

    def call(self, function: Callable[[], T], timeout_s: float) -> T:
        """Call it here."""
        return function()


@dataclass(frozen=True)
class Answer:
    """One HTTP answer of a `ChatServer`."""

    status: int = 200
    body: object = b""
    """Bytes or text as they are; anything else as JSON."""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    """The server is silent for so long before it answers."""
    trickle_s: float = 0.0
    """It waits so long after every byte."""
    cut_at: int | None = None
    """It hangs up after so many bytes of the body."""
    sized: bool = True
    """It says beforehand how long the body is; if not, the end of the connection ends it."""


def completion(text: object = "hello", finish: object = "stop", **more: object) -> Answer:
    """Return the answer of a healthy server; `usage=…` and other top-level fields can be added."""
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": finish}
    known = {"id": "x", "object": "chat.completion", "created": 1, "model": "m"}
    return Answer(body=known | {"choices": [choice]} | more)


def refusal(status: int, message: str = "no", **fields: object) -> Answer:
    """Return an error as the OpenAI API words it."""
    return Answer(status, {"error": {"message": message} | fields})


class ChatServer:
    """A chat-completions endpoint on loopback that answers by a script and records what it is asked.

    After the script's end it answers 418, which no client should retry.
    """

    def __init__(self, *answers: Answer, port: int = 0) -> None:
        self.requests: list[dict[str, Any]] = []
        self.headers: list[Mapping[str, str]] = []
        self._answers = list(answers)
        self._ended = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                server._serve(self)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._http = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"
        threading.Thread(target=self._http.serve_forever, args=(0.005,), daemon=True).start()

    def close(self) -> None:
        """Stop answering, at once."""
        self._ended.set()
        self._http.shutdown()
        self._http.server_close()

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        length = int(handler.headers["content-length"])
        self.requests.append(json.loads(handler.rfile.read(length)))
        self.headers.append({name.lower(): value for name, value in handler.headers.items()})
        answer = self._answers.pop(0) if self._answers else Answer(418, "the script has ended")
        body, kind = _encoded(answer.body)
        with contextlib.suppress(OSError):
            self._ended.wait(answer.delay_s)
            handler.send_response(answer.status)
            for name, value in {"content-type": kind, **answer.headers}.items():
                handler.send_header(name, value)
            if answer.sized:
                handler.send_header("content-length", str(len(body)))
            handler.end_headers()
            self._send(handler, body[: answer.cut_at], answer.trickle_s)

    def _send(self, handler: BaseHTTPRequestHandler, body: bytes, trickle_s: float) -> None:
        if not trickle_s:
            handler.wfile.write(body)
            return
        for byte in body:
            if self._ended.wait(trickle_s):
                return
            handler.wfile.write(bytes([byte]))
            handler.wfile.flush()


def _encoded(body: object) -> tuple[bytes, str]:
    if isinstance(body, bytes):
        return body, "application/json"
    if isinstance(body, str):
        return body.encode(), "text/html"
    return json.dumps(body).encode(), "application/json"
