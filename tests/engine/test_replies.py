"""Replies through the engine: none ends the daemon, and each is recorded whole."""

import pytest

from orchestrator.core.records import Reply
from orchestrator.proposals.agent_events import NothingToAdd, Replied
from tests.engine.conftest import Lab
from tests.engine.test_faults import patient_turns
from tests.engine.test_lanes import TellingAgent, turns
from tests.fakes import reply

HOSTILE_ENDS = {
    "integer of 4,000 hexadecimal digits": "MASK = 0x" + "f" * 4000,
    "half a character": "X = '\ud800'",
    "deep nesting": "X = " + "-" * 100_000 + "1",
    "null character": "X = '\0'",
    "thousands of fields": "X = f'" + "{X}" * 50_000 + "'",
}


@pytest.mark.parametrize("line", HOSTILE_ENDS.values(), ids=list(HOSTILE_ENDS))
def test_no_source_code_in_a_reply_ends_the_daemon(lab: Lab, line: str) -> None:
    """Source code that a reader chokes on is an invalid experiment, and the run goes on."""
    agent = TellingAgent()
    engine = lab.engine(proposer=agent, lanes=1)
    turns(engine)
    text = reply(f"{lab.train(SCORE=1.0)}\n{line}\n")
    agent.news = [("proposal-1", Replied(Reply(text))), ("proposal-1", NothingToAdd())]
    patient_turns(engine, 30)
    assert lab.statuses() == ["baseline", "invalid"]


def test_reasoning_is_recorded_though_it_is_not_read(lab: Lab) -> None:
    """The ledger keeps a reply whole; the experiment is named by its answer."""
    agent = TellingAgent()
    engine = lab.engine(proposer=agent, lanes=1)
    turns(engine)
    draft = reply(lab.train(SCORE=-1.0), description="a draft")
    text = f"<think>\n{draft}\n</think>\n{reply(lab.train(SCORE=1.0), description='the answer')}"
    agent.news = [("proposal-1", Replied(Reply(text)))]
    turns(engine)
    assert [kept.text for kept, _ in lab.ledger.replies(2)] == [text]
    files = lab.ledger.files(2)
    assert files is not None
    assert files.train == lab.train(SCORE=1.0)
