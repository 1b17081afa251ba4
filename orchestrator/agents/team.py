"""Several agents as one: whose turn it is, and who is asked while that one is down.

An agent that is *blocked* (a bad key, no quota) or *slow* (its endpoint is busy or down) hands its
question on at once, or after some minutes, and is tried again after a pause. One that is *finished*
(nothing left to tune) is left out until the code that it would change is other code.
"""

import random
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from orchestrator.agents.anyone import AnyAgent
from orchestrator.core.spending import FREE, WorstCase
from orchestrator.planning.agent_choice import BY_WEIGHTS, TurnTaker, next_agent
from orchestrator.proposals.agent_events import (
    AgentAsked,
    AgentBlocked,
    AgentEvent,
    AgentFinished,
    AgentWaits,
    Replied,
)
from orchestrator.proposals.brief import Brief

PATIENCE_S = 300.0
"""How long a question waits with an agent whose endpoint is busy or down."""
PAUSE_S = 600.0
"""After so long an agent that was blocked or slow is tried again."""
_LOOK_S = 1.0


@dataclass(frozen=True)
class Member:
    """One of several agents."""

    turn: TurnTaker
    agent: AnyAgent
    patience_s: float | None = PATIENCE_S
    """None: its questions wait for it however long it takes, as for a person."""


@dataclass
class _Question:
    """A proposal in flight."""

    brief: Brief
    name: str
    """Who has it."""
    waits_since: float | None = None
    reason: str = ""
    """What it waits for."""


@dataclass(frozen=True)
class _Trouble:
    """Why an agent is not asked until then."""

    reason: str
    until: float


class Team:
    """The port `Agent` over several."""

    def __init__(
        self,
        members: Sequence[Member],
        *,
        by: str = BY_WEIGHTS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Ask nobody yet.

        Args:
            members: the agents, whose names are all different.
            by: how turns are given; see `planning/agent_choice.py`.
            clock: the time in seconds.
        """
        self._members = {member.turn.name: member for member in members}
        self._by, self._clock = by, clock
        self.name = ", ".join(self._members)
        self._open: dict[str, _Question] = {}
        self._news: list[tuple[str, AgentEvent]] = []
        self._blocked: dict[str, _Trouble] = {}
        self._slow: dict[str, _Trouble] = {}
        self._finished: dict[str, tuple[str, str]] = {}
        """The code that an agent has nothing more to propose for, and why."""

    def worst_case(self, brief: Brief) -> WorstCase:
        """Return the most that whoever answers may cost: a question may be handed on to anybody."""
        worst = FREE
        for member in self._members.values():
            worst = worst.or_worse(member.agent.worst_case(brief))
        return worst

    def ask(self, key: str, brief: Brief) -> None:
        """Begin to answer a brief; see the port. All are tried again if none could be asked."""
        if not self._able(brief):
            self._blocked.clear()  # a person has acted since
            self._finished.clear()
        self._give(key, brief)

    def poll(self) -> Sequence[tuple[str, AgentEvent]]:
        """Return what has happened since the last call, and hand on what could not be answered."""
        for name, member in self._members.items():
            for key, event in member.agent.poll():
                question = self._open.get(key)
                if question is not None and question.name == name:
                    self._take(key, question, event)
        for key, question in list(self._open.items()):
            self._hurry(key, question)
        news, self._news = self._news, []
        return news

    def descriptors(self) -> Iterable[int]:
        """Return the descriptors of all."""
        return [d for member in self._members.values() for d in member.agent.descriptors()]

    def timeout_s(self) -> float | None:
        """Return in how many seconds to poll; None for never."""
        bounds = [member.agent.timeout_s() for member in self._members.values()]
        bounds.append(0.0 if self._news else None)
        is_waiting = any(question.waits_since is not None for question in self._open.values())
        bounds.append(_LOOK_S if is_waiting else None)
        return min((bound for bound in bounds if bound is not None), default=None)

    def cancel(self, key: str) -> None:
        """Forget a question."""
        self._news = [(about, event) for about, event in self._news if about != key]
        if question := self._open.pop(key, None):
            self._members[question.name].agent.cancel(key)

    def close(self) -> None:
        """End every process."""
        self._open, self._news = {}, []
        for member in self._members.values():
            member.agent.close()

    # Whose question it is.

    def _give(self, key: str, brief: Brief, why: str = "", *, may_be_billed: bool = False) -> None:
        """Ask the agent whose turn it is, or another one that can be asked."""
        # Those with attempts are among the answered ones that the brief names.
        unanswered = [q.name for q in self._open.values() if not q.brief.attempts]
        in_flight = [*brief.proposed_by, *unanswered]
        able = self._able(brief)
        willing = [name for name in self._members if not self._is_finished(name, brief)]
        name = whose = self._whose(willing, brief, in_flight)
        if whose not in able:
            name = self._whose(able, brief, in_flight)
            why = why or self._trouble(whose)
        self._members[name].agent.ask(key, brief)
        self._open[key] = _Question(brief, name)
        self._news.append((key, AgentAsked(name, why, may_be_billed)))

    def _whose(self, names: Collection[str], brief: Brief, in_flight: Sequence[str]) -> str:
        if brief.proposer in names:  # it repairs what it has written
            return brief.proposer
        return next_agent(
            [self._members[name].turn for name in names],
            brief.history,
            brief.ordinal,
            by=self._by,
            in_flight=in_flight,
            draw=random.Random(str(brief.ordinal)).betavariate,
        )

    def _able(self, brief: Brief) -> list[str]:
        """Return who can be asked; the slow ones only where there is nobody else."""
        names = [
            name
            for name in self._members
            if not (self._is_in(self._blocked, name) or self._is_finished(name, brief))
        ]
        return [name for name in names if not self._is_in(self._slow, name)] or names

    def _is_in(self, troubles: dict[str, _Trouble], name: str) -> bool:
        return name in troubles and self._clock() < troubles[name].until

    def _is_finished(self, name: str, brief: Brief) -> bool:
        return name in self._finished and self._finished[name][0] == brief.files.train

    def _trouble(self, name: str) -> str:
        """Return why an agent that is blocked or slow is not asked, in words."""
        until, word, reason = max(
            (troubles[name].until, word, troubles[name].reason)
            for word, troubles in (("is blocked", self._blocked), ("waits", self._slow))
            if name in troubles
        )
        minutes = max(1, round((until - self._clock()) / 60))
        return f"{name} {word} ({reason}); tried again in {minutes} min"

    # What they tell.

    def _take(self, key: str, question: _Question, event: AgentEvent) -> None:
        name = question.name
        match event:
            case AgentWaits(reason, seconds, may_be_billed):
                question.reason = reason
                if question.waits_since is None and seconds > 0:  # else it asks again at once
                    question.waits_since = self._clock()
                told = AgentWaits(f"{name}: {reason}", seconds, may_be_billed)
                self._news.append((key, told))
            case AgentBlocked(reason, may_be_billed):
                self._blocked[name] = _Trouble(reason, self._clock() + PAUSE_S)
                self._hand_on(key, question, self._trouble(name), may_be_billed=may_be_billed)
            case AgentFinished(reason):
                self._finished[name] = (question.brief.files.train, reason)
                self._hand_on(key, question, f"{name} has nothing more to propose ({reason})")
            case _:
                del self._open[key]
                if isinstance(event, Replied):
                    self._blocked.pop(name, None)
                    self._slow.pop(name, None)
                    event = replace(event, agent=name)
                self._news.append((key, event))

    def _hurry(self, key: str, question: _Question) -> None:
        """Hand a question on that has waited for too long, if another agent can be asked."""
        name, patience_s = question.name, self._members[question.name].patience_s
        if question.waits_since is None or patience_s is None:
            return
        others = [
            other
            for other in self._able(question.brief)
            if other != name and not self._is_in(self._slow, other)
        ]
        if others and self._clock() - question.waits_since >= patience_s:
            self._slow[name] = _Trouble(question.reason, self._clock() + PAUSE_S)
            self._members[name].agent.cancel(key)
            # Its pause may have been over: a call that is broken off may be billed.
            self._hand_on(key, question, self._trouble(name), may_be_billed=True)

    def _hand_on(
        self, key: str, question: _Question, why: str, *, may_be_billed: bool = False
    ) -> None:
        """Ask another agent, or tell that there is none."""
        del self._open[key]
        if self._able(question.brief):
            self._give(key, question.brief, why, may_be_billed=may_be_billed)
        else:
            self._news.append((key, self._nobody(question.brief)))

    def _nobody(self, brief: Brief) -> AgentEvent:
        """Return why nobody can be asked: each is blocked or finished."""
        finished = {n: self._finished[n][1] for n in self._members if self._is_finished(n, brief)}
        blocked = {n: self._blocked[n].reason for n in self._members if n not in finished}
        reasons = blocked | finished
        alike = set(reasons.values())
        said = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
        if len(reasons) == 1 or (len(alike) == 1 and not blocked):
            said = alike.pop()
        elif blocked:
            said = f"no agent can work: {said}"
        return AgentBlocked(said) if blocked else AgentFinished(said)
