"""The JSON document of `status`, from ledger and heartbeat alone."""

import contextlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from orchestrator.config.reloading import Change, RunningConfig
from orchestrator.config.schema import Config
from orchestrator.core.errors import UserError
from orchestrator.core.experiments import Experiment
from orchestrator.core.records import PUBLISHED, Phase, Tokens
from orchestrator.core.scores import score_text
from orchestrator.evaluation.confinement import sandbox_state
from orchestrator.reporting.bill import NO_BILL, bill_document
from orchestrator.reporting.changed import config_changes, edited
from orchestrator.reporting.results import reference_seconds
from orchestrator.reporting.run_view import RunView, read_run, review_text, validated_document
from orchestrator.store.ledger import Ledger
from orchestrator.store.lock import holder
from orchestrator.store.requests import PROPOSE
from orchestrator.store.user_files import read_regular
from orchestrator.store.workspace import Workspace

_LIVE_BYTES = 2**20
LOST_AFTER_S = 30.0
"""A running daemon whose heartbeat is older than this is hung."""


def status_document(
    workspace: Workspace,
    config: Config,
    *,
    lost_after_s: float = LOST_AFTER_S,
    read: Callable[[Workspace, Ledger, str], RunView] = read_run,
) -> dict[str, Any]:
    """Return what `status --json` prints; `read` reads a run."""
    pid = holder(workspace.lock)
    live = _live(workspace) if pid else {}
    disk = _disk_fault(workspace)
    document: dict[str, Any] = {
        "running": pid is not None,
        "pid": pid,
        "tag": live.get("tag"),
        "phase": live.get("phase", Phase.STOPPED.value),
        "reason": disk or live.get("reason") or None,
        "next_try_at": live.get("next_try_at"),
        "experiment": live.get("experiment"),
        "kind": live.get("kind"),
        "description": live.get("description"),
        "progress": live.get("progress"),
        "agent": live.get("agent"),
        "lanes": live.get("lanes", []),
        "started_at": live.get("started_at"),
        "heartbeat_at": live.get("heartbeat_at"),
        "hung": pid is not None and disk is None and _silent_s(live) > lost_after_s,
        "requests": [],
        "sandbox": sandbox_state(live.get("sandbox"), config),
        "rung_correlation": None,  # of 0.1's budget.screen_below; scripts may look for the field
        "world": workspace.has_world,
        "workspace": str(workspace.root),
        "candidate_edited": False,
        "config_changed": [],
        "config_cures": {},
        "moved_from": None,
    }
    if not workspace.ledger.exists():
        return document | _no_run()
    with Ledger(workspace.ledger) as ledger:
        document["moved_from"] = ledger.moved_from(workspace.root)
        run = (ledger.run(live["tag"]) if live.get("tag") else None) or ledger.last_run()
        if run is None:
            return document | _no_run()
        view = read(workspace, ledger, run.tag)
        document |= _changed(workspace, ledger, view, is_running=pid is not None)
        recorded = RunningConfig.from_json(run.config) if pid else None
        limits = (recorded.config if recorded else config).limits
        document |= bill_document(ledger, view, limits, live.get("started_at"))
        if pid:
            waiting = [request.kind for request in ledger.requests() if request.kind != PROPOSE]
            waiting += [PROPOSE for _ in ledger.proposals(run.tag)]
            # Read after the queue: the daemon shows what it has taken before it drops it there.
            asked = _live(workspace).get("asked", [])
            document["requests"] = [*asked, *(each for each in waiting if each not in asked)]
        else:  # all others are for a daemon that runs
            document["requests"] = [PROPOSE] * len(ledger.proposals(run.tag))
    return document | run_document(view, config)


def _changed(
    workspace: Workspace, ledger: Ledger, view: RunView, *, is_running: bool
) -> dict[str, Any]:
    """Return what in the workspace differs from what the run works with."""
    found: list[Change] = []
    if is_running:
        with contextlib.suppress(UserError):  # named by whoever reads the file
            found = config_changes(workspace, view.run, view.state.rung)
    return {
        "candidate_edited": edited(workspace, ledger, view.run),
        "config_changed": [change.key for change in found],
        "config_cures": {change.key: change.cure for change in found},
    }


def recorded_config(workspace: Workspace) -> Config:
    """Return what the last run's daemon works with, the defaults where nothing is recorded."""
    run = None
    if workspace.ledger.exists():
        with Ledger(workspace.ledger) as ledger:
            run = ledger.last_run()
    recorded = RunningConfig.from_json(run.config) if run else None
    return recorded.config if recorded else Config()


def running_tag(workspace: Workspace) -> str | None:
    """Return the run of the daemon that runs here, None without one."""
    return _live(workspace).get("tag") if holder(workspace.lock) else None


def running_lanes(workspace: Workspace) -> list[dict[str, Any]]:
    """Return what the daemon that runs here has in flight, as `status --json` has it."""
    lanes: list[dict[str, Any]] = _live(workspace).get("lanes", [])
    return lanes if holder(workspace.lock) else []


def run_document(view: RunView, config: Config) -> dict[str, Any]:
    """Return the part of the document that is of a run, be it the one that runs or an older one."""
    state, last = view.state, view.experiments[-1] if view.experiments else None
    ended_last = max(view.experiments, key=lambda e: e.ended, default=None)
    rung = state.rung or config.budget.rungs[0]
    tokens, cost_usd, _ = view.spent
    scored_by = state.incumbent.scored_by if state.incumbent else None
    return {
        "tag": view.run.tag,
        "branch": f"autorl/{view.run.tag}",
        "world": "task/world.py" in view.run.evaluator,
        "agent": last.agent if last else None,
        "rung": rung._asdict(),
        "incumbent": state.incumbent.n if state.incumbent else None,
        "incumbent_flags": _incumbent_flags(view),
        "incumbent_review": review_text(kept) if (kept := _incumbent(view)) else None,
        "incumbent_accepted_at": _accepted_at(view),
        "incumbent_proven_at": published.proven_at if (published := _incumbent(view)) else None,
        "lead": _lead(view),
        "trial": _trial(view),
        "saturated": view.is_saturated,
        "best_score": state.incumbent.score if state.incumbent else None,
        **validated_document(view.validated(scored_by)),
        "baseline_score": state.baseline_score,
        "experiments": {status.value: count for status, count in state.by_status.items()},
        "tokens": asdict(tokens),
        "cost_usd": cost_usd,
        **_seconds(view),
        "stop_reason": view.run.stop.text if view.run.stop else None,
        "run_started_at": view.run.created_at,
        "last": _last(ended_last, view.seed_count),
    }


def _lead(view: RunView) -> dict[str, Any] | None:
    """Return how the lead stands against the published candidate, None where that one leads."""
    standing, lead = view.standing, view.state.lead
    if standing is None or lead is None:
        return None
    gain = standing.gain
    return {
        "experiment": standing.n,
        "commit": lead.commit,
        "gain": gain and gain.value,
        "se": gain and gain.standard_error,
        "probability_better": standing.probability,
        "seeds": standing.seeds,
        "fresh": standing.is_fresh,
        "quantity": standing.quantity,
    }


def _trial(view: RunView) -> dict[str, Any] | None:
    """Return at which look the lead's trial is, None where it can't be told yet."""
    if view.standing is None or (stands := view.standing.trial) is None:
        return None
    return {
        "look": stands.look,
        "looks": stands.looks,
        "seeds_needed": stands.next.seeds,
        "reference_seeds_needed": stands.next.reference,
        "chance": stands.chance,
    }


def _incumbent(view: RunView) -> Experiment | None:
    """Return the experiment that proposed the published candidate."""
    n = view.state.incumbent.n if view.state.incumbent else None
    return next((e for e in view.experiments if e.n == n), None)


def _incumbent_flags(view: RunView) -> list[str]:
    """Return the flags of the experiments that proposed and scored what is published."""
    incumbent = view.state.incumbent
    numbers = {incumbent.n, incumbent.scored_by} if incumbent else set()
    flags = (flag for e in view.experiments if e.n in numbers for flag in e.flags)
    return list(dict.fromkeys(flags))


def _seconds(view: RunView) -> dict[str, Any]:
    """Return where the run's time went: the evaluator's seconds include those of references."""
    measuring_s = sum(reference_seconds(seeds) for seeds in view.references.values())
    _, _, spent = view.spent
    seconds = {
        "agent": spent.agent,
        "evaluator": spent.evaluator + measuring_s,
        "overhead": spent.overhead,
    }
    return {
        "seconds": {name: round(value, 4) for name, value in seconds.items()},
        "reference_seconds": round(measuring_s, 4),
    }


def _accepted_at(view: RunView) -> str | None:
    """Return when the user published what the test had not; None if the test had."""
    published = _incumbent(view)
    if published is None or published.status in PUBLISHED:
        return None
    return view.accepted_at.get(published.n)


def _last(experiment: Experiment | None, seed_count: int | None) -> dict[str, Any] | None:
    """Return what `status` shows of the experiment that ended last."""
    if experiment is None:
        return None
    return {
        "experiment": experiment.n,
        "status": experiment.status.value,
        "score": experiment.score,
        "score_text": score_text(experiment, seed_count),
        "description": experiment.description,
    }


def _no_run() -> dict[str, Any]:
    return {
        "branch": None,
        "rung": None,
        "incumbent": None,
        "incumbent_flags": [],
        "incumbent_review": None,
        "seconds": None,
        "reference_seconds": None,
        "incumbent_accepted_at": None,
        "incumbent_proven_at": None,
        "lead": None,
        "trial": None,
        "saturated": False,
        "best_score": None,
        **validated_document(None),
        "baseline_score": None,
        "experiments": {},
        "tokens": asdict(Tokens()),
        "cost_usd": None,
        **NO_BILL,
        "stop_reason": None,
        "last": None,
    }


def _live(workspace: Workspace) -> dict[str, Any]:
    for _ in range(5):  # it may be read while it is written
        with contextlib.suppress(OSError, ValueError):
            facts: dict[str, Any] = json.loads(read_regular(workspace.live, _LIVE_BYTES))
            if isinstance(facts, dict):
                return facts
    return {}


def _silent_s(live: dict[str, Any]) -> float:
    """Return the age of the last heartbeat, by the monotonic clock."""
    beat_s: float | None = live.get("beat_s")
    return 0.0 if beat_s is None else time.monotonic() - beat_s


def _disk_fault(workspace: Workspace) -> str | None:
    """Return why the daemon can't write its heartbeat, None if it can."""
    with contextlib.suppress(OSError):
        if os.statvfs(workspace.state).f_flag & os.ST_RDONLY:
            return "the disk is read-only: the run resumes by itself once it is writable"
    return None
