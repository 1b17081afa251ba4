"""A run with several challengers in flight, stepped one seed at a time in a random order.

The daemon's own parts decide: its planner says what begins and when the incumbent is measured, its
experiment is the coroutine that begins a test anew when the incumbent has changed. What the engine
has from the ledger, the agent and the evaluator comes from synthetic returns here.
"""

import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.judge.returns import SCORE, SEED, Candidate, Source
from benchmarks.judge.rules import RUNG, SEED_COUNT, IncumbentRecord
from benchmarks.judge.simulate import Night, Outcome, in_points
from orchestrator.config.schema import BudgetConfig, JudgeConfig, LimitsConfig
from orchestrator.core.evaluations import Evaluation, SeedResult
from orchestrator.core.experiments import Experiment
from orchestrator.core.records import Files, Status
from orchestrator.engine import experiment
from orchestrator.engine.commands import (
    Command,
    EndEvaluation,
    IsIncumbent,
    Measure,
    ReadIncumbent,
    Script,
)
from orchestrator.judging.incumbent import IncumbentEvidence
from orchestrator.judging.reference import validate
from orchestrator.judging.rules import JudgingRules
from orchestrator.planning.planner import (
    InFlight,
    MeasureIncumbent,
    RunChallenge,
    is_judgeable,
    next_step,
    reference_due,
)
from orchestrator.planning.state import RunState

_JUDGING = JudgingRules(JudgeConfig(), SEED_COUNT)
_RULES = experiment.Rules(_JUDGING, max_repairs=0, veto=())
_BUDGET = BudgetConfig(ladder=[(RUNG.train_episodes, RUNG.eval_episodes)])
_LIMITS = LimitsConfig(consecutive_failures=None)
_CODE = experiment.Candidate(Files("", ""), None, "")
"""Nobody reads it: a candidate is its returns here."""
_UNKNOWN = object()


@dataclass(frozen=True)
class InLanes:
    """A night under the sound rule with so many experiments in flight; with one it is the night.

    A challenger is proposed against the incumbent of that moment. Should another be kept before its
    verdict, it is a challenge to that one, and as much better or worse as it truly is.
    """

    night: Night
    lanes: int
    copies: int = 0
    """So many challengers after a planted one have the same true mean, as when the same idea
    comes from several lanes: once one of them is kept, the others are no better."""

    def simulate(self, run: int) -> Outcome:
        """Play one run."""
        return _Run(self, run).play()


@dataclass
class _Challenge:
    """A lane with a challenger."""

    n: int
    index: int
    """Its place among the challengers."""
    candidate: Candidate
    is_probe: bool
    script: Script[experiment.Outcome]
    waits_for: Command[Any] | None = None
    """None before its agent has answered."""
    measured: dict[int, float] = field(default_factory=dict)
    """Its return on each seed so far, whatever the incumbent was."""
    used: EndEvaluation | None = None
    """The seeds that its verdict rests on."""
    tests: int = 0
    """How often its test began."""


@dataclass
class _Reference:
    """A lane in which the incumbent is measured."""

    n: int
    seeds: deque[int]


class _Run:
    """One run in progress: a small engine."""

    def __init__(self, setting: InLanes, run: int) -> None:
        night = setting.night
        self._night, self._width, self._copies = night, setting.lanes, setting.copies
        self._source = Source(night.kind, "challengers", run, night.challengers)
        self._probes = Source(night.kind, "probes", run, night.challengers)
        self._order = np.random.default_rng([SEED, zlib.crc32(b"order"), run])
        self._lanes: list[_Challenge | _Reference] = []
        self._record = IncumbentRecord()
        self._n = 1
        self._improved = self._source.incumbent(night.noise)
        """What the last planted challenger is better than."""
        self._record.crown(1, self._improved)
        self._state = RunState().after(_ended(1, Status.BASELINE))
        self._known: IncumbentEvidence | None = None
        self._queue = deque(self._places(run))
        self._has_changed = True
        """Something has begun to wait or has ended: there may be more to begin."""
        self._no_better = self._false = self._early = self._spent = 0
        self._asked = self._found = self._better = self._begun_anew = 0

    def play(self) -> Outcome:
        """Play it to its end."""
        self._begin()
        while self._queue or any(isinstance(lane, _Challenge) for lane in self._lanes):
            ready = [lane for lane in self._lanes if not _is_waiting(lane)]
            self._step(ready[self._order.integers(len(ready))])
            if self._has_changed:
                self._begin()
        spent = self._spent + self._record.evaluations
        if due := reference_due(self._state, _JUDGING, self._evidence()):
            self._measure(due.seeds)  # the last keep may not have been measured yet
        validated, incumbent = validate(self._evidence().returns), self._record.incumbent
        assert validated is not None, "a reference has at least two seeds"
        phantom = (validated.score - incumbent.mean) / abs(incumbent.mean)
        return Outcome(
            self._no_better, self._false, self._early, self._night.challengers, spent, phantom,
            self._asked, self._found, self._better, self._begun_anew,
        )  # fmt: skip

    # What begins.

    def _places(self, run: int) -> Iterator[tuple[int, bool]]:
        """Yield the place of each proposal, in order, and whether it is a probe."""
        for index in range(self._night.challengers):
            if self._night.is_probed(index, run):
                yield index, True
            yield index, False

    def _begin(self) -> None:
        """Go on with those that waited, and begin all that may begin now, as the engine does."""
        for lane in list(self._lanes):
            if isinstance(lane, _Challenge) and _is_waiting(lane):
                answer = self._answer(lane, lane.waits_for)
                if answer is not _UNKNOWN:
                    self._advance(lane, answer)
        while True:
            waiting = sum(map(_is_waiting, self._lanes))
            references = sum(isinstance(lane, _Reference) for lane in self._lanes)
            in_flight = InFlight(len(self._lanes) - references, waiting, references=references)
            step = next_step(
                self._state, _BUDGET, _LIMITS, hours=0.0, rules=_JUDGING,
                evidence=self._evidence(), in_flight=in_flight, lanes=self._width,
            )  # fmt: skip
            if isinstance(step, MeasureIncumbent) and (self._queue or waiting):
                self._lanes.append(_Reference(step.n, deque(step.seeds)))
            elif isinstance(step, RunChallenge) and self._queue:
                self._lanes.append(self._proposed())
            else:
                break
        self._has_changed = False

    def _proposed(self) -> _Challenge:
        index, is_probe = self._queue.popleft()
        self._n += 1
        script = experiment.evaluate(self._n, _CODE, RUNG, _RULES)
        candidate = self._probe(index) if is_probe else self._challenger(index)
        return _Challenge(self._n, index, candidate, is_probe, script)

    def _probe(self, index: int) -> Candidate:
        incumbent = self._record.incumbent
        assert self._night.probe_sd is not None
        gain = in_points(self._night.probe_sd, incumbent)
        return self._probes.challenger(index, incumbent, gain)

    def _challenger(self, index: int) -> Candidate:
        incumbent = self._record.incumbent
        if self._night.is_planted(index):
            self._improved = incumbent
        elif not self._is_copy(index):
            return self._source.challenger(index, incumbent, 0.0)
        parent = self._improved
        return self._source.challenger(index, parent, in_points(self._night.planted_sd, parent))

    def _is_copy(self, index: int) -> bool:
        before = range(max(0, index - self._copies), index)
        return any(map(self._night.is_planted, before))

    # What happens in the lanes.

    def _step(self, lane: _Challenge | _Reference) -> None:
        """Measure the lane's next seed, or have its agent answer."""
        if isinstance(lane, _Reference):
            self._measure((lane.seeds.popleft(),))
            if not lane.seeds:
                self._lanes.remove(lane)
                self._has_changed = True
        elif lane.waits_for is None:
            self._advance(lane, None)
        else:
            assert isinstance(lane.waits_for, Measure)
            seed = lane.waits_for.seed
            assert seed not in lane.measured, "no challenger is measured twice on a seed"
            (lane.measured[seed],) = lane.candidate.on((seed,))
            self._spent += not lane.is_probe
            self._advance(lane, SeedResult(seed, lane.measured[seed]))

    def _advance(self, lane: _Challenge, result: Any) -> None:
        """Step a challenger's coroutine from one unknown result to the next."""
        try:
            while result is not _UNKNOWN:
                lane.waits_for = lane.script.send(result)
                result = self._answer(lane, lane.waits_for)
            self._has_changed |= _is_waiting(lane)
        except StopIteration as end:
            self._lanes.remove(lane)
            self._has_changed = True
            self._take_down(lane, is_kept=end.value.status is Status.KEEP)

    def _answer(self, lane: _Challenge, command: Command[Any] | None) -> Any:
        match command:
            case ReadIncumbent(rung):
                if not is_judgeable(self._state, rung, _JUDGING, self._evidence()):
                    return _UNKNOWN
                lane.tests += 1
                return self._evidence()
            case IsIncumbent(scored_by):
                return scored_by == self._record.scored_by
            case Measure(seed=seed):  # those on the default seeds outlast their incumbent
                known = seed in lane.measured
                return SeedResult(seed, lane.measured[seed]) if known else _UNKNOWN
            case EndEvaluation():
                lane.used = command
                return Evaluation(None)
            case _:
                raise AssertionError(f"no such command: {command}")

    def _take_down(self, lane: _Challenge, *, is_kept: bool) -> None:
        """Record a verdict, and what follows from it."""
        assert lane.used is not None
        returns = [lane.measured[seed] for seed in lane.used.seeds]
        self._record.confirm(lane.n, lane.used.plan.more_seeds, returns[SEED_COUNT:])
        if lane.is_probe:
            self._asked += 1
            self._found += is_kept
            return
        is_better = lane.candidate.mean > self._record.incumbent.mean
        self._begun_anew += lane.tests > 1
        self._no_better += not is_better
        self._false += is_kept and not is_better
        self._better += is_kept and is_better
        self._early += is_kept and not is_better and lane.index < 20
        self._known = None
        if is_kept:
            self._crown(lane.candidate, returns[:SEED_COUNT])
        else:
            self._state = self._state.after(_ended(lane.n, Status.DISCARD))

    def _crown(self, candidate: Candidate, chosen_by: list[float]) -> None:
        self._n += 1
        self._record.crown(self._n, candidate, chosen_by)
        self._state = self._state.after(_ended(self._n, Status.KEEP))
        # What is being measured of the former incumbent is of no use any more.
        self._lanes = [lane for lane in self._lanes if isinstance(lane, _Challenge)]

    # What is known of the incumbent.

    def _measure(self, seeds: tuple[int, ...]) -> None:
        self._record.measure(seeds)
        self._known = None

    def _evidence(self) -> IncumbentEvidence:
        """Return what is known of the incumbent; read once for every change but a probe's."""
        if self._known is None:
            self._known = self._record.evidence()
        return self._known


def _is_waiting(lane: _Challenge | _Reference) -> bool:
    """Does it wait until the incumbent is measured?"""
    return isinstance(lane, _Challenge) and isinstance(lane.waits_for, ReadIncumbent)


def _ended(n: int, status: Status) -> Experiment:
    """Return an experiment as the state of the run needs it."""
    return Experiment(n, "", status is Status.BASELINE, status, RUNG, "", score=SCORE)
