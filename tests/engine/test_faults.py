"""Errors that come at the worst moment, and people who ask for several things at once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.errors import LedgerError, StoreError
from orchestrator.core.evaluations import Evaluation, EvaluationEnded, SeedDone
from orchestrator.core.records import Reply, Status
from orchestrator.engine.display import STOPPED_BY_USER
from orchestrator.engine.engine import TRANSIENT_ERRORS, Engine
from orchestrator.engine.openings import MOST_RESUMES
from orchestrator.proposals.agent_events import NothingToAdd, Replied
from orchestrator.store.git import GitStore
from orchestrator.store.ledger import Ledger
from tests.conftest import git
from tests.engine.conftest import LEAD_RULES, TAG, Lab
from tests.engine.test_lanes import LADDER, TellingAgent, replied, turns
from tests.fakes import StubEvaluator, reply


def patient_turns(engine: Engine, count: int = 200) -> Any:
    """Let an engine make turns, as `run` does but for the pauses; return why it stops."""
    for _ in range(count):
        try:
            if reason := engine.turn():
                return reason
        except TRANSIENT_ERRORS:
            engine.run_record.is_behind = engine._stepper.has_changed = True
    return None


class FailingStore(GitStore):
    """A repository where the next commits fail."""

    failures = 0

    def commit(self, *arguments: Any) -> str:
        """Fail, or write a commit."""
        if self.failures:
            self.failures -= 1
            raise StoreError("git hung")
        return super().commit(*arguments)


class FailingLedger(Ledger):
    """A ledger that can't record the next reply."""

    failures = 0
    on_failure: Callable[[], None] = staticmethod(lambda: None)

    def save_reply(self, *arguments: Any) -> None:
        """Fail, or record a reply."""
        if self.failures:
            self.failures -= 1
            self.on_failure()
            raise LedgerError("locked")
        super().save_reply(*arguments)


class ForgetfulEvaluator(StubEvaluator):
    """An evaluator that runs out of memory while it is asked for news."""

    is_short = False

    def __init__(self) -> None:
        super().__init__()
        self.plans: list[Any] = []

    def begin(self, key: str, files: Any, what: Any, measured: Any) -> None:
        """Note what is asked for."""
        self.plans.append(what)
        super().begin(key, files, what, measured)

    def poll(self) -> Any:
        """Fail, or tell what has happened."""
        if self.is_short:
            self.is_short = False
            raise MemoryError
        return super().poll()


def test_a_resumed_reply_is_read_against_the_files_it_was_made_for(lab: Lab) -> None:
    """Another lane was kept meanwhile: what is resumed is the same candidate as before the kill."""
    lab.evaluator = StubEvaluator(slots=2)
    agent = TellingAgent()
    engine = lab.engine(proposer=agent, lanes=2)
    turns(engine)
    env = lab.files.env + "\nNEW_ENV = 1\n"
    kept = Replied(Reply(reply(lab.train(SCORE=1.0), env)))
    agent.news = [("proposal-1", kept), ("proposal-2", replied(lab, SCORE=0.5))]
    while "keep" not in lab.statuses():
        assert engine.turn() is None
    (opened,) = lab.ledger.open_experiments(TAG)
    before = lab.ledger.files(opened.n)
    lab.evaluator = StubEvaluator(slots=2)
    lab.engine(proposer=TellingAgent(), lanes=2).turn()
    assert lab.ledger.files(opened.n) == before


def test_a_full_disk_is_waited_for_and_a_stop_is_obeyed(lab: Lab) -> None:
    """What is in flight goes on without a busy loop; with nothing in flight `stop` ends the run."""
    agent = TellingAgent()
    full: dict[str, Any] = {"limits": {"min_free_mb": 1e9}}
    engine = lab.engine(proposer=agent, lanes=2)
    turns(engine)
    engine = lab.engine(proposer=agent, lanes=2, **full)
    before = lab.monitor.waits
    turns(engine, 50)
    assert lab.monitor.waits > before + 40
    lab.ledger.add_request("stop", None, "now")
    assert turns(engine) == STOPPED_BY_USER


def test_a_fault_while_an_experiment_is_given_back_does_not_lose_the_pause(lab: Lab) -> None:
    """The evaluator is broken, and git hangs just then: the run is paused and says why."""
    lab.store = store = FailingStore(lab.root)
    agent = TellingAgent()
    engine = lab.engine(proposer=agent, lanes=1)
    turns(engine)
    agent.news = [("proposal-1", replied(lab, DO="broken"))]
    store.failures = 1
    patient_turns(engine)
    assert engine.run_record.paused == "broken by a test"


def test_an_accept_that_is_refused_is_not_recorded(lab: Lab) -> None:
    """Somebody looks at the branch: the incumbent stays, live and after a restart."""
    agent = TellingAgent()
    engine = lab.engine(proposer=agent, lanes=1)
    turns(engine)
    agent.news = [("proposal-1", replied(lab, SCORE=-1.0))]
    turns(engine)
    git(lab.root, "worktree", "add", "--quiet", str(lab.root.parent / "look"), f"autorl/{TAG}")
    lab.ledger.add_request("accept", "2", "now")
    turns(engine)
    assert "accept refused" in [event for event, _ in lab.monitor.events]
    assert lab.ledger.accepts(TAG) == []
    incumbent = engine.run_record.state.incumbent
    assert incumbent is not None
    assert incumbent.n == 1


def test_faults_of_today_are_no_deaths_of_daemons(lab: Lab) -> None:
    """An experiment that can't go on is aborted late, because git hung: it is not given up."""
    lab.store = FailingStore(lab.root)
    engine = lab.engine([reply(lab.train(SCORE=1.0))])
    while not engine.lanes:
        engine.turn()
    lab.evaluator = StubEvaluator()
    lab.store = store = FailingStore(lab.root)
    store.failures = 5
    engine = lab.engine([reply(lab.train(SCORE=1.0))], limits={"hours": 1e-9})
    patient_turns(engine)
    (aborted,) = lab.ledger.experiments(TAG)
    assert aborted.reason == "it was begun and could not be finished"
    assert engine.run_record.paused is None


def test_pause_accept_and_stop_end_the_run(lab: Lab) -> None:
    """What waits for a baseline that a pause holds back does not keep the run from stopping."""
    agent = TellingAgent()
    budget = {"ladder": LADDER, "min_keeps": 1}
    engine = lab.engine(proposer=agent, lanes=2, budget=budget)
    turns(engine)
    scores = {1: -1.0, 2: 1.0, 3: -2.0}
    agent.news = [(f"proposal-{k}", replied(lab, SCORE=x)) for k, x in scores.items()]
    turns(engine)
    assert lab.statuses() == ["baseline", "discard", "keep", "discard", "baseline"]
    for kind, argument in (("pause", None), ("accept", "2"), ("stop", None)):
        lab.ledger.add_request(kind, argument, "now")
    scores = {4: 2.0, 5: -3.0}
    agent.news = [(f"proposal-{k}", replied(lab, SCORE=x)) for k, x in scores.items()]
    assert turns(engine) is not None


def test_a_reference_that_begins_again_asks_for_scored_seeds(lab: Lab) -> None:
    """The evaluator wants at least one; those that are measured are not measured again."""
    lab.evaluator = evaluator = ForgetfulEvaluator()
    agent = TellingAgent()
    engine = lab.engine(proposer=agent, judge=LEAD_RULES | {"reference_first": 12})
    turns(engine, 20)
    agent.news = [("proposal-1", replied(lab, SCORE=1.0))]  # it takes the lead, and is tried
    while len([key for key, _ in evaluator.told if key == "1-reference"]) < 5:
        engine.turn()
    evaluator.is_short = True
    before = len(evaluator.plans)
    patient_turns(engine, 50)
    assert all(plan.seeds for plan in evaluator.plans)
    assert len(evaluator.plans[before].order) < 4  # the rest of four that were asked for
    told = [seed for key, seed in evaluator.told if key == "1-reference"]
    assert len(set(told)) >= len(told) - 1  # but for the one in flight


def test_what_was_told_before_a_job_began_again_is_not_taken_for_its_news(
    lab: Lab, tmp_path: Path
) -> None:
    """A reply that could not be recorded is asked for again, and taken in once."""
    lab.ledger = ledger = FailingLedger(tmp_path / "ledger.sqlite")
    lab.evaluator = evaluator = ForgetfulEvaluator()
    agent = TellingAgent()
    engine = lab.engine(proposer=agent, lanes=1)
    turns(engine)
    ledger.on_failure = lambda: setattr(evaluator, "is_short", True)  # type: ignore[method-assign]
    ledger.failures = 1
    agent.news = [("proposal-1", Replied(Reply("nothing")))]
    patient_turns(engine, 30)
    agent.news = [("proposal-1", Replied(Reply("nothing"))), ("proposal-1", NothingToAdd())]
    patient_turns(engine, 30)
    assert lab.statuses() == ["baseline", "invalid"]


def test_a_ledger_that_can_not_be_written_can_be_closed(lab: Lab, tmp_path: Path) -> None:
    """What waited for the disk is lost, and will be measured again; the reason to stop is not."""

    class Full(Ledger):
        is_full = False

        def transaction(self) -> Any:
            if self.is_full:
                raise LedgerError("the disk is full")
            return super().transaction()

    lab.ledger = ledger = Full(tmp_path / "ledger.sqlite")
    engine = lab.engine(proposer=TellingAgent(), lanes=1)
    while not lab.evaluator.told:
        engine.turn()
    ledger.is_full = True
    ledger.close()


@pytest.mark.parametrize("finish_reason", ["\ud800", "x" * 10_000])
def test_any_finish_reason_can_be_recorded(lab: Lab, finish_reason: str) -> None:
    """An endpoint may send halves of characters."""
    agent = TellingAgent()
    engine = lab.engine(proposer=agent, lanes=1)
    turns(engine)
    text = reply(lab.train(SCORE=1.0))
    agent.news = [("proposal-1", Replied(Reply(text, finish_reason=finish_reason)))]
    turns(engine)
    assert len(lab.ledger.replies(2)) == 1


class DyingEvaluator(StubEvaluator):
    """An evaluator that dies for the last time just after it has told the challenger's last seed."""

    deaths = 1

    def poll(self) -> Any:
        """Tell what has happened; after the last seed, also that the evaluation is over."""
        told = super().poll()
        done = [event for key, event in told if key == "2" and isinstance(event, SeedDone)]
        if done and done[0].result.seed == 138 and self.deaths:
            self.deaths -= 1
            self.cancel("2")
            died = Evaluation(Status.CRASH, reason="the evaluator died 4 times")
            told.append(("2", EvaluationEnded(died)))
        return told


class ReportlessLedger(Ledger):
    """A ledger that can't read the next report."""

    failures = 0

    def saved_report(self, n: int) -> Any:
        """Fail, or read a report."""
        if self.failures:
            self.failures -= 1
            raise LedgerError("locked")
        return super().saved_report(n)


def test_a_late_event_of_an_evaluation_that_began_again_is_dropped(
    lab: Lab, tmp_path: Path
) -> None:
    """The evaluation begins again after a fault; the former one's end is no end of this one."""
    lab.ledger = ledger = ReportlessLedger(tmp_path / "ledger.sqlite")
    lab.evaluator = DyingEvaluator()
    agent = TellingAgent()
    engine = lab.engine(proposer=agent, lanes=1)
    turns(engine)
    ledger.failures = 1
    agent.news = [("proposal-1", replied(lab, SCORE=1.0))]
    patient_turns(engine, 60)
    assert lab.statuses() == ["baseline", "keep"]
    assert lab.evaluator.free_slots() == 1


def test_a_suspect_stays_alone_after_a_transient_error(lab: Lab) -> None:
    """What daemons died in runs beside nothing else, also after the ledger was read again."""
    lab.evaluator = StubEvaluator(slots=2)
    agent = TellingAgent()
    engine = lab.engine(proposer=agent, lanes=2)
    turns(engine)
    agent.news = [(f"proposal-{k}", replied(lab, SCORE=k / 10)) for k in (1, 2)]
    while len(lab.ledger.open_experiments(TAG)) < 2:
        engine.turn()
    suspect = lab.ledger.open_experiments(TAG)[0].n
    for _ in range(MOST_RESUMES - 1):
        lab.ledger.count_resume(suspect)
    lab.evaluator = StubEvaluator(slots=2)
    engine = lab.engine(proposer=agent, lanes=2)
    engine.turn()
    while [lane.n for lane in engine.lanes] == [suspect]:
        engine.run_record.is_behind = True
        engine.turn()
    ended = {experiment.n for experiment in lab.ledger.experiments(TAG)}
    assert suspect in ended
