"""The evaluator's lines, read alone."""

import json

import pytest

from orchestrator.core.evaluations import EvaluationEnded, Measurement
from orchestrator.core.records import Rung
from orchestrator.evaluation.messages import MalformedError, read_message
from orchestrator.evaluation.seed_replays import take_replays

WHAT = Measurement(Rung(4, 8), seeds=(101,))


def result_line(**changes: object) -> bytes:
    known = {"seed": 101, "eval_return": 1.0, "full_return": 1.0, "evidence_solve_rate": 0.0}
    scored = [known | {"train_returns": [0.0]} | changes]
    result = {"score": 1.0, "max_steps": 5, "flags": [], "seed_results": scored, "more_results": []}
    return json.dumps({"event": "result", "result": result}).encode()


def test_a_report_of_finite_numbers_is_read() -> None:
    """Texts, truths and nothing are no numbers."""
    line = result_line(replay={}, parts={"a": [None, True, "nan", 10**30]}, random_returns=[0.5])
    ended = read_message(line, WHAT)
    assert isinstance(ended, EvaluationEnded)
    assert ended.evaluation.score == 1.0


@pytest.mark.parametrize(
    "odd",
    [{"random_returns": [1.0, float("nan")]}, {"parts": {"a": [{"at": [0.5, float("-inf")]}]}},
     {"extra": 10**400}],
    ids=["NaN", "infinite", "endless"],
)  # fmt: skip
def test_a_report_with_a_number_that_is_not_finite_is_malformed(odd: dict[str, object]) -> None:
    """Wherever it stands: whatever reads the ledger later would fail on it."""
    with pytest.raises(MalformedError):
        read_message(result_line(**odd), WHAT)


def test_replays_of_best_worst_median_and_first_seed_are_kept() -> None:
    """Whoever is two of them is kept once; all are taken out of the report."""
    returns = [3.0, 9.0, 1.0, 5.0, 4.0]
    seeds = [{"seed": n, "eval_return": x, "replay": {"n": n}} for n, x in enumerate(returns)]
    best, others = take_replays(seeds)
    assert json.loads(best) == {"n": 1}
    assert {n: json.loads(text)["n"] for n, text in others.items()} == {2: 2, 4: 4, 0: 0}
    assert not any("replay" in seed for seed in seeds)
    assert take_replays([{"seed": 7, "eval_return": 1.0}]) == ("", {})
