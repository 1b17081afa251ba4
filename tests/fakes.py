"""Fakes: small classes that stand in for the outside world. Our own code is never patched."""

import contextlib
import json
import random
import re
import socket
import ssl
import statistics
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

import httpx2

from orchestrator.agents.endpoint_check import CHECK_QUESTION
from orchestrator.core.errors import StopRequestedError
from orchestrator.core.evaluations import (
    FRESH_SEEDS,
    CheckpointReached,
    EpisodeDone,
    Evaluation,
    EvaluationEnded,
    EvaluatorEvent,
    EvaluatorFailed,
    Measurement,
    Report,
    RulerComparison,
    SeedDone,
    SeedResult,
)
from orchestrator.core.experiments import StopKind, StopReason
from orchestrator.core.records import Files, Rung, Status
from orchestrator.core.reviews import NoReview, Review
from orchestrator.core.spending import FREE, WorstCase
from orchestrator.proposals.agent_events import (
    AgentEvent,
    AgentWaits,
    Reviewed,
    ReviewEvent,
)
from orchestrator.proposals.brief import Brief
from orchestrator.proposals.review_prompt import REVIEW_SYSTEM_PROMPT, ReviewBrief

T = TypeVar("T")


@dataclass
class _StubEvaluation:
    """One evaluation of a `StubEvaluator`: the events to come, and what it was told."""

    files: Files
    what: Measurement
    events: Iterator[EvaluatorEvent]
    wanted: bool = True
    waits: bool = False


class StubEvaluator:
    """An evaluator in this process: it scores by `SCORE = x` in train.py, or does what it is told.

    `DO = "crash"` gives that status, `DO = "stop"` behaves as if the run was ended meanwhile
    (`on_stop` is called), `DO = "broken"` as if the evaluator itself had failed. `FLAG = "x"` raises
    that flag, `STEPS = 9` is the horizon, and with `DO = "rejected"` the score is told too if
    `SCORE` is given. Seeds differ by `NOISE`, and alike for every candidate by `LUCK`; it fails on
    the seed `FAILS_ON` (of fresh seeds: by its last four digits), and fresh seeds earn `FRESH` more.
    `COMPARED = {"rewards": 64}` is what
    a comparison with the incumbent's environment finds, where one is asked for; of 64 episodes
    nothing differs if not said otherwise, and the return there is the seed's own. `SOLVED = 0.25` is
    the solve rate, and with `EMPTY = 1` every episode earns the score, random ones too.

    One event is told at a poll; with `order` it is drawn which evaluation it is of.
    """

    def __init__(self, slots: int = 1, order: random.Random | None = None) -> None:
        self.seen: list[tuple[Files, Rung]] = []
        self.told: list[tuple[str, int]] = []
        """Key and seed of each result."""
        self.on_stop: Callable[[], None] = lambda: None
        self.compares = True
        """Whether it compares environments, as older evaluators do not."""
        self._slots, self._order = slots, order
        self._open: dict[str, _StubEvaluation] = {}

    def warm_up(self) -> None:
        """There is nothing to start."""

    def free_slots(self) -> int:
        """Return how many evaluations may be begun."""
        return self._slots - len(self._open)

    def begin(
        self, key: str, files: Files, what: Measurement, measured: Mapping[int, str] = {}
    ) -> None:
        """Begin to answer by the constants in the candidate."""
        assert key not in self._open, "evaluated twice at once"
        assert self.free_slots() > 0
        self.seen.append((files, what.rung))
        evaluation = _StubEvaluation(files, what, iter(()))
        evaluation.events = self.events(key, evaluation, measured)
        self._open[key] = evaluation

    def go_on(self, key: str, *, wanted: bool) -> None:
        """Answer a seed or a checkpoint."""
        evaluation = self._open[key]
        assert evaluation.waits
        evaluation.waits, evaluation.wanted = False, wanted

    def poll(self) -> list[tuple[str, EvaluatorEvent]]:
        """Return the next event of one evaluation."""
        ready = [key for key, evaluation in self._open.items() if not evaluation.waits]
        if not ready:
            return []
        key = self._order.choice(ready) if self._order else ready[0]
        event = next(self._open[key].events)
        if isinstance(event, EvaluationEnded | EvaluatorFailed):
            del self._open[key]
        elif isinstance(event, SeedDone | CheckpointReached):
            self._open[key].waits = True
            if isinstance(event, SeedDone):
                self.told.append((key, event.result.seed))
        return [(key, event)]

    def descriptors(self) -> list[int]:
        """There are none."""
        return []

    def timeout_s(self) -> float | None:
        """Ask at once if something may go on."""
        return None if all(evaluation.waits for evaluation in self._open.values()) else 0.0

    def cancel(self, key: str) -> None:
        """Forget an evaluation."""
        self._open.pop(key, None)

    def close(self) -> None:
        """Nothing to end."""

    def events(
        self, key: str, evaluation: _StubEvaluation, measured: Mapping[int, str]
    ) -> Iterator[EvaluatorEvent]:
        """Yield what this evaluation tells."""
        files, what = evaluation.files, evaluation.what
        yield EpisodeDone(what.order[0] if what.order else 0)
        do = _constant(files.train, "DO", '"score"').strip('"')
        if do == "stop":
            self.on_stop()
            yield EpisodeDone(what.order[0])
        if do == "broken":
            yield EvaluatorFailed("broken by a test")
        if do not in {"score", "stop"}:
            told = _constant(files.train, "SCORE", "")
            yield EvaluationEnded(Evaluation(
                Status(do), score=float(told) if told and do == "rejected" else None,
                reason=f"told to {do}", details="Traceback: told to",
            ))  # fmt: skip
        values = self.values(files, what)
        curve = _curve(files, what.rung)
        for episode in () if what.order[:1] and what.order[0] in measured else what.checkpoints:
            yield CheckpointReached(what.order[0], curve[:episode])
            if not evaluation.wanted:
                yield EvaluationEnded(Evaluation(None))
        fails_on = int(_constant(files.train, "FAILS_ON", "-1"))
        used = []
        for seed, value in values.items():
            used.append(seed)
            if seed in measured:
                continue
            if fails_on in {seed, seed % 10_000}:
                failed = (SeedResult(seed, None, purpose=what.purpose_of(seed)),)
                yield EvaluationEnded(Evaluation(Status.CRASH, reason="told to fail", seeds=failed))
            yield SeedDone(self._result(seed, value, files, what), resume=str(value))
            if not evaluation.wanted:
                break
        yield EvaluationEnded(self.report(files, what, used))

    def values(self, files: Files, what: Measurement) -> dict[int, float]:
        """Return the return on each seed."""
        score = _score(files, what.rung)
        noise = float(_constant(files.train, "NOISE", "0"))
        luck = float(_constant(files.train, "LUCK", "0"))
        fresh = float(_constant(files.train, "FRESH", "0"))
        return {
            seed: score
            + fresh * (seed >= FRESH_SEEDS)
            + noise * random.Random(f"{files.train}{seed}").gauss(0, 1)
            + luck * random.Random(seed).gauss(0, 1)
            for seed in what.order
        }

    def report(self, files: Files, what: Measurement, used: Sequence[int]) -> Evaluation:
        """Return the report on the seeds that were used."""
        values = self.values(files, what)
        scored = {seed: values[seed] for seed in used if seed in what.seeds}
        return Evaluation(
            None, scores_by_seed=scored,
            score=statistics.fmean(scored.values()) if len(scored) == len(what.seeds) else None,
            max_steps=int(_constant(files.train, "STEPS", "20")),
            report=Report(self.facts(files, what)),
            flags=tuple(filter(None, [_constant(files.train, "FLAG", "").strip('"')])),
            seeds=tuple(self._result(seed, values[seed], files, what) for seed in used),
        )  # fmt: skip

    def facts(self, files: Files, what: Measurement) -> dict[str, Any]:
        """Return the report's numbers."""
        facts: dict[str, Any] = {"mean_solve_rate": _solved(files)}
        if _constant(files.train, "EMPTY", ""):
            score = _score(files, what.rung)
            same = {"random_returns": [score] * 4, "episode_returns": [score] * 4}
            seeds = [{"seed": seed, "eval_return": score} | same for seed in what.seeds]
            facts |= {"mean_solve_rate": 0.0, "seed_results": seeds}
        return facts

    def _result(self, seed: int, value: float, files: Files, what: Measurement) -> SeedResult:
        is_compared = what.compared_with and self.compares
        return SeedResult(
            seed, value, _solved(files), _curve(files, what.rung), purpose=what.purpose_of(seed),
            compared=_comparison(files, value) if is_compared else None,
        )  # fmt: skip


def _comparison(files: Files, value: float) -> RulerComparison:
    same = RulerComparison(
        episodes=64, observations=0, rewards=0, ends=0, successes=0, reward_ratio=None,
        return_there=value, solve_rate_there=0.5,
    )  # fmt: skip
    return replace(same, **json.loads(_constant(files.train, "COMPARED", "{}")))


def ruler_comparison(
    changes: str, *, there: float = 0.0, ratio: float | None = None
) -> RulerComparison:
    """Return a comparison of 64 episodes in which what is named differs in each."""
    observations, rewards, ends, successes = (
        64 * (name in changes.split()) for name in ("observation", "reward", "dynamics", "success")
    )
    return RulerComparison(64, observations, rewards, ends, successes, ratio, there, 0.5)


def _solved(files: Files) -> float:
    return float(_constant(files.train, "SOLVED", "0.5"))


def _score(files: Files, rung: Rung) -> float:
    score = float(_constant(files.train, "SCORE", "0"))
    return score + rung.train_episodes * float(_constant(files.train, "PER_EPISODE", "0"))


def _curve(files: Files, rung: Rung) -> tuple[float, ...]:
    score = _score(files, rung)
    return tuple(score * (i + 1) / rung.train_episodes for i in range(rung.train_episodes))


class QuietMonitor:
    """A monitor that never waits and remembers what it was told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, object]]] = []
        self.shown: list[Mapping[str, object]] = []
        self.ends: StopReason | None = None
        self.waits = 0

    def show(self, facts: Mapping[str, object]) -> None:
        """Remember the facts."""
        self.shown.append(facts)

    def beat(self) -> None:
        """Nobody looks."""

    def log(self, event: str, level: str = "info", **facts: object) -> None:
        """Remember the event."""
        self.events.append((event, facts))

    def now(self) -> str:
        """Return always the same time."""
        return "2026-11-22T03:04:05.000Z"

    def end_asked(self) -> StopReason | None:
        """Return what a test has set."""
        return self.ends

    def reload_asked(self) -> bool:
        """Nobody sends a signal."""
        return False

    def end_now(self) -> None:
        """Have the run end, as SIGTERM does."""
        self.ends = StopReason(StopKind.TERMINATED, "stopped by a test")

    def wait(self, descriptors: Iterable[int], timeout_s: float) -> None:
        """Return at once; after many waits a test has gone wrong."""
        self.waits += 1
        assert self.waits < 100_000


class ShufflingAgent:
    """An agent that has many questions in hand and answers a random one at each other poll."""

    name = "shuffling"

    def __init__(self, answer: Callable[[Brief], AgentEvent], order: random.Random) -> None:
        self.asked: list[tuple[int, int]] = []
        """The ordinal of each question and the attempts that it quotes."""
        self.on_ask: Callable[[int, int], None] = lambda _ordinal, _attempts: None
        self.worst = FREE
        self._answer, self._order = answer, order
        self._questions: dict[str, Brief] = {}

    def ask(self, key: str, brief: Brief) -> None:
        """Take a question."""
        assert key not in self._questions, "asked twice at once"
        assert brief.ordinal not in {brief.ordinal for brief in self._questions.values()}
        self._questions[key] = brief
        self.asked.append((brief.ordinal, len(brief.attempts)))
        self.on_ask(brief.ordinal, len(brief.attempts))

    def worst_case(self, brief: Brief) -> WorstCase:
        """Return what a test has set."""
        return self.worst

    def poll(self) -> list[tuple[str, AgentEvent]]:
        """Answer one question, or none; a wait is told now and then before the answer."""
        if not self._questions or self._order.random() < 0.5:
            return []
        key = self._order.choice(list(self._questions))
        if self._order.random() < 0.1:
            return [(key, AgentWaits("a pause", 60.0))]
        return [(key, self._answer(self._questions.pop(key)))]

    def descriptors(self) -> list[int]:
        """There are none."""
        return []

    def timeout_s(self) -> float | None:
        """Ask at once if there is a question."""
        return 0.0 if self._questions else None

    def cancel(self, key: str) -> None:
        """Forget a question."""
        self._questions.pop(key, None)

    def close(self) -> None:
        """Forget all questions."""
        self._questions.clear()


class StubReviewer:
    """A reviewer in this process: it answers what it is told to, in the order of the questions."""

    def __init__(self, *answers: Review | NoReview | AgentWaits) -> None:
        self.name: str | None = "stub"
        self.answers = list(answers)
        """What it will say; while there is nothing it is silent."""
        self.asked: list[ReviewBrief] = []
        self.worst = FREE
        self.open: dict[str, ReviewBrief] = {}

    def worst_case(self, brief: ReviewBrief) -> WorstCase:
        """Return what a test has set."""
        return self.worst

    def ask(self, key: str, brief: ReviewBrief) -> None:
        """Take a question."""
        assert key not in self.open, "asked twice at once"
        self.open[key] = brief
        self.asked.append(brief)

    def poll(self) -> list[tuple[str, ReviewEvent]]:
        """Answer the oldest question."""
        if not self.open or not self.answers:
            return []
        key, answer = next(iter(self.open)), self.answers.pop(0)
        if isinstance(answer, AgentWaits):
            return [(key, answer)]
        del self.open[key]
        return [(key, Reviewed(answer, text=str(answer.reason)))]

    def descriptors(self) -> list[int]:
        """There are none."""
        return []

    def timeout_s(self) -> float | None:
        """Ask at once if there is an answer."""
        return 0.0 if self.open and self.answers else None

    def cancel(self, key: str) -> None:
        """Forget a question."""
        self.open.pop(key, None)

    def close(self) -> None:
        """Forget all questions."""
        self.open.clear()


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
        self.billed: list[bool] = []
        """Whether the call before each wait may have been billed."""
        self._on_wait = on_wait

    def wait(self, reason: str, seconds: float, *, may_be_billed: bool = False) -> None:
        """Record the wait and return at once; after a hundred of them a test has gone wrong."""
        self.waits.append((reason, seconds))
        self.billed.append(may_be_billed)
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

    def wait(self, reason: str, seconds: float, *, may_be_billed: bool = False) -> None:
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
    held_by: threading.Event | None = None
    """The server is silent until this is set."""
    sized: bool = True
    """It says beforehand how long the body is; if not, the end of the connection ends it."""
    pieces: Sequence[bytes | float] = ()
    """Sent after the body, one by one; at a number it is silent for so many seconds."""


def completion(text: object = "hello", finish: object = "stop", **more: object) -> Answer:
    """Return the answer of a healthy server; `usage=…` and other top-level fields can be added."""
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": finish}
    known = {"id": "x", "object": "chat.completion", "created": 1, "model": "m"}
    return Answer(body=known | {"choices": [choice]} | more)


def refusal(status: int, message: str = "no", **fields: object) -> Answer:
    """Return an error as the OpenAI API words it."""
    return Answer(status, {"error": {"message": message} | fields})


EARNED = completion('{"opinion": "earned", "reason": "by a test"}')
"""A reviewer's consent."""


class ChatServer:
    """A chat-completions endpoint on loopback that answers by a script and records what it is asked.

    After the script's end it answers 418, which no client should retry. The tiny call of a start is
    answered apart, by `check`, and counted in `checks`; a review by `review`, counted in `reviews`,
    unless that is None; a GET, for the names of models, by `models`.
    """

    def __init__(
        self,
        *answers: Answer,
        port: int = 0,
        check: Answer | None = None,
        review: Answer | None = EARNED,
        models: Answer | None = None,
    ) -> None:
        self.requests: list[dict[str, Any]] = []
        self.checks: list[dict[str, Any]] = []
        self.reviews: list[dict[str, Any]] = []
        self.headers: list[Mapping[str, str]] = []
        self.paths: list[str] = []
        self._answers = list(answers)
        self._check, self._review = check or completion("OK"), review
        self._models = models or Answer(404)
        self._check_script: list[Answer] = []
        self._ended = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                server._serve(self, server._answer_to(self))

            def do_GET(self) -> None:
                server._serve(self, server._models)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._http = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"
        threading.Thread(target=self._http.serve_forever, args=(0.005,), daemon=True).start()

    def script(self, checks: Sequence[Answer]) -> None:
        """Have the next tiny calls answered by these."""
        self._check_script = list(checks)

    def close(self) -> None:
        """Stop answering, at once."""
        self._ended.set()
        self._http.shutdown()
        self._http.server_close()

    def _answer_to(self, handler: BaseHTTPRequestHandler) -> Answer:
        request = json.loads(handler.rfile.read(int(handler.headers["content-length"])))
        said = [message["content"] for message in request.get("messages", request.get("input", ()))]
        self.paths.append(handler.path)
        if said == [CHECK_QUESTION]:
            self.checks.append(request)
            return self._check_script.pop(0) if self._check_script else self._check
        if self._review is not None and said[:1] == [REVIEW_SYSTEM_PROMPT]:
            self.reviews.append(request)
            return self._review
        self.requests.append(request)
        self.headers.append({name.lower(): value for name, value in handler.headers.items()})
        return self._answers.pop(0) if self._answers else Answer(418, "the script has ended")

    def _serve(self, handler: BaseHTTPRequestHandler, answer: Answer) -> None:
        body, kind = _encoded(answer.body)
        with contextlib.suppress(OSError):
            self._ended.wait(answer.delay_s)
            while answer.held_by is not None and not answer.held_by.wait(0.01):
                if self._ended.is_set():
                    return
            handler.send_response(answer.status)
            for name, value in {"content-type": kind, **answer.headers}.items():
                handler.send_header(name, value)
            if answer.sized and not answer.pieces:
                handler.send_header("content-length", str(len(body)))
            handler.end_headers()
            self._send(handler, body[: answer.cut_at], answer.trickle_s)
            for piece in answer.pieces:
                if isinstance(piece, float):
                    self._ended.wait(piece)
                else:
                    handler.wfile.write(piece)
                    handler.wfile.flush()

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


def read_request(connection: socket.socket) -> bytes:
    """Read one HTTP request to its end: a server that closes before resets the connection."""
    request = b""
    while b"\r\n\r\n" not in request:
        piece = connection.recv(65_536)
        request += piece
        if not piece or request[:1] == b"\x16":  # the client begins with TLS
            return request
    head, _, body = request.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    while length and len(body) < int(length[1]) and (piece := connection.recv(65_536)):
        body += piece
    return head + body


class FakeTransport(httpx2.BaseTransport):
    """In place of the network: one answer, or a failure, for every request."""

    def __init__(self, answer: Callable[[], httpx2.Response]) -> None:
        self._answer = answer

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Read the request, and answer."""
        request.read()
        return self._answer()


class RawServer:
    """A server on loopback that answers every request with bytes of a test's choice, as they are."""

    def __init__(
        self, *pieces: bytes, endless: bytes = b"", tls: ssl.SSLContext | None = None
    ) -> None:
        """Listen.

        Args:
            pieces: sent one after the other.
            endless: sent again and again after them, until the client hangs up.
            tls: the certificate, for a server that speaks TLS.
        """
        self.connections = 0
        self.sent_bytes = 0
        self.pieces, self._endless, self._tls = pieces, endless, tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"http{'' if tls is None else 's'}://127.0.0.1:{self.port}/v1"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Stop listening, at once: no more connection is taken."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            connection.settimeout(20)
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            read_request(connection)
            for piece in self.pieces:
                connection.sendall(piece)
            while self._endless:
                connection.sendall(self._endless)
                self.sent_bytes += len(self._endless)
