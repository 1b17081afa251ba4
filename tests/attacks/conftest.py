"""The long form of the attack set is run with `TESTS_LONG=1`; the short one takes a few minutes."""

import os

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "attacks_long: only with TESTS_LONG=1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get("TESTS_LONG") == "1":
        return
    skip = pytest.mark.skip(reason="slow: set TESTS_LONG=1")
    for item in items:
        if "attacks_long" in item.keywords:
            item.add_marker(skip)
