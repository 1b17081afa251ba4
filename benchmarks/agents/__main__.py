"""The embedded search beside random search and a strong model: `python -m benchmarks.agents`.

On each task every agent runs from the same baseline, with the real engine and real training at one
budget: first the strong model, whose proposals of two recorded runs are replayed as whole files
(`tests/transcripts`), then the others, until they have made as many proposals *and* used as many
evaluator seconds as it did, those for the lead's own seeds included. What leads each run at equal
proposals, and at equal seconds, is then trained anew on seeds that no run has seen, and scored by
the reward of the baseline. The model's own time is not counted. A further seed is a run with other
draws and other environments, the same ones for all agents. With two free cores and the defaults:
about three quarters of an hour.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from benchmarks.agents.arms import ARMS, NAMES, TASKS
from benchmarks.agents.runs import Course, Entrant, Measure, Point, play
from benchmarks.machine import describe
from orchestrator.core.records import Rung
from orchestrator.judging.reference import validate
from orchestrator.store.ledger import Ledger

_MOST = 3.0
"""Times `--seconds` after which a run is ended in any case."""


@dataclass(frozen=True)
class Outcome:
    """What one run came to."""

    task: str
    arm: str
    seed: int
    proposals: int
    """Equal for all arms."""
    seconds_there: float
    """The evaluator's, by then."""
    gain_there: float
    """Of what led then, over the task's baseline."""
    solved_there: float
    seconds: float
    """Equal for all arms."""
    proposals_then: int
    """Those made by then."""
    gain_then: float
    solved_then: float
    took_s: float = 0.0
    """Wall seconds of the run and its measurement."""


def main() -> None:
    """Run, print, save."""
    args = _arguments()
    arms = ["model", *(arm for arm in args.arms if arm != "model")]
    rung = Rung(*args.rung)
    print(
        f"{describe()}; {args.seeds} seeds at {rung}, at most {args.seconds:g} evaluator seconds a "
        f"run, candidates on {args.final_seeds} fresh seeds\n",
        flush=True,
    )
    outcomes = _earlier(args.save) if args.add else []
    with tempfile.TemporaryDirectory(prefix="agents-") as folder:
        for task in (TASKS[name] for name in args.tasks):
            measure = Measure(task, Path(folder) / f"{task.name}-final", rung, args.final_seeds)
            for seed in range(args.first, args.first + args.seeds):
                place = Path(folder) / f"{task.name}-{seed}"
                most = Cost(args.proposals or len(task.lines), args.seconds)
                for outcome in _runs(place, measure, arms, seed, most):
                    outcomes.append(outcome)
                    print(line(outcome), flush=True)
                    if args.save:
                        rows = [asdict(each) for each in outcomes]
                        args.save.write_text(json.dumps(rows, indent=1) + "\n")
    print()
    print("\n".join([*table(outcomes), "", *differences(outcomes)]))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.agents", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--seeds", type=int, default=5, help="runs of each agent and task")
    parser.add_argument("--first", type=int, default=0, metavar="SEED", help="the first of them")
    parser.add_argument("--seconds", type=float, default=300.0, help="of the evaluator's, at most")
    parser.add_argument("--proposals", type=int, help="at most (default: the whole transcript)")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=["model", "search", "random"])
    parser.add_argument("--rung", type=int, nargs=2, default=(12, 8), metavar="EPISODES")
    parser.add_argument("--final-seeds", type=int, default=24, metavar="N")
    parser.add_argument("--save", type=Path, help="write the outcomes as JSON")
    parser.add_argument("--add", action="store_true", help="to those that --save has already")
    args = parser.parse_args()
    if args.add and args.save is None:
        parser.error("--add needs --save FILE")
    return args


def _earlier(save: Path) -> list[Outcome]:
    """Return the outcomes of earlier calls; none where there was none."""
    return [Outcome(**row) for row in json.loads(save.read_text())] if save.exists() else []


@dataclass(frozen=True)
class Cost:
    """What a run may cost, or has cost."""

    proposals: int
    seconds: float


def _runs(
    place: Path, measure: Measure, arms: Sequence[str], seed: int, most: Cost
) -> Iterator[Outcome]:
    """Run the model, then the others at its cost, all in the same environments."""
    place.mkdir(parents=True)
    secret = place / "secret.sqlite"
    with Ledger(secret) as ledger:
        ledger.key()
    cost = most
    for arm in arms:
        began = time.monotonic()
        is_first = arm == "model"
        entrant = Entrant(measure.task, arm, seed, measure.rung)
        course = play(place / arm, entrant, secret, partial(_is_enough, is_first, cost, most))
        if is_first:
            cost = Cost(course.points[-1].proposals, course.points[-1].seconds)
        outcome = outcome_of(course, measure, entrant, cost)
        yield replace(outcome, took_s=round(time.monotonic() - began, 1))


def _is_enough(is_first: bool, cost: Cost, most: Cost, point: Point) -> bool:
    """Has a run cost enough? Of the first one either is enough, of the others both."""
    has_made, has_used = point.proposals >= cost.proposals, point.seconds >= cost.seconds
    is_over = has_made or has_used if is_first else has_made and has_used
    return is_over or point.seconds >= _MOST * most.seconds


def outcome_of(course: Course, measure: Measure, entrant: Entrant, cost: Cost) -> Outcome:
    """Measure what led at equal proposals, and at equal seconds."""
    there, then = course.after_proposals(cost.proposals), course.after_seconds(cost.seconds)
    at_proposals, at_seconds = (measure.worth(course.files[p.lead]) for p in (there, then))
    return Outcome(
        task=entrant.task.name, arm=entrant.arm, seed=entrant.seed,
        proposals=cost.proposals, seconds_there=round(there.seconds, 1),
        gain_there=at_proposals.gain, solved_there=at_proposals.solved,
        seconds=round(cost.seconds, 1), proposals_then=then.proposals,
        gain_then=at_seconds.gain, solved_then=at_seconds.solved,
    )  # fmt: skip


def line(outcome: Outcome) -> str:
    """Return a run in a line."""
    return (
        f"{outcome.task:<9} seed {outcome.seed} {outcome.arm:<6} "
        f"{outcome.proposals:>3} proposals ({outcome.seconds_there:6.1f} s): "
        f"{outcome.gain_there:+.4f}; {outcome.seconds:6.1f} s ({outcome.proposals_then:>3} "
        f"proposals): {outcome.gain_then:+.4f}; took {outcome.took_s:.0f} s"
    )


def table(outcomes: Sequence[Outcome]) -> list[str]:
    """Return the table as Markdown: each agent's gains over the baseline, with their spread."""
    lines = [
        "| task | agent | runs | gain at equal proposals, ± sd (range) | solved | evaluator s "
        "| gain at equal evaluator seconds, ± sd (range) | solved | proposals |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for task, arm in dict.fromkeys((o.task, o.arm) for o in outcomes):
        runs = [o for o in outcomes if (o.task, o.arm) == (task, arm)]
        mean = statistics.fmean
        lines.append(
            f"| {task} | {NAMES[arm]} | {len(runs)} "
            f"| {spread([o.gain_there for o in runs])} | {mean(o.solved_there for o in runs):.0%} "
            f"| {mean(o.seconds_there for o in runs):.0f} "
            f"| {spread([o.gain_then for o in runs])} | {mean(o.solved_then for o in runs):.0%} "
            f"| {mean(o.proposals_then for o in runs):.0f} |"
        )
    return lines


def spread(values: Sequence[float]) -> str:
    """Return mean, standard deviation and range."""
    sd = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):+.3f}{sd} ({min(values):+.3f} to {max(values):+.3f})"


def differences(outcomes: Sequence[Outcome]) -> list[str]:
    """Return how far the embedded search is ahead of each other agent, seed by seed."""
    lines = [
        "| task | the embedded search beside | at equal proposals (95 %) "
        "| at equal evaluator seconds (95 %) |",
        "|---|---|---|---|",
    ]
    ours = {(o.task, o.seed): o for o in outcomes if o.arm == "search"}
    for task, arm in dict.fromkeys((o.task, o.arm) for o in outcomes if o.arm != "search"):
        pairs = [
            (ours[task, o.seed], o)
            for o in outcomes
            if (o.task, o.arm) == (task, arm) and (task, o.seed) in ours
        ]
        if pairs:
            there = interval([one.gain_there - other.gain_there for one, other in pairs])
            then = interval([one.gain_then - other.gain_then for one, other in pairs])
            lines.append(f"| {task} | {NAMES[arm]} | {there} | {then} |")
    return lines


def interval(differences: Sequence[float]) -> str:
    """Return a mean with its confidence interval."""
    mean = validate(differences)
    within = f" ({mean.low:+.3f} to {mean.high:+.3f})" if mean else ""
    return f"{statistics.fmean(differences):+.3f}{within}"


if __name__ == "__main__":
    main()
