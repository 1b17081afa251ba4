"""Seeds of an open experiment that need not be measured again."""

from dataclasses import replace
from pathlib import Path

from orchestrator.core.evaluations import Measurement, SeedResult
from orchestrator.core.records import Files
from orchestrator.engine.recorded_seeds import recorded_seeds
from orchestrator.judging.rulers import marked
from orchestrator.store.ledger import Ledger
from orchestrator.store.runs import Run
from tests.fakes import ruler_comparison
from tests.store.conftest import RUNG, begin


def test_a_seed_compared_with_a_former_lead_is_used_without_it(tmp_path: Path) -> None:
    """Where nothing is to be compared any more: returns are under the lead's own reward again."""
    former = Measurement(RUNG, (101, 138), compared_with=Files("X = 1\n", "T = 1\n"))
    compared = ruler_comparison("reward", there=5.0)
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.create_run(Run("t", "p" * 40, {"evaluator.seed_count": 2}, "now"))
        n = begin(ledger)
        for seed in former.seeds:
            result = marked(SeedResult(seed, 0.5, compared=compared), former)
            ledger.save_seed(n, RUNG, result, "resume")
        served = recorded_seeds(ledger, n, former)
        assert all(result.compared is not None for result, _ in served.values())
        found = recorded_seeds(ledger, n, replace(former, compared_with=None))
    assert found == {seed: (SeedResult(seed, 0.5, rung=RUNG), "resume") for seed in former.seeds}
