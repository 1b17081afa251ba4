"""How often the judge is wrong, by simulation: `python -m benchmarks.judge`.

The functions that the daemon calls (`orchestrator.judging`) decide on synthetic returns, drawn one
seed after the other from known distributions, so that what is right is known. Beside them stand
the public loop's rule and a t test on 16 seeds a side. The tables say how often a change that does
nothing is kept, how often a better one is, what that costs, and what each number of the config's
`judge` section does to it, alone (the frontiers). Runs up the budget ladder, decided by the
daemon's own functions as well, show what the ratchet does. The number of workers changes no figure.
"""

import argparse
import dataclasses
import math
import os
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from benchmarks.judge import tables
from benchmarks.judge.ladder import ladder, patience
from benchmarks.judge.plot import draw
from benchmarks.judge.simulate import Simulator
from benchmarks.judge.tables import Table, Target, as_json, targets

RUNS = 1000
SHORT_RUNS = 100
PICTURE = Path(__file__).parents[2] / "docs" / "judge-rates.png"

_HEADING = """\
# How often the judge is wrong

Written by `python -m benchmarks.judge --runs {runs} --save benchmarks/judge/{file}`; the same
figures, unrounded, are in `{file}`.
"""


def main() -> None:
    """Simulate, print, save, check."""
    args = _arguments()
    runs = SHORT_RUNS if args.short else args.runs
    began = time.monotonic()
    found: dict[str, Table] = {}
    with ProcessPoolExecutor(args.workers) as pool:
        simulator = Simulator(pool, runs)
        for table in _tables(simulator, short=args.short):
            found[table.key] = table
            print(table.markdown(), flush=True)
        if args.save:
            _save(found.values(), runs, args.save)
        if args.plot:
            draw(simulator, found["no-ops"], args.plot)
    missed = _report(targets(found["no-ops"], found["gains"], found["noise"]), surely=runs < RUNS)
    print(f"\n{runs:,} runs in {time.monotonic() - began:.0f} s")
    if args.check and missed:
        sys.exit(1)


def _tables(simulator: Simulator, *, short: bool) -> Iterator[Table]:
    yield tables.no_ops(simulator)
    yield tables.gains(simulator)
    yield tables.noise(simulator)
    yield from ladder(simulator)
    if not short:
        fewer = dataclasses.replace(simulator, runs=math.ceil(simulator.runs / 4))
        yield tables.references(fewer)
        yield from tables.frontiers(fewer)
        yield patience(simulator)


def _save(found: Iterable[Table], runs: int, path: Path) -> None:
    found = list(found)
    path.write_text(as_json(found, runs))
    heading = _HEADING.format(runs=runs, file=path.name)
    texts = [heading, *(table.markdown() for table in found)]
    path.with_suffix(".md").write_text("\n".join(texts))


def _report(checked: list[Target], *, surely: bool) -> int:
    """Print each target, and return how many are missed."""
    print("## Targets\n")
    missed = [target.missed(surely=surely) for target in checked]
    for target, miss in zip(checked, missed, strict=True):
        word = "MISSED" if miss else "met"
        limits = f"{target.low:g} to {target.high:g}"
        print(f"{word:6} {target.what}: {target.rate.value:.4f}, wanted {limits}")
    if surely:
        print("\nWith so few runs a target is missed if the whole 95 % interval lies beyond it.")
    return sum(missed)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.judge",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--runs",
        type=int,
        default=RUNS,
        help="of each setting; a quarter for frontiers, a twentieth for the ladder (%(default)s)",
    )
    parser.add_argument("--short", action="store_true", help=f"{SHORT_RUNS} runs, and no frontiers")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a target is missed")
    parser.add_argument(
        "--save", type=Path, metavar="FILE", help="figures as JSON, and beside it as Markdown"
    )
    parser.add_argument(
        "--plot", type=Path, nargs="?", const=PICTURE, metavar="FILE",
        help="draw the picture (docs/judge-rates.png)",
    )  # fmt: skip
    return parser.parse_args()


if __name__ == "__main__":
    main()
