"""Calls that fail on the way, and answers that are no good, over real sockets on loopback."""

import gzip
import resource
import shutil
import ssl
import subprocess
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.agents.client_settings import read_settings
from orchestrator.agents.http_client import MOST_BYTES, Answer, HttpClient
from orchestrator.agents.openai_api import OpenAIAgent
from orchestrator.agents.openai_errors import TransientError
from orchestrator.config.endpoints import AgentConfig
from orchestrator.core.errors import AgentBlockedError
from orchestrator.proposals.prompt import Message
from tests.fakes import ChatServer, RawServer, WaitingContext, completion
from tests.reliability.helpers import lacking

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
GOOD = b'{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}]}'
Serve = Callable[..., RawServer]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start servers that are closed afterwards."""
    servers: list[RawServer] = []

    def start(*pieces: bytes, **options: object) -> RawServer:
        servers.append(RawServer(*pieces, **options))  # type: ignore[arg-type]
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def call(url: str, timeout_s: float = 5.0, **environment: str) -> Answer:
    config = AgentConfig(model="m", base_url=url)
    client = HttpClient(read_settings(config, environment), timeout_s)
    try:
        return client.post("chat/completions", {"model": "m"})
    finally:
        client.close()


def sized(body: bytes, head: bytes = HEAD) -> bytes:
    return head + f"content-length: {len(body)}\r\n\r\n".encode() + body


# -- connections -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., ssl.SSLContext]:
    """Make self-signed certificates of localhost."""
    if shutil.which("openssl") is None:
        lacking("openssl, to make a certificate")
    folder = tmp_path_factory.mktemp("tls")

    def make(*options: str, name: str = "127.0.0.1") -> ssl.SSLContext:
        key, certificate = folder / "key.pem", folder / "cert.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key),
             "-out", str(certificate), "-subj", f"/CN={name}", "-addext",
             f"subjectAltName={'IP' if name[0].isdigit() else 'DNS'}:{name}",
             *(options or ("-days", "30"))],
            check=True, capture_output=True,
        )  # fmt: skip
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        context.folder = folder  # type: ignore[attr-defined]
        return context

    return make


def test_a_certificate_that_nobody_vouches_for_pauses(
    serve: Serve, certificates: Callable[..., ssl.SSLContext]
) -> None:
    """No wait cures it: the line has OpenSSL's own words and the variable that does."""
    server = serve(sized(GOOD), tls=certificates())
    with pytest.raises(
        AgentBlockedError, match=r"certificate is refused .*\$SSL_CERT_FILE"
    ) as caught:
        call(server.url)
    assert "self-signed certificate" in str(caught.value)


def test_a_certificate_of_ones_own_can_be_named(
    serve: Serve, certificates: Callable[..., ssl.SSLContext]
) -> None:
    """What the line says helps: with SSL_CERT_FILE the call goes through."""
    context = certificates()
    server = serve(sized(GOOD), tls=context)
    own = context.folder / "cert.pem"  # type: ignore[attr-defined]
    assert call(server.url, SSL_CERT_FILE=str(own)).body == GOOD


def test_certificates_that_are_gone_pause(
    serve: Serve, certificates: Callable[..., ssl.SSLContext], tmp_path: Path
) -> None:
    """The file was there at the start and is no more: the line names its variable."""
    context = certificates()
    moved = tmp_path / "ca.pem"
    moved.write_bytes((context.folder / "cert.pem").read_bytes())  # type: ignore[attr-defined]
    config = AgentConfig(model="m", base_url=serve(sized(GOOD), tls=context).url)
    agent = OpenAIAgent(config, {"SSL_CERT_FILE": str(moved)})
    messages = [Message("user", "hello")]
    assert agent.ask_once(messages, WaitingContext()).text == "hi"
    moved.unlink()
    with pytest.raises(AgentBlockedError, match=r"\$SSL_CERT_FILE holds no certificates"):
        agent.ask_once(messages, WaitingContext())


def test_a_certificate_for_another_host_pauses(
    serve: Serve, certificates: Callable[..., ssl.SSLContext]
) -> None:
    """Neither does waiting make it another server's."""
    context = certificates(name="elsewhere.example")
    server = serve(sized(GOOD), tls=context)
    own = context.folder / "cert.pem"  # type: ignore[attr-defined]
    with pytest.raises(AgentBlockedError, match=r"certificate is refused.*mismatch"):
        call(server.url, SSL_CERT_FILE=str(own))


def test_tls_to_a_server_of_plain_http_pauses(serve: Serve) -> None:
    """https:// where nobody speaks TLS says so, and how to write it."""
    plain = serve(sized(GOOD))
    with pytest.raises(AgentBlockedError, match=r"can't agree on TLS .*http://"):
        call(plain.url.replace("http:", "https:"))


def test_a_refused_port_says_so_and_waits(serve: Serve) -> None:
    """The cause stands in the reason; the server may be started yet."""
    server = serve()
    server.close()
    with pytest.raises(TransientError, match=r"Connection to http://127.*refused"):
        call(server.url)


def test_an_unknown_host_says_so_and_waits() -> None:
    """The network may come back."""
    with pytest.raises(
        TransientError, match=r"Connection to http://no-such-host\.invalid/v1 failed"
    ):
        call("http://no-such-host.invalid/v1")


def test_a_host_that_no_name_can_be_pauses() -> None:
    """A label too long for DNS stays so."""
    with pytest.raises(AgentBlockedError, match=r"agent\.base_url can't be called"):
        call(f"http://{'a' * 80}.example/v1")


def test_a_proxy_in_the_way_of_this_machine_is_named(serve: Serve) -> None:
    """With the variable that sets it, and the one that leaves the server out."""
    server, proxy = serve(sized(GOOD)), serve()
    proxy.close()
    with pytest.raises(
        TransientError, match=r"proxy of \$http_proxy; NO_PROXY=localhost"
    ) as caught:
        call(server.url, http_proxy=f"http://user:hunter2@127.0.0.1:{proxy.port}")
    assert "hunter2" not in str(caught.value)
    through = {"http_proxy": f"127.0.0.1:{proxy.port}", "NO_PROXY": "127.0.0.1"}
    assert call(server.url, **through).body == GOOD


def test_a_proxy_that_refuses_pauses(serve: Serve) -> None:
    """One that wants a password gets none by waiting."""
    proxy = serve(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")
    with pytest.raises(AgentBlockedError, match=r"the proxy refuses .*407"):
        call("https://model.example/v1", https_proxy=f"http://127.0.0.1:{proxy.port}")


def test_a_redirect_is_not_followed(serve: Serve) -> None:
    """Neither prompt nor key goes where the user has not sent it."""
    elsewhere = serve(sized(GOOD))
    moved = f"HTTP/1.1 307 Moved\r\nlocation: {elsewhere.url}\r\ncontent-length: 0\r\n\r\n"
    answer = call(serve(moved.encode()).url)
    assert (answer.status, answer.location) == (307, elsewhere.url)
    assert elsewhere.connections == 0


# -- bodies ----------------------------------------------------------------------------------------


def bomb(size: int) -> bytes:
    """Return `size` bytes of blanks as a gzip file of a thousandth of that, without its end."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(b" " * 2**20) + packer.flush(zlib.Z_FULL_FLUSH)
    return b"\x1f\x8b\x08\0\0\0\0\0\0\3" + block * (size >> 20)


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@pytest.mark.parametrize("status", [b"200 OK", b"500 Oops"])
def test_an_answer_that_inflates_without_end_is_left(serve: Serve, status: bytes) -> None:
    """700 MB in 700 kB: not inflated beyond the bound, with an error's status either."""
    head = HEAD.replace(b"200 OK", status) + b"content-encoding: gzip\r\n"
    server = serve(sized(bomb(700 * 2**20), head))
    before = peak_mb()
    with pytest.raises(TransientError, match="an answer of more than 8 MB"):
        call(server.url, timeout_s=30)
    assert peak_mb() - before < 100


def test_a_gzip_answer_is_read(serve: Serve) -> None:
    """One of an ordinary size is unpacked."""
    packed = sized(gzip.compress(GOOD), HEAD + b"content-encoding: gzip\r\n")
    assert call(serve(packed).url).body == GOOD


def test_a_body_that_never_ends_is_left(serve: Serve) -> None:
    """By its size if it is quick."""
    server = serve(
        HEAD + b"transfer-encoding: chunked\r\n\r\n", endless=b"10000\r\n" + b" " * 65_536 + b"\r\n"
    )
    with pytest.raises(TransientError, match="more than 8 MB"):
        call(server.url, timeout_s=30)
    assert server.sent_bytes < MOST_BYTES + 2**24


def test_a_body_that_drips_is_left() -> None:
    """By the time of the whole call if it is slow: no pause between two bytes is long."""
    server = ChatServer(replace(completion("hi"), trickle_s=0.05))
    with pytest.raises(TransientError, match=r"no answer within 0\.4 s"):
        call(server.url, timeout_s=0.4)
    server.close()


@pytest.mark.parametrize(
    "raw",
    [
        HEAD + b"x: " + b"y" * 200_000,
        HEAD + b"".join(b"x-%d: y\r\n" % n for n in range(20_000)) + b"\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5, 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nhello",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel",
        b"HTTP/1.1 101 Switching\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"\x00\xff garbage",
        b"",
        sized(b"xxxx", HEAD + b"content-encoding: gzip\r\n"),
        sized(zlib.compress(b"x")[:-1] + b"!", HEAD + b"content-encoding: deflate\r\n"),
        sized(GOOD, HEAD + b"content-encoding: gzip, gzip, gzip, gzip, gzip, gzip, gzip\r\n"),
    ],
    ids=range(14),
)  # fmt: skip
def test_a_broken_answer_is_waited_out(serve: Serve, raw: bytes) -> None:
    """Headers without end, wrong lengths, chunks and encodings, no HTTP at all."""
    with pytest.raises(TransientError):
        call(serve(raw).url)


@pytest.mark.parametrize("status", [b"204 No", b"205 Reset", b"304 Same", b"999 Odd", b"302 Off"])
def test_any_status_is_an_answer(serve: Serve, status: bytes) -> None:
    """What it means is said elsewhere."""
    answer = call(serve(b"HTTP/1.1 " + status + b"\r\ncontent-length: 0\r\n\r\n").url)
    assert answer.status == int(status[:3])


def test_promises_without_end_are_left(serve: Serve) -> None:
    """Each 103 says that an answer comes: the agent's own time limit ends them, and the thread."""
    server = serve(endless=b"HTTP/1.1 103 Early Hints\r\n\r\n")
    config = AgentConfig(model="m", base_url=server.url, timeout_s=0.4)
    threads = threading.active_count()
    with pytest.raises(TransientError, match=r"no answer within 0\.4 s"):
        OpenAIAgent(config, {}).ask_once([Message("user", "hello")], WaitingContext())
    deadline = time.monotonic() + 20
    while threading.active_count() > threads + 1:  # the server's own listener stays
        assert time.monotonic() < deadline, "a call goes on that nobody waits for"
        time.sleep(0.02)


# -- secrets ---------------------------------------------------------------------------------------


def test_no_message_shows_a_password(serve: Serve) -> None:
    """Neither that of the address, as written or unquoted, nor a key in its query."""
    server = serve()
    server.close()
    url = f"http://user:pa%24s-word@127.0.0.1:{server.port}/v1?api_key=sesame-123"
    with pytest.raises(TransientError) as caught:
        call(url)
    for secret in ("pa%24s-word", "pa$s-word", "sesame-123"):
        assert secret not in str(caught.value)
    assert f"127.0.0.1:{server.port}/v1" in str(caught.value)


def test_the_query_of_an_address_is_kept(serve: Serve) -> None:
    """It stands behind the path of the call, where a gateway looks for it."""
    server = serve(sized(GOOD))
    assert call(f"{server.url}?version=2").body == GOOD
