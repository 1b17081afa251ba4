"""Who may ask for what: the token, the names of this server, and the headers of every answer.

Reading needs no token on this machine, acting always does, and off this machine everything does.
A page of somebody else's that the browser has open can't act: its `Origin` is another one, and the
cookie does not travel with its requests. Nor can one whose name was made to point here (DNS
rebinding): its `Host` is no name of ours.
"""

import ipaddress
import secrets
import socket
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_SAFE = {"GET", "HEAD"}
Refusal = tuple[int, str]
"""A status and a line of text."""


def is_loopback(host: str) -> bool:
    """Is an address or name that of this machine alone?"""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def new_token() -> str:
    """Return a secret that nobody guesses."""
    return secrets.token_urlsafe(24)


class Access:
    """Who may ask for what."""

    def __init__(self, *, token: str, host: str, port: int) -> None:
        """Set the rules of a server.

        Args:
            token: what shows that a request is the user's.
            host: the address that is listened on.
            port: the port; the cookie's name has it, for cookies know no ports.
        """
        self.token = token
        self.cookie = f"autorl-{port}"
        self._is_local = is_loopback(host)
        self._names = {"localhost"} if self._is_local else {host.lower(), *_own_names()}

    def is_token(self, text: str) -> bool:
        """Is this the token? Takes as long for one that nearly is."""
        return secrets.compare_digest(text.encode(errors="replace"), self.token.encode())

    def has_token(self, headers: Headers) -> bool:
        """Does a request carry the token, in its cookie or as a bearer?"""
        kind, _, bearer = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return self.is_token(bearer.strip())
        return any(map(self.is_token, _cookies(headers.getlist("cookie"), self.cookie)))

    def refusal(self, scope: Scope, headers: Headers, *, has_token: bool) -> Refusal | None:
        """Return why a request is not answered, None if it is."""
        if not self._is_own_name(headers.getlist("host")):
            return 421, "this server has another name: use the address that it printed"
        origin, is_reading = headers.get("origin"), scope["method"] in _SAFE
        if origin is not None and not _is_same(origin, headers["host"]):
            return 403, "another page may not use this one"
        is_of_another = headers.get("sec-fetch-site") in {"cross-site", "same-site"}
        if is_of_another and not (is_reading and not scope["path"].startswith("/api/")):
            return 403, "another page may not use this one"
        needs_token = not (self._is_local and is_reading)
        if needs_token and not has_token and not self._is_greeting(scope):
            return 401, "open the address that `autorl-daemon web` printed: it has the token"
        return None

    def _is_greeting(self, scope: Scope) -> bool:
        """Is it the printed address, which gives the cookie?"""
        is_page = scope["method"] in _SAFE and scope["path"] == "/"
        return is_page and self.is_token(token_of(scope["query_string"]))

    def _is_own_name(self, hosts: Iterable[str]) -> bool:
        """Is it an address, or a name of this machine's? Rebinding needs a name of somebody's."""
        names = list(hosts)
        if len(names) != 1:
            return False
        try:
            name = urlsplit(f"//{names[0]}").hostname or ""
        except ValueError:
            return False
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return name in self._names
        return address.is_loopback or not self._is_local


class Guard:
    """Middleware that lets through only what may be answered."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        has_token = self._access.has_token(headers)
        scope.setdefault("state", {})["has_token"] = has_token
        if refusal := self._access.refusal(scope, headers, has_token=has_token):
            status, text = refusal
            answer = PlainTextResponse(f"{text}\n", status)
            await answer(scope, receive, _with_headers(send))
            return
        await self._app(scope, receive, _with_headers(send))


def token_of(query: bytes) -> str:
    """Return the token that an address names, empty without one."""
    return parse_qs(query.decode(errors="replace"), max_num_fields=20).get("token", [""])[0]


def _own_names() -> set[str]:
    return {"localhost", socket.gethostname().lower(), socket.getfqdn().lower()}


def _is_same(origin: str, host: str) -> bool:
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and parts.netloc.lower() == host.lower()


def _cookies(headers: Iterable[str], name: str) -> list[str]:
    found = []
    for header in headers:
        try:
            cookie: SimpleCookie = SimpleCookie(header)
        except CookieError:
            continue
        if name in cookie:
            found.append(cookie[name].value)
    return found


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return send_with_headers
