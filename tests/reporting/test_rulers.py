"""What people see of changed rulers, reviews, flags of a keep, and where a new task begins."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.config.schema import Config
from orchestrator.core.evaluations import Purpose, Report, SeedResult
from orchestrator.core.experiments import Experiment
from orchestrator.core.records import Rung, Status
from orchestrator.planning.state import RunState, replay
from orchestrator.reporting import chart
from orchestrator.reporting.course import course
from orchestrator.reporting.results import result_document
from orchestrator.reporting.run_view import RunView, review_text
from orchestrator.reporting.show import show_lines
from orchestrator.reporting.status import status_document
from orchestrator.reporting.tables import results_text
from orchestrator.reporting.terminal import status_lines
from orchestrator.store.ledger import Ledger
from orchestrator.store.runs import Run
from orchestrator.store.workspace import Workspace
from tests.fakes import ruler_comparison

RUNG = Rung(12, 8)
EARNED = {"opinion": "earned", "reason": "the brief asks for it", "by": "openai:m"}


def experiment(n: int, status: Status, score: float, **more: Any) -> Experiment:
    is_baseline = status is Status.BASELINE
    return Experiment(
        n, "t", is_baseline, status, RUNG, "a", score=score, ended=n, commit=f"c{n}",
        description=f"try {n}", reason=f"why {n}", **more,
    )  # fmt: skip


EPOCH = experiment(
    3, Status.KEEP, 0.2, flags=("reward scale: 3 times",),
    verdict={"changed": ["dynamics"], "epoch": True, "review": EARNED, "stage": "other task"},
)  # fmt: skip
ROWS = [experiment(1, Status.BASELINE, 0.1), experiment(2, Status.KEEP, 0.5), EPOCH]


def view(experiments: list[Experiment] = ROWS) -> RunView:
    return RunView(Run("t", "p", {}, "then"), experiments, replay(experiments, ()), [], {})


def test_json_has_what_changed_and_who_agreed() -> None:
    """Of experiments without a verdict too, with nothing in them."""
    reference = [SeedResult(1, 0.5, seconds=2.5), SeedResult(2, 0.5, seconds=1.5)]
    document = result_document(EPOCH, reference, is_accepted=False)
    assert (document["changed"], document["review"], document["epoch"]) == (
        ["dynamics"], EARNED, True,
    )  # fmt: skip
    assert document["reference_seconds"] == 4.0
    plain = result_document(ROWS[0], [], is_accepted=False)
    assert (plain["changed"], plain["review"], plain["epoch"]) == ([], None, False)


def test_results_name_changes_reviews_and_flags_of_a_keep() -> None:
    """Each on a line of its own below the verdict."""
    text = results_text(view(), ROWS)
    assert "     changed: dynamics\n" in text
    assert "     review: earned, by openai:m: the brief asks for it\n" in text
    assert "     ⚑ reward scale\n" in text
    assert "a new task begins where a verdict says so" in text
    assert "changed:" not in results_text(view(ROWS[:2]), ROWS[:2])


def test_show_has_what_was_measured() -> None:
    """A line for each name, with the counts of the recorded comparisons."""
    seeds = [
        SeedResult(101, 0.5, compared=ruler_comparison("dynamics")),
        SeedResult(1_000_000, 0.5, purpose=Purpose.REFERENCE, seconds=3.0),
    ]
    shown = replace(
        EPOCH, report=Report(), verdict=EPOCH.verdict | {"changed": ["dynamics", "horizon"]}
    )
    lines = show_lines(shown, seeds, Path("logs"), "")
    assert (
        "changed    dynamics: 64 of 64 episodes played with the same actions end at another step"
        in lines
    )
    assert "changed    horizon" in lines
    assert "review     earned, by openai:m: the brief asks for it" in lines
    assert "task       a new one begins here: no score before it is comparable" in lines
    assert "measuring  3.00 s of the evaluator, beside the seconds below" in lines


@pytest.mark.parametrize(
    ("review", "text"),
    [(None, None), ({"none": "it timed out"}, "unreviewed: it timed out"),
     (EARNED, "earned, by openai:m: the brief asks for it")],
)  # fmt: skip
def test_a_review_in_words(review: dict[str, str] | None, text: str | None) -> None:
    """A missing one says why, where a reviewer is configured."""
    verdict = {} if review is None else {"review": review}
    assert review_text(replace(EPOCH, verdict=verdict)) == text


def test_a_new_task_interrupts_the_line() -> None:
    """By a reviewer's consent, or because there was no task before it."""
    assert [(step.n, step.epoch) for step in course(ROWS, ()).published] == [(1, 0), (2, 0), (3, 1)]
    first = replace(ROWS[1], verdict={"stage": "first task"})
    assert [(s.n, s.epoch) for s in course([ROWS[0], first], ()).published] == [(1, 0), (2, 1)]


def test_the_chart_draws_the_seam_and_names_the_flags_of_keeps(tmp_path: Path) -> None:
    """As text in the image."""
    chart.draw(view(), tmp_path / "plot.svg")
    figure = chart._figure(view())
    (axes,) = figure.axes
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert "a new task: compare after it alone" in labels
    assert "#3 (reward scale)" in [text.get_text() for text in axes.texts]
    assert (tmp_path / "plot.svg").stat().st_size > 0


def test_the_state_of_a_new_task_begins_anew() -> None:
    """Its own score is the baseline's, and keeps before it count for nothing."""
    state = replay(ROWS, ())
    assert (state.baseline_score, state.keeps_at_rung) == (0.2, 0)
    assert state.incumbent is not None
    assert state.incumbent.n == 3
    assert replay(ROWS[:2], ()).keeps_at_rung == 1
    assert RunState().learnt_at_rung is False


def test_status_counts_the_seconds_of_references(running: Workspace) -> None:
    """They are the evaluator's, and belong to no experiment."""
    with Ledger(running.ledger) as ledger:
        seed = SeedResult(1_000_000, 0.5, seconds=30.0, purpose=Purpose.REFERENCE)
        before = status_document(running, Config())
        ledger.save_seed(2, RUNG, seed)
    after = status_document(running, Config())
    assert after["reference_seconds"] - before["reference_seconds"] == 30.0
    assert after["seconds"]["evaluator"] - before["seconds"]["evaluator"] == 30.0
    assert any(
        "30 s of it for fresh seeds of lead and published" in line for line in status_lines(after)
    )


def test_status_has_the_flags_and_the_review_of_the_incumbent(running: Workspace) -> None:
    """Those of the experiment that proposed it, whatever has scored it since."""
    with Ledger(running.ledger) as ledger:
        n = ledger.begin(
            "t",
            is_baseline=False,
            rung=RUNG,
            agent="a",
            parent="p",
            when="2026-11-22T03:04:05.000Z",
        )
        ledger.finish(replace(EPOCH, n=n, finished_at="2026-11-22T03:04:05.000Z"), None, None)
    lines = status_lines(status_document(running, Config()))
    assert "flagged   reward scale: 3 times (published)" in lines
    assert "review    earned, by openai:m: the brief asks for it (published)" in lines
