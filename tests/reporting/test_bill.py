"""The bill and the forecast that `status` shows."""

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.config.schema import Config, LimitsConfig
from orchestrator.core.clock import later, now
from orchestrator.core.experiments import Experiment
from orchestrator.core.records import Reply, Rung, Status, Tokens
from orchestrator.core.spending import Spend
from orchestrator.reporting.bill import bill_lines
from orchestrator.reporting.forecast import Used, forecast
from orchestrator.reporting.status import status_document
from orchestrator.store.ledger import Ledger
from orchestrator.store.lock import WorkspaceLock
from orchestrator.store.workspace import Workspace
from tests.reporting.test_status import EVALUATED, live, status

START = "2026-11-22T00:00:00.000Z"
NOTHING = Used(0, 0.0, Spend())


def ended(n: int, hours: float, status: Status = Status.DISCARD, **fields: Any) -> Experiment:
    made = Experiment(
        n, "t", False, status, Rung(12, 8), "openai:m", finished_at=later(START, hours * 3600),
        tokens=Tokens(900, None, 100), cost_usd=0.5,
    )  # fmt: skip
    return replace(made, **fields)


def hourly(count: int, **fields: Any) -> list[Experiment]:
    return [ended(n, n, **fields) for n in range(1, count + 1)]


def test_rates_are_those_of_the_last_hours() -> None:
    """Two an hour at first, then one an hour: what is told is one an hour."""
    quick = [ended(n, n / 2) for n in range(1, 21)]
    slow = [ended(20 + n, 10 + n) for n in range(1, 11)]
    told = forecast(
        [*quick, *slow], LimitsConfig(), NOTHING, since=START, now=later(START, 20 * 3600)
    )
    assert told.experiments_per_hour == pytest.approx(7 / 6)
    assert told.tokens_per_hour == pytest.approx(7000 / 6)
    assert told.cost_usd_per_hour == pytest.approx(3.5 / 6)


def test_an_idle_hour_slows_the_rate() -> None:
    """The time since the last ending counts as well."""
    told = forecast(hourly(4), LimitsConfig(), NOTHING, since=START, now=later(START, 5 * 3600))
    assert told.experiments_per_hour == pytest.approx(4 / 5)


def test_the_limit_that_comes_first_is_named() -> None:
    """At these rates; a limit on failures in a row can't be foretold."""
    limits = LimitsConfig(experiments=100, tokens=20_000, cost_usd=3.0, hours=48, without_keep=5)
    used = Used(4, 4.0, Spend(4000, 2.0))
    told = forecast(hourly(4), limits, used, since=START, now=later(START, 4 * 3600))
    assert told.hours_left == {
        "experiments": pytest.approx(96), "tokens": pytest.approx(16),
        "cost_usd": pytest.approx(2), "hours": pytest.approx(44),
    }  # fmt: skip
    assert told.first == ("cost_usd", pytest.approx(2))
    assert told.as_document()["first_limit"] == {
        "limit": "limits.cost_usd", "hours": pytest.approx(2)
    }  # fmt: skip


def test_of_too_few_experiments_no_rate_is_told() -> None:
    """Nor of those of an earlier session, baselines, and what was aborted; hours pass all the same."""
    others = [ended(1, 0.1, is_baseline=True), ended(2, 0.2, Status.ABORTED)]
    limits = LimitsConfig(hours=8, cost_usd=3)
    told = forecast(
        [*others, *hourly(2)], limits, Used(2, 2.0, Spend()), since=START, now=later(START, 7200)
    )
    assert (told.experiments, told.experiments_per_hour, told.cost_usd_per_hour) == (2, None, None)
    assert told.hours_left == {"hours": 6.0}
    since = later(START, 7 * 3600)
    told = forecast(hourly(9), limits, NOTHING, since=since, now=later(START, 9 * 3600))
    assert told.experiments_per_hour == pytest.approx(1.5)


@pytest.mark.parametrize("costs", [[None] * 4, [0.5, None, 0.5, 0.5]])
def test_unknown_dollars_stay_unknown(costs: list[float | None]) -> None:
    """Where an experiment's tokens are known and its price is not."""
    known = [replace(each, cost_usd=cost) for each, cost in zip(hourly(4), costs, strict=True)]
    told = forecast(
        known, LimitsConfig(cost_usd=9), NOTHING, since=START, now=later(START, 4 * 3600)
    )
    assert told.cost_usd_per_hour is None
    assert told.hours_left == {"cost_usd": None}
    assert told.first is None


def test_what_is_free_does_not_make_the_bill_unknown() -> None:
    """The embedded search beside a model."""
    free = [ended(10 + n, n + 0.5, tokens=Tokens(), cost_usd=None) for n in range(1, 4)]
    told = forecast(
        [*hourly(4), *free], LimitsConfig(), NOTHING, since=START, now=later(START, 4 * 3600)
    )
    assert told.cost_usd_per_hour == pytest.approx(0.5)


def test_a_clock_that_went_back_does_no_harm() -> None:
    """Endings after now, a start after now, and what is no time."""
    for since, when in ((START, START), (later(START, 9e6), START), ("x", "y")):
        assert forecast(hourly(5), LimitsConfig(), NOTHING, since=since, now=when).first is None


# -- status ----------------------------------------------------------------------------------------


def spend(workspace: Workspace) -> None:
    """Bill two agents and a call without an answer."""
    with Ledger(workspace.ledger) as ledger:
        for agent, usd in (("openai:m", 0.5), ("codex", None)):
            n = ledger.begin(
                "t", is_baseline=False, rung=Rung(12, 8), agent=agent, parent="p", when=now()
            )
            ledger.save_reply(n, 1, Reply("x", Tokens(1000, 400, 200, 50), usd))
            tokens, cost = ledger.spent(n)
            ledger.finish(
                Experiment(n, "t", False, Status.INVALID, Rung(12, 8), agent, tokens=tokens,
                           cost_usd=cost, created_at=now(), finished_at=now()),
                None, None,
            )  # fmt: skip
        ledger.end_call(ledger.begin_call("t", "codex", Spend(500, 0.25), now()), is_billed=False)


def test_status_has_the_bill_by_agent(running: Workspace) -> None:
    """In JSON and in words; what is unknown is not 0."""
    spend(running)
    live(running, EVALUATED, started_at=later(now(), -60))
    document, text = status(running)
    assert [(row["agent"], row["calls"], row["cost_usd"]) for row in document["bill"]] == [
        ("openai:m", 1, 0.5), ("codex", 1, None)
    ]  # fmt: skip
    assert document["bill"][0]["tokens"] == {
        "input": 1000, "cached": 400, "output": 200, "reasoning": 50
    }  # fmt: skip
    assert document["unbilled"] == {"calls": 1, "tokens": 500, "cost_usd": 0.25}
    assert (
        "tokens    2,000 in (800 cached), 400 out (100 reasoning), at least $0.50\n"
        "bill      openai:m: 1 call, 1,000 in (400 cached), 200 out (50 reasoning), $0.50\n"
        "bill      codex: 1 call, 1,000 in (400 cached), 200 out (50 reasoning)\n"
        "unbilled  1 call broken off, or answered without a count or a price: at most 500 tokens, "
        "$0.25; limits count that\n"
        "forecast  too few experiments in this session (2, and no rate is told of fewer than 3)\n"
    ) in text


def test_a_run_that_has_stopped_has_no_forecast(running: Workspace) -> None:
    """Nothing goes on."""
    document, text = status(running, runs=False)
    assert document["forecast"] is None
    assert "forecast" not in text


def test_the_forecast_says_when_the_first_limit_is_reached() -> None:
    """And by how many experiments it knows."""
    told = forecast(
        hourly(4), LimitsConfig(cost_usd=3.5), Used(4, 4.0, Spend(4000, 2.0)), since=START,
        now=later(START, 4 * 3600),
    )  # fmt: skip
    document = {
        "tokens": {}, "cost_usd": None, "bill": [], "unbilled": None,
        "forecast": told.as_document(),
    }  # fmt: skip
    assert bill_lines(document) == [
        "forecast  1.0 experiments, 1,000 tokens, $0.50 an hour (by 4 experiments in 4 h); "
        "limits.cost_usd in about 3 h"
    ]


def test_limits_are_those_that_the_daemon_works_with(running: Workspace) -> None:
    """A file that was changed since takes effect with a reload alone."""
    live(running, EVALUATED, started_at=now())
    with WorkspaceLock(running.lock):
        config = Config.model_validate({"limits": {"hours": 5}})
        left = status_document(running, config)["forecast"]["hours_left"]
    assert left["hours"] <= 5
