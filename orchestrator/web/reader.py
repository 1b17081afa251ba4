"""A run, read on from the ledger: what has ended since is read, and what ended before is kept.

A page asks every second, so reports are kept without their episodes, and a long run is read a few
hundred endings at a time: a reader holds the ledger for milliseconds, and the daemon can write
between two.
"""

import os
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from orchestrator.core.evaluations import Report
from orchestrator.core.experiments import Accept, Experiment, LeadMove
from orchestrator.core.records import Status
from orchestrator.judging.standing import lead_standing
from orchestrator.reporting.course import Followed, follow
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
    moves: int = 0
    """How many moves were followed."""
    followed: Followed = field(default_factory=Followed)
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
    run, references = find_run(ledger, tag), ledger.references(tag)
    # Before the endings: what each of these moves followed is then among what is read.
    moves = ledger.moves(tag)
    has_changed = _settle_leads(ledger, known)
    has_changed |= _follow(ledger, tag, known, moves)
    before = known.view
    if before and not has_changed and (before.run, before.references) == (run, references):
        return before  # only seeds in flight were recorded
    state, standing = known.followed.state, None
    if state.leads:
        rules = judging_rules(run)
        standing = lead_standing(search_evidence(ledger, tag, state, rules), rules)
    experiments = [known.experiments[n] for n in sorted(known.experiments)]
    return RunView(run, experiments, state, [], references, moves, standing, known.followed.course)


def _settle_leads(ledger: Ledger, known: _Known) -> bool:
    """Read again what led: it may be proven, or left behind. All else stays what it is."""
    has_changed = False
    for n in [n for n, each in known.experiments.items() if each.status is Status.LEAD]:
        now = ledger.experiment(n)
        if now is not None and now.status is not Status.LEAD:
            known.experiments[n], has_changed = _light(now), True
    return has_changed


def _follow(ledger: Ledger, tag: str, known: _Known, moves: Sequence[LeadMove | Accept]) -> bool:
    """Follow what has ended and moved since; return whether anything has."""
    waiting = deque(moves[known.moves :])
    has_changed = bool(waiting)
    # A move that was recorded between the two readings of the last time.
    is_late = any(move.after_ended < known.ended for move in waiting)
    while batch := list(ledger.endings(tag, after=known.ended, most=_BATCH)):
        light, has_changed = [_light(experiment) for experiment in batch], True
        known.experiments |= {experiment.n: experiment for experiment in light}
        known.ended = light[-1].ended
        ready = []
        while waiting and waiting[0].after_ended <= known.ended:
            ready.append(waiting.popleft())
        if not is_late:
            known.followed = follow(known.followed, light, ready)
    if is_late:
        ended = sorted(known.experiments.values(), key=lambda experiment: experiment.ended)
        known.followed = follow(Followed(), ended, moves)
    else:
        known.followed = follow(known.followed, (), waiting)
    known.moves = len(moves)
    return has_changed


def _light(experiment: Experiment) -> Experiment:
    """Return an experiment without what only its own page shows."""
    facts = experiment.report.facts
    kept = {name: facts[name] for name in _KEPT_FACTS if facts.get(name) is not None}
    return replace(experiment, report=Report(kept), details="")
