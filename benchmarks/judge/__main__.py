"""How often the judge is wrong, by simulation: `python -m benchmarks.judge`.

The functions that the daemon calls (`orchestrator.judging`, `orchestrator.planning`) decide on
synthetic returns, drawn one seed after the other from known distributions, so that what is right
is known. The tables say how often a change that does nothing is published, and whether claims are
true. What a search is worth by the rule is simulated by `python -m benchmarks.judge.search`. The
number of workers changes no figure.
"""

import argparse
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor

from benchmarks.judge.figures import report
from benchmarks.judge.lanes import lanes, lanes_targets
from benchmarks.judge.noops import Simulator, coverage, noops, planted, targets

RUNS = 400
SHORT_RUNS = 10


def main() -> None:
    """Simulate, print, check."""
    args = _arguments()
    runs = SHORT_RUNS if args.short else args.runs
    began = time.monotonic()
    with ProcessPoolExecutor(args.workers) as pool:
        simulator = Simulator(pool, runs)
        found = []
        for draw in (noops, planted, lanes):
            found.append(draw(simulator))
            print(found[-1].markdown(), flush=True)
    nothing, better, several = found
    checked = targets(nothing, is_planted=False) + targets(better, is_planted=True)
    checked += [*lanes_targets(several), coverage([nothing, better])]
    missed = report(checked, surely=runs < RUNS)
    print(f"\n{runs:,} runs in {time.monotonic() - began:.0f} s")
    if args.check and missed:
        sys.exit(1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.judge",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--runs", type=int, default=RUNS, help="of each setting (%(default)s)")
    parser.add_argument("--short", action="store_true", help=f"{SHORT_RUNS} runs")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a target is missed")
    return parser.parse_args()


if __name__ == "__main__":
    main()
