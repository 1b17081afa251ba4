"""What people ask of the lead: in the same words from the command line and the page."""

import json

import pytest

from orchestrator.config.reloading import RunningConfig
from orchestrator.config.schema import Config
from orchestrator.core.errors import UserError
from orchestrator.core.records import Status
from orchestrator.daemon import lead_requests
from orchestrator.store.ledger import Ledger
from orchestrator.store.lock import WorkspaceLock
from orchestrator.store.workspace import Workspace
from tests.cli.conftest import Call, call  # noqa: F401 - a fixture
from tests.web.conftest import Opened, opened  # noqa: F401 - a fixture
from tests.web.runs import add, begin, workspace_at


@pytest.fixture
def led(tmp_path) -> Workspace:
    """Baseline, a discard, and two steps that lead."""
    workspace = workspace_at(tmp_path / "led")
    with Ledger(workspace.ledger) as ledger:
        begin(ledger, "t")
        known = {"scores_by_seed": {101: 0.5}, "score": 0.5}
        add(ledger, "t", is_baseline=True, status=Status.BASELINE, **known)
        for n, status in enumerate((Status.DISCARD, Status.LEAD, Status.LEAD), 2):
            verdict = {"lead": 1} if status is Status.LEAD else {}
            add(ledger, "t", status=status, parent=f"{n - 1:040x}", verdict=verdict, **known)
    return workspace


def asked(workspace: Workspace) -> list[tuple[str, dict[str, object]]]:
    with Ledger(workspace.ledger) as ledger:
        return [(each.kind, json.loads(each.argument or "{}")) for each in ledger.requests()]


def test_a_step_of_the_lead_is_pruned_with_a_reason(led: Workspace) -> None:
    """In one line, as the agent reads it."""
    assert lead_requests.prune(led, 3, "farms\nthe \x1b[31mbonus") == "t"
    ((kind, facts),) = asked(led)
    assert (kind, facts["n"]) == ("prune", 3)
    assert "\n" not in facts["why"]
    assert "\x1b" not in facts["why"]


@pytest.mark.parametrize(
    ("n", "says"),
    [
        (1, "experiment 1 is published"),
        (2, r"does not rest on experiment 2 \(unproven steps: #3, #4\)"),
        (99, "does not rest on experiment 99"),
    ],
)
def test_nothing_else_is_pruned(led: Workspace, n: int, says: str) -> None:
    """What is meant is said, and nothing is recorded."""
    with pytest.raises(UserError, match=says):
        lead_requests.prune(led, n, "")
    assert asked(led) == []


@pytest.mark.parametrize("n", [1, 4])
def test_the_lead_and_the_published_are_measured_again(led: Workspace, n: int) -> None:
    """On as many seeds as are asked for."""
    lead_requests.measure(led, n, 5)
    assert asked(led) == [("measure", {"n": n, "more": 5, "up_to": None})]


@pytest.mark.parametrize(
    ("n", "seeds", "says"),
    [
        (2, 8, r"only the lead and the published candidate are measured again \(#1 and #4\)"),
        (3, 8, "not experiment 3"),
        (4, 0, "from 1 to 100 seeds"),
        (4, 101, "from 1 to 100 seeds"),
    ],
)
def test_nothing_else_is_measured(led: Workspace, n: int, seeds: int, says: str) -> None:
    """A discarded candidate has no seeds that decide anything."""
    with pytest.raises(UserError, match=says):
        lead_requests.measure(led, n, seeds)
    assert asked(led) == []


def test_the_naive_rule_measures_nothing_more(led: Workspace) -> None:
    """Said at once."""
    config = Config.model_validate({"judge": {"rule": "naive"}})
    with Ledger(led.ledger) as ledger:
        ledger.set_config("t", RunningConfig(config).as_json())
    with pytest.raises(UserError, match="rule: naive"):
        lead_requests.measure(led, 4, 8)


def test_the_command_line_says_when(led: Workspace, call: Call) -> None:  # noqa: F811
    """Next, or once a daemon runs."""
    said = call("prune", "4", "--why", "too slow", cwd=led.root)
    assert said.stdout == (
        "experiment 4 no longer leads, nor what rests on it once "
        "`autorl-daemon start --tag t` runs\n"
    )
    with WorkspaceLock(led.lock):
        said = call("measure", "4", "--seeds", "3", cwd=led.root)
    assert said.stdout == "experiment 4 is measured on 3 more fresh seeds\n"
    call("prune", "1", cwd=led.root).refuses("is published")
    assert [kind for kind, _ in asked(led)] == ["prune", "measure"]


def test_the_page_asks_for_the_same(led: Workspace, opened: Opened) -> None:  # noqa: F811
    """And says what can't be done."""
    page = opened(led)
    assert page.post("/api/actions/prune", json={"n": 4, "why": "x"}).status_code == 200
    assert page.post("/api/actions/measure", json={"n": 1, "seeds": 2}).status_code == 200
    refused = page.post("/api/actions/measure", json={"n": 1, "seeds": "many"})
    assert (refused.status_code, refused.json()["error"]) == (
        422,
        "seeds must be a positive number",
    )
    assert asked(led) == [
        ("prune", {"n": 4, "why": "x"}),
        ("measure", {"n": 1, "more": 2, "up_to": None}),
    ]
