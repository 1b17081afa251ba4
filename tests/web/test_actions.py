"""Steering by requests: what each action does, and what it says where it can't be done."""

import pytest

from orchestrator.core.records import Status
from orchestrator.store.ledger import Ledger
from orchestrator.store.lock import WorkspaceLock
from orchestrator.store.workspace import Workspace
from tests.web.conftest import Opened
from tests.web.runs import add, begin


@pytest.fixture
def ran(empty: Workspace) -> Workspace:
    """A baseline and a discard."""
    with Ledger(empty.ledger) as ledger:
        begin(ledger, "t")
        add(
            ledger,
            "t",
            is_baseline=True,
            status=Status.BASELINE,
            score=0.5,
            scores_by_seed={101: 0.5},
        )
        add(ledger, "t", status=Status.DISCARD, score=0.25, parent=f"{1:040x}")
        add(ledger, "t", status=Status.CRASH, parent=f"{1:040x}")
    return empty


def act(opened: Opened, workspace: Workspace, name: str, **given: object) -> tuple[int, str]:
    answer = opened(workspace).post(f"/api/actions/{name}", json=given)
    document = answer.json()
    return answer.status_code, document.get("said") or document["error"]


@pytest.mark.parametrize("name", ["pause", "resume", "stop", "stop-now", "reload"])
def test_without_a_daemon_there_is_nothing_to_steer(
    opened: Opened, ran: Workspace, name: str
) -> None:
    """Said in a line; nothing is recorded for a daemon that may start later."""
    status, said = act(opened, ran, name)
    assert (status, "no daemon is running" in said) == (409, True)
    with Ledger(ran.ledger) as ledger:
        assert ledger.requests() == []


@pytest.mark.parametrize("name", ["pause", "resume", "stop"])
def test_a_daemon_is_asked_as_by_the_command_line(
    opened: Opened, ran: Workspace, name: str
) -> None:
    """The same request in the ledger."""
    with WorkspaceLock(ran.lock):
        assert act(opened, ran, name)[0] == 200
    with Ledger(ran.ledger) as ledger:
        assert [request.kind for request in ledger.requests()] == [name]


def test_notes_are_added_and_deleted(opened: Opened, ran: Workspace) -> None:
    """By number; one that is not there is said."""
    assert act(opened, ran, "note", text="try a curriculum")[0] == 200
    [note] = opened(ran).get("/api/notebook").json()["notes"]
    assert note["text"] == "try a curriculum"
    assert act(opened, ran, "delete-note", id=note["id"])[0] == 200
    assert opened(ran).get("/api/notebook").json()["notes"] == []
    assert act(opened, ran, "delete-note", id=note["id"]) == (
        422,
        f"there is no note {note['id']}: see `autorl-daemon note --list`",
    )
    assert act(opened, ran, "delete-note", id=True)[0] == 422
    assert act(opened, ran, "delete-note", id=2**70)[0] == 422


def test_lessons_are_written(opened: Opened, ran: Workspace) -> None:
    """A person's, in place of the agent's; too long ones are refused with the limit."""
    assert act(opened, ran, "lessons", text="wider helps")[0] == 200
    lessons = opened(ran).get("/api/notebook").json()["lessons"]
    assert (lessons["text"], lessons["author"], lessons["after"]) == ("wider helps", "human", 3)
    status, said = act(opened, ran, "lessons", text="x" * 5000)
    assert (status, "4000" in said) == (422, True)


def test_the_brief_is_written_unless_another_hand_was_quicker(
    opened: Opened, ran: Workspace
) -> None:
    """Nobody's edit is lost; an empty brief is none."""
    before = opened(ran).get("/api/notebook").json()["program"]
    assert act(opened, ran, "program", text="a new brief\n", before=before)[0] == 200
    assert ran.program.read_text() == "a new brief\n"
    status, said = act(opened, ran, "program", text="mine", before=before)
    assert (status, "was changed meanwhile" in said) == (422, True)
    assert act(opened, ran, "program", text=" ", before="a new brief\n")[0] == 422
    assert act(opened, ran, "program", text="x" * (2**20 + 1), before="a new brief\n")[0] == 422
    assert ran.program.read_text() == "a new brief\n"


def test_a_candidate_is_proposed_from_the_page(opened: Opened, ran: Workspace) -> None:
    """Code that was edited there: checked like any other, and the workspace's files stay."""
    files = {
        "candidate/env.py": "def create_env(n, d, s):\n    return None\n",
        "candidate/train.py": "def build_policy(o, n):\n    return None\n\n\ndef training_overrides():\n    return {}\n",
    }
    status, said = act(opened, ran, "propose", description="my idea", files=files)
    assert (status, "start --tag t" in said) == (200, True), said
    with Ledger(ran.ledger) as ledger:
        [proposal] = ledger.proposals("t")
    assert (proposal.description, proposal.files.env) == ("my idea", files["candidate/env.py"])
    assert (ran.root / "candidate" / "env.py").read_text() == "ENV = 1\n"
    broken = {**files, "candidate/train.py": "def ("}
    status, said = act(opened, ran, "propose", files=broken)
    assert (status, "candidate/train.py" in said) == (422, True)
    for odd in (
        {"candidate/env.py": "x"},
        [],
        {**files, "../x.py": ""},
        {**files, "candidate/env.py": 1},
    ):
        assert act(opened, ran, "propose", files=odd)[0] == 422


def test_an_experiment_is_accepted(opened: Opened, ran: Workspace) -> None:
    """A running daemon is asked; one that failed only by consent; what is no experiment is refused."""
    with WorkspaceLock(ran.lock):
        assert act(opened, ran, "accept", n=2)[0] == 200
        status, said = act(opened, ran, "accept", n=3)
        assert (status, "ended as crash" in said) == (422, True)
        assert act(opened, ran, "accept", n=3, may_fail=True)[0] == 200
    with Ledger(ran.ledger) as ledger:
        assert [(r.kind, r.argument) for r in ledger.requests()] == [
            ("accept", "2"),
            ("accept", "3"),
        ]
    for odd in (0, -1, "2", 2.5, None, 99):
        assert act(opened, ran, "accept", n=odd)[0] == 422


def test_an_action_that_is_none(opened: Opened, ran: Workspace) -> None:
    """Only what is named can be done."""
    for name in ("start", "__class__", "prune", "x" * 300):
        assert act(opened, ran, name)[0] == 422
