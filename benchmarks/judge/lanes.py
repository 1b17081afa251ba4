"""A run with several challengers in flight, stepped one seed at a time in a random order.

The daemon's own parts decide: its planner says what begins and what is measured, its experiment is
the coroutine that begins a test anew when the lead has changed. What the engine has from the
ledger, the agent and the evaluator comes from synthetic returns here.
"""

import zlib
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.judge.figures import Table, Target, average
from benchmarks.judge.memory import RUNG
from benchmarks.judge.noops import COLUMNS, PLANTED, Night, Outcome, Simulator, figures, targets
from benchmarks.judge.returns import SEED, Candidate
from orchestrator.config.schema import BudgetConfig, LimitsConfig
from orchestrator.core.evaluations import Evaluation, SeedResult
from orchestrator.core.records import Files, Status
from orchestrator.core.reviews import NoReview
from orchestrator.engine import experiment
from orchestrator.engine.commands import (
    AskReviewer,
    Command,
    EndEvaluation,
    IsLead,
    Measure,
    ReadLead,
    Script,
)
from orchestrator.engine.outcome import Candidate as Code
from orchestrator.engine.outcome import Outcome as ExperimentOutcome
from orchestrator.engine.outcome import Rules
from orchestrator.planning.planner import (
    InFlight,
    RunChallenge,
    is_judgeable,
    next_step,
)
from orchestrator.planning.seeds import MeasureCandidate

LANES = (1, 3)
LANES_KINDS = ("normal", "bimodal 20/80")
_BUDGET = BudgetConfig(ladder=[(RUNG.train_episodes, RUNG.eval_episodes)])
_LIMITS = LimitsConfig(consecutive_failures=None)
_CODE = Code(Files("", ""), None, "")
"""Nobody reads it: a candidate is its returns here."""
_UNKNOWN = object()


@dataclass(frozen=True)
class InLanes:
    """A night with so many experiments in flight; with one it is the night.

    A challenger is proposed against the lead of its moment; its true mean stays what it is.
    """

    night: Night
    lanes: int

    def simulate(self, run: int) -> Outcome:
        """Play one run."""
        return _Run(self, run).play()


@dataclass
class _Challenge:
    """A lane with a challenger."""

    n: int
    candidate: Candidate
    script: Script[ExperimentOutcome]
    waits_for: Command[Any] | None = None
    """None before its agent has answered."""
    measured: dict[int, float] = field(default_factory=dict)
    """Its return on each seed so far, whatever the lead was."""
    used: tuple[int, ...] = ()
    """The seeds that its verdict rests on."""
    tests: int = 0
    """How often its test began."""

    @property
    def is_waiting(self) -> bool:
        """Does it wait until the lead is measured?"""
        return isinstance(self.waits_for, ReadLead)


@dataclass
class _Reference:
    """A lane in which the lead, or the published candidate, is measured."""

    due: MeasureCandidate
    seeds: deque[int]


class _Run:
    """One run in progress: a small engine."""

    def __init__(self, setting: InLanes, run: int) -> None:
        self._night, self._width = setting.night, setting.lanes
        self._source = self._night.source(run)
        self._memory = self._night.memory(self._source)
        self._rules = Rules(self._memory.rules, max_repairs=0, veto=())
        self._order = np.random.default_rng([SEED, zlib.crc32(b"order"), run])
        self._lanes: list[_Challenge | _Reference] = []
        self._index = 0

    @property
    def _challenges(self) -> list[_Challenge]:
        return [lane for lane in self._lanes if isinstance(lane, _Challenge)]

    def play(self) -> Outcome:
        """Play it to its end."""
        self._begin()
        while self._index < self._night.challengers or self._challenges:
            ready = [e for e in self._lanes if isinstance(e, _Reference) or not e.is_waiting]
            self._step(ready[self._order.integers(len(ready))])
            self._begin()
        return self._night.outcome(self._memory)

    def _begin(self) -> None:
        """Go on with those that waited, and begin all that may begin now, as the engine does."""
        for lane in [lane for lane in self._challenges if lane.is_waiting]:
            answer = self._answer(lane, lane.waits_for)
            if answer is not _UNKNOWN:
                self._advance(lane, answer)
        while self._index < self._night.challengers or any(e.is_waiting for e in self._challenges):
            step = next_step(
                self._memory.state, _BUDGET, _LIMITS, hours=0.0, rules=self._memory.rules,
                evidence=self._memory.evidence(), in_flight=self._in_flight(), lanes=self._width,
            )  # fmt: skip
            if isinstance(step, MeasureCandidate):
                self._lanes.append(_Reference(step, deque(step.seeds)))
            elif isinstance(step, RunChallenge) and self._index < self._night.challengers:
                self._lanes.append(self._proposed())
            else:
                break

    def _in_flight(self) -> InFlight:
        challenges = self._challenges
        return InFlight(
            len(challenges),
            waiting=sum(lane.is_waiting for lane in challenges),
            proposing=sum(lane.waits_for is None for lane in challenges),
            references=len(self._lanes) - len(challenges),
        )

    def _proposed(self) -> _Challenge:
        candidate = self._night.challenger(self._source, self._index, self._memory)
        self._index += 1
        n = self._index + 1
        return _Challenge(n, candidate, experiment.evaluate(n, _CODE, RUNG, self._rules))

    # What happens in the lanes.

    def _step(self, lane: _Challenge | _Reference) -> None:
        """Measure the lane's next seed, or have its agent answer."""
        if isinstance(lane, _Reference):
            self._memory.add_seeds(lane.due, (lane.seeds.popleft(),))
            if not lane.seeds:
                self._lanes.remove(lane)
            self._move_lead()
        elif lane.waits_for is None:
            self._advance(lane, None)
        else:
            assert isinstance(lane.waits_for, Measure)
            seed = lane.waits_for.seed
            assert seed not in lane.measured, "no challenger is measured twice on a seed"
            (lane.measured[seed],) = lane.candidate.on((seed,))
            self._advance(lane, SeedResult(seed, lane.measured[seed]))

    def _advance(self, lane: _Challenge, result: Any) -> None:
        """Step a challenger's coroutine from one unknown result to the next."""
        try:
            while result is not _UNKNOWN:
                lane.waits_for = lane.script.send(result)
                result = self._answer(lane, lane.waits_for)
        except StopIteration as end:
            self._lanes.remove(lane)
            self._end(lane, end.value.status)

    def _answer(self, lane: _Challenge, command: Command[Any] | None) -> Any:
        memory = self._memory
        match command:
            case ReadLead(rung):
                if not is_judgeable(memory.state, rung, memory.rules, memory.evidence()):
                    return _UNKNOWN
                lane.tests += 1
                return memory.evidence()
            case IsLead(scored_by):
                return memory.state.lead is not None and memory.state.lead.n == scored_by
            case Measure(seed=seed):  # what was measured outlasts its lead
                known = seed in lane.measured
                return SeedResult(seed, lane.measured[seed]) if known else _UNKNOWN
            case EndEvaluation():
                lane.used = tuple(command.seeds)
                return Evaluation(None)
            case AskReviewer():
                return NoReview("")
            case _:
                raise AssertionError(f"no such command: {command}")

    def _end(self, lane: _Challenge, status: Status) -> None:
        results = tuple(SeedResult(seed, lane.measured[seed]) for seed in lane.used)
        self._memory.subjects[lane.n] = lane.candidate
        self._memory.end(lane.n, status, results, evaluator_s=float(len(lane.measured)))
        self._drop_references()

    def _move_lead(self) -> None:
        self._memory.move_lead()
        self._drop_references()

    def _drop_references(self) -> None:
        """Measure no more what neither leads nor is published."""
        state = self._memory.state
        self._lanes = [
            lane
            for lane in self._lanes
            if isinstance(lane, _Challenge) or state.lead_or_published(lane.due.n) is not None
        ]


# -- the table -------------------------------------------------------------------------------------

_LANES = """\
{runs:,} runs of 100 challengers, with one in flight and with three, whose seeds are evaluated in a
random order, by the daemon's own planner and experiment. Nothing is better, or {planted} are, as
above.
"""


def lanes(simulator: Simulator) -> Table:
    """Show that challengers that are in flight together are judged as soundly as one by one."""
    keys = [
        (kind, width, count) for kind in LANES_KINDS for width in LANES for count in (0, PLANTED)
    ]
    settings = [InLanes(Night(kind, planted=count), width) for kind, width, count in keys]
    rows = [
        {"returns": kind, "lanes": str(width), "better": str(count), **figures(outcomes)}
        for (kind, width, count), outcomes in zip(keys, simulator.play(settings), strict=True)
    ]
    return Table(
        "Several challengers in flight",
        _LANES.format(runs=simulator.runs, planted=PLANTED),
        {"returns": str, "lanes": str, "better": str} | COLUMNS | {"published gain": average},
        rows,
    )


def lanes_targets(table: Table) -> list[Target]:
    """Return what has to be reached with any number of lanes: the same as with one."""
    found = []
    for is_planted in (False, True):
        rows = [row for row in table.rows if (row["better"] != "0") == is_planted]
        some = Table(table.title, table.note, table.columns, rows)
        found += targets(some, is_planted=is_planted)
    return found
