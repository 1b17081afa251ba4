"""The `openai` client, within bounds of time and size; the only user of `openai` and `httpx2`.

The client sends the requests; what comes back is read here, before the client sees it, no more of
it than `answer_body.py` takes, and handed on: what it means is for others to say. Redirects are not
followed, so neither prompt nor key goes to an address that the user has not named.
"""

import json
import ssl
import time
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.agents.answer_body import MOST_BYTES, AnswerBody
from orchestrator.agents.client_settings import ClientSettings, is_loopback, ssl_context
from orchestrator.agents.openai_errors import TransientError
from orchestrator.core.errors import AgentBlockedError

if TYPE_CHECKING:
    import httpx2

    Transport = httpx2.BaseTransport

AFTER_S = 2.0
"""How long signs of life are read after the last event that matters: counts may follow it."""
_KEPT_HEADERS = ("retry-after", "location")
"""Headers that are read; the client would obey others, such as the name of a codec."""
_PERMANENT_TLS = frozenset(
    "WRONG_VERSION_NUMBER UNSUPPORTED_PROTOCOL NO_PROTOCOLS_AVAILABLE RECORD_LAYER_FAILURE "
    "TLSV1_ALERT_PROTOCOL_VERSION SSLV3_ALERT_HANDSHAKE_FAILURE TLSV1_ALERT_UNKNOWN_CA "
    "TLSV13_ALERT_CERTIFICATE_REQUIRED SSLV3_ALERT_BAD_CERTIFICATE HTTP_REQUEST "
    "UNSAFE_LEGACY_RENEGOTIATION_DISABLED DH_KEY_TOO_SMALL EE_KEY_TOO_SMALL CA_MD_TOO_WEAK "
    "HTTPS_PROXY_REQUEST NO_SHARED_CIPHER".split()
)
"""Reasons of OpenSSL that no wait cures: the two sides speak different protocols."""


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    body: bytes
    retry_after: str = ""
    location: str = ""


class HttpClient:
    """Calls one endpoint; one connection a call."""

    def __init__(
        self,
        settings: ClientSettings,
        timeout_s: float,
        *,
        silence_s: float | None = None,
        body: AnswerBody | None = None,
        transport: "httpx2.BaseTransport | None" = None,
    ) -> None:
        """Make the client of one call; nothing is called yet.

        Args:
            settings: address, headers, proxy and certificates.
            timeout_s: between two bytes, and of the whole body. A server that sends headers
                without end is for the caller to leave, by `close` from another thread.
            silence_s: between two bytes of a stream, once its headers have come.
            body: takes the answer's body; None: whole.
            transport: in place of the network.

        Raises:
            AgentBlockedError: no client can be made with these settings.
            UserError: the certificates can't be read.
        """
        import httpx2
        import openai

        self._settings = settings
        self._timeout_s = timeout_s
        body = body or AnswerBody()
        # What packs a stream may hold its events back until a block is full.
        packing = "identity" if body.can_stream else "gzip, deflate"
        try:
            inner = transport or _transport(settings)
            http = httpx2.Client(transport=_bounded(inner, body, timeout_s, silence_s))
        except (ImportError, ValueError, httpx2.InvalidURL) as error:
            raise self._refused(error) from error
        try:
            self._client = openai.OpenAI(
                base_url=settings.base_url,
                api_key="unused",  # the header is the settings'
                default_headers={"Accept-Encoding": packing, **settings.headers},
                max_retries=0,  # `tenacity` retries
                timeout=timeout_s,
                http_client=http,
            )
        except (ValueError, httpx2.InvalidURL, openai.OpenAIError) as error:
            http.close()
            raise self._refused(error) from error

    def _refused(self, error: Exception) -> AgentBlockedError:
        """Name what no client can be made with: checked before, so an oddity, and never a bug."""
        said = self._settings.redacted(str(error))
        return AgentBlockedError(f"no client for {self._settings.where} can be made: {said}")

    def close(self) -> None:
        """Close the connection; another thread that waits for it ends at its own timeout."""
        self._client.close()

    def post(self, path: str, document: dict[str, Any]) -> Answer:
        """Send a document as JSON; return the answer, whatever its status.

        Raises:
            TransientError: no answer, or one that is broken off, too large or too slow.
            AgentBlockedError: no answer, and no wait will bring one.
        """
        body = json.dumps(document, ensure_ascii=False).encode("utf-8", "replace")
        headers = {"Content-Type": "application/json"}
        return self._exchange(
            lambda url, kind: self._client.post(
                url, cast_to=kind, content=body, options={"headers": headers}
            ),
            path,
        )

    def get(self, path: str) -> Answer:
        """Return the answer to a GET. Raises as `post`."""
        return self._exchange(lambda url, kind: self._client.get(url, cast_to=kind), path)

    def _exchange(self, call: Callable[[str, Any], Any], path: str) -> Answer:
        import httpx2
        import openai

        parts = urllib.parse.urlsplit(self._settings.base_url)
        url = urllib.parse.urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{path}"))
        try:
            response = call(url, httpx2.Response)
        except openai.APIStatusError as error:  # any status but 2xx
            response = error.response
        except (
            openai.APIError, httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, OSError,
            ValueError,
        ) as error:  # fmt: skip
            raise self._failure(error) from error
        return Answer(
            response.status_code,
            response.content,
            response.headers.get("retry-after", ""),
            response.headers.get("location", ""),
        )

    def _failure(self, error: Exception) -> Exception:
        """Sort a call without an answer by its causes; every cause stands in the line."""
        import httpx2

        chain = list(_causes(error))
        if (
            ours := next((cause for cause in chain if isinstance(cause, TransientError)), None)
        ) is not None:
            return ours
        if any(isinstance(cause, httpx2.TimeoutException) for cause in chain):
            said = f"no answer within {self._timeout_s:g} s{self._through()}"
            return TransientError(said, may_be_billed=_was_sent(chain))
        words = dict.fromkeys(str(cause) or type(cause).__name__ for cause in chain)
        said = ": ".join(word for word in words if word)
        line = self._settings.redacted(
            f"Connection to {self._settings.where} failed: {said}{self._through()}"
        )
        cure = _address_cure(error) or next(filter(None, map(_cure, chain)), None)
        if cure:
            return AgentBlockedError(f"{cure}: {line}")
        return TransientError(line, may_be_billed=_was_sent(chain))

    def _through(self) -> str:
        proxy = self._settings.proxy
        if proxy is None:
            return ""
        cure = "; NO_PROXY=localhost,127.0.0.1,::1 leaves this machine out"
        local = cure if is_loopback(self._settings.base_url) else ""
        return f" (through the proxy of ${proxy.variable}{local})"


def _transport(settings: ClientSettings) -> "httpx2.HTTPTransport":
    import httpx2

    context = ssl_context(settings)
    proxy = None if settings.proxy is None else settings.proxy.url
    if context is None and not any(_is_encrypted(url) for url in (settings.base_url, proxy)):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody; the system's take 40 ms
    return httpx2.HTTPTransport(verify=True if context is None else context, proxy=proxy)


def _is_encrypted(url: str | None) -> bool:
    return url is not None and urllib.parse.urlsplit(url).scheme == "https"


def _bounded(
    inner: "httpx2.BaseTransport", body: AnswerBody, timeout_s: float, silence_s: float | None
) -> "httpx2.BaseTransport":
    """Return a transport whose answers are read and inflated, but no longer than they may be."""
    import httpx2

    class Bounded(httpx2.BaseTransport):
        def handle_request(self, request: httpx2.Request) -> httpx2.Response:
            deadline = time.monotonic() + timeout_s
            response = inner.handle_request(request)
            try:
                kind = response.headers.get("content-type", "").lower().lstrip()
                is_stream = body.can_stream and kind.startswith("text/event-stream")
                limit_s = silence_s if is_stream else None
                if limit_s is not None and isinstance(request.extensions.get("timeout"), dict):
                    request.extensions["timeout"]["read"] = limit_s  # read when the body is
                _read(response, body, deadline, timeout_s, limit_s)
            finally:
                response.close()
            kept = {
                name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers
            }
            return httpx2.Response(response.status_code, headers=kept, content=body.content)

        def close(self) -> None:
            inner.close()

    return Bounded()


def _read(
    response: "httpx2.Response",
    body: AnswerBody,
    deadline: float,
    timeout_s: float,
    silence_s: float | None,
) -> None:
    import httpx2

    lost, whole_at = response.is_success, None
    try:
        for chunk in response.iter_bytes():
            if body.feed(chunk):
                return
            if body.is_whole:
                whole_at = whole_at or time.monotonic()
                if time.monotonic() > whole_at + AFTER_S:
                    return
            if not body.is_stream and response.num_bytes_downloaded > MOST_BYTES:
                said = f"an answer of more than {MOST_BYTES >> 20} MB"
                raise TransientError(said, may_be_billed=lost)
            if time.monotonic() > deadline and not body.is_whole:
                raise TransientError(f"no answer within {timeout_s:g} s", may_be_billed=lost)
        body.end()
    except httpx2.HTTPError as error:
        if body.is_whole:  # what is missing is at most a count of tokens
            return
        if silence_s is not None and isinstance(error, httpx2.ReadTimeout):
            said = f"the answer fell silent for {silence_s:g} s"
            raise TransientError(said, may_be_billed=lost) from error
        raise


def _was_sent(chain: Sequence[BaseException]) -> bool:
    """Has the endpoint had the request? Not if there was no connection to it."""
    import httpx2

    before = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError)
    return not any(isinstance(cause, before) for cause in chain)


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    for _ in range(10):
        if cause is None:
            return
        yield cause
        cause = cause.__cause__ or cause.__context__


def _address_cure(error: Exception) -> str | None:
    """Return that the address itself is wrong, such as a host name that DNS can't hold."""
    import httpx2

    is_address = isinstance(error, httpx2.UnsupportedProtocol | httpx2.InvalidURL | UnicodeError)
    return "agent.base_url can't be called" if is_address else None


def _cure(cause: BaseException) -> str | None:
    """Return what the user must do about a failure that no wait cures, None if one may."""
    import httpx2

    said = str(cause)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return "the endpoint's certificate is refused ($SSL_CERT_FILE names further authorities)"
    if isinstance(cause, ssl.SSLError) and getattr(cause, "reason", None) in _PERMANENT_TLS:
        return "the endpoint and this machine can't agree on TLS (is agent.base_url http://?)"
    if isinstance(cause, httpx2.LocalProtocolError) and "header" in said.lower():
        return "the request can't be sent (key, $OPENAI_ORG_ID or $OPENAI_PROJECT_ID?)"
    if isinstance(cause, httpx2.ProxyError) and said[:1] == "4":
        return "the proxy refuses to pass the call on"
    return None
