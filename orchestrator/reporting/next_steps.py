"""What a person may do next, by how a run stands. Pure."""

from orchestrator.core.experiments import StopKind
from orchestrator.core.records import FAILED, Status
from orchestrator.core.text import one_line
from orchestrator.reporting.run_view import RunView

_MOSTLY = 0.5
"""Share of failures from which they are the first thing to look at."""
_FEW = 8
"""Experiments below which nothing is said about how they go."""


def next_steps(view: RunView, *, is_running: bool) -> list[str]:
    """Return suggestions, the most urgent first, each with its command."""
    steps = [*_of_end(view, is_running=is_running), *_of_search(view)]
    incumbent = view.state.incumbent
    if incumbent is not None and view.state.by_status.get(Status.KEEP, 0):
        steps.append(
            f"take it: `export DIR` writes the two files, `git merge autorl/{view.run.tag}` brings "
            "them with their history"
        )
    return steps


def _of_end(view: RunView, *, is_running: bool) -> list[str]:
    """Return what to do about a run that waits, or has ended."""
    tag = view.run.tag
    if is_running:
        paused = view.run.pause_reason
        why = one_line(paused or "", 200).replace("`", "'")
        return [f"it is paused ({why}): mend that, then `resume`"] if paused else []
    stop = view.run.stop
    if stop is None:
        return [f"`start --tag {tag}` resumes it from its last recorded step"]
    match stop.kind:
        case StopKind.LIMIT:
            return [f"to go on, raise the limit in config.yaml, then `start --tag {tag}`"]
        case StopKind.BASELINE_FAILED | StopKind.STUCK | StopKind.BUG:
            return [f"mend what stopped it, then `start --tag {tag}`; `logs` has the details"]
        case StopKind.FINISHED:
            return ["the agent has nothing more to propose: another one may (`agents` lists them)"]
        case _:
            return [f"`start --tag {tag}` resumes it"]


def _of_search(view: RunView) -> list[str]:
    """Return what the search itself suggests."""
    state = view.state
    steps = []
    failed = sum(state.by_status.get(status, 0) for status in FAILED)
    if state.counted >= _FEW and failed > _MOSTLY * state.counted:
        steps.append(
            f"{failed} of {state.counted} experiments failed: read the last ones (`show N`) and "
            "say in program.md, or in a `note`, what must hold"
        )
    if state.leads:
        steps.append("the lead is not proven: more experiments or hours let its trial end")
    if view.is_saturated:
        steps.append("at this budget nothing may be left to gain: make the task harder")
    elif state.counted >= _FEW and not state.leads and not state.by_status.get(Status.KEEP, 0):
        steps.append(
            "nothing has led so far: try an idea of your own (`propose`), tell the agent one "
            "(`note`), or allow a larger budget (`budget.ladder`)"
        )
    return steps
