"""The agents of a run, compared."""

from typing import Any

import pytest

from orchestrator.core.experiments import Experiment, Seconds
from orchestrator.core.records import Rung, Status, Tokens
from orchestrator.reporting.by_agent import agents_document, agents_lines, by_agent


def ended(
    agent: str, status: Status = Status.DISCARD, gain: float = 0.0, **known: Any
) -> Experiment:
    verdict = {"lead": True, "estimate": gain} if gain else {}
    seconds = Seconds(agent=10.0, evaluator=1800.0)
    return Experiment(
        1, "t", status is Status.BASELINE, status, Rung(12, 8), agent,
        **{"verdict": verdict, "seconds": seconds, **known},
    )  # fmt: skip


PAID = {"cost_usd": 0.5, "tokens": Tokens(1000, None, 200, None)}
RUN = [
    ended("none", Status.BASELINE),
    ended("optuna"),
    ended("openai:m", Status.KEEP, 0.3, **PAID),
    ended("openai:m", Status.LEAD, 0.1, **PAID),
    ended("openai:m", Status.DISCARD, 0.2, **PAID),
    ended("openai:m", Status.INVALID, **PAID),
    ended("openai:m", Status.ABORTED, **PAID),
    ended("optuna", Status.LEAD, 0.1),
]


def test_each_agents_results_are_added_up() -> None:
    """A lead that went back led, and gained nothing; an aborted experiment costs, and is no proposal."""
    model, search = agents_document(RUN)
    assert model == {
        "agent": "openai:m", "proposals": 4, "valid": 3, "leads": 3, "keeps": 1,
        "gain": pytest.approx(0.4), "evaluator_seconds": 9000.0, "agent_seconds": 50.0,
        "gain_per_evaluator_hour": pytest.approx(0.16), "cost_usd": 2.5, "cost_unknown": 0,
        "gain_per_usd": pytest.approx(0.16), "tokens_unknown": 0,
        "tokens": {"input": 5000, "cached": None, "output": 1000, "reasoning": None},
    }  # fmt: skip
    assert (search["proposals"], search["leads"], search["gain"]) == (2, 1, 0.1)


def test_what_is_unknown_stays_unknown() -> None:
    """Also where a part is known: then there is no gain for a dollar."""
    (_, search) = agents_document(RUN)
    assert (search["cost_usd"], search["gain_per_usd"]) == (None, None)
    assert (search["cost_unknown"], search["tokens_unknown"]) == (2, 2)
    partly = [ended("a", Status.KEEP, 0.2, **PAID), ended("a")]
    (row,) = agents_document(partly)
    assert (row["cost_usd"], row["cost_unknown"], row["gain_per_usd"]) == (0.5, 1, None)
    (free,) = agents_document([ended("a", Status.KEEP, 0.2, cost_usd=0.0)])
    assert (free["cost_usd"], free["cost_unknown"], free["gain_per_usd"]) == (0.0, 0, None)
    (idle,) = agents_document([ended("a", Status.INVALID, seconds=Seconds())])
    assert idle["gain_per_evaluator_hour"] is None


def test_what_calls_no_model_costs_nothing() -> None:
    """But for its reviews, whose cost is known."""
    free = ("optuna", "human")
    (_, search) = agents_document(RUN, free)
    assert (search["cost_usd"], search["cost_unknown"], search["gain_per_usd"]) == (0.0, 0, None)
    assert search["tokens_unknown"] == 0
    assert agents_lines("t", RUN, free)[3].split()[-3:] == ["$0.00", "–", "–"]
    reviewed = [ended("optuna"), ended("optuna", Status.LEAD, 0.5, cost_usd=0.25)]
    (row,) = agents_document(reviewed, free)
    assert (row["cost_usd"], row["cost_unknown"], row["gain_per_usd"]) == (0.25, 0, 2.0)


def test_the_best_in_an_hour_is_first() -> None:
    """Then the others, in the order in which they came."""
    rows = by_agent([ended("a"), ended("b"), ended("c", Status.LEAD, 0.1)])
    assert [row.agent for row in rows] == ["c", "a", "b"]


def test_the_table_says_what_its_columns_are() -> None:
    """Numbers in line; a dash where there is nothing to divide by, a word where nobody knows."""
    lines = agents_lines("nov22", RUN)
    assert lines[0] == "autorl/nov22, by agent"
    assert lines[1].split() == (
        "agent proposals valid leads keeps gain gain/h cost gain/$ tokens".split()
    )
    assert lines[2].split() == (
        "openai:m 4 3 3 1 +0.4000 +0.1600 $2.50 +0.1600 5,000 in, 1,000 out".split()
    )
    assert lines[3].split() == "optuna 2 2 1 0 +0.1000 +0.1000 unknown unknown unknown".split()
    assert len({len(line) for line in lines[1:4]}) == 1
    assert not any("+ ?" in line for line in lines)
    partly = agents_lines("t", [ended("a", **PAID), ended("a"), ended("b", cost_usd=0.0)])
    assert "$0.50 + ?" in partly[2]
    assert "1,000 in, 200 out + ?" in partly[2]
    assert partly[3].split()[-3:] == ["$0.00", "–", "unknown"]
    assert partly[-1].startswith("+ ?: ")
    empty = agents_document([RUN[0]])
    assert empty == []
