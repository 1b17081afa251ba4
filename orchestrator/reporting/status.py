"""The JSON document of `status`, from ledger and heartbeat alone."""

import contextlib
import json
import os
import time
from dataclasses import asdict
from typing import Any

from orchestrator.config.schema import Config
from orchestrator.core.records import Phase, Tokens
from orchestrator.evaluation.confinement import sandbox_state
from orchestrator.reporting.run_view import RunView, read_run, validated_document
from orchestrator.store.ledger import Ledger
from orchestrator.store.lock import holder
from orchestrator.store.workspace import Workspace

LOST_AFTER_S = 30.0
"""A running daemon whose heartbeat is older than this is hung."""


def status_document(
    workspace: Workspace, config: Config, *, lost_after_s: float = LOST_AFTER_S
) -> dict[str, Any]:
    """Return what `status --json` prints."""
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
        "workspace": str(workspace.root),
    }
    if not workspace.ledger.exists():
        return document | _no_run()
    with Ledger(workspace.ledger) as ledger:
        run = (ledger.run(live["tag"]) if live.get("tag") else None) or ledger.last_run()
        if run is None:
            return document | _no_run()
        view = read_run(workspace, ledger, run.tag)
        if pid:
            waiting = [request.kind for request in ledger.requests()]
            document["requests"] = [*live.get("asked", []), *waiting]
    return document | _of_run(view, config)


def _of_run(view: RunView, config: Config) -> dict[str, Any]:
    state, last = view.state, view.experiments[-1] if view.experiments else None
    rung = state.rung or config.budget.rungs[0]
    tokens = Tokens()
    for experiment in view.experiments:
        tokens = tokens.plus(experiment.tokens)
    scored_by = state.incumbent.scored_by if state.incumbent else None
    scored = next((e for e in view.experiments if e.n == scored_by), None)
    costs = [e.cost_usd for e in view.experiments if e.cost_usd is not None]
    return {
        "tag": view.run.tag,
        "branch": f"autorl/{view.run.tag}",
        "agent": last.agent if last else None,
        "rung": rung._asdict(),
        "incumbent": state.incumbent.n if state.incumbent else None,
        "incumbent_flags": list(scored.flags) if scored else [],
        "best_score": state.incumbent.score if state.incumbent else None,
        **validated_document(view.validated(scored_by)),
        "baseline_score": state.baseline_score,
        "experiments": {status.value: count for status, count in state.by_status.items()},
        "tokens": asdict(tokens),
        "cost_usd": sum(costs) if costs else None,
        "stop_reason": view.run.stop.text if view.run.stop else None,
        "run_started_at": view.run.created_at,
    }


def _no_run() -> dict[str, Any]:
    return {
        "branch": None,
        "rung": None,
        "incumbent": None,
        "incumbent_flags": [],
        "best_score": None,
        **validated_document(None),
        "baseline_score": None,
        "experiments": {},
        "tokens": asdict(Tokens()),
        "cost_usd": None,
        "stop_reason": None,
    }


def _live(workspace: Workspace) -> dict[str, Any]:
    for _ in range(5):  # it may be read while it is written
        with contextlib.suppress(OSError, ValueError):
            facts: dict[str, Any] = json.loads(workspace.live.read_text(encoding="utf-8"))
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
