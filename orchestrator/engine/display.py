"""What `status` and the log say of the engine: plain facts, made from lanes and state. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.core.experiments import Experiment, LeadMove, MoveKind, StopKind, StopReason
from orchestrator.core.records import Phase
from orchestrator.core.text import one_line
from orchestrator.engine.lane import Lane
from orchestrator.planning.state import RunState

STOPPED_BY_USER = StopReason(StopKind.REQUESTED, "stopped by the user")
PAUSED_BY_USER = "paused by the user"


@dataclass(frozen=True)
class Waiting:
    """What the whole run waits out."""

    reason: str
    next_try_at: str


def live_facts(
    lanes: Sequence[Lane],
    state: RunState,
    *,
    now_s: float,
    paused: str | None,
    ending: StopReason | None,
    waiting: Waiting | None,
) -> dict[str, Any]:
    """Return the live state as `status --json` shows it; the oldest lane has the plain fields.

    Args:
        lanes: what is in flight, the oldest first.
        state: the run so far.
        now_s: the time on the clock of `Lane.waits_until`.
        paused: why the run is paused, None if it is not.
        ending: why nothing more is begun, None if more may be.
        waiting: what the whole run waits out, if there is something.
    """
    documents = [_lane_facts(lane, now_s) for lane in lanes]
    incumbent = state.incumbent
    facts: dict[str, Any] = {
        "phase": Phase.PLANNING.value,
        "reason": paused or "",
        "experiment": None,
        "kind": None,
        "description": None,
        "progress": None,
        "next_try_at": None,
        "asked": _asked(paused, ending) if lanes else [],
        "rung": state.rung._asdict() if state.rung else None,
        "best_score": incumbent.score if incumbent else None,
        "incumbent": incumbent.n if incumbent else None,
    }
    if lanes:
        facts |= documents[0]
        facts["reason"] = lanes[0].reason or paused or ""
    elif paused:
        facts["phase"] = Phase.PAUSED.value
    if waiting:
        facts |= {
            "phase": Phase.WAITING.value,
            "reason": waiting.reason,
            "next_try_at": waiting.next_try_at,
        }
    return facts | {"lanes": documents}


def _asked(paused: str | None, ending: StopReason | None) -> list[str]:
    """Return the requests that what is in flight is waited for with."""
    pending = {"pause": paused == PAUSED_BY_USER, "stop": ending == STOPPED_BY_USER}
    return [kind for kind, is_pending in pending.items() if is_pending]


def _lane_facts(lane: Lane, now_s: float) -> dict[str, Any]:
    phase, next_try_at = lane.phase, None
    if phase is Phase.WAITING and lane.waits_until is not None:
        next_try_at = lane.next_try_at
        if lane.waits_until < now_s:
            phase, next_try_at = _work(lane), None
    return {
        "experiment": lane.n,
        "kind": lane.kind.value,
        "agent": lane.agent,
        "stand_in": lane.stand_in or None,
        "phase": phase.value,
        "next_try_at": next_try_at,
        "description": lane.description or None,
        "progress": lane.progress(),
    }


def _work(lane: Lane) -> Phase:
    return Phase.PROPOSING if lane.asked is not None else Phase.EVALUATING


def move_facts(move: LeadMove, before: RunState, now: RunState) -> dict[str, Any]:
    """Return what the log says of a move of the lead.

    Args:
        move: as recorded.
        before: the state before it.
        now: the state after it.
    """
    still = {step.n for step in now.leads}
    return {
        "experiment": move.n,
        "steps" if move.kind is MoveKind.PROMOTION else "undone": [
            step.n for step in before.leads if step.n not in still
        ],
        "gain": move.gain,
        "standard_error": move.standard_error,
        "seeds": move.seeds,
        "reason": move.reason,
    }


def log_facts(experiment: Experiment) -> dict[str, Any]:
    """Return what the log says of an experiment that has ended."""
    return {
        "experiment": experiment.n,
        "status": experiment.status.value,
        "score": experiment.score,
        "rung": str(experiment.rung),
        "agent": experiment.agent,
        "description": experiment.description,
        "reason": one_line(experiment.reason, 500),
        "flags": list(experiment.flags),
        "commit": experiment.commit,
        "evaluator_s": experiment.seconds.evaluator,
        "agent_s": experiment.seconds.agent,
        "overhead_s": experiment.seconds.overhead,
    }
