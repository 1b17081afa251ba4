"""Learning curves, with Stable-Baselines3's and a plain PPO's: `python -m benchmarks.curves`.

Every contender trains on the same tasks with the same settings, steps and seeds, each training in
a process of its own with one thread. A point of a curve is the mean return of 20 fresh episodes
played greedily, by the task's own reward; the final return is that of 100. Seconds are of
processor time in training, without those episodes. What is missing is left out, and said.

`--save FILE` is written after each training, so that it can be run in parts: `--add` keeps what
FILE has and runs only what it lacks. All of it takes some hours on one core.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import Any

from benchmarks.curves.picture import draw
from benchmarks.curves.tables import Runs, table
from benchmarks.curves.tasks import TASKS
from benchmarks.machine import describe

CONTENDERS = ("ours", "sb3", "cleanrl")
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
_LACKED = 3
"""Lines of a failed training's errors that are shown."""

Key = tuple[str, int, str]
"""A training: task, seed, contender."""


def main() -> int:
    """Train, save, print and draw; 1 if a training failed."""
    args = _arguments()
    runs: Runs = []
    if args.add and args.save is not None and args.save.exists():
        runs = json.loads(args.save.read_text())["runs"]
    print(describe(), flush=True)
    there = {_key(run) for run in runs if run["fraction"] == args.fraction}
    failed = False
    with ThreadPoolExecutor(args.jobs) as pool:
        wanted = [key for key in _wanted(args) if key not in there]
        for result in pool.map(partial(_trained, args=args), wanted):
            failed |= result is None
            if result is not None:
                runs.append(result)
                print(_line(result), flush=True)
            if args.save is not None:
                args.save.write_text(json.dumps({"machine": describe(), "runs": runs}) + "\n")
    shown = [r for r in runs if r["task"] in args.tasks and r["fraction"] == args.fraction]
    print()
    print(table(shown))
    if args.plot is not None:
        draw(shown, args.plot)
    return int(failed)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--seeds", type=int, default=5, help="seeds 1 to this (default: 5)")
    parser.add_argument("--fraction", type=float, default=1.0, help="of each task's steps")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time (default: 1)")
    parser.add_argument("--python", default=sys.executable, help="interpreter of ours and cleanrl")
    parser.add_argument("--sb3-python", default=sys.executable, help="interpreter that has SB3")
    parser.add_argument("--save", type=Path, metavar="FILE", help="keep the trainings, as JSON")
    parser.add_argument("--add", action="store_true", help="run only what FILE lacks")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the curves: PNG, SVG, PDF")
    args = parser.parse_args()
    if args.add and args.save is None:
        parser.error("--add needs --save FILE")
    return args


def _key(run: dict[str, Any]) -> Key:
    return run["task"], run["seed"], run["contender"]


def _wanted(args: argparse.Namespace) -> Iterator[Key]:
    """Yield the trainings; contenders take turns, so that a slow hour hits them all alike."""
    for name in args.tasks:
        needs = TASKS[name].needs
        for seed in range(1, args.seeds + 1):
            for contender in args.contenders:
                python, lacks = _python(contender, args), ""
                if contender == "sb3" and not _has(python, "stable_baselines3"):
                    lacks = "pip install stable-baselines3, or name an interpreter: --sb3-python"
                elif needs is not None and not _has(python, needs[0]):
                    lacks = needs[1]
                if not lacks:
                    yield name, seed, contender
                elif seed == 1:
                    print(f"{name}, {contender}: left out: {lacks}", flush=True)


def _python(contender: str, args: argparse.Namespace) -> str:
    return str(args.sb3_python if contender == "sb3" else args.python)


@cache
def _has(python: str, module: str) -> bool:
    command = [python, "-c", f"import {module}"]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def _trained(key: Key, *, args: argparse.Namespace) -> dict[str, Any] | None:
    """Train in a process of its own; None if it failed, which is printed."""
    task, seed, contender = key
    module = f"benchmarks.curves.{contender}"
    options = ("--task", task, "--seed", str(seed), "--fraction", str(args.fraction))
    command = [_python(contender, args), "-m", module, *options]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, env=os.environ | _ONE_THREAD
    )
    if done.returncode:
        lines = "\n".join(done.stderr.strip().splitlines()[-_LACKED:])
        print(f"{task}, {contender}, seed {seed} failed:\n{lines}", file=sys.stderr, flush=True)
        return None
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return {"contender": contender, "fraction": args.fraction, **found}


def _line(run: dict[str, Any]) -> str:
    return (
        f"{run['task']:<24} {run['contender']:<8} seed {run['seed']}: {run['final']:9.3f} after "
        f"{run['steps']:,} steps, {run['cpu_s']:.1f} s"
    )


if __name__ == "__main__":
    sys.exit(main())
