"""A workspace whose ledger holds a run that goes on."""

import pytest

from orchestrator.core.records import Status
from orchestrator.store.git import GitStore
from orchestrator.store.ledger import Ledger
from orchestrator.store.runs import Run
from orchestrator.store.workspace import Workspace
from tests.store.conftest import WHEN
from tests.store.test_branch import Place


@pytest.fixture
def running(stubbed: Workspace) -> Workspace:
    """A baseline, a keep and a discard, and nothing that says why the run has stopped."""
    stubbed.state.mkdir(exist_ok=True)
    with Ledger(stubbed.ledger) as ledger:
        ledger.create_run(Run("t", GitStore(stubbed.root).head(), {}, WHEN))
        Place(stubbed.root, ledger).run(Status.KEEP, Status.DISCARD)
    return stubbed
