"""What the page's server answers."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.experiments import StopKind, StopReason
from orchestrator.core.records import Status
from orchestrator.store.ledger import Ledger
from orchestrator.store.workspace import Workspace
from orchestrator.web.answers import Answers
from tests.web.conftest import KEY, TOKEN, Opened
from tests.web.runs import HOSTILE, add, begin, fill_long, workspace_at

READ = (
    "session", "status", "runs", "chart", "experiments", "notebook", "log", "report", "candidate",
    "experiments/2", "experiments/2?tag=hostile", "chart?only=1,2", "status?tag=hostile",
)  # fmt: skip

REPLAY = {
    "schema": "simverse.replay",
    "version": 1,
    "return": 1.0,
    "success": True,
    "description": "",
    "steps": [],
}


@pytest.fixture
def scored(tmp_path: Path) -> Workspace:
    """A run of a baseline, a negative keep, one without a score and one with none that is a number."""
    workspace = workspace_at(tmp_path / "scored")
    with Ledger(workspace.ledger) as ledger:
        begin(ledger, "t")
        add(
            ledger,
            "t",
            is_baseline=True,
            status=Status.BASELINE,
            score=-3.0,
            description="as it stands",
        )
        add(
            ledger,
            "t",
            status=Status.KEEP,
            score=-1.5,
            description="Wider net",
            parent=f"{1:040x}",
            cost_usd=0.5,
        )
        add(
            ledger,
            "t",
            status=Status.CRASH,
            description="deeper",
            reason="it raised",
            parent=f"{2:040x}",
            flags=("x: y",),
        )
        add(
            ledger,
            "t",
            status=Status.DISCARD,
            score=-1e300,
            description="wider still",
            parent=f"{2:040x}",
        )
        ledger.set_stop_reason("t", StopReason(StopKind.REQUESTED, "stopped by the user"))
    return workspace


def numbers(found: dict[str, Any]) -> list[int]:
    return [row["n"] for row in found["rows"]]


@pytest.mark.parametrize("path", READ)
def test_every_route_answers_hostile_text_as_json(
    opened: Opened, hostile: Workspace, path: str
) -> None:
    """Whatever a field holds, the answer is JSON, and no browser takes it for anything else."""
    answer = opened(hostile).get(f"/api/{path}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    json.loads(answer.text, parse_constant=pytest.fail)


@pytest.mark.parametrize("path", ["session", "status", "runs", "experiments", "notebook", "log"])
def test_a_workspace_without_a_run_is_answered(opened: Opened, empty: Workspace, path: str) -> None:
    """The page is there before the first start: it says that nothing has run."""
    assert opened(empty).get(f"/api/{path}").status_code == 200
    assert opened(empty).get("/api/status").json()["branch"] is None


def test_the_status_is_that_of_the_command_line_and_more(opened: Opened, scored: Workspace) -> None:
    """Published and naive scores, limits and what was used, what to do next."""
    status = opened(scored).get("/api/status").json()
    assert (status["running"], status["tag"], status["incumbent"]) == (False, "t", 2)
    assert (status["best_score"], status["baseline_score"]) == (-1.5, -3.0)
    assert status["stop_reason"] == "stopped by the user"
    assert (status["used"]["experiments"], status["used"]["cost_usd"]) == (3, 0.5)
    assert status["limits"]["consecutive_failures"] == 20
    assert any("start --tag t" in step for step in status["next_steps"])


def test_the_table_is_searched_filtered_and_sorted(opened: Opened, scored: Workspace) -> None:
    """Words in any field, verdicts, flags; without a value comes last, whichever way."""
    client = opened(scored)

    def ask(query: str) -> dict[str, Any]:
        found: dict[str, Any] = client.get(f"/api/experiments?{query}").json()
        return found

    assert numbers(ask("")) == [4, 3, 2, 1]
    assert numbers(ask("q=WIDER")) == [4, 2]
    assert numbers(ask("q=wider+net")) == [2]
    assert numbers(ask("q=it+raised")) == [3]
    assert numbers(ask("status=crash,keep")) == [3, 2]
    assert ask("status=crash")["by_status"] == {"baseline": 1, "keep": 1, "crash": 1, "discard": 1}
    assert numbers(ask("flagged=1")) == [3]
    assert numbers(ask("sort=score")) == [2, 1, 4, 3]
    assert numbers(ask("sort=score&desc=0")) == [4, 1, 2, 3]
    assert numbers(ask("limit=1&offset=1")) == [3]
    assert ask("limit=1")["matching"] == 4
    assert numbers(ask("rung=32/8")) == []


@pytest.mark.parametrize(
    "query", ["sort=secret", "limit=x", "offset=-1", "sort=__class__", "limit=9" + "9" * 40]
)
def test_a_question_that_is_none_is_refused_in_words(
    opened: Opened, scored: Workspace, query: str
) -> None:
    """One line, and no traceback."""
    answer = opened(scored).get(f"/api/experiments?{query}")
    assert answer.status_code == 422
    assert "\n" not in answer.json()["error"]


def test_the_chart_has_failed_and_negative_scores(opened: Opened, scored: Workspace) -> None:
    """Nothing is clamped or left out; what can't be drawn has no place, and keeps its row."""
    client = opened(scored)
    chart = client.get("/api/chart").json()
    columns = chart["columns"]
    assert columns["n"] == [1, 2, 3, 4]
    assert columns["score"] == [-3.0, -1.5, None, None]
    assert columns["status"] == ["baseline", "keep", "crash", "discard"]
    assert columns["dollars"] == [0.0, 0.5, 0.5, 0.5]
    assert [step["n"] for step in chart["published"]] == [1, 2]
    part = client.get("/api/chart?only=2,9").json()
    assert (part["columns"]["n"], part["columns"]["dollars"]) == ([2], [0.5])
    assert client.get("/api/chart?only=" + ",".join(["1"] * 600)).status_code == 422


def test_an_experiment_has_change_evidence_and_family(
    opened: Opened, hostile: Workspace, scored: Workspace
) -> None:
    """The change as a patch, both sides of the evidence, replies with their failures, kin."""
    one = opened(hostile).get("/api/experiments/2").json()
    assert "+TRAIN = 2" in one["diff"]
    assert [seed["seed"] for seed in one["against"]["evidence"]] == [101, 138]
    assert len(one["against"]["evidence"][0]["curve"]) == 12
    assert [reply["failed"] for reply in one["replies"]] == ["crash", None]
    assert {paper["file"] for paper in one["papers"]} == {
        "prompt.md",
        "prompt.repair-1.md",
        "review.md",
        "review-prompt.md",
    }
    assert one["flags"][0]["meaning"].startswith("the same actions")
    assert "\u202e" not in one["rationale"]
    two = opened(scored).get("/api/experiments/2").json()
    assert two["parent_experiment"]["n"] == 1
    assert [child["n"] for child in two["children"]] == [3, 4]
    assert (two["before"], two["after"]) == (1, 3)


@pytest.mark.parametrize("n", ["0", "99", "2x", "-1", "1" * 40, "%2e%2e"])
def test_an_experiment_that_is_none(opened: Opened, scored: Workspace, n: str) -> None:
    """No number leads anywhere but to an experiment."""
    assert opened(scored).get(f"/api/experiments/{n}").status_code in {404, 422}


def test_another_run_is_shown_as_it_was_left(opened: Opened, scored: Workspace) -> None:
    """Each run has its own table; an experiment's page finds its run by itself."""
    with Ledger(scored.ledger) as ledger:
        begin(ledger, "later")
        n = add(ledger, "later", is_baseline=True, status=Status.BASELINE, score=1.0)
    client = opened(scored)
    assert [run["tag"] for run in client.get("/api/runs").json()] == ["later", "t"]
    assert numbers(client.get("/api/experiments").json()) == [n]
    assert numbers(client.get("/api/experiments?tag=t").json()) == [4, 3, 2, 1]
    older = client.get("/api/status?tag=t").json()
    assert (older["is_older"], older["tag"], older["incumbent"]) == (True, "t", 2)
    assert any("start --tag t" in step for step in older["next_steps"])
    assert client.get("/api/experiments/2").json()["tag"] == "t"
    assert client.get("/api/chart?tag=none").status_code == 422


def test_a_replay_is_given_as_it_was_recorded(opened: Opened, hostile: Workspace) -> None:
    """By seed and episode; only a file that is really there: a link to elsewhere is none."""
    client, folder = opened(hostile), hostile.logs / "experiments" / "2"
    address = "/api/experiments/2/replay"
    assert client.get("/api/experiments/2").json()["replays"] == []
    (folder / "replay.json").write_text(json.dumps(REPLAY))
    (folder / "replays-138.json").write_text(json.dumps([REPLAY, REPLAY | {"return": 2.0}]))
    assert client.get("/api/experiments/2").json()["replays"] == [101, 138]
    assert client.get(f"{address}/101/0").json() == {"episodes": 1, "replay": REPLAY}
    assert client.get(f"{address}/138/1").json()["replay"]["return"] == 2.0
    for odd in ("101/1", "102/0", f"{10**30}/0", f"101/{10**30}"):
        assert client.get(f"{address}/{odd}").status_code == 422
    assert client.get("/api/experiments/77/replay/101/0").status_code == 422
    (folder / "replay.json").unlink()
    (hostile.root / "secret.json").write_text(json.dumps(REPLAY))
    (folder / "replay.json").symlink_to(hostile.root / "secret.json")
    assert client.get(f"{address}/101/0").status_code == 422


def test_an_unreadable_ledger_is_said(opened: Opened, hostile: Workspace) -> None:
    """One line with the cause in place of the run, and again the run once it is back."""
    client = opened(hostile)
    content = hostile.ledger.read_bytes()
    hostile.ledger.write_bytes(b"no ledger at all" * 100)
    broken = client.get("/api/status")
    assert broken.status_code == 422
    assert "can't be used as a ledger" in broken.json()["error"]
    hostile.ledger.write_bytes(content)
    assert client.get("/api/status").json()["tag"] == "hostile"


def test_no_secret_is_ever_answered(opened: Opened, hostile: Workspace) -> None:
    """Neither the token, nor a key that stands in a log or reply, nor the seeds' secret."""
    with Ledger(hostile.ledger) as ledger:
        secret = ledger.key().hex()
        ledger.add_note(f"my key is {KEY}", "2026-11-27T20:00:02.000Z")
    (hostile.logs / "experiments" / "2" / "prompt.md").write_text(
        f"{KEY} https://me:pass1234@host/ {TOKEN}"
    )
    hostile.daemon_log.write_text(json.dumps({"event": KEY}) + "\n")
    client = opened(hostile)
    for path in READ:
        text = client.get(f"/api/{path}").text
        for hidden in (KEY, TOKEN, secret, "pass1234"):
            assert hidden not in text, path


def test_what_is_no_number_is_null() -> None:
    """JSON has no NaN: a browser would refuse the whole answer."""
    text = Answers([]).text({"a": [math.nan, (math.inf, 1.0)], "b": "NaN"})
    assert json.loads(text) == {"a": [None, [None, 1.0]], "b": "NaN"}


def test_a_short_word_is_no_secret() -> None:
    """A key of a few letters may stand anywhere; replacing it would spoil every answer."""
    assert Answers(["key", ""]).text({"key": HOSTILE}) == json.dumps(
        {"key": HOSTILE}, separators=(",", ":")
    )


def test_a_long_run_is_followed_ending_by_ending(opened: Opened, tmp_path: Path) -> None:
    """What ends while the page is open comes to the same as if all were read at once."""
    workspace = workspace_at(tmp_path / "long")
    fill_long(workspace, 500)
    client = opened(workspace)
    first = client.get("/api/status").json()
    with Ledger(workspace.ledger) as ledger:
        n = add(ledger, "long", status=Status.KEEP, score=9.0, rung=(64, 12), parent=f"{500:040x}")
        ledger.accept("long", 3, f"{3:040x}", "2026-11-28T20:00:00.000Z")
    later = client.get("/api/status").json()
    anew = opened(workspace).get("/api/status").json()
    volatile = {"last_event"}
    assert {k: v for k, v in later.items() if k not in volatile} == {
        k: v for k, v in anew.items() if k not in volatile
    }
    assert later["used"]["experiments"] == first["used"]["experiments"] + 1
    assert later["incumbent"] == 3
    assert client.get(f"/api/experiments/{n}").json()["row"]["became"] is None
    chart, other = (c.get("/api/chart").json() for c in (client, opened(workspace)))
    assert chart == other


def test_prometheus_reads_the_run(opened: Opened, scored: Workspace, empty: Workspace) -> None:
    """As text in its format, before the first start too."""
    answer = opened(scored).get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'autorl_published_experiment{tag="t"} 2.0\n' in answer.text
    assert 'autorl_cost_usd_total{tag="t"} 0.5\n' in answer.text
    assert opened(empty).get("/metrics").status_code == 200
