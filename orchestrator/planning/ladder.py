"""When the budget climbs: what is known of the incumbent at a rung, and when that is enough. Pure.

A rung is left when the evidence says that it has nothing more to tell. It never goes down, and
nothing is ever compared across rungs.
"""

from typing import TYPE_CHECKING

from orchestrator.config.schema import BudgetConfig, JudgeConfig
from orchestrator.core.records import Rung
from orchestrator.judging.incumbent import IncumbentEvidence
from orchestrator.judging.reference import reference_wanted

if TYPE_CHECKING:
    from orchestrator.planning.state import RunState


def climb_reason(
    state: "RunState", budget: BudgetConfig, rules: JudgeConfig, known: IncumbentEvidence
) -> str | None:
    """Return why this rung has nothing more to tell, or None to stay."""
    if state.climb_failed:
        return None
    if budget.min_keeps is not None and state.keeps_at_rung >= budget.min_keeps:
        return f"{state.keeps_at_rung} keeps at the budget below (budget.min_keeps)"
    if budget.patience is not None and state.since_keep_at_rung >= budget.patience:
        return (
            f"{state.since_keep_at_rung} experiments without a keep at the budget below "
            "(budget.patience)"
        )
    if rules.rule == "naive" or known.tried < reference_wanted(rules, state.since_keep_at_rung):
        return None  # nothing is known of the solve rate, or not all that should be
    if (
        budget.max_solve_rate is not None
        and known.solve_rate is not None
        and known.solve_rate >= budget.max_solve_rate
    ):
        return f"solve rate {known.solve_rate:.1%} at the budget below (budget.max_solve_rate)"
    return None


def is_within_caps(rung: Rung, budget: BudgetConfig) -> bool:
    """Does a rung lie within `budget.max_*`?"""
    return (
        rung.train_episodes <= budget.max_train_episodes
        and rung.eval_episodes <= budget.max_eval_episodes
    )


def rung_above(rung: Rung, budget: BudgetConfig) -> Rung | None:
    """Return the next rung up within the caps; None at the top."""
    higher = [
        r
        for r in budget.rungs
        if r.train_episodes >= rung.train_episodes
        and r.eval_episodes >= rung.eval_episodes
        and r != rung
    ]
    return higher[0] if higher else None
