"""Evaluators whose processes obey constants instead of training, ended after each test."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from orchestrator.store.workspace import Workspace
from tests.evaluation.driver import Driver

MakeDriver = Callable[..., Driver]


@pytest.fixture
def make_driver(stubbed: Workspace) -> Iterator[MakeDriver]:
    """Make drivers over the stub.

    `resumes=True` lets it take seeds as measured, `compares=True` compare environments.
    """
    drivers = []

    def make(*, resumes: bool = False, compares: bool = False, **arguments: Any) -> Driver:
        framework = stubbed.root / "framework.py"
        for name, wanted in (("RESUMES", resumes), ("COMPARES", compares)):
            if wanted:
                text = framework.read_text()
                assert f"{name} = False" in text
                framework.write_text(text.replace(f"{name} = False", f"{name} = True"))
        drivers.append(Driver(stubbed, **arguments))
        return drivers[-1]

    yield make
    for driver in drivers:
        driver.evaluator.close()


@pytest.fixture
def driver(make_driver: MakeDriver) -> Driver:
    """An evaluator with one slot."""
    return make_driver()
