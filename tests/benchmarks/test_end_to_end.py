"""What `benchmarks.judge.end_to_end` makes of the runs it has seen."""

from pathlib import Path

import pytest

from benchmarks.judge.end_to_end import Outcome, claim, claims, table
from orchestrator.core.evaluations import Purpose, SeedResult
from orchestrator.core.experiments import Experiment
from orchestrator.core.records import Files, Rung, Status
from orchestrator.judging.reference import reference_seeds
from orchestrator.store.ledger import Ledger
from orchestrator.store.runs import Run

RUNG, ABOVE = Rung(12, 8), Rung(32, 8)


def outcome(arm: str, run: int, true: float, claimed: float | None, proposals: int) -> Outcome:
    return Outcome("keydoor", arm, run, proposals, 1, 180.0, "12/8", true, 2 * true, claimed)


PAIRS = [
    outcome("ours", 0, 1.5, 1.5, 30),
    outcome("public", 0, 1.0, 1.25, 100),
    outcome("ours", 1, 1.0, 1.0, 40),
    outcome("public", 1, 1.25, 2.0, 120),
]


def test_gains_are_between_pairs() -> None:
    """Means of both, the paired difference with its interval, and how often ours was ahead."""
    first, top = table(PAIRS)[2:]
    assert first == (
        "| keydoor | first rung | public loop | 1.125 | 1.250 | +0.125 (-4.640 to +4.890) | 1 of 2 |"
    )
    assert top.startswith("| keydoor | top rung | public loop | 2.250 | 2.500 | +0.250")


def test_claims_stand_beside_what_is_true() -> None:
    """What each way says of its own, and by how much that is too much."""
    public, ours = claims(PAIRS)[2:]
    assert public.startswith("| keydoor | public loop | 110 | 1.0 | 1.625 | 1.125 | +0.500 (")
    assert ours.startswith("| keydoor | ours | 35 | 1.0 | 1.250 | 1.250 | +0.000 (")


def test_a_run_without_a_claim_is_left_out_of_them() -> None:
    """Its proposals were made all the same."""
    (line,) = claims([outcome("ours", 0, 1.5, 1.25, 30), outcome("ours", 1, 9.0, None, 40)])[2:]
    assert line == "| keydoor | ours | 35 | 1.0 | 1.250 | 1.500 | -0.250 |"


@pytest.mark.parametrize(("reference", "said"), [((), 7.0), ((1.0, 2.0, None), 1.5)])
def test_a_claim_is_the_validated_score_if_there_is_one(
    tmp_path: Path, reference: tuple[float | None, ...], said: float
) -> None:
    """And the score over the default seeds otherwise; of that rung and those files alone."""
    files, other = Files("env = 1\n", "train = 1\n"), Files("env = 2\n", "train = 1\n")
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.create_run(Run("t", "p" * 40, {}, "now"))
        for rung, status, held in (
            (RUNG, Status.KEEP, other),
            (RUNG, Status.DISCARD, files),
            (ABOVE, Status.BASELINE, files),
            (RUNG, Status.KEEP, files),
        ):
            n = ledger.begin(
                "t", is_baseline=False, rung=rung, agent="a", parent="p" * 40, when="now"
            )
            ledger.finish(
                Experiment(
                    n=n, tag="t", is_baseline=False, status=status, rung=rung, agent="a",
                    parent="p" * 40, score=n + 3.0, created_at="now",
                ),
                held, None,
            )  # fmt: skip
        for seed, value in zip(reference_seeds(n, len(reference)), reference, strict=True):
            ledger.save_seed(n, RUNG, SeedResult(seed, value, None, purpose=Purpose.REFERENCE))
        assert claim(ledger, "t", files, RUNG) == said
        assert claim(ledger, "t", files, Rung(64, 12)) is None
