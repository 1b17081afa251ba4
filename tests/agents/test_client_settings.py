"""What the environment holds for calls: found at a start, in one line that names the variable."""

import importlib.util
from pathlib import Path

import pytest

from orchestrator.agents.client_settings import OPENAI_URL, Proxy, read_settings
from orchestrator.config.endpoints import AgentConfig
from orchestrator.core.errors import UserError

LOCAL = "http://127.0.0.1:8080/v1"


def read(url: str | None = LOCAL, **environment: str):
    return read_settings(AgentConfig(model="m", base_url=url), environment)


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("ALL_PROXY", "socks://127.0.0.1:7890", "has the scheme socks://"),
        ("HTTPS_PROXY", "socks://127.0.0.1:7890", "has the scheme socks://"),
        ("http_proxy", "ftp://127.0.0.1", "has the scheme ftp://"),
        ("all_proxy", "socks4://127.0.0.1:1080", "has the scheme socks4://"),
        ("HTTP_PROXY", "http://", "is no address"),
        ("HTTP_PROXY", "http://host:99999", "is no address"),
        ("HTTP_PROXY", "http://[::1", "is no address"),
        ("HTTP_PROXY", "http://ho\nst", "is no address"),
        ("SSL_CERT_FILE", "/no/such/file.pem", "names no file"),
        ("SSL_CERT_DIR", "/no/such/folder", "names no folder"),
        ("SSL_CERT_DIR", "/no/such/folder:/nor/this", "names no folder"),
        ("SSL_CERT_DIR", ":", "names no folder"),
        ("SSL_CERT_FILE", "x" * 5000, "names no file"),
        ("OPENAI_ORG_ID", "org-x\n", "holds no header value"),
        ("OPENAI_PROJECT_ID", "прое́кт", "holds no header value"),
        ("OPENAI_BASE_URL", "localhost:8000", "is no address"),
        ("OPENAI_API_KEY", "sk-ключ", "holds no key"),
    ],
)
def test_a_variable_that_no_call_can_be_made_with_is_named(
    variable: str, value: str, says: str
) -> None:
    """Before anything runs."""
    url = None if variable == "OPENAI_BASE_URL" else LOCAL
    with pytest.raises(UserError, match=rf"^\${variable}.*{says}"):
        read(url, **{variable: value})


def test_a_socks_proxy_needs_its_package() -> None:
    """Where it is missing the line says which one; where it is there the proxy is used."""
    value = "socks5://127.0.0.1:1080"
    if importlib.util.find_spec("socksio"):
        assert read(ALL_PROXY=value).proxy == Proxy("ALL_PROXY", value)
        return
    with pytest.raises(UserError, match=r"^\$ALL_PROXY: socks5://.* a SOCKS .*pip install socksio"):
        read(ALL_PROXY=value)


def test_a_host_that_is_left_out_needs_no_proxy() -> None:
    """However odd the proxy, no call goes there."""
    for left_out in ("127.0.0.1", "localhost, 127.0.0.1:8080", "*"):
        assert read(ALL_PROXY="socks://x", NO_PROXY=left_out).proxy is None
    assert read("http://[::1]:8080/v1", all_proxy="socks://x", no_proxy="::1").proxy is None


def test_the_proxy_is_that_of_the_scheme() -> None:
    """Lower case before upper case, the scheme's before the one for all, http:// where none is."""
    both = {"HTTP_PROXY": "http://a:1", "http_proxy": "b:2", "ALL_PROXY": "http://c:3"}
    assert read(**both).proxy == Proxy("http_proxy", "http://b:2")
    assert read("https://h/v1", **both).proxy == Proxy("ALL_PROXY", "http://c:3")
    assert read().proxy is None


def test_a_proxys_password_is_not_shown() -> None:
    """Neither in a refusal nor in what is shown of the settings."""
    with pytest.raises(UserError) as caught:
        read(ALL_PROXY="socks://user:hunter2@host:1")
    assert "hunter2" not in str(caught.value)
    settings = read("http://user:hunter2@h/v1", http_proxy="http://user:sesame@p:1")
    assert not {"hunter2", "sesame"} & set(repr(settings).split())
    assert "hunter2" not in repr(settings) + settings.where + settings.redacted("hunter2 x")


def test_a_file_without_certificates_is_named(tmp_path: Path) -> None:
    """It is read at once."""
    broken = tmp_path / "ca.pem"
    broken.write_text("no certificate")
    with pytest.raises(UserError, match=r"\$SSL_CERT_FILE holds no certificates"):
        read(SSL_CERT_FILE=str(broken))


def test_folders_of_certificates_may_be_a_list(tmp_path: Path) -> None:
    """As OpenSSL reads it: one that is not there is passed over."""
    folders = f"/no/such/folder:{tmp_path}:/no/such/folder"
    assert read(SSL_CERT_DIR=folders).ca_dir == folders


def test_openais_own_address_needs_a_key() -> None:
    """Another one, from the environment too, may need none."""
    with pytest.raises(UserError, match="no API key"):
        read(None)
    assert read(None, OPENAI_API_KEY=" k\n").base_url == OPENAI_URL
    assert read(None, OPENAI_BASE_URL=LOCAL).base_url == LOCAL
