"""A real browser: it is skipped, with the reason, where there is none."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "/usr/bin/chromium")


@contextlib.contextmanager
def browser() -> Iterator[Any]:
    """Start the machine's own chromium."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = next((found for name in CHROMIUM if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("no chromium on this machine")
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=arguments)
        yield chromium
        chromium.close()


class Watched:
    """A page whose errors and requests are watched."""

    def __init__(self, chromium: Any, **options: Any) -> None:
        self.page = chromium.new_context(**options).new_page()
        self.page.set_default_timeout(30_000)
        self.errors: list[str] = []
        self.addresses: set[str] = set()
        self.page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.addresses.add(request.url))
        self.page.on("dialog", lambda dialog: self.errors.append(f"dialog {dialog.message}"))

    def check(self, base: str) -> None:
        """Check that nothing went wrong, and that nobody else was asked for anything."""
        assert self.errors == []
        assert {url for url in self.addresses if not url.startswith(base)} == set()
