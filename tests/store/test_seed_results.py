"""What the ledger tells of seeds, once the experiments that measured them have ended."""

from pathlib import Path

from orchestrator.core.evaluations import Evaluation, Purpose, SeedResult, Verdict
from orchestrator.core.records import Files, Rung, Status
from orchestrator.reporting.results import results_document
from orchestrator.reporting.terminal import show_lines
from orchestrator.store.ledger import Ledger
from tests.store.conftest import RUNG, begin, finished

FILES = Files("env = 1\n", "train = 1\n")
CURVE = (0.1, 0.2)


def measure(ledger: Ledger, n: int, value: float) -> list[SeedResult]:
    """Record a screened and a confirming seed of an open experiment; return them."""
    seeds = [
        SeedResult(101, value, curve=CURVE),
        SeedResult(1_000_000, value + 1, purpose=Purpose.CONFIRM),
    ]
    for seed in seeds:
        ledger.save_seed(n, RUNG, seed, "resume")
    return seeds


def test_open_experiments_teach_nothing_yet(ledger: Ledger) -> None:
    """Confirmations and curves are of experiments that have ended, so a restart finds the same."""
    n, other = begin(ledger), begin(ledger)
    seeds = measure(ledger, n, 1.0)
    measure(ledger, other, 5.0)
    assert ledger.confirmations("t", RUNG) == []
    assert ledger.curves("t", RUNG, 101) == []
    assert ledger.trials("t", RUNG) == []
    ledger.finish(finished(n, score=1.0), FILES, None, seeds)
    assert ledger.confirmations("t", RUNG) == [(n, 1_000_000, 2.0)]
    assert [(s.value, s.curve) for s in ledger.curves("t", RUNG, 101)] == [(1.0, CURVE)]
    assert ledger.trials("t", RUNG) == [("train = 1\n", 1.5)]


def test_the_last_are_those_that_ended_last(ledger: Ledger) -> None:
    """Where only so many are asked for, the order of endings decides, not that of numbers."""
    slow, quick = begin(ledger), begin(ledger)
    for n in (quick, slow):
        ledger.finish(finished(n), FILES, None, measure(ledger, n, float(n)))
        ledger.save_seed(n, RUNG, SeedResult(7, float(n), purpose=Purpose.REFERENCE))
    assert ledger.confirmations("t", RUNG, 1) == [(slow, 1_000_000, slow + 1.0)]
    assert [s.value for s in ledger.curves("t", RUNG, 101, 1)] == [slow]
    assert list(ledger.references_at("t", RUNG, 1)) == [slow]
    assert list(ledger.references_at("t", RUNG)) == [slow, quick]
    assert ledger.references_at("t", Rung(32, 8)) == {}


def test_the_last_endings_cost_the_same_in_a_long_run(ledger: Ledger) -> None:
    """SQLite walks the endings backwards and stops; it neither reads nor sorts the whole run."""
    statements: list[str] = []
    ledger._db.set_trace_callback(statements.append)
    ledger.recent("t", 1)
    ledger.trials("t", RUNG)
    ledger.confirmations("t", RUNG)
    ledger.curves("t", RUNG, 101)
    ledger.references_at("t", RUNG)
    ledger._db.set_trace_callback(None)
    queries = [statement for statement in statements if "ended DESC" in statement]
    assert len(queries) == 5
    for query in queries:
        plan = [row["detail"] for row in ledger._db.execute(f"EXPLAIN QUERY PLAN {query}")]
        assert any("experiments USING INDEX experiments_by_ending" in step for step in plan), plan


def test_a_reference_stays_beside_the_seeds_of_the_test(ledger: Ledger) -> None:
    """It is put down to the experiment that scored, at its rung, without a resume text."""
    n = begin(ledger)
    ledger.finish(finished(n), FILES, None, measure(ledger, n, 1.0))
    for seed in (7, 8):
        measured = SeedResult(seed, 0.5, seconds=1.5, purpose=Purpose.REFERENCE)
        ledger.save_seed(n, RUNG, measured, "resume")
    reference = [SeedResult(seed, 0.5, seconds=1.5, purpose=Purpose.REFERENCE, rung=RUNG)
                 for seed in (7, 8)]  # fmt: skip
    assert ledger.reference(n, RUNG) == ledger.references("t")[n] == reference
    assert ledger.reference(n, Rung(32, 8)) == []
    assert [seed.seed for seed in ledger.screen(n, RUNG)] == [101]
    texts = ledger._db.execute("SELECT DISTINCT resume FROM evidence").fetchall()
    assert [row["resume"] for row in texts] == [None]


def test_what_a_lower_rung_screened_in_0_1_can_still_be_read(
    ledger: Ledger, tmp_path: Path
) -> None:
    """Seeds of the role `below` and a verdict of that stage: shown, and taken for nothing else."""
    verdict = Verdict(Status.DISCARD, "discarded: -0.3 at 12/8", stage="below", gain=-0.3)
    seeds = tuple(
        SeedResult(seed, 0.5, purpose=Purpose.LOWER_RUNG, rung=RUNG) for seed in (101, 138)
    )
    n, higher = begin(ledger), Rung(32, 8)
    ledger.save_report(n, Evaluation(None, seeds=seeds, verdict=verdict), 1.0)
    saved = ledger.saved_report(n)
    assert saved is not None
    assert (saved[0].verdict, saved[0].seeds) == (verdict, seeds)
    stored = {"stage": "below", "gain": -0.3, "statistic": -2.0, "boundary": None}
    ledger.finish(finished(n, rung=higher, verdict=stored), FILES, None, seeds)
    (experiment,) = ledger.experiments("t")
    assert experiment.verdict == stored
    evidence = ledger.evidence(n)
    assert [(seed.seed, seed.purpose, seed.rung) for seed in evidence] == [
        (101, "below", RUNG), (138, "below", RUNG),
    ]  # fmt: skip
    assert ledger.screen(n, RUNG) == ledger.screen(n, higher) == ledger.reference(n, RUNG) == []
    assert ledger.references("t") == {}
    assert show_lines(experiment, evidence, tmp_path, "")[0].startswith(f"experiment {n}: discard")
    assert results_document(ledger, "t")[0]["verdict"]["stage"] == "below"


def test_an_unknown_purpose_is_left_out(ledger: Ledger) -> None:
    """A row that another version wrote for a purpose of its own stops nobody from reading."""
    n = begin(ledger)
    ledger.finish(finished(n), FILES, None, measure(ledger, n, 1.0))
    ledger._write(
        "INSERT INTO evidence (n, train_episodes, eval_episodes, seed, role) VALUES (?, ?, ?, ?, ?)",
        (n, *RUNG, 5, "guess"),
    )
    assert [seed.seed for seed in ledger.evidence(n)] == [101, 1_000_000]
    assert ledger.screen(n, RUNG)[0].seed == 101
