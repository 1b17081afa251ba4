"""The agent's side of a model's endpoint, fed whatever a network can send.

Answers of real servers, whole and as events, of both interfaces; their JSON, bytes, headers and
encodings changed at random, and connections that fail with any cause. Each input must end as a reply,
a pause or a line for the user. Every hundredth goes over a real socket, as raw bytes.
"""

import contextlib
import copy
import gzip
import json
import math
import random
import resource
import socket
import ssl
import time
import traceback
import zlib
from collections.abc import Iterator
from typing import Any

import httpx2

from orchestrator.agents.messages import event_line, read_event
from orchestrator.agents.openai_api import OpenAIAgent
from orchestrator.agents.openai_errors import (
    LONGEST_PAUSE_S,
    ContextOverflowError,
    TransientError,
    pause_s,
)
from orchestrator.config.endpoints import AgentConfig, Prices
from orchestrator.core.errors import AgentBlockedError
from orchestrator.core.records import Reply
from orchestrator.proposals.agent_events import Replied
from orchestrator.proposals.endings import ending
from orchestrator.proposals.prompt import Message
from tests.agents.endpoint_errors import ALL
from tests.fakes import FakeTransport, RawServer, SimulatedContext
from tests.fuzz._streams import responses, stream_body

KEY, PASSWORD = "sk-top-secret-0123456789", "hunter2-hunter2"
SLOWEST_S = 20.0
GROWTH_MB = 600
_EACH_SOCKET = 100
_MOST_DOUBLED = 10
"""Times that an odd value holds itself twice: written out, each doubles its size."""
_MESSAGES = [Message("user", "hello")]
_GOOD: dict[str, Any] = {
    "id": "x", "object": "chat.completion", "created": 1, "model": "m",
    "choices": [{"index": 0, "finish_reason": "stop", "logprobs": None,
                 "message": {"role": "assistant", "content": "hi", "refusal": None,
                             "reasoning_content": "hm", "tool_calls": None}}],
    "usage": {"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13,
              "prompt_tokens_details": {"cached_tokens": 4},
              "completion_tokens_details": {"reasoning_tokens": 1}},
}  # fmt: skip
_PARTS = copy.deepcopy(_GOOD)
_PARTS["choices"][0]["message"]["content"] = [{"type": "text", "text": "a"}, {"type": "thinking"}]
_MODELS = {"object": "list", "data": [{"id": "m", "object": "model"}, {"id": "n"}]}
_STATUS = (*[200] * 20, 400, 401, 402, 403, 404, 408, 413, 422, 429, 500, 502, 503, 529, 204,
           206, 226, 301, 302, 304, 307, 308, 424, 451, 599, 600, 999)  # fmt: skip
_ENDINGS = ("stop", "length", "STOP", "error", "content_filter", "tool_calls", "wat", "", "eos")
_HEADERS: tuple[tuple[bytes, tuple[bytes, ...]], ...] = (
    (b"retry-after", (b"1", b"-1", b"nan", b"9" * 500, b"Fri, 31 Dec 9999 23:59:59 GMT", b"\xff",
                      b"Mon, 99 Foo 2026", b"1e999", b"0x7")),
    (b"content-type", (b"application/json", b"text/html; charset=hex", b"application/json;charset=x",
                       b"text/plain; charset=utf-16", b"\xff\xfe", b"text/event-stream")),
    (b"content-encoding", (b"gzip", b"deflate", b"br", b"zstd", b"gzip, gzip", b"wat", b"\xff",
                           b", ".join([b"gzip"] * 9))),
    (b"location", (b"http://elsewhere/v1", b"//[::1", b"\xff", b"x" * 5000, b"http://a:b@c:99999/",
                   b"javascript:1")),
    (b"set-cookie", (b"a=b; domain=..; expires=x", b"\xff=;", b"a" * 5000)),
    (b"content-length", (b"5", b"-1", b"99999999999999", b"x")),
    (b"x-" + b"y" * 300, (b"z" * 3000,)),
)  # fmt: skip


def _odd(generator: random.Random) -> Any:
    """Return a value that belongs nowhere."""
    nested: Any = "x"
    doubled = 0
    for _ in range(generator.choice([1, 5, 50, 300])):
        nested = [nested] if generator.random() < 0.5 else {"error": nested, "text": nested}.copy()
        if isinstance(nested, dict):
            if doubled >= _MOST_DOUBLED or generator.random() < 0.95:
                nested.pop("text")
            else:
                doubled += 1
    values = (
        None, True, False, 0, -1, 1.5, 10**30, -(10**30), 10**400, math.nan, math.inf, -math.inf, "",
        " ", "x" * 10_000, "\ud800", "\udfff\ud800", "\x00", "\x1b[31m", "\u202e", [], {}, [[]],
        [None], {"": None}, KEY, f"http://u:{PASSWORD}@h/", "{", '{"error": {"code": 402}}', "[{", 402,
        "402", "NaN", {"error": KEY}, [KEY], nested, generator.choice(ALL).body, *_ENDINGS,
    )  # fmt: skip
    return generator.choice(values)


def _places(document: Any, depth: int = 0) -> Iterator[tuple[Any, Any]]:
    """Yield every place of a document: its holder and the key or the index."""
    if depth < 12 and isinstance(document, dict | list):
        names = list(document) if isinstance(document, dict) else range(len(document))
        for name in names:
            yield document, name
            yield from _places(document[name], depth + 1)


def _changed(document: Any, generator: random.Random) -> Any:
    document = copy.deepcopy(document)
    for _ in range(generator.choice([0, 1, 1, 2, 4])):
        places = list(_places(document))
        if not places or generator.random() < 0.02:
            return _odd(generator)
        holder, name = generator.choice(places)
        drawn = generator.random()
        if drawn < 0.2:
            del holder[name]
        elif drawn < 0.3 and isinstance(holder, dict):
            holder[generator.choice(("error", "code", "message", "detail", "choices", "param"))] = (
                _odd(generator)
            )
        else:
            holder[name] = _odd(generator)
    return document


def _document(generator: random.Random) -> Any:
    drawn = generator.random()
    if drawn < 0.4:
        good = copy.deepcopy(generator.choice([_GOOD, _GOOD, _PARTS]))
        good["choices"][0]["finish_reason"] = generator.choice(_ENDINGS)
        return _changed(good, generator)
    if drawn < 0.6:
        return _changed(responses(generator), generator)
    return _changed(generator.choice([_MODELS, *(sent.body for sent in ALL)]), generator)


def _body(generator: random.Random) -> bytes:
    drawn = generator.random()
    if drawn < 0.02:
        return generator.randbytes(generator.randrange(200))
    if drawn < 0.03:
        start = generator.choice([b'{"choices":', b'{"output":', b"data: ", b'data: {"choices":'])
        return start + generator.choice([b"[", b'{"a":', b"9", b'"\\u']) * 100_000
    if drawn < 0.45:
        return _spoilt(stream_body(generator, _changed), generator)
    document = _document(generator)
    if isinstance(document, str):
        body = document.encode("utf-8", "surrogatepass")
    else:
        with contextlib.suppress(ValueError):  # a number of more digits than Python writes
            document = json.dumps(document, ensure_ascii=generator.random() < 0.7)
        body = (
            document.encode("utf-8", "surrogatepass") if isinstance(document, str) else b"9" * 5000
        )
    return _spoilt(body, generator)


def _spoilt(body: bytes, generator: random.Random) -> bytes:
    """Return a body with some of its bytes changed, now and then."""
    for _ in range(generator.choice([0, 0, 0, 0, 1, 1, 3])):
        at = generator.randrange(len(body) + 1)
        drawn = generator.random()
        if drawn < 0.3:
            body = body[:at]
        elif drawn < 0.6:
            body = body[:at] + generator.randbytes(generator.randrange(1, 4)) + body[at:]
        elif drawn < 0.8:
            body = body[:at] + body[at + generator.randrange(1, 20) :]
        else:
            body = body[:at] + body[: generator.randrange(len(body) + 1)]
    return generator.choice(
        [body] * 20 + [b"\xef\xbb\xbf" + body, body.decode("latin-1").encode("utf-16")]
    )


def _encoded(body: bytes, generator: random.Random) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Return headers and the body as it is sent, packed now and then."""
    headers = [
        (name, generator.choice(values)) for name, values in _HEADERS if generator.random() < 0.12
    ]
    drawn = generator.random()
    if drawn < 0.15:
        packed = gzip.compress(body, 1) if drawn < 0.1 else zlib.compress(body)
        headers.append((b"content-encoding", b"gzip" if drawn < 0.1 else b"deflate"))
        if drawn < 0.04:
            packed = packed[: generator.randrange(len(packed))]
        elif drawn < 0.06:
            packed = packed.replace(packed[:1], generator.randbytes(1))
        return headers, packed
    if drawn < 0.1502:
        packer = zlib.compressobj(9, zlib.DEFLATED, 31)
        block = packer.compress(b" " * 2**24) + packer.flush()
        return [*headers, (b"content-encoding", b"gzip")], block
    return headers, body


def _failure(generator: random.Random) -> Exception:
    causes: tuple[Exception, ...] = (
        socket.gaierror(-2, "Name or service not known"), ConnectionRefusedError(111, "refused"),
        ssl.SSLCertVerificationError(1, f"certificate verify failed {KEY}"),
        ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"), OSError(24, "no files"),
        UnicodeError("label too long"), ValueError(f"http://u:{PASSWORD}@h"), MemoryError(),
        TimeoutError(), EOFError(), KeyError(KEY),
    )  # fmt: skip
    kinds = (
        httpx2.ConnectError, httpx2.ReadError, httpx2.WriteError, httpx2.RemoteProtocolError,
        httpx2.LocalProtocolError, httpx2.ProxyError, httpx2.ReadTimeout, httpx2.ConnectTimeout,
        httpx2.UnsupportedProtocol, httpx2.DecodingError, httpx2.PoolTimeout, httpx2.CloseError,
    )  # fmt: skip
    words = (
        "",
        "407 Proxy Authentication Required",
        f"Illegal header value b'{KEY}\\n'",
        "reset\n" * 50,
    )
    error: Exception = generator.choice(kinds)(generator.choice(words))
    error.__cause__ = generator.choice(causes)
    if generator.random() < 0.3:
        error.__cause__.__context__ = generator.choice(causes)
    return error


def _answer(generator: random.Random) -> httpx2.Response:
    """Return an answer, or raise what a network does."""
    if generator.random() < 0.06:
        raise _failure(generator)
    headers, body = _encoded(_body(generator), generator)
    breaks = _failure(generator) if generator.random() < 0.03 else None

    class Stream(httpx2.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            step = generator.choice([17, 1000, 65_536]) if len(body) < 9000 else 65_536
            for at in range(0, len(body), step):
                yield body[at : at + step]
            if breaks is not None:
                raise breaks

    return httpx2.Response(generator.choice(_STATUS), headers=headers, stream=Stream())


def _raw(generator: random.Random) -> tuple[bytes, ...]:
    """Return an answer as the bytes of a connection."""
    headers, body = _encoded(_body(generator), generator)
    head = b"HTTP/1.1 %d Said\r\n" % generator.choice(_STATUS)
    head += b"".join(name + b": " + value + b"\r\n" for name, value in headers)
    if generator.random() < 0.3:
        head += b"transfer-encoding: chunked\r\n"
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    whole = head + b"\r\n" + body
    if generator.random() < 0.4:
        at = generator.randrange(len(whole))
        whole = generator.choice([whole[:at], whole[:at] + generator.randbytes(2) + whole[at:]])
    return (whole,)


def settle(agent: OpenAIAgent, generator: random.Random) -> str:
    """Make one call; return how it ended.

    Raises:
        Exception: a fault: neither a reply nor a pause nor a line for the user.
    """
    context = SimulatedContext(ends_at_s=math.inf)
    try:
        if generator.random() < 0.1:
            return f"{len(agent.model_names(context))} models"
        reply = agent.ask_once(_MESSAGES, context)
    except TransientError as error:
        _check_line(str(error))
        _check_pause(error)
        return "wait"
    except ContextOverflowError as error:
        _check_line(str(error))
        return "shed"
    except AgentBlockedError as error:
        _check_line(str(error))
        return "pause"
    _check_reply(reply)
    return f"reply {ending(reply.finish_reason)}"


def _check_line(line: str) -> None:
    assert line.strip(), "nothing is said"
    assert KEY not in line, "the key is said"
    assert PASSWORD not in line, "a password is said"
    assert len(line) < 20_000, "a line without end"


def _check_pause(error: TransientError) -> None:
    assert 0 <= pause_s(1, error.retry_after_s, jitter=0.5) <= LONGEST_PAUSE_S, (
        "a pause without end"
    )


def _check_reply(reply: Reply) -> None:
    event = read_event(event_line(Replied(reply)).removesuffix(b"\n"))
    assert event == Replied(reply), "the reply changes on its way to the daemon"
    for count in vars(reply.tokens).values():
        assert count is None or 0 <= count < 2**40, "a count that no column holds"
    assert reply.cost_usd is None or 0 <= reply.cost_usd < 1e6, "a cost that none can be"
    assert ending(reply.finish_reason) != "transient", "half a reply is used"


def run(inputs: int, seed: int) -> tuple[int, list[str]]:
    """Try so many inputs; return how many were tried, and every fault found."""
    server = RawServer()
    prices = Prices(input=1.0, cached=0.1, output=2.0)
    settings: tuple[dict[str, Any], ...] = tuple(
        {"api": api, "silence_s": silence_s, "effort": effort, "prices": prices}
        for api in ("chat", "responses")
        for silence_s, effort in ((None, None), (5.0, "high"))
    )
    over_sockets = [
        OpenAIAgent(
            AgentConfig(model="m", base_url=server.url, timeout_s=5.0, **one),
            {"OPENAI_API_KEY": KEY},
        )
        for one in settings
    ]
    faults = []
    before_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    for number in range(inputs):
        generator = random.Random(f"{seed}/{number}")
        agent = generator.choice(over_sockets)
        if number % _EACH_SOCKET:
            url = f"http://user:{PASSWORD}@model.example/v1"
            one = generator.choice(settings)
            config = AgentConfig(model="m", base_url=url, max_output_tokens=9, **one)
            transport = FakeTransport(lambda drawn=generator: _answer(drawn))  # type: ignore[misc]
            agent = OpenAIAgent(config, {"OPENAI_API_KEY": KEY}, transport=transport)
        else:
            server.pieces = _raw(generator)
        started_s = time.process_time()  # not the clock's: the machine may be busy
        try:
            settle(agent, generator)
        except Exception:  # noqa: BLE001 - each is a fault to be shown
            faults.append(f"input {seed}/{number}: {traceback.format_exc(limit=-4)}")
        if time.process_time() - started_s > SLOWEST_S:
            faults.append(f"input {seed}/{number}: computed over {SLOWEST_S:g} s")
    server.close()
    growth_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before_mb
    if growth_mb > GROWTH_MB:
        faults.append(f"the process grew by {growth_mb:.0f} MB")
    return inputs, faults
