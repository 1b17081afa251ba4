"""Attacks on the page: from other pages, over other names, without the token, with odd paths."""

import pytest

from orchestrator.store.ledger import Ledger
from orchestrator.store.workspace import Workspace
from orchestrator.web.actions import ACTIONS
from orchestrator.web.asset_files import ASSETS, asset_files
from tests.web.conftest import ORIGIN, TOKEN, Opened

NOTE = {"text": "a note"}


def notes(workspace: Workspace) -> list[str]:
    if not workspace.ledger.exists():
        return []
    with Ledger(workspace.ledger) as ledger:
        return ledger.notes()


@pytest.mark.parametrize("name", sorted(ACTIONS))
def test_no_action_without_the_token(opened: Opened, empty: Workspace, name: str) -> None:
    """On this machine one may look without it, and do nothing."""
    client = opened(empty, with_token=False)
    assert client.get("/api/status").status_code == 200
    assert client.get("/api/session").json()["can_act"] is False
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Cookie": "autorl-8765=wrong"},
                    {"Cookie": f"autorl-8766={TOKEN}"}, {"Authorization": f"Basic {TOKEN}"}):  # fmt: skip
        assert client.post(f"/api/actions/{name}", json=NOTE, headers=headers).status_code == 401
    assert notes(empty) == []


def test_the_token_is_given_as_a_cookie_that_scripts_and_other_sites_never_see(
    opened: Opened, empty: Workspace
) -> None:
    """The printed address sets it and forwards to one without it; a wrong one sets nothing."""
    client = opened(empty, with_token=False)
    assert client.get("/?token=wrong").status_code == 401
    greeted = client.get(f"/?token={TOKEN}")
    assert (greeted.status_code, greeted.headers["location"]) == (303, "/")
    cookie = greeted.headers["set-cookie"]
    assert cookie.startswith(f"autorl-8765={TOKEN};")
    assert {"HttpOnly", "SameSite=strict"} <= {part.strip() for part in cookie.split(";")}
    assert client.get("/api/session").json()["can_act"] is True
    assert client.post("/api/actions/note", json=NOTE).status_code == 200
    assert notes(empty) == ["a note"]


def test_a_program_acts_with_the_token_as_a_bearer(opened: Opened, empty: Workspace) -> None:
    """As `curl` would."""
    client = opened(empty, with_token=False)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert client.post("/api/actions/note", json=NOTE, headers=headers).status_code == 200
    assert notes(empty) == ["a note"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": "http://127.0.0.1:9999"},
        {"Origin": "http://127.0.0.1:8765.evil.example"}, {"Origin": "file://"},
        {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"},
    ],
)  # fmt: skip
def test_another_page_neither_acts_nor_reads(
    opened: Opened, hostile: Workspace, headers: dict[str, str]
) -> None:
    """Even if the browser sent the cookie along."""
    client, before = opened(hostile), notes(hostile)
    assert client.post("/api/actions/note", json=NOTE, headers=headers).status_code == 403
    assert client.get("/api/status", headers=headers).status_code == 403
    assert notes(hostile) == before


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8765", "127.0.0.1.evil.example", "localhost.evil.example",
             "10.0.0.7", "[::ffff:10.0.0.7]", "", "127.0.0.1:8765@evil.example", "[", "1" * 300],
)  # fmt: skip
def test_a_name_that_was_made_to_point_here_is_none_of_ours(
    opened: Opened, hostile: Workspace, host: str
) -> None:
    """DNS rebinding: the browser believes that a foreign page and this server are one site."""
    client = opened(hostile)
    headers = {"Host": host, "Origin": f"http://{host}"}
    assert client.post("/api/actions/note", json=NOTE, headers=headers).status_code == 421
    answer = client.get("/api/status", headers={"Host": host})
    assert answer.status_code == 421
    assert "hostile" not in answer.text


@pytest.mark.parametrize("host", ["localhost:8765", "127.0.0.1:4000", "[::1]:8765", "localhost"])
def test_a_tunnel_may_have_another_port(opened: Opened, empty: Workspace, host: str) -> None:
    """`ssh -L 4000:127.0.0.1:8765`: the browser's address is still this machine's."""
    headers = {"Host": host, "Origin": f"http://{host}", "Authorization": f"Bearer {TOKEN}"}
    client = opened(empty, with_token=False)
    assert client.post("/api/actions/note", json=NOTE, headers=headers).status_code == 200


def test_off_this_machine_nothing_is_answered_without_the_token(
    opened: Opened, hostile: Workspace
) -> None:
    """Neither the run nor the page itself."""
    client = opened(hostile, host="0.0.0.0", with_token=False)
    for path in (
        "/",
        "/app.css",
        "/api/status",
        "/api/events",
        "/?xtoken=1",
        "/?token=",
        "/?token=wrong",
    ):
        answer = client.get(path)
        assert answer.status_code == 401, path
        assert "hostile" not in answer.text
    assert client.get(f"/?token={TOKEN}").status_code == 303
    assert client.get("/api/status").json()["tag"] == "hostile"
    assert client.get("/app.css", headers={"Host": "192.168.1.5:8765"}).status_code == 200
    assert client.get("/app.css", headers={"Host": "evil.example"}).status_code == 421


@pytest.mark.parametrize(
    "path",
    [
        "/../app.py", "/%2e%2e/app.py", "/..%2fapp.py", "/vendor/../../app.py", "//etc/passwd",
        "/etc/passwd", "/%00", "/vendor", "/assets/app.css", "/app.css/", "/app.css%00.html",
        "/api/experiments/..%2f..%2f.autorl%2fledger.sqlite", "/.autorl/ledger.sqlite",
        "/api/experiments/1/../../../config.yaml", "/api/actions/..%2fnote", "/config.yaml",
    ],
)  # fmt: skip
def test_no_path_leads_out(opened: Opened, hostile: Workspace, path: str) -> None:
    """Assets are known by name; all else is no file."""
    answer = opened(hostile).get(path)
    assert answer.status_code in {404, 405}, path
    assert "import" not in answer.text
    assert "SQLite" not in answer.text


@pytest.mark.parametrize(
    "path", ["/", "/app.css", "/api/status", "/nothing", "/api/experiments/99"]
)
def test_every_answer_has_the_policy(opened: Opened, hostile: Workspace, path: str) -> None:
    """No script and no style but this server's own files, no frame, no type guessed."""
    headers = opened(hostile).get(path).headers
    policy = dict(
        part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["form-action"] == policy["base-uri"] == "'none'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "server" not in headers


def test_the_page_has_no_script_of_its_own_inside_and_no_foreign_address() -> None:
    """Everything is vendored: no network that is another's, no markup made of text."""
    for name in asset_files():
        text = (ASSETS / name).read_text(encoding="utf-8")
        if name.startswith("vendor/"):
            continue
        addresses = text.replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in addresses, name
        assert "https://" not in addresses, name
        for maker in (
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
        ):
            assert maker not in text, name
    index = (ASSETS / "index.html").read_text()
    assert "<style" not in index
    assert " style=" not in index
    assert "onclick" not in index
    assert index.count("<script ") == index.count(" defer></script>")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400), (b"[1]", 400), (b"{", 400), (b"[" * 100_000, 400), (b'{"text": 1}', 422),
        (b'{"text": ["a"]}', 422), (b'{"text": "' + b"x" * 3000 + b'"}', 422),
        (b'{"text": "' + b"x" * (2**21) + b'"}', 400), (b"\xff\xfe", 400), (b'{"text": ""}', 422),
    ],
)  # fmt: skip
def test_a_body_that_is_no_action(
    opened: Opened, empty: Workspace, body: bytes, status: int
) -> None:
    """Refused in words, whatever it is."""
    headers = {"Content-Type": "application/json"}
    answer = opened(empty).post("/api/actions/note", content=body, headers=headers)
    assert answer.status_code == status
    assert answer.json()["error"]
    assert notes(empty) == []


def test_a_form_of_another_page_is_no_action(opened: Opened, empty: Workspace) -> None:
    """A form can't send JSON; whatever else it sends is refused by its type."""
    client = opened(empty)
    for kind in (
        "application/x-www-form-urlencoded",
        "text/plain",
        "multipart/form-data; boundary=x",
    ):
        answer = client.post(
            "/api/actions/note",
            content=b'{"text": "x"}',
            headers={"Content-Type": kind, "Origin": ORIGIN},
        )
        assert answer.status_code == 415
    assert client.get("/api/actions/note").status_code in {404, 405}
    assert notes(empty) == []
