"""What follows where a call may not be made: the run ends, a reply is done without, nobody reviews."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.config.schema import Config
from orchestrator.core.experiments import StopKind
from orchestrator.core.records import Reply, Tokens
from orchestrator.core.reviews import NoReview, Opinion, Review
from orchestrator.core.spending import Spend, WorstCase
from orchestrator.engine.ports import Reloaded
from orchestrator.proposals.agent_events import AgentEvent, AgentWaits, NothingToAdd, Replied
from orchestrator.proposals.brief import Brief
from tests.engine.conftest import TAG, Lab
from tests.fakes import ShufflingAgent, StubReviewer, reply

NO_EDIT = "description: no edit at all\n"
WORST = WorstCase(100, 1.0)


def agent_of(answer: Callable[[Brief], AgentEvent], worst: WorstCase = WORST) -> ShufflingAgent:
    agent = ShufflingAgent(answer, random.Random(3))
    agent.worst = worst
    return agent


class Silent(ShufflingAgent):
    """It never answers."""

    def poll(self) -> list[tuple[str, AgentEvent]]:
        """Say nothing."""
        return []


def silent() -> Silent:
    agent = Silent(lambda _: NothingToAdd(), random.Random(1))
    agent.worst = WORST
    return agent


def costing(text: str, usd: float) -> Replied:
    return Replied(Reply(text, Tokens(50, None, 10, None), usd))


def test_a_run_ends_before_the_proposal_that_might_pass_a_limit(lab: Lab) -> None:
    """Nothing is asked, and nothing is spent that is not there."""
    agent = agent_of(lambda _: costing(NO_EDIT, 1.0))
    reason = lab.engine(proposer=agent, lanes=3, limits={"cost_usd": 0.99}).run()
    assert reason.kind is StopKind.LIMIT
    assert reason.text == "limits.cost_usd reached (0 of 0.99, and the next call may cost 1)"
    assert agent.asked == []
    assert lab.statuses() == ["baseline"]


def test_room_that_a_call_leaves_is_used(lab: Lab) -> None:
    """While one is in flight another has no room; once it has cost a tenth, the next one has."""
    agent = agent_of(lambda _: costing(NO_EDIT, 0.1))
    most = 0

    def look(ordinal: int, attempts: int) -> None:
        nonlocal most
        most = max(most, len(agent._questions))

    agent.on_ask = look
    limits = {"cost_usd": 2.0, "experiments": 9, "consecutive_failures": None}
    reason = lab.engine(
        proposer=agent, lanes=8, limits=limits, agent={"max_repairs": 0, "lessons_every": None}
    ).run()
    assert reason.text == "limits.experiments reached (9 of 9)"
    assert most == 2


def test_a_repair_without_room_is_done_without(lab: Lab) -> None:
    """The experiment ends with the failure of the reply that it has."""
    agent = agent_of(lambda _: costing(NO_EDIT, 0.5))
    reason = lab.engine(proposer=agent, limits={"cost_usd": 1.4}).run()
    assert agent.asked == [(1, 0)]
    assert lab.statuses() == ["baseline", "invalid"]
    assert reason.text == "limits.cost_usd reached (0.5 of 1.4, and the next call may cost 1)"
    assert ("no call", 2) in [(name, facts.get("experiment")) for name, facts in lab.monitor.events]


def test_a_repair_waits_for_a_call_that_may_leave_room(lab: Lab) -> None:
    """Not for ever: only while another is in flight."""
    agent = agent_of(lambda _: costing(NO_EDIT, 0.1))
    limits = {"cost_usd": 2.05, "experiments": 2}
    lab.engine(proposer=agent, lanes=2, limits=limits).run()
    assert sorted(agent.asked) == [(n, turn) for n in (1, 2) for turn in (0, 1, 2)]


def test_what_costs_nothing_is_asked_whatever_the_limits(lab: Lab) -> None:
    """The embedded search repairs for free, even where a limit is reached in the meantime."""
    answers = iter([costing(NO_EDIT, 5.0), costing(NO_EDIT, 0.0), costing(NO_EDIT, 0.0)])
    agent = agent_of(lambda _: next(answers), WorstCase(0, 0.0))
    reason = lab.engine(proposer=agent, limits={"cost_usd": 1.0}).run()
    assert len(agent.asked) == 3
    assert reason.text == "limits.cost_usd reached (5 of 1)"


def test_a_review_without_room_is_none(lab: Lab) -> None:
    """Named as the limit, and nobody is asked."""
    agent = agent_of(lambda _: costing(reply(lab.train(SCORE=1.0)), 1.0))
    reviewer = StubReviewer(Review(Opinion.GAMING, "never said", "stub"))
    reviewer.worst = WorstCase(10, 0.5)
    lab.engine(proposer=agent, reviewer=reviewer, limits={"cost_usd": 1.4}).run()
    assert reviewer.asked == []
    assert lab.statuses() == ["baseline", "keep"]
    review = lab.ledger.experiment(2).review  # type: ignore[union-attr]
    assert review == {
        "none": "limits.cost_usd reached (1 of 1.4, and the next call may cost 0.5)"
    }  # fmt: skip


def test_a_review_is_reserved_and_billed(lab: Lab) -> None:
    """As a proposal is; one without an answer keeps its worst case."""
    replies = iter([reply(lab.train(SCORE=1.0)), reply(lab.train(SCORE=2.0))])
    agent = agent_of(lambda _: costing(next(replies), 0.25))
    earned = Review(Opinion.EARNED, "", "stub", Tokens(5, None, 1, None), 0.125)
    reviewer = StubReviewer(earned, NoReview("unreadable", Tokens(), None))
    reviewer.worst = WorstCase(10, 0.5)
    lab.engine(proposer=agent, reviewer=reviewer, limits={"cost_usd": 9.0, "experiments": 2}).run()
    assert [row.cost_usd for row in lab.ledger.bill(TAG)] == [0.5, 0.125, None]
    assert lab.ledger.reserved(TAG) == Spend()


@pytest.mark.parametrize("told", [Tokens(), Tokens(50, None, None, None)], ids=["nothing", "half"])
def test_an_answer_without_a_bill_counts_as_the_worst(lab: Lab, told: Tokens) -> None:
    """Its cost stays unknown in the record, and the limit holds all the same."""
    agent = agent_of(lambda _: Replied(Reply(NO_EDIT, told, None)))
    reason = lab.engine(proposer=agent, limits={"cost_usd": 3.5}, agent={"max_repairs": 0}).run()
    assert reason.text == "limits.cost_usd reached (3 of 3.5, and the next call may cost 1)"
    assert [each.cost_usd for each in lab.ledger.experiments(TAG)] == [None] * 4
    assert lab.ledger.unbilled(TAG) == (3, Spend(300, 3.0))


def test_tokens_that_an_answer_without_a_price_tells_count_once(lab: Lab) -> None:
    """They are spent; of its bill only the dollars are unknown."""
    told = Tokens(50, None, 10, None)
    agent = agent_of(lambda _: Replied(Reply(NO_EDIT, told, None)))
    limits = {"cost_usd": 3.5, "tokens": 300}
    reason = lab.engine(proposer=agent, limits=limits, agent={"max_repairs": 0}).run()
    assert reason.text == "limits.cost_usd reached (3 of 3.5, and the next call may cost 1)"
    assert lab.ledger.unbilled(TAG) == (3, Spend(0, 3.0))


def test_an_answer_that_costs_more_than_could_be_makes_the_next_ones_dearer(lab: Lab) -> None:
    """An endpoint that disregards the limit on its answers, or a program's tokens: once, not twice."""
    agent = agent_of(lambda _: costing(NO_EDIT, 3.0), WorstCase(None, 1.0))
    reason = lab.engine(proposer=agent, limits={"cost_usd": 5.9}, agent={"max_repairs": 0}).run()
    assert reason.text == "limits.cost_usd reached (3 of 5.9, and the next call may cost 3)"
    assert len(agent.asked) == 1


def test_a_call_is_not_tried_again_beyond_the_limit(lab: Lab) -> None:
    """Each try that was broken off may be billed; the next one must fit as the first one did."""
    tries = 0

    class Breaking(ShufflingAgent):
        def poll(self) -> list[tuple[str, AgentEvent]]:
            nonlocal tries
            tries += len(self._questions)
            return [
                (key, AgentWaits("broken off", 0.0, may_be_billed=True)) for key in self._questions
            ]

    agent = Breaking(lambda _: NothingToAdd(), random.Random(1))
    agent.worst = WORST
    reason = lab.engine(proposer=agent, limits={"cost_usd": 3.5}).run()
    assert tries == 3
    # The last pause was cut short: nobody knows whether the fourth try had begun.
    assert reason.text == "limits.cost_usd reached (4 of 3.5)"


@pytest.mark.parametrize(("pause_s", "unbilled"), [(60.0, (0, Spend())), (1.0, (1, WORST.spend))])
def test_a_call_that_waits_is_not_billed_when_it_is_withdrawn(
    lab: Lab, pause_s: float, unbilled: tuple[int, Spend]
) -> None:
    """Refused, it costs nothing; only where the next try may have begun does it count."""

    class Waiting(ShufflingAgent):
        def poll(self) -> list[tuple[str, AgentEvent]]:
            return [(key, AgentWaits("connection refused", pause_s)) for key in self._questions]

    agent = Waiting(lambda _: NothingToAdd(), random.Random(1))
    agent.worst = WORST
    engine = lab.engine(proposer=agent)
    while not agent.asked:
        assert engine.turn() is None
    assert engine.turn() is None
    lab.ledger.add_request("stop", None, "now")
    engine.run()
    assert lab.ledger.unbilled(TAG) == unbilled


def test_a_kill_keeps_what_was_reserved(lab: Lab) -> None:
    """The call may be billed: the next daemon has so much less to spend."""
    killed = silent()
    engine = lab.engine(proposer=killed, limits={"cost_usd": 1.5})
    while not killed.asked:
        assert engine.turn() is None
    agent = agent_of(lambda _: costing(NO_EDIT, 0.1))
    reason = lab.engine(proposer=agent, limits={"cost_usd": 1.5}).run()
    assert agent.asked == []
    assert reason.text == "limits.cost_usd reached (1 of 1.5, and the next call may cost 1)"


def test_a_new_agent_is_asked_within_the_limits(lab: Lab) -> None:
    """What the former one had in hand was broken off, and may be billed."""
    agent = silent()
    new = Config.model_validate(
        {"judge": {"rule": "naive"}, "agent": {"model": "another"}, "limits": {"cost_usd": 1.5}}
    )
    engine = lab.engine(
        proposer=agent, limits={"cost_usd": 1.5}, reload=lambda _rung: Reloaded(new, 1)
    )
    while not agent.asked:
        assert engine.turn() is None
    lab.ledger.add_request("reload", None, "now")
    assert engine.run().text.startswith("limits.cost_usd reached (1 of 1.5")
    assert agent.asked == [(1, 0)]


def test_without_limits_nothing_is_held_up(lab: Lab) -> None:
    """What is reserved is recorded all the same: a limit may be set later."""
    seen: list[Any] = []
    agent = agent_of(lambda _: costing(NO_EDIT, 0.1))
    agent.on_ask = lambda _ordinal, _attempts: seen.append(lab.ledger.reserved(TAG))
    lab.engine(proposer=agent, limits={"experiments": 1}, agent={"max_repairs": 0}).run()
    assert seen == [Spend(100, 1.0)]
    assert lab.ledger.reserved(TAG) == Spend()
