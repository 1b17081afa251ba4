"""Several agents as one: turns, what is handed on, and who is left out for how long."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import pytest

from orchestrator.agents.inline import InlineAgent
from orchestrator.agents.replaceable import ReplaceableAgent
from orchestrator.agents.team import PATIENCE_S, PAUSE_S, Member, Team
from orchestrator.core.records import Attempt, Files, Reply, Rung
from orchestrator.core.spending import FREE, WorstCase
from orchestrator.planning.agent_choice import PER_HOUR, TurnTaker
from orchestrator.proposals.agent_events import (
    AgentAsked,
    AgentBlocked,
    AgentEvent,
    AgentFinished,
    AgentWaits,
    NothingToAdd,
    Replied,
)
from orchestrator.proposals.brief import Brief

BRIEF = Brief(1, "", Files("", "A = 1"), Rung(12, 8), 1)
FAILED = (Attempt("a reply", "no_edit"),)


def brief(ordinal: int = 1, train: str = "A = 1", **known: object) -> Brief:
    return replace(BRIEF, ordinal=ordinal, files=Files("", train), **known)  # type: ignore[arg-type]


class Puppet:
    """An agent that says what the test has it say."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.asked: dict[str, Brief] = {}
        self.cancelled: list[str] = []
        self.is_closed = False
        self.fault: Exception | None = None
        self.worst = FREE
        self._events: list[tuple[str, AgentEvent]] = []

    def worst_case(self, brief: Brief) -> WorstCase:
        """Return what the test has set."""
        return self.worst

    def ask(self, key: str, brief: Brief) -> None:
        """Take a question, or fail."""
        if self.fault:
            raise self.fault
        assert key not in self.asked
        self.asked[key] = brief

    def say(self, key: str, event: AgentEvent) -> None:
        """Have `poll` return an event."""
        if not isinstance(event, AgentWaits):
            del self.asked[key]
        self._events.append((key, event))

    def poll(self) -> Sequence[tuple[str, AgentEvent]]:
        """Return what was said."""
        events, self._events = self._events, []
        return events

    def descriptors(self) -> Iterable[int]:
        """Return one that stands for it."""
        return (ord(self.name),)

    def timeout_s(self) -> float | None:
        """Return 0 while there is news."""
        return 0.0 if self._events else None

    def cancel(self, key: str) -> None:
        """Forget a question."""
        if self.asked.pop(key, None):
            self.cancelled.append(key)

    def close(self) -> None:
        """Note it."""
        self.is_closed = True


@dataclass
class Stage:
    """A team of puppets and its clock."""

    names: str = "ab"
    turns: dict[str, TurnTaker] = field(default_factory=dict)
    patience_s: float | None = PATIENCE_S
    by: str = "weights"
    now_s: float = 0.0

    def __post_init__(self) -> None:
        self.puppets = {name: Puppet(name) for name in self.names}
        members = [
            Member(self.turns.get(name, TurnTaker(name)), puppet, self.patience_s)
            for name, puppet in self.puppets.items()
        ]
        self.team = Team(members, by=self.by, clock=lambda: self.now_s)

    def ask(self, key: str, question: Brief = BRIEF) -> str:
        """Ask the team; return who was asked, and check that it is told."""
        self.team.ask(key, question)
        assert self.team.timeout_s() == 0.0
        return self.told(key)

    def told(self, key: str) -> str:
        """Return who is asked now, by what the team tells."""
        (name,) = [n for n, puppet in self.puppets.items() if key in puppet.asked]
        told = [e.agent for k, e in self.poll() if k == key and isinstance(e, AgentAsked)]
        assert told == [name]
        return name

    def say(self, name: str, key: str, event: AgentEvent) -> list[tuple[str, AgentEvent]]:
        """Have a puppet say something; return what comes of it."""
        self.puppets[name].say(key, event)
        return self.poll()

    def poll(self) -> list[tuple[str, AgentEvent]]:
        """Return the team's news."""
        return list(self.team.poll())


REPLY = Replied(Reply("a proposal"))
BLOCKED = AgentBlocked("no quota")
WAITS = AgentWaits("HTTP 503", 30.0)


# -- turns -----------------------------------------------------------------------------------------


def test_each_is_asked_in_its_turn_and_the_answer_is_its_own() -> None:
    """The record tells who it was."""
    stage = Stage()
    assert stage.team.name == "a, b"
    assert [stage.ask(str(k), brief(k)) for k in range(1, 5)] == ["a", "b", "a", "b"]
    assert stage.say("b", "2", REPLY) == [("2", replace(REPLY, agent="b"))]
    assert stage.say("a", "1", NothingToAdd()) == [("1", NothingToAdd())]
    assert stage.team.timeout_s() is None
    assert list(stage.team.descriptors()) == [ord("a"), ord("b")]


def test_who_has_written_a_reply_repairs_it() -> None:
    """Whoever's turn it is; one that is no member any more has a successor."""
    stage = Stage()
    assert stage.ask("1", brief(1, attempts=FAILED, proposer="b")) == "b"
    assert stage.ask("2", brief(2, attempts=FAILED, proposer="gone")) == "b"


def test_what_others_have_in_hand_counts() -> None:
    """Those that the brief names, and those that have not answered yet."""
    stage = Stage("abc", by=PER_HOUR)
    assert [stage.ask(str(k), brief(k)) for k in (1, 2, 3)] == ["a", "b", "c"]
    stage.say("a", "1", REPLY)
    answered = brief(4, proposed_by=("a",))
    assert [stage.ask("4", answered), stage.ask("5", answered)] == ["a", "b"]
    # One that is repaired is among those that the brief names.
    stage = Stage("ab", by=PER_HOUR)
    assert stage.ask("1", brief(1, attempts=FAILED, proposer="a", proposed_by=())) == "a"
    assert stage.ask("2", brief(2, proposed_by=("a",))) == "b"


def test_a_member_that_can_not_be_asked_now_leaves_no_trace() -> None:
    """No process can be had: the engine asks again later."""
    stage = Stage()
    stage.puppets["a"].fault = OSError("no process")
    with pytest.raises(OSError, match="no process"):
        stage.team.ask("1", BRIEF)
    assert stage.poll() == []
    stage.puppets["a"].fault = None
    assert stage.ask("1") == "a"


def test_a_withdrawn_question_is_withdrawn_from_its_agent() -> None:
    """An unknown one is none to worry about; at the end all are closed."""
    stage = Stage()
    stage.team.ask("1", brief(1))
    stage.team.cancel("1")
    stage.team.cancel("never")
    assert stage.puppets["a"].cancelled == ["1"]
    assert stage.poll() == []
    stage.ask("1", brief(1))
    stage.team.close()
    assert all(puppet.is_closed for puppet in stage.puppets.values())


def test_news_of_another_agents_question_are_dropped() -> None:
    """What an agent says of a question that it has not, or not any more."""
    stage = Stage()
    stage.ask("1", brief(1))
    stage.puppets["b"].asked["1"] = BRIEF
    assert stage.say("b", "1", REPLY) == []
    assert stage.say("a", "1", REPLY) == [("1", replace(REPLY, agent="a"))]


# -- blocked ---------------------------------------------------------------------------------------


def test_a_blocked_agents_question_goes_to_another_at_once() -> None:
    """It is told why; after a pause the blocked one is asked again in its turn."""
    stage = Stage()
    assert stage.ask("1", brief(1)) == "a"
    why = "a is blocked (no quota); tried again in 10 min"
    assert stage.say("a", "1", BLOCKED) == [("1", AgentAsked("b", why))]
    assert stage.say("b", "1", REPLY) == [("1", replace(REPLY, agent="b"))]
    stage.now_s = PAUSE_S / 2
    stage.team.ask("3", brief(3))
    assert stage.poll() == [("3", AgentAsked("b", why.replace("10", "5")))]
    assert stage.ask("2", brief(2)) == "b"
    stage.now_s = PAUSE_S
    assert stage.ask("5", brief(5)) == "a"
    assert stage.say("a", "5", REPLY) == [("5", replace(REPLY, agent="a"))]


def test_the_turns_of_a_blocked_agent_are_shared_by_the_weights() -> None:
    """Not by the one that happens to come next."""
    stage = Stage("abc", {"a": TurnTaker("a", 2.0)})
    stage.ask("0", brief(1))
    stage.say("a", "0", BLOCKED)
    asked = [stage.ask(str(k), brief(k)) for k in range(1, 9)]
    assert (asked.count("b"), asked.count("c")) == (4, 4)


def test_a_weight_of_zero_is_for_the_time_when_others_are_down() -> None:
    """And a repair is made by another one, too."""
    stage = Stage("ab", {"b": TurnTaker("b", 0.0)})
    assert [stage.ask(str(k), brief(k)) for k in (1, 2)] == ["a", "a"]
    stage.say("a", "1", BLOCKED)
    assert "1" in stage.puppets["b"].asked
    assert stage.ask("3", brief(3, attempts=FAILED, proposer="a")) == "b"


def test_only_where_all_are_blocked_the_run_is() -> None:
    """With all their reasons; once a person has acted all are tried again."""
    stage = Stage()
    stage.ask("1", brief(1))
    stage.say("a", "1", BLOCKED)
    ((key, event),) = stage.say("b", "1", AgentBlocked("bad key"))
    assert (key, event) == ("1", AgentBlocked("no agent can work: a: no quota; b: bad key"))
    assert stage.ask("1", brief(1)) == "a"
    assert stage.ask("2", brief(2)) == "b"


def test_a_call_that_may_be_billed_is_told_though_another_answers() -> None:
    """The limits on cost count it."""
    stage = Stage()
    stage.ask("1", brief(1))
    died = AgentBlocked("its process died", may_be_billed=True)
    told = [event for _, event in stage.say("a", "1", died)]
    assert told[0] == AgentWaits("a: its process died", 0.0, may_be_billed=True)
    assert [type(event) for event in told] == [AgentWaits, AgentAsked]
    assert not any(getattr(e, "may_be_billed", False) for _, e in stage.say("b", "1", REPLY))


def test_the_worst_case_is_the_dearest_members() -> None:
    """A question may be handed on to anybody."""
    stage = Stage()
    stage.puppets["b"].worst = WorstCase(100, 0.5)
    assert stage.team.worst_case(BRIEF) == WorstCase(100, 0.5)
    stage.puppets["a"].worst = WorstCase(50, 0.75)
    assert stage.team.worst_case(BRIEF) == WorstCase(100, 0.75)


# -- slow ------------------------------------------------------------------------------------------


def test_a_wait_is_told_with_the_agents_name_and_not_for_ever() -> None:
    """After some minutes another one is asked, and the slow one is left alone for a while."""
    stage = Stage()
    stage.ask("1", brief(1))
    assert stage.say("a", "1", WAITS) == [("1", AgentWaits("a: HTTP 503", 30.0))]
    assert stage.team.timeout_s() == pytest.approx(1.0)
    stage.now_s = PATIENCE_S - 1
    assert stage.say("a", "1", WAITS) == [("1", AgentWaits("a: HTTP 503", 30.0))]
    stage.now_s = PATIENCE_S
    why = "a waits (HTTP 503); tried again in 10 min"
    broken_off = AgentWaits("a: HTTP 503", 0.0, may_be_billed=True)
    assert stage.poll() == [("1", broken_off), ("1", AgentAsked("b", why))]
    assert stage.puppets["a"].cancelled == ["1"]
    assert stage.ask("3", brief(3)) == "b"
    stage.now_s += PAUSE_S
    assert stage.ask("5", brief(5)) == "a"


def test_nobody_is_hurried_without_another_to_ask() -> None:
    """Both wait: each stays where it is, and the run is not blocked by an outage."""
    stage = Stage()
    stage.ask("1", brief(1))
    stage.ask("2", brief(2))
    stage.say("b", "2", WAITS)
    stage.say("a", "1", WAITS)
    stage.now_s = PATIENCE_S
    moved = stage.poll()
    assert [type(event) for _, event in moved] == [AgentWaits, AgentAsked]
    stage.now_s += PATIENCE_S
    assert stage.poll() == []
    assert sum(len(puppet.asked) for puppet in stage.puppets.values()) == 2


def test_an_outage_is_no_reason_to_block_the_run() -> None:
    """The other agent is blocked: the question goes back, and waits."""
    stage = Stage()
    stage.ask("1", brief(1))
    stage.say("a", "1", WAITS)
    stage.now_s = PATIENCE_S
    stage.poll()
    why = "b is blocked (no quota); tried again in 10 min"
    assert stage.say("b", "1", BLOCKED) == [("1", AgentAsked("a", why))]
    stage.now_s += 2 * PATIENCE_S - 1
    stage.say("a", "1", WAITS)
    assert "1" in stage.puppets["a"].asked


def test_an_answer_ends_the_trouble() -> None:
    """The agent is asked in its turn again."""
    stage = Stage()
    stage.ask("1", brief(1))
    stage.ask("3", brief(3))
    stage.say("a", "1", WAITS)
    stage.now_s = PATIENCE_S
    stage.poll()
    assert stage.ask("5", brief(5)) == "b"
    stage.say("a", "3", REPLY)
    assert stage.ask("7", brief(7)) == "a"


def test_a_person_is_waited_for() -> None:
    """However long the reply takes."""
    stage = Stage(patience_s=None)
    stage.ask("1", brief(1))
    stage.say("a", "1", WAITS)
    stage.now_s = 100 * PATIENCE_S
    assert stage.poll() == []


# -- finished --------------------------------------------------------------------------------------


def test_who_has_nothing_more_is_left_out_until_the_code_is_another() -> None:
    """Without a word each time."""
    stage = Stage()
    stage.ask("1", brief(1))
    finished = AgentFinished("nothing to tune")
    why = "a has nothing more to propose (nothing to tune)"
    assert stage.say("a", "1", finished) == [("1", AgentAsked("b", why))]
    stage.now_s = 10 * PAUSE_S
    stage.team.ask("3", brief(3))
    assert stage.poll() == [("3", AgentAsked("b"))]
    assert stage.ask("5", brief(5, train="B = 1")) == "a"


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (("script ended", "script ended"), "script ended"),
        (("nothing to tune", "script ended"), "a: nothing to tune; b: script ended"),
    ],
)
def test_once_all_have_finished_the_run_ends(said: tuple[str, str], reason: str) -> None:
    """The reasons of all, or the one that all have."""
    stage = Stage()
    stage.ask("1", brief(1))
    stage.say("a", "1", AgentFinished(said[0]))
    assert stage.say("b", "1", AgentFinished(said[1])) == [("1", AgentFinished(reason))]


def test_of_the_finished_and_the_blocked_the_blocked_count() -> None:
    """A person can mend that, and then the run goes on."""
    stage = Stage()
    stage.ask("1", brief(1))
    stage.say("a", "1", AgentFinished("nothing to tune"))
    ((_, event),) = stage.say("b", "1", BLOCKED)
    assert event == AgentBlocked("no agent can work: b: no quota; a: nothing to tune")


def test_one_alone_has_nobody_to_hand_on_to() -> None:
    """So its own words are told, and a wait is a wait."""
    stage = Stage("a")
    stage.ask("1", brief(1))
    stage.say("a", "1", WAITS)
    stage.now_s = 10 * PATIENCE_S
    assert stage.poll() == []
    assert stage.say("a", "1", BLOCKED) == [("1", BLOCKED)]
    assert stage.ask("1", brief(1)) == "a"
    assert stage.say("a", "1", AgentFinished("over")) == [("1", AgentFinished("over"))]


# -- beneath the engine ----------------------------------------------------------------------------


class Says:
    """Proposes its own name, at once."""

    def __init__(self, name: str) -> None:
        self.name = name

    def propose(self, brief: Brief) -> Reply:
        """Return the name."""
        return Reply(self.name)


def test_a_team_can_be_replaced_while_questions_are_open() -> None:
    """The new one is asked again; whether one or several."""
    stage = Stage()
    agent = ReplaceableAgent(stage.team)
    agent.ask("1", brief(1))
    agent.ask("2", brief(2))
    assert [type(event) for _, event in agent.poll()] == [AgentAsked] * 2
    inline = [Member(TurnTaker(name), InlineAgent(Says(name))) for name in "xy"]
    agent.replace(Team(inline))
    assert stage.puppets["a"].is_closed
    assert agent.name == "x, y"
    told = {k: e.agent for k, e in [*agent.poll(), *agent.poll()] if isinstance(e, Replied)}
    assert told == {"1": "x", "2": "y"}
    agent.ask("3", brief(3))
    agent.replace(InlineAgent(Says("z")))
    ((key, event),) = agent.poll()
    assert isinstance(event, Replied)
    assert (key, event.agent, event.reply) == ("3", "", Reply("z"))
