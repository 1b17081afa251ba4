"""The crash injector by hand: `python -m tests.crash --all` kills at every call there is.

Where several experiments are in flight there are too many: then at one call in two, or in four.
"""

import argparse
import concurrent.futures
import itertools
import multiprocessing
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.crash.injector import Mode, Outcome, Point, Rig
from tests.crash.model import Model
from tests.crash.scenarios import SCENARIOS, imports
from tests.crash.tracer import why_not

_TWICE = 40
_HEAD = "| scenario | killed | points | kills | violations |\n|---|---|---|---|---|"
_KILLED = {
    Mode.DAEMON: "the daemon",
    Mode.CALLER: "the child that makes the call",
    Mode.ALL: "both",
}


@dataclass(frozen=True)
class _Task:
    scenario: str
    point: Point

    @property
    def row(self) -> tuple[str, str]:
        """The row of the table it counts in."""
        twice = ", and again after the restart" if len(self.point.calls) > 1 else ""
        return self.scenario, _KILLED[self.point.mode] + twice


_rigs: dict[str, Rig] = {}


def _set_up(folder: str, only: Collection[str]) -> None:
    """Make one worker's own copies of the scenarios with these names."""
    imports()
    model = Model()
    own = Path(tempfile.mkdtemp(dir=folder))
    _rigs.update({s.name: Rig(s, own / s.name, model) for s in SCENARIOS if s.name in only})


def _work(task: _Task) -> Outcome:
    try:
        return _rigs[task.scenario].kill(task.point)
    except Exception as error:  # noqa: BLE001 - the injector's own fault counts as a violation
        return Outcome([], [f"{type(error).__name__}: {error}"])


def _tasks(rigs: dict[str, Rig], rng: random.Random, every: int) -> Iterator[_Task]:
    for name, rig in rigs.items():
        step = every * rig.scenario.every
        for mode in Mode:
            for k in rig.points(mode)[rng.randrange(step) :: step]:
                yield _Task(name, Point(mode, (k,)))
        for _ in range(max(1, _TWICE // step)):
            ks = (rng.randrange(len(rig.calls)), rng.randrange(len(rig.calls)))
            yield _Task(name, Point(Mode.DAEMON, ks))


def _count(ended: Iterable[tuple[_Task, Outcome]]) -> list[int]:
    """How many points, kills and violations; each violation is told on stderr as it comes."""
    counts = [0, 0, 0]
    for task, outcome in ended:
        counts[0] += 1
        counts[1] += len(outcome.kills)
        counts[2] += len(outcome.violations)
        for violation in outcome.violations:
            where = f"{task.scenario} {task.point.mode} {task.point.calls} {outcome.kills}"
            print(f"{where}:\n  {violation}", file=sys.stderr, flush=True)
    return counts


def main() -> int:
    """Kill, restart, check, and print a table; 1 if anything was violated."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument(
        "--all",
        action="store_true",
        help="every point, but for scenarios with lanes; else one in 20",
    )
    parser.add_argument("--every", type=int, help="one point in so many")
    parser.add_argument(
        "--only", nargs="+", choices=[s.name for s in SCENARIOS], metavar="SCENARIO",
        default=[s.name for s in SCENARIOS], help="these alone, by their names in the table",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--jobs", type=int, default=2, help="points at a time")
    args = parser.parse_args()
    if reason := why_not():
        print(f"not possible here: {reason}")
        return 2
    print(f"seed {args.seed}")
    folder = tempfile.mkdtemp(prefix="autorl-crash-")
    started = time.monotonic()
    totals = [0, 0, 0]
    with concurrent.futures.ProcessPoolExecutor(
        args.jobs, multiprocessing.get_context("fork"), _set_up, (folder, args.only)
    ) as pool:
        _set_up(folder, args.only)
        every = 1 if args.all else args.every or 20
        tasks = list(_tasks(_rigs, random.Random(args.seed), every))
        print(_HEAD, flush=True)
        outcomes = zip(tasks, pool.map(_work, tasks), strict=True)
        # A table whose rows are printed as they end: a sweep that is interrupted has shown something.
        for row, ended in itertools.groupby(outcomes, key=lambda pair: pair[0].row):
            counts = _count(ended)
            totals = [sum(pair) for pair in zip(totals, counts, strict=True)]
            print("| " + " | ".join(map(str, (*row, *counts))) + " |", flush=True)
    print("| " + " | ".join(map(str, ("all", "", *totals))) + " |")
    violated = totals[-1]
    print(f"{time.monotonic() - started:.0f} s; violations: {violated}")
    if not violated:
        shutil.rmtree(folder)
    return int(violated > 0)


if __name__ == "__main__":
    sys.exit(main())
