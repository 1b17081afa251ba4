"""How often the judge is wrong, by simulation: `python -m benchmarks.judge`.

The functions that the daemon calls (`orchestrator.judging`) decide on synthetic returns, drawn one
seed after the other from known distributions, so that what is right is known. Beside them stand
the public loop's rule and a t test on 16 seeds a side. The tables say how often a change that does
nothing is kept, how often a better one is, and what that costs. The number of workers changes no
figure.
"""

import argparse
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor

from benchmarks.judge.lane_rates import ideas, lanes, lanes_targets
from benchmarks.judge.rates import Target, gains, keeps, no_ops, noise, targets
from benchmarks.judge.simulate import Simulator

RUNS = 1000
SHORT_RUNS = 100


def main() -> None:
    """Simulate, print, check."""
    args = _arguments()
    runs = SHORT_RUNS if args.short else args.runs
    began = time.monotonic()
    found = {}
    with ProcessPoolExecutor(args.workers) as pool:
        simulator = Simulator(pool, runs)
        for draw in (no_ops, gains, noise, keeps, lanes, ideas):
            found[draw] = draw(simulator)
            print(found[draw].markdown(), flush=True)
    checked = targets(found[no_ops], found[gains], found[noise])
    checked += lanes_targets(found[lanes], found[ideas])
    missed = _report(checked, surely=runs < RUNS)
    print(f"\n{runs:,} runs in {time.monotonic() - began:.0f} s")
    if args.check and missed:
        sys.exit(1)


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
    parser.add_argument("--runs", type=int, default=RUNS, help="of each setting (%(default)s)")
    parser.add_argument("--short", action="store_true", help=f"{SHORT_RUNS} runs")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a target is missed")
    return parser.parse_args()


if __name__ == "__main__":
    main()
