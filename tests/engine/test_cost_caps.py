"""Limits on tokens and dollars hold before every call: the provider's own account never passes them."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from orchestrator.core.experiments import StopKind
from orchestrator.core.records import Reply, Tokens
from orchestrator.core.reviews import NoReview, Opinion, Review
from orchestrator.core.spending import Spend, WorstCase
from orchestrator.engine.engine import Engine
from orchestrator.proposals.agent_events import (
    AgentEvent,
    AgentWaits,
    NothingToAdd,
    Replied,
    Reviewed,
    ReviewEvent,
)
from orchestrator.proposals.brief import Brief
from orchestrator.proposals.review_prompt import ReviewBrief
from orchestrator.store.ledger import Ledger
from tests.engine.conftest import Lab
from tests.fakes import StubEvaluator, StubReviewer, reply

NO_EDIT = "description: no edit at all\n"
LANES = 8


class Provider:
    """Bills every call, whether or not anybody hears its answer; it never bills above the limits."""

    def __init__(self, limits: Spend, order: random.Random) -> None:
        self.order, self.limits = order, limits
        self.billed = Spend()
        self.calls = 0

    def worst_of(self, brief: object) -> WorstCase:
        """Return the most that a call costs, which differs from prompt to prompt."""
        turns = len(brief.attempts) if isinstance(brief, Brief) else 3
        size = 800 + 137 * turns + (brief.ordinal * 31 % 97 if isinstance(brief, Brief) else 0)
        return WorstCase(size, size * 1e-5)

    def call(self, worst: WorstCase) -> None:
        """Take a call, and bill its worst case until more is known."""
        self.calls += 1
        self.bill(worst.spend)

    def bill(self, more: Spend) -> None:
        """Add to the account."""
        self.billed = self.billed.plus(more)
        assert self.billed.tokens <= self.limits.tokens, "the limit on tokens was passed"
        assert self.billed.cost_usd <= self.limits.cost_usd * (1 + 1e-9), "so was that on dollars"

    def answer(self, text: str, worst: WorstCase) -> Reply:
        """Return an answer that costs the worst case, or less, or does not say what it costs."""
        fate = self.order.random()
        if fate < 0.1:
            return Reply(text)  # no usage: billed in full, and nobody is told
        assert worst.tokens is not None
        share = 1.0 if fate < 0.6 else self.order.random()
        cost = Spend(int(worst.tokens * share), worst.spend.cost_usd * share)
        self.bill(cost.minus(worst.spend))
        return Reply(text, Tokens(cost.tokens, None, 0, None), cost.cost_usd)


class BilledAgent:
    """An agent of that provider: it answers in any order, and breaks calls off."""

    name = "billed"

    def __init__(self, provider: Provider, texts: Iterator[str]) -> None:
        self._provider, self._texts = provider, texts
        self._open: dict[str, Brief] = {}
        self._pausing: set[str] = set()

    def worst_case(self, brief: Brief) -> WorstCase:
        return self._provider.worst_of(brief)

    def ask(self, key: str, brief: Brief) -> None:
        self._open[key] = brief
        self._provider.call(self.worst_case(brief))

    def poll(self) -> list[tuple[str, AgentEvent]]:
        order = self._provider.order
        if not self._open or order.random() < 0.3:
            return []
        key = order.choice(list(self._open))
        worst = self.worst_case(self._open[key])
        if key in self._pausing:  # the pause is over: it is called again
            self._pausing.remove(key)
            self._provider.call(worst)
            return []
        fate = order.random()
        if fate < 0.03:
            self._pausing.add(key)
            return [(key, AgentWaits("broken off", 0.0, may_be_billed=True))]
        brief = self._open.pop(key)
        if fate < 0.04 and brief.attempts:
            self._provider.bill(Spend().minus(worst.spend))
            return [(key, NothingToAdd())]
        return [(key, Replied(self._provider.answer(next(self._texts), worst)))]

    def descriptors(self) -> list[int]:
        return []

    def timeout_s(self) -> float | None:
        return 0.0

    def cancel(self, key: str) -> None:
        self._open.pop(key, None)
        self._pausing.discard(key)

    def close(self) -> None:
        self._open.clear()


class BilledReviewer(StubReviewer):
    """A reviewer of that provider."""

    def __init__(self, provider: Provider) -> None:
        super().__init__()
        self._provider = provider

    def worst_case(self, brief: ReviewBrief) -> WorstCase:
        return self._provider.worst_of(brief)

    def ask(self, key: str, brief: ReviewBrief) -> None:
        super().ask(key, brief)
        self._provider.call(self.worst_case(brief))

    def poll(self) -> list[tuple[str, ReviewEvent]]:
        if not self.open or self._provider.order.random() < 0.5:
            return []
        key, brief = self.open.popitem()
        if self._provider.order.random() < 0.2:
            return [(key, Reviewed(NoReview("too late"), may_be_billed=True))]
        said = self._provider.answer("", self.worst_case(brief))
        review = Review(Opinion.EARNED, "well done", "stub", said.tokens, said.cost_usd)
        return [(key, Reviewed(review))]


@dataclass
class Run:
    """One run over several daemons."""

    provider: Provider
    restarts: int
    reason: str


def run_to_the_limit(
    lab: Lab, *, seed: int, restart_share: float, tokens: int | None, usd: float | None
) -> Run:
    order = random.Random(seed)
    provider = Provider(Spend(tokens or 10**12, usd or 1e12), order)
    limits = {"tokens": tokens, "cost_usd": usd, "consecutive_failures": None}
    texts = _texts(lab, order)
    lab.evaluator = StubEvaluator(LANES, order)

    def start() -> Engine:
        lab.ledger._db.execute("PRAGMA synchronous = OFF")  # no power fails here
        return lab.engine(
            proposer=BilledAgent(provider, texts), lanes=LANES, limits=limits,
            reviewer=BilledReviewer(provider),
        )  # fmt: skip

    engine, restarts = start(), 0
    for _ in range(1_000_000):
        if order.random() < restart_share:  # killed: nothing is cancelled, nothing is written
            path = lab.ledger._path
            lab.ledger.close()
            lab.ledger, lab.evaluator = Ledger(path), StubEvaluator(LANES, order)
            engine, restarts = start(), restarts + 1
        if reason := engine.turn():
            assert reason.kind is StopKind.LIMIT
            return Run(provider, restarts, reason.text)
    raise AssertionError("it never ended")


def _texts(lab: Lab, order: random.Random) -> Iterator[str]:
    number = 0
    while True:
        number += 1
        fate = order.random()
        if fate < 0.04:
            yield reply(lab.train(SCORE=number / 100))
        elif fate < 0.1:
            yield "show: #1\n"
        else:
            yield NO_EDIT


@pytest.mark.parametrize(
    ("tokens", "usd", "restart_share"),
    [(None, 9.0, 0.0), (900_000, None, 0.0), (900_000, 9.0, 0.002)],
    ids=["dollars", "tokens", "both, with restarts"],
)
def test_no_limit_is_passed_in_a_thousand_calls_of_eight_lanes(
    lab: Lab, tokens: int | None, usd: float | None, restart_share: float
) -> None:
    """Worst-case answers, broken calls, answers without a bill, kills: it still fits, and is used."""
    run = run_to_the_limit(lab, seed=1, restart_share=restart_share, tokens=tokens, usd=usd)
    assert run.provider.calls >= 1000
    assert bool(run.restarts) == bool(restart_share)
    limits = [name for name, limit in (("tokens", tokens), ("cost_usd", usd)) if limit is not None]
    assert run.reason.startswith(tuple(f"limits.{name} reached" for name in limits))
    if not restart_share:
        share = run.provider.billed.tokens / 900_000
        assert share > 0.97, "hardly anything may be left: no call costs more than a thousandth"
