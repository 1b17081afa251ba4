"""What a person asks of the lead and of the published candidate: that one goes back, or more seeds.

A running daemon finds the requests in the ledger, and the next start of the run those that wait.
"""

from orchestrator.config.reloading import RunningConfig
from orchestrator.core.clock import now
from orchestrator.core.errors import UserError
from orchestrator.core.text import one_line
from orchestrator.reporting.run_view import open_ledger, read_run
from orchestrator.reporting.status import running_tag
from orchestrator.store.requests import MoreSeeds, Pruning
from orchestrator.store.workspace import Workspace

MOST_SEEDS = 100
"""Fresh seeds of one request."""
_REASON_CHARS = 200


def prune(workspace: Workspace, n: int, why: str) -> str:
    """Have the lead go back to what experiment `n` was proposed from; return the run.

    A running daemon does it next; without one, the next start of the run does. The agent is told
    why.

    Raises:
        UserError: the lead does not rest on it.
    """
    with open_ledger(workspace) as ledger:
        view = read_run(workspace, ledger, running_tag(workspace))
        published = view.state.incumbent
        if published is not None and published.n == n:
            raise UserError(
                f"experiment {n} is published: `autorl-daemon accept N` publishes another one"
            )
        if n not in {each.n for each in view.state.leads}:
            line = ", ".join(f"#{each.n}" for each in view.state.leads) or "nothing leads"
            raise UserError(f"the lead does not rest on experiment {n} (unproven steps: {line})")
        ledger.ask_to_prune(Pruning(n, one_line(why, _REASON_CHARS)), now())
    return view.run.tag


def measure(workspace: Workspace, n: int, seeds: int) -> str:
    """Have the lead or the published candidate measured on more fresh seeds; return the run.

    Raises:
        UserError: experiment `n` is neither, that is more seeds than are taken at a time, or the
            naive rule measures none.
    """
    if not 1 <= seeds <= MOST_SEEDS:
        raise UserError(f"from 1 to {MOST_SEEDS} seeds at a time, not {seeds}")
    with open_ledger(workspace) as ledger:
        view = read_run(workspace, ledger, running_tag(workspace))
        state, running = view.state, RunningConfig.from_json(view.run.config)
        if running is not None and running.config.judge.rule == "naive":
            raise UserError("under judge.rule: naive nothing is measured beyond the default seeds")
        known = {each.n for each in (state.lead, state.incumbent) if each is not None}
        if n not in known:
            shown = " and ".join(f"#{each}" for each in sorted(known)) or "nothing yet"
            raise UserError(
                f"only the lead and the published candidate are measured again ({shown}), "
                f"not experiment {n}"
            )
        ledger.ask_to_measure(MoreSeeds(n, seeds), now())
    return view.run.tag
