"""Fuzz one boundary: `python -m tests.fuzz workers --inputs 100000 [--seed 1]`.

Prints the inputs tried and the faults found; exits with 1 if there are any. A boundary is a module
beside this one with `run(inputs, seed) -> (tried, faults)`.
"""

import argparse
import importlib
import sys
import time
from pathlib import Path

_HERE = Path(__file__).parent
_SHOWN = 20


def main() -> int:
    """Fuzz, print, and return the exit code."""
    names = sorted(
        path.stem for path in _HERE.glob("*.py") if not path.stem.startswith(("_", "test_"))
    )
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("boundary", choices=names)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    started_s = time.monotonic()
    run = importlib.import_module(f"tests.fuzz.{args.boundary}").run
    tried, faults = run(args.inputs, args.seed)
    for fault in faults[:_SHOWN]:
        print(fault)
    took_s = time.monotonic() - started_s
    print(f"{args.boundary}: {tried:,} inputs, {len(faults)} faults, {took_s:.0f} s")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
