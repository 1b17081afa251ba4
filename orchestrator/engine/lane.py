"""One experiment in flight: its coroutine, what it waits for, and what it has cost so far."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from orchestrator.core.clock import later
from orchestrator.core.evaluations import Measurement, SeedResult
from orchestrator.core.experiments import Seconds
from orchestrator.core.records import Files, Phase, Rung
from orchestrator.core.reviews import ReviewRequest
from orchestrator.core.spending import WorstCase
from orchestrator.engine.commands import Command, EndEvaluation, Measure, Script


def _no_script() -> Script[Any]:
    raise AssertionError("a lane was stepped before it had a script")


class Kind(StrEnum):
    """What a lane is for."""

    CHALLENGE = "challenge"
    BASELINE = "baseline"
    REFERENCE = "reference"
    """The incumbent is measured; no experiment of its own."""


@dataclass
class Session:
    """An evaluation that the evaluator has in hand for a lane."""

    plan: Measurement
    began: float
    is_asking: bool = False
    """The evaluator waits to be told whether to go on."""
    episodes: int = 0
    """Training episodes done, of all seeds."""
    episodes_by_seed: dict[int, int] = field(default_factory=dict)
    latest_seed: int | None = None
    """The seed of the latest of these episodes."""
    seeds_done: int = 0
    seed_began: float = 0.0
    last_seed: int | None = None
    """The last seed whose result it has told."""

    def count_episode(self, seed: int) -> None:
        """Note that a training episode of this seed is done."""
        self.episodes += 1
        self.latest_seed = seed
        self.episodes_by_seed[seed] = self.episodes_by_seed.get(seed, 0) + 1


@dataclass
class Lane:
    """One coroutine and where it stands. Only the engine changes it."""

    kind: Kind
    rung: Rung
    agent: str
    created_at: str
    files: Files
    """The lead's when it began: what the agent is shown, or what is measured."""
    parent: str
    """The commit it started from."""
    begin: Callable[[], Script[Any]] = _no_script
    """Makes the coroutine, anew after a fault or a restart."""
    n: int | None = None
    """Its experiment's number; None before the first reply."""
    ordinal: int | None = None
    """A challenge is the run's so-many-th proposal."""
    edits: int | None = None
    """The experiment whose files the agent edits, where these are not the lead's."""
    incumbent: int | None = None
    """The experiment whose candidate was the lead when it began."""
    description: str = ""
    rationale: str = ""
    fingerprint: str | None = None
    """Of the code that it evaluates."""
    phase: Phase = Phase.PLANNING
    reason: str = ""
    """What it waits for, in words."""
    stand_in: str = ""
    """Why another agent has its question than the one whose turn it is."""
    waits_until: float | None = None
    next_try_at: str | None = None
    """When `waits_until` is, for people."""
    script: Script[Any] | None = None
    waits_for: Command[Any] | None = None
    """The command whose result is not there yet."""
    asked: int | None = None
    """Attempts in the question that the agent has in hand; None where it has none."""
    turn: str = ""
    """Name of that question within the experiment, as in `repair-1`; empty for the first."""
    call: int | None = None
    """The reservation of the call that agent or reviewer has in hand; None where it needs none."""
    worst: WorstCase | None = None
    """The most that this call may cost, or one that waits for room under a limit."""
    is_retrying: bool = False
    """Whether a try of it that may have been billed has failed since its room was last checked."""
    review: ReviewRequest | None = None
    """The review that the reviewer has in hand."""
    session: Session | None = None
    measured: dict[int, SeedResult] | None = None
    """Seeds that were recorded before its evaluation began; None until they are read."""
    began: float = field(default_factory=time.monotonic)
    asked_at: float = 0.0
    review_began: float = 0.0
    reviews: int = 0
    """Reviews that were begun."""
    idle_since: float | None = None
    agent_s: float = 0.0
    evaluator_s: float = 0.0
    idle_s: float = 0.0
    """Waiting for a free evaluator, or for the lead's seeds."""

    @property
    def ask_key(self) -> str:
        """Names its question to the agent."""
        return f"proposal-{self.ordinal}"

    @property
    def review_key(self) -> str:
        """Names its question to the reviewer."""
        return f"review-{self.n}-{self.reviews}"

    @property
    def evaluation_key(self) -> str:
        """Names its evaluation."""
        return f"{self.n}-reference" if self.kind is Kind.REFERENCE else str(self.n)

    def has_in_hand(self, key: str) -> bool:
        """Is this the key of its question, its review or its evaluation under way?"""
        if self.asked is not None and self.ask_key == key:
            return True
        if self.review is not None and self.review_key == key:
            return True
        return self.session is not None and self.evaluation_key == key

    def can_go_on(self, command: Measure | EndEvaluation) -> bool:
        """Can the evaluation that has begun do what is asked for now, or must another one begin?"""
        session = self.session
        if session is None or session.plan != command.plan:
            return False  # the incumbent has changed, and so have the seeds
        if isinstance(command, Measure) or self.kind is Kind.REFERENCE or session.last_seed is None:
            return True
        # It would not report on seeds after its last one, which may have been measured before it.
        return command.seeds[-1] == session.last_seed

    def wait_idly(self, phase: Phase, reason: str) -> None:
        """Note that it waits for something that is not its own work."""
        self.phase, self.reason = phase, reason
        if self.idle_since is None:
            self.idle_since = time.monotonic()

    def wait_out(self, reason: str, seconds: float, now: str) -> None:
        """Note that its agent or evaluator waits from `now` on: a person for who knows how long."""
        self.phase, self.reason = Phase.WAITING, reason
        self.waits_until = time.monotonic() + seconds
        self.next_try_at = later(now, seconds) if math.isfinite(seconds) else None

    def work(self, phase: Phase) -> None:
        """Note that it works."""
        self.phase, self.reason, self.waits_until = phase, "", None
        if self.idle_since is not None:
            self.idle_s += time.monotonic() - self.idle_since
            self.idle_since = None

    def is_asked_of(self, agent: str, why: str) -> None:
        """Note which of several agents has its question; the first one to answer is its agent."""
        self.work(Phase.PROPOSING)
        self.stand_in = why
        if self.n is None:
            self.agent = agent

    def is_waiting_out(self) -> bool:
        """Does its agent or evaluator wait for what passes by itself?"""
        return self.waits_until is not None and time.monotonic() < self.waits_until

    def pauses_for(self, seconds: float) -> bool:
        """Does its agent or evaluator wait for at least so many seconds more?"""
        return self.waits_until is not None and time.monotonic() + seconds < self.waits_until

    def seconds(self) -> Seconds:
        """Return where its time went."""
        spent_s = time.monotonic() - self.began
        overhead_s = spent_s - self.agent_s - self.evaluator_s - self.idle_s
        return Seconds(
            agent=round(self.agent_s, 4),
            evaluator=round(self.evaluator_s, 4),
            overhead=round(max(0.0, overhead_s), 4),
        )

    def progress(self) -> dict[str, int | None] | None:
        """Return training episodes done and expected, None where nothing is trained.

        Of all seeds together, and of the seed that was trained last; and how many seeds are done.
        """
        if self.session is None:
            return None
        plan = self.session.plan
        session = self.session
        seeds = len(plan.order) if self.kind is Kind.REFERENCE else len(plan.seeds)
        if session.seeds_done >= seeds and session.seeds_done < len(plan.order):
            seeds = len(plan.order)  # it needs more than the default ones
        total = max(self.rung.train_episodes * seeds, session.episodes)
        return {
            "done": session.episodes,
            "total": total,
            "seed": session.latest_seed,
            "episode": session.episodes_by_seed.get(session.latest_seed or 0),
            "episodes": self.rung.train_episodes,
            "seeds_done": session.seeds_done,
            "seeds": seeds,
        }
