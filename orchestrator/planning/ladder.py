"""When the budget climbs. Pure.

The run climbs when more experiments at this budget are unlikely to find an improvement. It never
goes down, and nothing is ever compared across rungs.
"""

from typing import Protocol

from orchestrator.config.schema import BudgetConfig
from orchestrator.core.records import Rung
from orchestrator.judging.candidate_evidence import CandidateEvidence

_SOLVE_RATE_SEEDS = 4
"""Seeds without which the lead's solve rate is no reason to climb."""


class RungHistory(Protocol):
    """What has happened at the current rung: the part of the run's state that climbing needs."""

    @property
    def keeps_at_rung(self) -> int:
        """Challengers kept at this rung."""

    @property
    def since_keep_at_rung(self) -> int:
        """Challengers judged at this rung since its last keep."""

    @property
    def scored_at_rung(self) -> int:
        """Challengers scored at this rung."""

    @property
    def learnt_at_rung(self) -> bool:
        """Whether anything was solved or learnt at this rung."""

    @property
    def climb_failed(self) -> bool:
        """Whether this incumbent failed at the next rung already."""


def climb_reason(history: RungHistory, budget: BudgetConfig, lead: CandidateEvidence) -> str | None:
    """Return why to climb to the next rung, or None to stay.

    Args:
        history: what has happened at the current rung.
        budget: the conditions.
        lead: what is known of the lead at the current rung.
    """
    keeps, since_keep = history.keeps_at_rung, history.since_keep_at_rung
    if history.climb_failed:
        return None
    if budget.min_keeps is not None and keeps >= budget.min_keeps:
        return f"{keeps} keeps at the budget below (budget.min_keeps)"
    if budget.patience is not None and since_keep >= budget.patience:
        return f"{since_keep} experiments without a keep at the budget below (budget.patience)"
    if (
        budget.patience_unlearnt is not None
        and history.scored_at_rung >= budget.patience_unlearnt
        and not (history.learnt_at_rung or lead.solve_rate)
    ):
        return (
            f"nothing was solved or learnt in {history.scored_at_rung} experiments at the budget "
            "below (budget.patience_unlearnt)"
        )
    if (
        budget.max_solve_rate is not None
        and lead.solve_rate is not None
        and len(lead.solve_rates) >= _SOLVE_RATE_SEEDS
        and lead.solve_rate >= budget.max_solve_rate
    ):
        return f"solve rate {lead.solve_rate:.1%} at the budget below (budget.max_solve_rate)"
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
