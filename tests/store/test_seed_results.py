"""What the ledger tells of seeds, once the experiments that measured them have ended."""

from pathlib import Path

from orchestrator.core.evaluations import Evaluation, Purpose, SeedResult, Verdict
from orchestrator.core.records import Files, Rung, Status
from orchestrator.judging.reference import reference_seeds
from orchestrator.reporting.results import results_document
from orchestrator.reporting.show import show_lines
from orchestrator.store.ledger import Ledger
from orchestrator.store.runs import Run
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
    """Curves and values are of experiments that have ended, so a restart finds the same."""
    n, other = begin(ledger), begin(ledger)
    seeds = measure(ledger, n, 1.0)
    measure(ledger, other, 5.0)
    assert ledger.curves("t", RUNG, 101) == []
    assert ledger.trials("t", RUNG) == []
    ledger.finish(finished(n, score=1.0), FILES, None, seeds)
    assert [(s.value, s.curve) for s in ledger.curves("t", RUNG, 101)] == [(1.0, CURVE)]
    assert ledger.trials("t", RUNG) == [("train = 1\n", 1.5)]


def test_the_last_are_those_that_ended_last(ledger: Ledger) -> None:
    """Where only so many are asked for, the order of endings decides, not that of numbers."""
    slow, quick = begin(ledger), begin(ledger)
    seed = reference_seeds(9, 1)[0]
    for n in (quick, slow):
        ledger.finish(finished(n), FILES, None, measure(ledger, n, float(n)))
        ledger.save_seed(n, RUNG, SeedResult(seed, float(n), purpose=Purpose.REFERENCE))
    assert [s.value for s in ledger.curves("t", RUNG, 101, 1)] == [slow]
    for asked, owner in ((ledger.references_of_time, 9), (ledger.references_before, 8)):
        assert list(asked("t", RUNG, owner, 1)) == [slow]
        assert list(asked("t", RUNG, owner)) == [slow, quick]
        assert asked("t", Rung(32, 8), owner) == {}
        assert asked("t", RUNG, 17 - owner) == {}
    first = ledger.experiment(quick)
    assert first is not None
    assert list(ledger.references_of_time("t", RUNG, 9, before=first.ended + 1)) == [quick]
    assert ledger.references_of_time("t", RUNG, 9, before=first.ended) == {}


def test_who_was_published_in_the_time_of_a_seed_is_there_too(ledger: Ledger) -> None:
    """Leads are compared with it, however long ago it was measured last."""
    published, *leads = (begin(ledger) for _ in range(4))
    for n in (published, *leads):
        ledger.finish(finished(n), FILES, None, measure(ledger, n, 1.0))
        for seed in reference_seeds(published, 2):
            ledger.save_seed(n, RUNG, SeedResult(seed, 0.5, purpose=Purpose.REFERENCE))
    ledger.save_seed(
        leads[-1], RUNG, SeedResult(reference_seeds(leads[-1], 1)[0], 0.5, purpose=Purpose.TRIAL)
    )
    found = ledger.references_before("t", RUNG, leads[-1], 1)
    assert {n: len(seeds) for n, seeds in found.items()} == {published: 2, leads[-1]: 2}
    assert list(ledger.references_of_time("t", RUNG, leads[-1])) == [leads[-1]]


def test_what_may_change_the_evidence_is_counted(ledger: Ledger) -> None:
    """Endings and reference seeds are; the seeds of an open experiment are not."""
    n = begin(ledger)
    before = ledger.evidence_changes
    seeds = measure(ledger, n, 1.0)
    ledger.save_pending()
    assert ledger.evidence_changes == before
    ledger.finish(finished(n), FILES, None, seeds)
    ended = ledger.evidence_changes
    assert ended > before
    ledger.save_seed(n, RUNG, SeedResult(7, 1.0, purpose=Purpose.REFERENCE))
    ledger.save_pending()
    assert ledger.evidence_changes > ended


def test_the_last_endings_cost_the_same_in_a_long_run(ledger: Ledger) -> None:
    """SQLite walks the endings backwards and stops; it neither reads nor sorts the whole run."""
    statements: list[str] = []
    ledger._db.set_trace_callback(statements.append)
    ledger.recent("t", 1)
    ledger.trials("t", RUNG)
    ledger.curves("t", RUNG, 101)
    ledger.references_of_time("t", RUNG, 1)
    ledger._db.set_trace_callback(None)
    queries = [statement for statement in statements if "ended DESC" in statement]
    assert len(queries) == 4
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
    assert [seed.seed for seed in ledger.at_rung(n, RUNG)] == [7, 8, 101, 1_000_000]
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
    assert ledger.at_rung(n, higher) == ledger.reference(n, RUNG) == []
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


def test_the_seconds_of_fresh_seeds_are_those_of_search_and_of_proof(ledger: Ledger) -> None:
    """All of them, and those of trials and claims alone; of this run, at every rung."""
    ledger.create_run(Run("u", "p" * 40, {}, "now"))
    n, other = begin(ledger), begin(ledger, "u")
    assert ledger.reference_seconds("t") == (0.0, 0.0)
    spent = [
        (Purpose.REFERENCE, 1.0),
        (Purpose.TRIAL, 2.0),
        (Purpose.TRIAL, 4.0),
        (Purpose.TRIAL, None),
    ]
    for seed, (purpose, seconds) in enumerate(spent, 10**6):
        rung = RUNG if seed % 2 else Rung(32, 8)
        ledger.save_seed(n, rung, SeedResult(seed, 0.5, seconds=seconds, purpose=purpose))
    for purpose in (Purpose.SCREEN, Purpose.CONFIRM):
        ledger.save_seed(n, RUNG, SeedResult(101, 0.5, seconds=64.0, purpose=purpose))
    ledger.save_seed(other, RUNG, SeedResult(7, 0.5, seconds=64.0, purpose=Purpose.TRIAL))
    ledger.save_pending()
    assert ledger.reference_seconds("t") == (7.0, 6.0)


def test_seeds_of_a_trial_are_fresh_ones_too(ledger: Ledger) -> None:
    """Both stay when the experiment's own seeds are forgotten, and are told from these."""
    n = begin(ledger)
    ledger.finish(finished(n), FILES, None, measure(ledger, n, 1.0))
    for seed, purpose in ((7, Purpose.REFERENCE), (8, Purpose.TRIAL)):
        ledger.save_seed(n, RUNG, SeedResult(seed, 0.5, purpose=purpose))
    for found in (
        ledger.reference(n, RUNG),
        ledger.references("t")[n],
        ledger.references_before("t", RUNG, n)[n],
    ):
        assert [(seed.seed, seed.purpose) for seed in found] == [
            (7, Purpose.REFERENCE), (8, Purpose.TRIAL)
        ]  # fmt: skip
