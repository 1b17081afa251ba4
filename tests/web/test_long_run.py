"""Ten thousand experiments: how long the page takes is printed, and bounded where it would be felt."""

import time
from pathlib import Path

from tests.web.browser import Watched, browser
from tests.web.conftest import Serve, until
from tests.web.runs import fill_long, workspace_at
from tests.web.test_serving import get

COUNT = 10_000
SLOW_S = 20.0
"""Nobody's machine is that slow: printed is what matters."""


def test_ten_thousand_experiments(tmp_path: Path, serve: Serve) -> None:
    """The first content, a search, a sort and a page far down, as a viewer waits for them."""
    workspace = workspace_at(tmp_path / "long")
    fill_long(workspace, COUNT)
    served = serve(workspace)
    until(
        lambda: get(served, "/api/status")[0] == 200, timeout_s=120
    )  # it reads the run at its start
    took: dict[str, float] = {}
    for path in (
        "status",
        "experiments",
        "experiments?q=entropy+77",
        "experiments?sort=score",
        "experiments?offset=9900",
        "chart",
    ):
        began = time.monotonic()
        assert get(served, f"/api/{path}")[0] == 200
        took[path] = time.monotonic() - began
    with browser() as chromium:
        watched = Watched(chromium)
        page = watched.page
        began = time.monotonic()
        page.goto(served.url)
        page.wait_for_selector("#strip .big")
        took["page: strip"] = time.monotonic() - began
        page.wait_for_selector("#experiments tr[data-n]")
        took["page: table"] = time.monotonic() - began
        page.wait_for_selector(".uplot canvas")
        took["page: chart"] = time.monotonic() - began
        for words in ("entropy 71", "mask wider", "#99"):
            began = time.monotonic()
            page.fill("#search", words)
            page.wait_for_selector("#counts:has-text(' of ')")
            took[f"page: search {words!r}"] = time.monotonic() - began
            page.fill("#search", "")
            page.wait_for_selector("#counts:has-text('10,000 experiments')")
        watched.check(served.base)
    for what, seconds in took.items():
        print(f"{what:<32} {seconds * 1000:7.0f} ms")
    assert max(took.values()) < SLOW_S, took
