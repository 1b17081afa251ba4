"""The run as it is recorded: its state, and what follows from each ending."""

import time
from typing import Any

from orchestrator.config.schema import Config
from orchestrator.core.errors import ConflictError, UserError
from orchestrator.core.evaluations import Evaluation
from orchestrator.core.experiments import Experiment, LeadMove, MoveKind, StopReason
from orchestrator.core.records import Status
from orchestrator.core.text import one_line
from orchestrator.engine.briefing import Briefing
from orchestrator.engine.dependencies import Dependencies
from orchestrator.engine.display import log_facts, move_facts
from orchestrator.engine.lane import Lane
from orchestrator.engine.outcome import Outcome
from orchestrator.engine.record import Recorder
from orchestrator.judging.lead import Move
from orchestrator.planning.state import RunState, replay


class RunRecord:
    """Owns the state of the run. What is recorded is recorded once, whatever fails after it."""

    def __init__(self, parts: Dependencies) -> None:
        self._run = parts.run
        self._ledger, self._branch, self._monitor = parts.ledger, parts.branch, parts.monitor
        self._recorder = Recorder(parts)
        self.briefing = Briefing(parts)
        self._started_after = max((e.ended for e in self._ledger.endings(self._run.tag)), default=0)
        self.state: RunState = self._recorded_state()
        self.paused: str | None = parts.run.pause_reason
        self.is_behind = True
        """State, refs and folders may lag behind the ledger."""
        self._began, self._counted_s = time.monotonic(), 0.0

    @property
    def tip(self) -> str:
        """The published candidate's commit; before there is one, the run's parent."""
        incumbent = self.state.incumbent
        return (incumbent and incumbent.commit) or self._run.parent

    @property
    def lead_tip(self) -> str:
        """The lead's commit; that of the published candidate where nothing looks better."""
        return self.state.lead.commit if self.state.leads and self.state.lead else self.tip

    @property
    def hours(self) -> float:
        """How long the run has been running, all its sessions together."""
        return float(self._run.seconds + time.monotonic() - self._began) / 3600

    # Endings.

    def record(self, lane: Lane, outcome: Outcome, *, given_up: bool = False) -> Experiment:
        """Record how an experiment ended; a transient error leaves nothing recorded."""
        tips = {Status.KEEP: self.tip, Status.LEAD: self.lead_tip}
        experiment = self._recorder.prepare(lane, outcome, tips)
        running_s = time.monotonic() - self._began
        with self._ledger.transaction():
            self._ledger.add_seconds(self._run.tag, running_s - self._counted_s)
            experiment = self._recorder.finish(experiment, outcome, given_up=given_up)
        self._counted_s = running_s
        return experiment

    def follow(self, experiment: Experiment) -> None:
        """Do all that follows from an ending that is in the ledger."""
        self.is_behind = True  # until all below is done
        before, old_tip = self.state, self.tip
        self.state = before.after(experiment)
        self._monitor.log("experiment finished", **log_facts(experiment))
        if self.state.rung != before.rung and before.rung is not None:
            self._monitor.log("climbed", rung=str(self.state.rung), reason=experiment.description)
        self.briefing.add(experiment)
        self._recorder.write_out(experiment)
        try:
            self._branch.follow(experiment, old_tip if before.incumbent else None, self.tip)
        except ConflictError as error:
            self.pause(str(error))
        self._follow_lead(before)
        self.is_behind = False

    def move(self, move: Move) -> None:
        """Record that the lead goes back or is proven, and do what follows from it."""
        before, old_tip, when = self.state, self.tip, self._monitor.now()
        gain, error = (move.gain.value, move.gain.standard_error) if move.gain else (None, None)
        record = LeadMove(
            move.kind, move.to, 0, move.reason, gain, error, move.seeds, created_at=when
        )
        self.is_behind = True  # until all below is done
        with self._ledger.transaction():
            record = self._ledger.move_lead(self._run.tag, record)
            self.state = before.after_move(record)
            if record.kind is MoveKind.PROMOTION:
                proven = [each.n for each in before.leads if each not in self.state.leads]
                self._ledger.settle_leads(proven, Status.KEEP, when)
        what = "lead proven" if record.kind is MoveKind.PROMOTION else "lead went back"
        self._monitor.log(what, **move_facts(record, before, self.state))
        try:
            if self.tip != old_tip:
                self._branch.publish(old_tip, self.tip)
        except ConflictError as error:
            self.pause(str(error))
        self._follow_lead(before)
        self.is_behind = False

    def _follow_lead(self, before: RunState) -> None:
        """Have rows and refs say where the lead is, and what became of those before it."""
        if self.state.lead != before.lead:
            try:
                self._point_at_lead()
            except ConflictError as error:
                self.pause(str(error))
        if self.state.leads != before.leads:
            still = {each.n for each in self.state.leads}
            left = self._ledger.leave_leads(self._run.tag, still)
            settled = {each.n for each in before.leads} - still
            self._recorder.update_rows(self.briefing.read_again(settled.union(left)))

    def _point_at_lead(self) -> None:
        self._branch.point_at_lead(self.lead_tip, is_published=not self.state.leads)

    def measured(self, lane: Lane, evaluation: Evaluation) -> None:
        """Take note that a candidate was measured; each seed is in the ledger."""
        self.count_time()
        if evaluation.status is not None and not evaluation.seeds:
            self._monitor.log(
                "the lead or the published candidate failed when it was measured", "warning",
                experiment=lane.n, reason=one_line(evaluation.reason, 500),
            )  # fmt: skip
        self._monitor.log("measured", experiment=lane.n, rung=str(lane.rung))

    def catch_up(self) -> None:
        """Bring state, folders and refs to where the ledger is."""
        self.state = self._recorded_state()
        self._ledger.leave_leads(self._run.tag, [each.n for each in self.state.leads])
        self.briefing.read_all()
        self._recorder.catch_up(self.briefing.history)
        self._sync()
        self.is_behind = False

    def end(self, reason: StopReason) -> None:
        """Record why the run stops."""
        self.count_time()
        self._ledger.set_stop_reason(self._run.tag, reason)

    def low_disk(self) -> str | None:
        """Return what a person must know if the disk is nearly full, None if it is not."""
        return self._recorder.low_disk()

    def count_time(self) -> None:
        """Add the time since the last call to the run's."""
        running_s = time.monotonic() - self._began
        self._ledger.add_seconds(self._run.tag, running_s - self._counted_s)
        self._counted_s = running_s

    # What people ask for.

    def configure(self, config: Config) -> None:
        """Work with another configuration from now on."""
        self.briefing.configure(config)
        self._recorder.configure(config)

    def pause(self, reason: str) -> None:
        """Begin nothing more until a person says so."""
        self.paused = one_line(reason, 500)
        self._ledger.set_pause_reason(self._run.tag, self.paused)
        self._monitor.log("paused", "warning", reason=self.paused)

    def resume(self) -> None:
        """Go on after a pause."""
        self.paused = None
        self._ledger.set_pause_reason(self._run.tag, None)
        self._monitor.log("resumed")
        self._sync()

    def accept(self, n: int) -> None:
        """Make an experiment the incumbent by a human's word."""
        before, replaced = self.state, self.state.incumbent
        try:
            self._branch.accept(n, self._monitor.now())
        except (UserError, ConflictError) as error:
            self.is_behind = True  # the ref may have moved just when the ledger had it
            self._monitor.log("accept refused", "warning", experiment=n, reason=str(error))
            return
        self.state = self.state.after_accept(self._ledger.accepts(self._run.tag)[-1])
        self._monitor.log(
            "accepted by a human", experiment=n, replaces=replaced.n if replaced else None
        )
        self._follow_lead(before)

    def _sync(self) -> None:
        try:
            self._branch.sync(self.tip if self.state.incumbent else None)
            self._point_at_lead()
        except ConflictError as error:
            self.pause(str(error))

    def _recorded_state(self) -> RunState:
        tag = self._run.tag
        endings: Any = self._ledger.endings(tag)
        return replay(endings, self._ledger.moves(tag), started_after=self._started_after)
