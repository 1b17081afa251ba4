"""Challengers that change nothing, and a few that are better: what is published of them.

Returns come from eleven distributions (`returns.py`). Challengers are proposed against the lead of
their moment; one that changes nothing has its true mean. So nothing that is published is better
than what was published before, unless it holds something planted.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from benchmarks.judge.figures import (
    Rate,
    Table,
    Target,
    average,
    interval,
    mean,
    percent,
    rare,
    share,
    signed,
)
from benchmarks.judge.memory import RUNG, SEED_COUNT, RunInMemory
from benchmarks.judge.returns import KINDS, SCORE, Candidate, Source
from orchestrator.config.schema import JudgeConfig
from orchestrator.core.evaluations import SeedResult
from orchestrator.judging.challenger_test import challenger_test
from orchestrator.judging.rules import JudgingRules
from orchestrator.planning.seeds import seeds_due

NOISE = 0.2
"""One seed's sd as a share of the score: what was measured on a small candidate at rung 12/8."""
CHALLENGERS = 100
PLANTED, PLANTED_SD = 10, 2.0
MOST_FALSE, SURELY_MOST_FALSE = 0.05, 0.2
"""False publications in 100 challengers that change nothing, and the limit of their interval."""
_CHUNK = 10
Proposals = Literal["cheap", "dear"]


@dataclass(frozen=True)
class Outcome:
    """What came of one run."""

    published: int
    false: int
    moves: int
    evaluations: float
    """Of challengers, lead and published candidate."""
    gain_sd: float
    """True gain of what is published at the end, in standard deviations of a seed."""
    claim_error: float
    """What the run says of it, less the truth, as a share of the score."""
    is_covered: bool
    """Whether its interval holds the truth."""


@dataclass(frozen=True)
class Night:
    """A hundred challengers in a row."""

    kind: str = "normal"
    proposals: Proposals = "cheap"
    planted: int = 0
    """So many of them, evenly, are better than their lead by `PLANTED_SD`."""
    challengers: int = CHALLENGERS

    def simulate(self, run: int) -> Outcome:
        """Play one run."""
        source = self.source(run)
        memory = self.memory(source)
        for index in range(self.challengers):
            while due := seeds_due(memory.state, memory.rules, memory.evidence()):
                memory.measure(due)
            n = index + 2
            candidate = self.challenger(source, index, memory)
            memory.subjects[n] = candidate
            test = challenger_test(memory.evidence(), RUNG, memory.rules)
            results: tuple[SeedResult, ...] = ()
            verdict = None
            while verdict is None:
                seed = test.plan.order[len(results)]
                results += (SeedResult(seed, candidate.on((seed,))[0]),)
                verdict = test.verdict(results)
            memory.end(n, verdict.status, results)
        return self.outcome(memory)

    def source(self, run: int) -> Source:
        """Return all that is random in a run."""
        return Source(self.kind, "challengers", run, self.challengers)

    def memory(self, source: Source) -> RunInMemory:
        """Return a run with its first candidate."""
        rules = JudgingRules(JudgeConfig(proposals=self.proposals), SEED_COUNT)
        return RunInMemory(rules, source.incumbent(NOISE))

    def challenger(self, source: Source, index: int, memory: RunInMemory) -> Candidate:
        """Return a challenger to the lead of now."""
        lead = memory.lead
        assert isinstance(lead, Candidate)
        is_better = self.planted and (index + 1) % (self.challengers // self.planted) == 0
        return source.challenger(index, lead, PLANTED_SD * NOISE * SCORE if is_better else 0.0)

    def outcome(self, memory: RunInMemory) -> Outcome:
        """Return what came of a run, with what is measured before it ends."""
        claim, counts = memory.claim(), memory.counts
        assert claim is not None, "what is published has at least two fresh seeds"
        true = memory.published.mean
        return Outcome(
            counts.published, counts.false, counts.moves, counts.evaluator_s,
            (true - SCORE) / (NOISE * SCORE), (claim.score - true) / SCORE,
            claim.low <= true <= claim.high,
        )  # fmt: skip


# -- many runs -------------------------------------------------------------------------------------


class Setting(Protocol):
    """What is simulated, many times."""

    def simulate(self, run: int) -> Outcome:
        """Return what came of one run."""


@dataclass(frozen=True)
class Simulator:
    """Plays settings many times, in worker processes; their number changes no figure."""

    pool: Executor
    runs: int
    """Of each setting."""

    def play(self, settings: Sequence[Setting]) -> Iterator[list[Outcome]]:
        """Yield the outcomes of all runs, in the order of the settings."""
        starts = range(0, self.runs, _CHUNK)
        chunks = [range(start, min(start + _CHUNK, self.runs)) for start in starts]
        tasks = [(setting, chunk) for setting in settings for chunk in chunks]
        parts = iter(self.pool.map(_work, tasks))
        for _ in settings:
            yield [outcome for _ in chunks for outcome in next(parts)]


def _work(task: tuple[Setting, range]) -> list[Outcome]:
    setting, runs = task
    return [setting.simulate(run) for run in runs]


# -- tables ----------------------------------------------------------------------------------------

_NOOPS = """\
{runs:,} runs of 100 challengers that are no better than the lead. Published: what a trial has
proven, which is false here. The claim is the validated score at the end of a run, less the true
mean, as a share of that; one seed's standard deviation (sd) is {noise:.0f} % of the score. 95 %
intervals in brackets.
"""


def noops(simulator: Simulator) -> Table:
    """Return what is published where nothing is better."""
    keys: list[tuple[Proposals, str]] = [(p, k) for p in ("cheap", "dear") for k in KINDS]
    settings = [Night(kind, proposals) for proposals, kind in keys]
    rows = [
        {"numbers": proposals, "returns": kind, **figures(outcomes)}
        for (proposals, kind), outcomes in zip(keys, simulator.play(settings), strict=True)
    ]
    return Table(
        "Changes that do nothing",
        _NOOPS.format(runs=simulator.runs, noise=100 * NOISE),
        {"numbers": str, "returns": str} | COLUMNS,
        rows,
    )


COLUMNS: dict[str, Any] = {
    "false": interval,
    "moves of the lead": average,
    "evaluations each": average,
    "claims too much by": signed,
    "intervals that hold": percent,
}
"""Of any table of outcomes; false ones are those of a run."""


def figures(outcomes: Sequence[Outcome]) -> dict[str, Rate]:
    """Return what runs have in common."""
    ones = [1] * len(outcomes)
    return {
        "false": rare([outcome.false for outcome in outcomes]),
        "moves of the lead": mean([outcome.moves for outcome in outcomes]),
        "evaluations each": mean([outcome.evaluations / CHALLENGERS for outcome in outcomes]),
        "claims too much by": mean([outcome.claim_error for outcome in outcomes]),
        "intervals that hold": share([int(each.is_covered) for each in outcomes], ones),
        "false of published": share(
            [outcome.false for outcome in outcomes], [outcome.published for outcome in outcomes]
        ),
        "published gain": mean([outcome.gain_sd for outcome in outcomes]),
    }


_PLANTED = """\
Likewise, {runs:,} runs, but {planted} of the 100 are better than their lead by {gain:g} sd, evenly
spread. Published gain: of {total:g} sd that could be gained.
"""


def planted(simulator: Simulator) -> Table:
    """Return what is published where a tenth is better."""
    keys: list[tuple[Proposals, str]] = [(p, k) for p in ("cheap", "dear") for k in KINDS]
    settings = [Night(kind, proposals, PLANTED) for proposals, kind in keys]
    rows = [
        {"numbers": proposals, "returns": kind, **figures(outcomes)}
        for (proposals, kind), outcomes in zip(keys, simulator.play(settings), strict=True)
    ]
    return Table(
        "A tenth is better",
        _PLANTED.format(
            runs=simulator.runs, planted=PLANTED, gain=PLANTED_SD, total=PLANTED * PLANTED_SD
        ),
        {"numbers": str, "returns": str} | COLUMNS
        | {"false of published": percent, "published gain": average},
        rows,
    )  # fmt: skip


def targets(table: Table, *, is_planted: bool) -> list[Target]:
    """Return what has to be reached, with any returns."""
    found = []
    for row in table.rows:
        name = ", ".join(row[key] for key in row if isinstance(row[key], str))
        if is_planted:
            what = f"false of published, {name}"
            found.append(Target(what, row["false of published"], high=MOST_FALSE))
        else:
            false = row["false"]
            found.append(Target(f"false in 100 no-ops, {name}", false, high=MOST_FALSE))
            bound = Rate(false.high, false.low, false.high)
            what = f"false in 100 no-ops, upper bound, {name}"
            found.append(Target(what, bound, high=SURELY_MOST_FALSE))
        claims = row["claims too much by"]
        found.append(Target(f"claims too much by, {name}", claims, -0.01, 0.01))
    return found


def coverage(tables: Sequence[Table]) -> Target:
    """Return the coverage of all claims together."""
    rates = [row["intervals that hold"] for table in tables for row in table.rows]
    value = sum(rate.value for rate in rates) / len(rates)
    half = sum((rate.high - rate.low) ** 2 for rate in rates) ** 0.5 / len(rates) / 2
    return Target(
        "intervals that hold the truth", Rate(value, value - half, value + half), 0.92, 0.97
    )
