"""What a search is worth by each rule, simulated: `python -m benchmarks.judge.search`.

Five worlds of proposals (`worlds.py`), in which a proposal takes no time, as long as an experiment
of the naive rule (two seeds), or as long as ten; 100 and 400 such experiments of time. Ours is the
daemon's own planner and judge, with the numbers as shipped. These were tuned in these worlds, on
other random numbers than those of the tables. With two free cores the 400 runs take about
seventeen minutes; `--short` has 12 runs.
"""

import argparse
import math
import os
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from benchmarks.judge.board import board_and_proof
from benchmarks.judge.courses import (
    POINTS,
    Course,
    Rule,
    former,
    lead_and_proof,
    naive,
    naive_with_stops,
    oracle,
)
from benchmarks.judge.figures import Rate, Table, Target, average, mean, percent, report, share
from benchmarks.judge.worlds import WORLDS
from orchestrator.judging.student_t import t_quantile

COSTS = (0, 1, 10)
"""Time for a proposal, in experiments of the naive rule."""
BUDGET = 400
"""Time for a run, in experiments of the naive rule, with a proposal each."""
_QUARTER = POINTS // 4
_NAIVE_SEEDS = 2
_OURS, _NAIVE, _STOPPED, _FORMER, _BOARD, _ORACLE = (
    "lead and proof",
    "naive",
    "naive, losers stopped",
    "sound as in 0.1",
    "board of four",
    "oracle",
)
RULES: dict[str, Rule] = {
    _NAIVE: naive,
    _STOPPED: naive_with_stops,
    _FORMER: former,
    _OURS: lead_and_proof,
    _ORACLE: oracle,
    _BOARD: board_and_proof,
}
_PARTS = ("published", "lead", _STOPPED, _FORMER, _BOARD, "its lead", _ORACLE)
_CHUNK = 10


@dataclass(frozen=True)
class Cell:
    """One world, and what a proposal costs there."""

    world: int
    cost: int

    @property
    def name(self) -> str:
        """Both, to read."""
        return f"{WORLDS[self.world].name}, proposals {self.cost}"

    def play(self, rule: str, run: int) -> Course:
        """Play one run of a rule."""
        cost_s = float(self.cost * _NAIVE_SEEDS)
        budget_s = BUDGET * (_NAIVE_SEEDS + cost_s)
        key = (self.world, self.cost, list(RULES).index(rule), run)
        return RULES[rule](WORLDS[self.world], key, budget_s, cost_s)


CELLS = [Cell(world, cost) for cost in COSTS for world in range(len(WORLDS))]
Courses = Mapping[Cell, Mapping[str, Sequence[Course]]]


def _work(task: tuple[Cell, str, range]) -> list[Course]:
    cell, rule, runs = task
    return [cell.play(rule, run) for run in runs]


def play(pool: ProcessPoolExecutor, runs: int) -> Courses:
    """Return the courses of all runs, in every cell and by every rule."""
    chunks = [range(start, min(start + _CHUNK, runs)) for start in range(0, runs, _CHUNK)]
    tasks = [(cell, rule, chunk) for cell in CELLS for rule in RULES for chunk in chunks]
    found: dict[Cell, dict[str, list[Course]]] = {cell: {} for cell in CELLS}
    for (cell, rule, _), courses in zip(tasks, pool.map(_work, tasks), strict=True):
        found[cell].setdefault(rule, []).extend(courses)
    return found


# -- figures ---------------------------------------------------------------------------------------


def at(courses: Sequence[Course], point: int, *, lead: bool = False) -> Rate:
    """Return the mean value at a moment."""
    return mean([(course.lead if lead else course.published)[point] for course in courses])


def difference(ours: Sequence[Course], other: Sequence[Course], point: int) -> Rate:
    """Return by how much more ours has published at a moment; the runs are independent."""
    one, two = at(ours, point), at(other, point)
    half = math.hypot(one.value - one.low, two.value - two.low)
    value = one.value - two.value
    return Rate(value, value - half, value + half)


def part_of_cost(ours: Sequence[Course], naive: Sequence[Course], *, lead: bool = False) -> float:
    """Return in which part of its time ours has the value that the naive rule ends with."""
    goal = at(naive, POINTS).value
    values = [at(ours, point, lead=lead).value for point in range(POINTS + 1)]
    first = next((point for point, value in enumerate(values) if value >= goal), None)
    if first is None:
        return math.inf
    if first == 0:
        return 0.0
    before, after = values[first - 1], values[first]
    return (first - 1 + (goal - before) / (after - before)) / POINTS


def values(found: Courses) -> Table:
    """Return what each rule has published at a quarter of the time and at its end."""
    rows = []
    for cell in CELLS:
        courses = found[cell]
        row = {"world, cost": cell.name}
        row |= {rule: _both(courses[rule]) for rule in RULES}
        leads = {f"{rule}: lead": _both(courses[rule], lead=True) for rule in (_OURS, _BOARD)}
        rows.append(row | leads)
    return Table(
        "What is published",
        f"True value at {BUDGET // 4} and at {BUDGET} experiments of the naive rule, "
        f"{len(found[CELLS[0]][_OURS])} runs; 0 is the start and 1 the ceiling. Standard errors up "
        f"to {_largest_error(found):.3f}.",
        dict.fromkeys(rows[0], str),
        rows,
    )


def _both(courses: Sequence[Course], *, lead: bool = False) -> str:
    early, late = (at(courses, point, lead=lead).value for point in (_QUARTER, POINTS))
    return f"{early:.3f}/{late:.3f}"


def _largest_error(found: Courses) -> float:
    rates = [
        at(courses, point)
        for by_rule in found.values()
        for courses in by_rule.values()
        for point in (_QUARTER, POINTS)
    ]
    return max((rate.high - rate.value) / t_quantile(0.975, rate.freedom) for rate in rates)


def costs(found: Courses) -> Table:
    """Return what reaching the naive rule's last value costs, and how ours gets there."""
    rows = []
    for cell in CELLS:
        courses = found[cell]
        ours, naive = courses[_OURS], courses[_NAIVE]
        rows.append({
            "world, cost": cell.name,
            "published": part_of_cost(ours, naive),
            "lead": part_of_cost(ours, naive, lead=True),
            _STOPPED: part_of_cost(courses[_STOPPED], naive),
            _FORMER: part_of_cost(courses[_FORMER], naive),
            _BOARD: part_of_cost(courses[_BOARD], naive),
            "its lead": part_of_cost(courses[_BOARD], naive, lead=True),
            _ORACLE: part_of_cost(courses[_ORACLE], naive),
            "proposals": mean([course.proposals for course in ours]),
            "proven": mean([course.kept for course in ours]),
            "time for proof": mean([course.proof_share for course in ours]),
        })  # fmt: skip
    return Table(
        "What the naive rule's last value costs",
        "Part of the naive rule's time after which the mean value is what that ends with.",
        {"world, cost": str}
        | dict.fromkeys(_PARTS, _part)
        | {"proposals": average, "proven": average, "time for proof": percent},
        rows,
    )


def _part(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else "never"


def keeps(found: Courses) -> Table:
    """Return what of all keeps was no better, and what the rules say of their last one."""
    rows = []
    for rule in RULES:
        courses = [course for by_rule in found.values() for course in by_rule[rule]]
        errors = [course.claim_error for course in courses if course.claim_error is not None]
        told = [course.is_covered for course in courses if course.is_covered is not None]
        rows.append({
            "rule": rule,
            "keeps": mean([course.kept for course in courses]),
            "false": share([c.false for c in courses], [c.kept for c in courses]),
            "says too much by": f"{mean(errors).value:+.4f}" if errors else "",
            "intervals that hold the truth": percent(_covered(told)) if told else "",
        })  # fmt: skip
    return Table(
        "Keeps and claims",
        "All worlds and costs together. A keep is false where it is no better than what it "
        "replaces. A claim is the validated score of the run's last publication.",
        {
            "rule": str, "keeps": average, "false": percent, "says too much by": str,
            "intervals that hold the truth": str,
        },
        rows,
    )  # fmt: skip


def _covered(told: Sequence[bool]) -> Rate:
    return share([int(each) for each in told], [1] * len(told))


# -- targets ---------------------------------------------------------------------------------------


def targets(found: Courses) -> list[Target]:
    """Return what lead and proof has to reach."""
    checked = []
    for cell in CELLS:
        ours, naive = found[cell][_OURS], found[cell][_NAIVE]
        for point, name in ((_QUARTER, BUDGET // 4), (POINTS, BUDGET)):
            gain = difference(ours, naive, point)
            bound = Rate(gain.low, gain.low, gain.high)
            checked.append(
                Target(f"gain over naive at {name}, lower bound, {cell.name}", bound, -0.01)
            )
        gain = difference(ours, found[cell][_STOPPED], POINTS)
        what = f"gain over naive with losers stopped at {BUDGET}, upper bound, {cell.name}"
        checked.append(Target(what, Rate(gain.high, gain.low, gain.high), 0.0))
    parts = {lead: _parts(found, lead=lead) for lead in (False, True)}
    dear = [part for cell, part in parts[False].items() if cell.cost == COSTS[-1]]
    for what, some, most in (
        ("cost of naive's value, published, mean", list(parts[False].values()), 1 / 2),
        ("cost of naive's value, published, mean of dear proposals", dear, 1 / 3),
        ("cost of naive's value, lead, mean", list(parts[True].values()), 1 / 3),
    ):
        value = sum(some) / len(some)
        checked.append(Target(what, Rate(value, value, value), high=most))
    return checked + _honest(found)


def _parts(found: Courses, *, lead: bool) -> dict[Cell, float]:
    return {
        cell: part_of_cost(found[cell][_OURS], found[cell][_NAIVE], lead=lead) for cell in CELLS
    }


def _honest(found: Courses) -> list[Target]:
    ours = [course for by_rule in found.values() for course in by_rule[_OURS]]
    errors = mean([course.claim_error for course in ours if course.claim_error is not None])
    told = [course.is_covered for course in ours if course.is_covered is not None]
    false = share([course.false for course in ours], [course.kept for course in ours])
    return [
        Target("false keeps among keeps", false, high=0.05),
        Target("claims too much by", errors, -0.01, 0.01),
        Target("intervals that hold the truth", _covered(told), 0.935, 0.965),
    ]


def main() -> None:
    """Simulate, print, check."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.judge.search",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--runs", type=int, default=400, help="of each cell (%(default)s)")
    parser.add_argument("--short", action="store_true", help="12 runs")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a target is missed")
    args = parser.parse_args()
    runs, began = 12 if args.short else args.runs, time.monotonic()
    with ProcessPoolExecutor(args.workers) as pool:
        found = play(pool, runs)
    for draw in (values, costs, keeps):
        print(draw(found).markdown())
    missed = report(targets(found), surely=args.short)
    print(f"\n{runs} runs in {time.monotonic() - began:.0f} s")
    if args.check and missed:
        sys.exit(1)


if __name__ == "__main__":
    main()
