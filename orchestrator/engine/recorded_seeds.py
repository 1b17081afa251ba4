"""The seeds of an open experiment that need not be measured again."""

from dataclasses import replace

from orchestrator.core.evaluations import Measurement, SeedResult
from orchestrator.judging.rulers import is_usable
from orchestrator.store.ledger import Ledger


def recorded_seeds(
    ledger: Ledger, n: int, plan: Measurement
) -> dict[int, tuple[SeedResult, str | None]]:
    """Return the recorded seeds of an open experiment that serve a plan.

    Each with the text with which the evaluator takes it as measured. Where the plan compares with
    nothing, a comparison with what led before goes: it is about another ruler.
    """
    recorded = {
        seed: (result, text)
        for seed, (result, text) in ledger.measured_seeds(n, plan.rung).items()
        if is_usable(result, plan)
    }
    if plan.compared_with is not None:
        return recorded
    return {
        seed: (replace(result, compared=None, is_comparison_asked=False), text)
        for seed, (result, text) in recorded.items()
    }
