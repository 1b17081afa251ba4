"""The runs of a workspace: the JSON document and the table of `runs`."""

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.core.clock import local, zone
from orchestrator.core.records import Status
from orchestrator.core.text import one_line
from orchestrator.judging.reference import validated
from orchestrator.planning.state import replay
from orchestrator.reporting.run_view import validated_document
from orchestrator.store.ledger import Ledger
from orchestrator.store.runs import Run

_TAG_CHARS = 200


def runs_document(ledger: Ledger, running: str | None) -> list[dict[str, Any]]:
    """Return what `runs --json` prints, the oldest run first.

    Args:
        ledger: the workspace's ledger.
        running: the tag that the daemon is running, None where no daemon runs.
    """
    return [_run_document(ledger, run, is_running=run.tag == running) for run in ledger.runs()]


def _run_document(ledger: Ledger, run: Run, *, is_running: bool) -> dict[str, Any]:
    state = replay(ledger.endings(run.tag), ledger.moves(run.tag))
    incumbent = state.incumbent
    scored_by = (incumbent and incumbent.scored_by) or 0
    seeds = ledger.references(run.tag).get(scored_by, [])
    return {
        "tag": run.tag,
        "branch": f"autorl/{run.tag}",
        "started_at": run.created_at,
        "running": is_running,
        "stop_reason": None if is_running or run.stop is None else run.stop.text,
        "hours": run.seconds / 3600,
        "experiments": state.counted,
        "keeps": state.by_status.get(Status.KEEP, 0),
        "incumbent": incumbent.n if incumbent else None,
        "lead": state.leads[-1].n if state.leads else None,
        "best_score": incumbent.score if incumbent else None,
        **validated_document(validated(scored_by, seeds)),
    }


def runs_lines(documents: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the table of `runs`: a line each, and what its columns are."""
    width = max(len("tag"), *(len(one_line(run["tag"], _TAG_CHARS)) for run in documents))
    form = f"{{:<{width}}}  {{:<16}} {{:>5}} {{:>5}}  {{:<26}} {{}}"
    lines = [form.format("tag", "started", "tried", "kept", "best", "")]
    lines += [
        form.format(
            one_line(run["tag"], _TAG_CHARS),
            local(run["started_at"], "%Y-%m-%d %H:%M"),
            run["experiments"],
            run["keeps"],
            _best(run),
            "running" if run["running"] else "stopped",
        )
        for run in documents
    ]
    return [
        *(line.rstrip() for line in lines),
        f"best: what is published, validated, with its 95 % CI; times: {zone()}",
    ]


def _best(run: Mapping[str, Any]) -> str:
    if run["validated_score"] is not None:
        low, high = run["validated_interval"]
        return f"{run['validated_score']:.4f} ({low:.4f} to {high:.4f})"
    if run["best_score"] is not None:
        return f"{run['best_score']:.4f} (not validated)"
    return "—"
