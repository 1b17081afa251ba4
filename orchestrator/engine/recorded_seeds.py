"""The seeds of an open experiment that need not be measured again."""

from orchestrator.core.evaluations import Measurement, SeedResult
from orchestrator.judging.rulers import is_usable
from orchestrator.store.ledger import Ledger


def recorded_seeds(
    ledger: Ledger, n: int, plan: Measurement
) -> dict[int, tuple[SeedResult, str | None]]:
    """Return the recorded seeds of an open experiment that serve a plan.

    Each with the text with which the evaluator takes it as measured.
    """
    recorded = ledger.measured_seeds(n, plan.rung)
    return {seed: known for seed, known in recorded.items() if is_usable(known[0], plan)}
