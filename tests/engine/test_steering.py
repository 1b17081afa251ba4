"""What a person asks of an engine at work: a candidate of their own, another configuration."""

from pathlib import Path

from orchestrator.config.schema import Config
from orchestrator.core.records import HUMAN, Files
from orchestrator.engine.ports import Reloaded
from orchestrator.store.ledger import Ledger
from tests.engine.conftest import TAG, Lab
from tests.engine.test_lanes import TellingAgent, turns
from tests.fakes import QuietMonitor, reply


def propose(lab: Lab, train: str, description: str = "mine") -> None:
    lab.ledger.add_proposal(TAG, description, Files(lab.files.env, train), "now")


def test_a_persons_candidate_is_the_next_experiment(lab: Lab) -> None:
    """Judged like any other, recorded as a human's, and no reply of the agent's is used up."""
    propose(lab, lab.train(SCORE=1.0))
    lab.engine([reply(lab.train(SCORE=2.0))]).run()
    _, mine, theirs = lab.ledger.experiments(TAG)
    assert (mine.agent, mine.status, mine.description) == (HUMAN, "keep", "mine")
    assert lab.file_at(mine.commit) == lab.train(SCORE=1.0)
    assert (theirs.agent, theirs.status) == ("scripted", "keep")
    assert theirs.parent == mine.commit
    assert lab.briefs[0].ordinal == 1
    assert lab.ledger.proposals(TAG) == []


def test_a_worse_one_is_put_aside(lab: Lab) -> None:
    """A person's candidate has no privilege."""
    propose(lab, lab.train(SCORE=-1.0))
    lab.engine().run()
    assert lab.statuses() == ["baseline", "discard"]


def test_it_is_never_repaired_by_the_agent(lab: Lab) -> None:
    """A crash, a syntax error, code that was tried: recorded with files, and nobody is asked."""
    propose(lab, lab.train(DO="crash"))
    propose(lab, "def broken(:\n")
    propose(lab, lab.files.train)
    lab.engine().run()
    rows = list(lab.ledger.experiments(TAG))[1:]
    assert [row.status for row in rows] == ["crash", "invalid", "invalid"]
    assert rows[1].reason.startswith("syntax_error")
    assert "tried already, in experiment #1" in rows[2].reason
    assert lab.ledger.files(rows[1].n) == Files(lab.files.env, "def broken(:\n")
    assert [len(brief.attempts) for brief in lab.briefs] == [0]


def test_it_comes_in_while_the_engine_runs(lab: Lab) -> None:
    """Before the agent's next proposal."""
    engine = lab.engine([reply(lab.train(SCORE=n / 10)) for n in range(1, 4)])
    lab.until(engine, 2)
    propose(lab, lab.train(SCORE=5.0))
    engine.run()
    agents = [row.agent for row in lab.ledger.experiments(TAG)]
    assert agents.index(HUMAN) < len(agents) - 1


def test_it_waits_out_a_pause(lab: Lab) -> None:
    """And is not lost by it."""
    engine = lab.engine()
    lab.ledger.add_request("pause", None, "now")
    propose(lab, lab.train(SCORE=1.0))
    lab.until_paused(engine)
    assert lab.statuses() == []
    lab.ledger.add_request("resume", None, "now")
    lab.until(engine, 2)
    assert lab.statuses() == ["baseline", "keep"]


def test_a_restart_resumes_it(lab: Lab) -> None:
    """With its files and its description, by what the ledger holds."""
    propose(lab, lab.train(SCORE=1.0))
    engine = lab.engine()
    for _ in range(100):
        if any(lane.agent == HUMAN and lane.session for lane in engine.lanes):
            break
        assert engine.turn() is None
    (opened,) = lab.ledger.open_experiments(TAG)
    lab.evaluator.cancel(str(opened.n))
    lab.engine().run()
    _, mine = lab.ledger.experiments(TAG)
    assert (mine.n, mine.agent, mine.status, mine.description) == (opened.n, HUMAN, "keep", "mine")


def test_one_for_another_run_stays_in_the_queue(lab: Lab) -> None:
    """A candidate is proposed for one run."""
    lab.ledger.add_proposal("other", "x", lab.files, "now")
    lab.engine().run()
    assert lab.statuses() == ["baseline"]
    assert len(lab.ledger.proposals("other")) == 1


def test_a_reload_changes_limits_and_lanes_at_once(lab: Lab) -> None:
    """The limit of now ends the run, and the prompt knows of the new vetoes."""
    sections = {"judge": {"rule": "naive"}, "limits": {"experiments": 2}}
    new = Config.model_validate(sections | {"integrity": {"veto": ["nondeterministic"]}})
    replies = [reply(lab.train(SCORE=n / 10)) for n in range(1, 9)]
    engine = lab.engine(replies, reload=lambda _rung: Reloaded(new, 1))
    lab.until(engine, 2)
    lab.ledger.add_request("reload", None, "now")
    assert engine.run().text == "limits.experiments reached (2 of 2)"
    assert lab.briefs[-1].veto == ("nondeterministic",)
    assert lab.ledger.requests() == []


def test_a_reload_that_is_refused_changes_nothing(lab: Lab) -> None:
    """The run goes on with what it has."""
    engine = lab.engine([reply(lab.train(SCORE=1.0))], reload=lambda _rung: None)
    lab.ledger.add_request("reload", None, "now")
    assert engine.run().text == "script ended"
    assert lab.statuses() == ["baseline", "keep"]


class WatchfulLedger(Ledger):
    """A ledger that looks at what is shown when a request leaves the queue."""

    monitor: QuietMonitor
    seen: list[tuple[str, object]]

    def drop_requests(self, *kinds: str, up_to: int) -> None:
        """Remember the request and what is shown as asked for at that moment."""
        self.seen += [(kind, self.monitor.shown[-1]["asked"]) for kind in kinds]
        super().drop_requests(*kinds, up_to=up_to)


def test_a_request_is_never_out_of_sight(lab: Lab, tmp_path: Path) -> None:
    """It stands in the queue until the heartbeat has it: `status` misses it at no moment."""
    lab.ledger = ledger = WatchfulLedger(tmp_path / "ledger.sqlite")
    ledger.monitor, ledger.seen = lab.monitor, []
    engine = lab.engine(proposer=TellingAgent(), lanes=1)
    turns(engine)
    assert engine.lanes
    for kind in ("pause", "stop"):
        ledger.add_request(kind, None, "now")
    engine.turn()
    assert ledger.seen == [("pause", ["pause"]), ("stop", ["pause", "stop"])]
