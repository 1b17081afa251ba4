"""What people see of lead and proof: `status`, `results`, `show` and the chart."""

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.config.schema import Config
from orchestrator.core.evaluations import Purpose, SeedResult
from orchestrator.core.experiments import Experiment, LeadMove, MoveKind
from orchestrator.core.records import Files, Rung, Status
from orchestrator.judging.reference import default_seeds, reference_seeds
from orchestrator.reporting import chart
from orchestrator.reporting.results import result_document, results_document
from orchestrator.reporting.run_view import RunView, read_run
from orchestrator.reporting.show import show_lines
from orchestrator.reporting.status import status_document
from orchestrator.reporting.tables import results_text
from orchestrator.reporting.terminal import status_lines
from orchestrator.store.ledger import Ledger
from orchestrator.store.runs import Run
from orchestrator.store.workspace import Workspace
from tests.store.conftest import WHEN

RUNG = Rung(12, 8)
VERDICT = {
    "stage": "seeds", "gain": 0.3, "standard_error": 0.1, "statistic": 3.0, "boundary": 0.5,
    "estimate": 0.24, "estimate_se": 0.09, "evaluations": 3, "against": 1, "incumbent": 1,
    "reference_seeds": 14, "quantity": "return",
}  # fmt: skip
TAKES = "takes the lead: +0.3000 ± 0.1000 over 3 seeds, 99% likely to be better"
SPREAD = (-0.15, 0.05, 0.1, 0.0, -0.1, 0.15, 0.05, -0.05, 0.1, -0.1, 0.0, -0.05)


class Led:
    """A run in a ledger: a baseline measured on twelve fresh seeds, then what a test adds."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        workspace.state.mkdir(exist_ok=True)
        self.ledger = Ledger(workspace.ledger)
        self.ledger.create_run(Run("t", "p" * 40, {"evaluator.seed_count": 2}, WHEN))
        self.end(Status.BASELINE, 0.4)
        self.measure(1, 0.4, 12)

    def end(self, status: Status, score: float | None, **more: Any) -> int:
        is_baseline = status is Status.BASELINE
        n = self.ledger.begin(
            "t", is_baseline=is_baseline, rung=RUNG, agent="a", parent="p" * 40, when=WHEN
        )
        verdict = {} if is_baseline else VERDICT | {"lead": status is Status.LEAD}
        reason = TAKES if status is Status.LEAD else f"why {n}"
        scores = {} if score is None else dict.fromkeys(default_seeds(2), score)
        facts = {"reason": reason, "verdict": verdict, "scores_by_seed": scores} | more
        seeds = [SeedResult(seed, value, 0.5, rung=RUNG) for seed, value in scores.items()]
        self.ledger.finish(
            Experiment(
                n, "t", is_baseline, status, RUNG, "a", score=score, description=f"try {n}",
                commit=f"{n:040}", created_at=WHEN, finished_at=WHEN, **facts,
            ),
            Files("env = 1\n", f"train = {n}\n"), f"fp{n}", seeds,
        )  # fmt: skip
        return n

    def measure(self, n: int, mean: float, count: int, owner: int = 1) -> None:
        for seed, off in zip(reference_seeds(owner, count), SPREAD, strict=False):
            result = SeedResult(seed, mean + off, 0.5, seconds=1.0, purpose=Purpose.REFERENCE)
            self.ledger.save_seed(n, RUNG, result)
        self.ledger.save_pending()

    def move(self, kind: MoveKind, n: int, reason: str) -> None:
        self.ledger.move_lead(
            "t", LeadMove(kind, n, 0, reason, 0.3, 0.05, 4, created_at="2026-11-22T05:00:00.000Z")
        )
        if kind is MoveKind.PROMOTION:
            self.ledger.settle_leads([n], Status.KEEP, "2026-11-22T05:00:00.000Z")
        else:
            self.ledger.leave_leads("t", [])

    def status(self) -> tuple[dict[str, Any], str]:
        document = status_document(self.workspace, Config())
        return json.loads(json.dumps(document)), "\n".join(status_lines(document))

    def view(self) -> RunView:
        return read_run(self.workspace, self.ledger)


@pytest.fixture
def led(stubbed: Workspace) -> Led:
    return Led(stubbed)


def test_status_says_what_is_published_and_that_nothing_leads(led: Led) -> None:
    """Its worth with half of the interval, why it is published, and on how many seeds that rests."""
    document, text = led.status()
    assert (document["lead"], document["trial"]) == (None, None)
    assert "published #1: 0.4000 ± 0.0590 (where the run began, 12 seeds)" in text
    assert "lead  " not in text


def test_status_says_how_the_lead_stands(led: Led) -> None:
    """First by the seeds that chose it, then by fresh ones: shrunk, with the chance to be better."""
    n = led.end(Status.LEAD, 0.7)
    document, text = led.status()
    assert document["lead"]["experiment"] == n
    assert document["lead"]["commit"] == f"{n:040}"
    assert (document["lead"]["seeds"], document["lead"]["fresh"]) == (2, False)
    assert document["trial"] is None
    assert "2 seeds that chose it)" in text
    led.measure(n, 0.6, 3)
    document, text = led.status()
    lead = document["lead"]
    assert (lead["seeds"], lead["fresh"], lead["quantity"]) == (3, True, "return")
    assert 0.05 < lead["gain"] < 0.2  # measured 0.2; shrunk
    assert lead["se"] > 0
    assert 0.9 < lead["probability_better"] < 1
    assert (document["trial"]["look"], document["trial"]["seeds_needed"]) == (1, 4)
    assert 0.5 < document["trial"]["chance"] <= 1
    assert f"lead      #{n}: about {lead['gain']:+.4f} ± {lead['se']:.4f} (" in text
    assert "likely better, 3 seeds)" in text
    assert "trial     look 1 of 10 is next (at 4 seeds of the lead), " in text


def test_a_proven_lead_is_published_and_claims_by_seeds_of_its_own_time(led: Led) -> None:
    """Those that proved it say nothing of its worth any more."""
    n = led.end(Status.LEAD, 0.7)
    led.measure(n, 0.6, 4)
    led.move(MoveKind.PROMOTION, n, "proven against #1: +0.2 over 4 and 12 fresh seeds")
    document, text = led.status()
    assert (document["incumbent"], document["lead"]) == (n, None)
    assert document["validated_score"] is None
    assert f"published #{n}: not measured on fresh seeds at this budget yet (proven)" in text
    led.measure(n, 0.5, 6, owner=n)
    document, text = led.status()
    assert document["validated_seeds"] == 6
    assert f"published #{n}: 0.5083 ± 0.1214 (proven, 6 seeds)" in text


def test_results_say_what_became_of_a_lead(led: Led) -> None:
    """Proven, when and by which trial; or that it leads no more, and why; and its estimate."""
    kept = led.end(Status.LEAD, 0.7)
    led.move(MoveKind.PROMOTION, kept, "proven against #1: +0.2 over 4 and 12 fresh seeds")
    gone = led.end(Status.LEAD, 0.8)
    led.move(MoveKind.ROLLBACK, kept, "the lead disappointed: -0.1 over 3 fresh seeds")
    stopped = led.end(Status.DISCARD, None)
    leads = led.end(Status.LEAD, 0.9)
    view = led.view()
    text = results_text(view, view.experiments)
    assert text.count("proven against #1: +0.2 over 4 and 12 fresh seeds (") == 1
    assert "leads no more: the lead disappointed: -0.1 over 3 fresh seeds (" in text
    assert text.count("not proven yet") == 1
    assert text.count("+0.2400 ± 0.0900") == 4
    rows = {row["experiment"]: row for row in results_document(led.ledger, "t")}
    assert rows[kept]["proven_at"] == "2026-11-22T05:00:00.000Z"
    assert rows[kept]["became"]["is_proven"] is True
    assert rows[gone]["became"]["reason"].startswith("the lead disappointed")
    assert (rows[gone]["status"], rows[leads]["status"]) == ("discard", "lead")
    assert rows[leads]["became"] is None
    assert (rows[stopped]["estimate"], rows[stopped]["se"]) == (0.24, 0.09)
    assert rows[stopped]["judged_against"] == 1
    assert rows[1]["estimate"] is rows[1]["judged_against"] is None


def test_show_says_against_what_and_what_became_of_it(led: Led) -> None:
    """The gain as measured and shrunk, the chance to be better, the seeds of both sides."""
    n = led.end(Status.LEAD, 0.7)
    led.measure(n, 0.6, 4)
    view, evidence = led.view(), led.ledger.evidence(n)
    experiment = led.ledger.experiment(n)
    assert experiment is not None
    lines = show_lines(experiment, evidence, Path("logs"), "", became=view.became(n))
    assert "became     a step of the lead; not proven yet" in lines
    assert "against    #1, return: +0.3000 ± 0.1000 (3 seeds against 14 seeds of #1)" in lines
    assert (
        "gain       about +0.2400 ± 0.0900, shrunk towards 0; over 99% likely to be better" in lines
    )
    assert "fresh      0.4500, 0.6500, 0.7000, 0.6000" in lines
    assert not any(line.startswith("validated") for line in lines)  # they are for its trial
    led.move(MoveKind.ROLLBACK, 1, "the lead disappointed: -0.1")
    became = led.view().became(n)
    lines = show_lines(experiment, evidence, Path("logs"), "", became=became)
    assert any("leads no more: the lead disappointed: -0.1 (" in line for line in lines)
    document = result_document(experiment, evidence, is_accepted=False, became=became)
    assert document["became"]["is_proven"] is False


def test_the_chart_has_both_lines_trials_and_rollbacks(led: Led, tmp_path: Path) -> None:
    """Each named in the legend; without a lead there is one line alone."""

    def labels() -> list[str]:
        (axes,) = chart._figure(led.view()).axes
        return [text.get_text() for text in axes.get_legend().get_texts()]

    assert "published" in labels()
    assert not [label for label in labels() if "lead" in label]
    kept = led.end(Status.LEAD, 0.7)
    led.move(MoveKind.PROMOTION, kept, "proven against #1")
    led.end(Status.LEAD, 0.8)
    led.move(MoveKind.ROLLBACK, kept, "the lead disappointed")
    led.end(Status.LEAD, 0.9)
    found = labels()
    for label in (
        "lead (not proven)", "published", "trial passed: the lead is proven and published",
        "the lead went back", "led, and disappointed", "leads, not proven",
    ):  # fmt: skip
        assert label in found
    chart.draw(led.view(), tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 0
