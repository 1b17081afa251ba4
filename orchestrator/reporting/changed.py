"""What in a workspace differs from what its run works with: the candidate, and `config.yaml`."""

from orchestrator.config.loading import load_config
from orchestrator.config.reloading import Change, RunningConfig, changes
from orchestrator.core.errors import EditError, UserError
from orchestrator.core.records import Files, Rung, Status
from orchestrator.planning.state import RunState
from orchestrator.proposals.candidate_code import fingerprint
from orchestrator.store.ledger import Ledger
from orchestrator.store.runs import Run
from orchestrator.store.workspace import Workspace


def edited(workspace: Workspace, ledger: Ledger, run: Run) -> bool:
    """Return whether `candidate/` holds code that the run knows nothing of."""
    try:
        files = workspace.candidate()
    except UserError:  # missing or unreadable: named where it is needed
        return False
    if not ledger.has_baseline(run.tag):
        return False  # the baseline is still to come from it
    waiting = [proposal.files for proposal in ledger.proposals(run.tag)]
    return files not in waiting and not ledger.same_code(run.tag, files, code_of(files))


def edited_note(tag: str) -> str:
    """Return what a person with an edited candidate should know."""
    return (
        f"candidate/ was edited by hand, and run {tag} does not use it: `autorl-daemon propose` "
        "has it judged as an experiment, `start --tag NEW` begins a run from it"
    )


def why_not_proposed(ledger: Ledger, tag: str, files: Files, state: RunState) -> str | None:
    """Return why these files need no evaluation as a person's experiment, None if they do."""
    if files in [proposal.files for proposal in ledger.proposals(tag)]:
        return "candidate/ was proposed already, and waits for its turn"
    same = ledger.same_code(tag, files, code_of(files))
    incumbent = state.incumbent
    if incumbent is None or state.rung is None:
        return None
    unchanged = [one.n for one in same if one.status is Status.BASELINE or one.n == incumbent.n]
    if unchanged:
        n = incumbent.n if incumbent.n in unchanged else unchanged[0]
        return (
            f"candidate/ is unchanged: its code is that of experiment {n}, which run {tag} has; "
            "edit candidate/env.py or candidate/train.py first"
        )
    numbers = [n for n in (incumbent.n, incumbent.scored_by) if n is not None]
    for one in same:
        if one.repeats(state.rung, incumbent.commit, numbers):
            ending = one.status.value if one.status else "being evaluated"
            return (
                f"the code of candidate/ was tried already, in experiment {one.n} ({ending}): "
                f"`autorl-daemon show {one.n}`"
            )
    return None


def code_of(files: Files) -> str | None:
    """Return the fingerprint of two files, None if one does not parse."""
    try:
        return fingerprint(files)
    except EditError:
        return None


def config_changes(workspace: Workspace, run: Run, rung: Rung | None) -> list[Change]:
    """Return how `config.yaml` differs from what the run's daemon works with.

    Raises:
        UserError: the file can't be used.
    """
    running = RunningConfig.from_json(run.config)
    if running is None:
        return []
    read = load_config(workspace.config, environment=running.environment, settings=running.settings)
    return changes(running.config, read, rung)
