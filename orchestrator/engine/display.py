"""What `status` and the log say of the engine: plain facts, made from lanes and state. Pure."""

from collections.abc import Sequence
from typing import Any

from orchestrator.core.experiments import Experiment
from orchestrator.core.records import Phase
from orchestrator.core.text import one_line
from orchestrator.engine.lane import Lane
from orchestrator.planning.state import RunState


def live_facts(
    lanes: Sequence[Lane], state: RunState, *, now_s: float, paused: str | None, waiting: str | None
) -> dict[str, Any]:
    """Return the live state as `status --json` shows it; the oldest lane has the plain fields.

    Args:
        lanes: what is in flight, the oldest first.
        state: the run so far.
        now_s: the time on the clock of `Lane.waits_until`.
        paused: why the run is paused, None if it is not.
        waiting: the transient error that the whole run waits out, if there is one.
    """
    documents = [_lane_facts(lane, now_s) for lane in lanes]
    incumbent = state.incumbent
    facts: dict[str, Any] = {
        "phase": Phase.PLANNING.value,
        "reason": paused or "",
        "experiment": None,
        "description": None,
        "progress": None,
        "next_try_at": None,
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
        facts |= {"phase": Phase.WAITING.value, "reason": waiting}
    return facts | {"lanes": documents}


def _lane_facts(lane: Lane, now_s: float) -> dict[str, Any]:
    phase = lane.phase
    if phase is Phase.WAITING and lane.waits_until is not None and lane.waits_until < now_s:
        phase = Phase.PROPOSING if lane.asked is not None else Phase.EVALUATING
    return {
        "experiment": lane.n,
        "agent": lane.agent,
        "phase": phase.value,
        "description": lane.description or None,
        "progress": lane.progress(),
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
