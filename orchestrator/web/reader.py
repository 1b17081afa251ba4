"""A run, read on from the ledger: what has ended since is read, and what ended before is kept.

A page asks every second, so reports are kept without their episodes, and a long run is read a few
hundred endings at a time: a reader holds the ledger for milliseconds, and the daemon can write
between two.
"""

import os
from dataclasses import dataclass, field, replace

from orchestrator.core.evaluations import Report
from orchestrator.core.experiments import Experiment
from orchestrator.core.records import Status
from orchestrator.judging.standing import lead_standing
from orchestrator.planning.state import replay
from orchestrator.reporting.run_view import RunView, find_run, judging_rules
from orchestrator.store.ledger import Ledger
from orchestrator.store.search_evidence import search_evidence
from orchestrator.store.workspace import Workspace

_BATCH = 200
_KEPT_FACTS = (
    "mean_eval_return", "mean_solve_rate", "random_return", "mean_episode_length", "learning_gain",
    "steps_per_s",
)  # fmt: skip


@dataclass
class _Known:
    """What is known of one run."""

    ledger: tuple[int, int]
    """The file that it was read from."""
    experiments: dict[int, Experiment] = field(default_factory=dict)
    ended: int = 0
    """The last ending that was read."""
    stamp: tuple[int, ...] = ()
    view: RunView | None = None


class RunReader:
    """Reads runs for the page. Not for two threads at once."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}

    def read(self, workspace: Workspace, ledger: Ledger, tag: str) -> RunView:
        """Return a run as it is recorded now; the same record where nothing has changed.

        Raises:
            UserError: there is no such run.
        """
        facts = os.stat(workspace.ledger)  # noqa: PTH116 - the numbers of the file itself
        # Every commit changes the file, as its journal is folded into it.
        stamp = (facts.st_dev, facts.st_ino, facts.st_mtime_ns, facts.st_size)
        known = self._known.get(tag)
        if known is None or known.ledger != stamp[:2]:
            known = self._known[tag] = _Known((facts.st_dev, facts.st_ino))
        if known.view is None or known.stamp != stamp:
            known.view = _read_on(ledger, tag, known)
            known.stamp = stamp
        return known.view


def _read_on(ledger: Ledger, tag: str, known: _Known) -> RunView:
    run = find_run(ledger, tag)
    for experiment in list(known.experiments.values()):
        if experiment.status is not Status.LEAD:  # the others stay what they are
            continue
        now = ledger.experiment(experiment.n)
        if now is not None and now.status is not Status.LEAD:
            known.experiments[experiment.n] = _light(now)
    while batch := list(ledger.endings(tag, after=known.ended, most=_BATCH)):
        known.experiments |= {experiment.n: _light(experiment) for experiment in batch}
        known.ended = batch[-1].ended
    experiments = [known.experiments[n] for n in sorted(known.experiments)]
    moves = ledger.moves(tag)
    state = replay(sorted(experiments, key=lambda experiment: experiment.ended), moves)
    standing = None
    if state.leads:
        rules = judging_rules(run)
        standing = lead_standing(search_evidence(ledger, tag, state, rules), rules)
    return RunView(run, experiments, state, [], ledger.references(tag), moves, standing)


def _light(experiment: Experiment) -> Experiment:
    """Return an experiment without what only its own page shows."""
    facts = experiment.report.facts
    kept = {name: facts[name] for name in _KEPT_FACTS if facts.get(name) is not None}
    return replace(experiment, report=Report(kept), details="")
