"""What a call needs besides its prompt: address, headers, proxy and certificates, all checked.

Nothing is called and no HTTP library is loaded: a start makes these checks before anything runs.
"""

import importlib.util
import os
import ssl
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.config.endpoints import AgentConfig, is_web_address
from orchestrator.core.errors import UserError, is_shortage
from orchestrator.core.text import one_line, without_passwords

OPENAI_URL = "https://api.openai.com/v1"
_NO_KEY_NEEDED = "none"
_HEADERS = {"OPENAI_ORG_ID": "OpenAI-Organization", "OPENAI_PROJECT_ID": "OpenAI-Project"}
_PROXY_SCHEMES = {"http", "https", "socks5", "socks5h"}


@dataclass(frozen=True)
class Proxy:
    """A proxy that the environment sets for an address."""

    variable: str
    url: str = field(repr=False)


@dataclass(frozen=True)
class ClientSettings:
    """Where calls go, and how."""

    base_url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    proxy: Proxy | None
    ca_file: str | None
    ca_dir: str | None
    secrets: tuple[str, ...] = field(repr=False)
    """Texts that no message may show: the key, passwords of addresses, values of their queries."""

    @property
    def where(self) -> str:
        """The address, without what is secret in it."""
        return without_passwords(self.base_url)

    def redacted(self, text: str, limit: int = 1000) -> str:
        """Return a text as one line without the secrets, of at most `limit` characters."""
        # Cleaned first: a key with an invisible character inside would come together afterwards.
        text = one_line(text, 10_000)
        for secret in self.secrets:
            text = text.replace(secret, "[key]")
        return one_line(without_passwords(text), limit)


def read_settings(config: AgentConfig, environment: Mapping[str, str]) -> ClientSettings:
    """Return the settings of calls, from the configuration and the environment.

    Raises:
        UserError: no key where one is needed, or a variable that no call can be made with.
    """
    key = _header_value(environment, config.api_key_env, strip=True)
    base_url = config.base_url or environment.get("OPENAI_BASE_URL", "").strip() or OPENAI_URL
    if not is_web_address(base_url):
        raise UserError("$OPENAI_BASE_URL is no address like https://host/v1: correct or unset it")
    if not key and base_url == OPENAI_URL:
        raise UserError(
            f"no API key: set ${config.api_key_env} (agent.api_key_env), or agent.base_url "
            "for a server that needs none, or agent.backend to optuna"
        )
    headers = {"Authorization": f"Bearer {key or _NO_KEY_NEEDED}"}
    for variable, header in _HEADERS.items():
        if value := _header_value(environment, variable):
            headers[header] = value
    proxy = _proxy_of(base_url, environment)
    secrets = [key, *_secrets(base_url), *(_secrets(proxy.url) if proxy else ())]
    settings = ClientSettings(
        base_url.rstrip("/"),
        headers,
        proxy,
        _certificates(environment, "SSL_CERT_FILE"),
        _certificates(environment, "SSL_CERT_DIR"),
        tuple(sorted({secret for secret in secrets if secret}, key=len, reverse=True)),
    )
    ssl_context(settings)
    return settings


def is_loopback(url: str) -> bool:
    """Does an address lead to this machine?"""
    host = urllib.parse.urlsplit(url).hostname or ""
    return host in {"localhost", "::1"} or (host.startswith("127.") and host[4:5].isdigit())


def _header_value(environment: Mapping[str, str], variable: str, *, strip: bool = False) -> str:
    value = environment.get(variable, "")
    if strip:  # the newline that `$(cat key)` or an env file leaves around a key is no part of it
        value = value.strip()
    if not (value.isascii() and (value.isprintable() or not value)):
        what = "key: a key" if strip else "header value: it"
        raise UserError(f"${variable} holds no {what} is one line of plain ASCII")
    return value


# -- proxies ---------------------------------------------------------------------------------------


def _proxy_of(base_url: str, environment: Mapping[str, str]) -> Proxy | None:
    """Return the proxy for an address, None without one.

    Raises:
        UserError: a proxy variable can't be used, even one for other addresses: the line names it.
    """
    parts = urllib.parse.urlsplit(base_url)
    if _is_left_out(parts.hostname or "", parts.netloc.rpartition("@")[2], environment):
        return None
    proxies = {name: _checked(proxy) for name, proxy in _proxies(environment)}
    return proxies.get(parts.scheme) or proxies.get("all")


def _proxies(environment: Mapping[str, str]) -> Iterator[tuple[str, Proxy]]:
    for name in ("http", "https", "all"):
        for variable in (f"{name}_proxy", f"{name}_PROXY".upper()):
            if value := environment.get(variable, "").strip():
                url = value if "://" in value else f"http://{value}"
                yield name, Proxy(variable, url)
                break


def _is_left_out(host: str, netloc: str, environment: Mapping[str, str]) -> bool:
    listed = environment.get("no_proxy", "") or environment.get("NO_PROXY", "")
    names = [name.strip().strip("[]") for name in listed.split(",")]
    return host in names or bool(
        urllib.request.proxy_bypass_environment(netloc, {"no": ",".join(names)})  # type: ignore[attr-defined]
    )


def _checked(proxy: Proxy) -> Proxy:
    shown = one_line(without_passwords(proxy.url))
    problem = ""
    try:
        parts = urllib.parse.urlsplit(proxy.url)
        if parts.scheme not in _PROXY_SCHEMES:
            problem = f"has the scheme {parts.scheme}://: write http://, https:// or socks5://"
        elif not parts.hostname or parts.port == 0 or not proxy.url.isprintable():
            problem = "is no address like http://host:port"
        elif parts.scheme.startswith("socks") and not importlib.util.find_spec("socksio"):
            problem = "is a SOCKS proxy, which needs `pip install socksio`"
    except ValueError:  # the port or an IPv6 address
        problem = "is no address like http://host:port"
    if problem:
        raise UserError(
            f"${proxy.variable}: {shown} {problem}; or unset it, or leave the endpoint's host out "
            "with NO_PROXY"
        )
    return proxy


def _secrets(url: str) -> Iterator[str]:
    """Yield the password of an address and the values of its query, as written and unquoted."""
    parts = urllib.parse.urlsplit(url)
    userinfo, at, _ = parts.netloc.rpartition("@")
    if at:
        password = userinfo.partition(":")[2] or userinfo
        yield from (password, urllib.parse.unquote(password))
    for _, value in urllib.parse.parse_qsl(parts.query):
        yield from (value, urllib.parse.quote(value, safe=""))


# -- certificates ----------------------------------------------------------------------------------


def ssl_context(settings: ClientSettings) -> ssl.SSLContext | None:
    """Return the certificates to trust, None for the system's.

    Raises:
        UserError: SSL_CERT_FILE or SSL_CERT_DIR can't be read (any more).
        OSError: nothing can, for now.
    """
    if settings.ca_file is None and settings.ca_dir is None:
        return None
    try:
        return ssl.create_default_context(cafile=settings.ca_file, capath=settings.ca_dir)
    except (OSError, ValueError) as error:
        if is_shortage(error):
            raise
        variable = "SSL_CERT_FILE" if settings.ca_file else "SSL_CERT_DIR"
        raise UserError(f"${variable} holds no certificates that can be read: {error}") from None


def _certificates(environment: Mapping[str, str], variable: str) -> str | None:
    """Return the file or folders of authorities' certificates, None if the variable is not set."""
    if not (name := environment.get(variable)):
        return None
    kind = "file" if variable.endswith("FILE") else "folder"
    try:
        if kind == "file":
            found = Path(name).is_file()
        else:  # OpenSSL takes a list of folders, and passes over those that are not there
            found = any(Path(part).is_dir() for part in name.split(os.pathsep) if part)
    except (OSError, ValueError):  # a name too long, or with a zero byte
        found = False
    if not found:
        raise UserError(f"${variable} names no {kind}: {name[:200]!r}; correct or unset it")
    return name
