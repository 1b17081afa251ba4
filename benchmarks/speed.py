"""Every speed ratio the README and RESULTS.md quote: `python -m benchmarks.speed [--quick]`.

Contenders take turns, so that a noisy moment hits them all alike, and each ratio is the median of
the turns' ratios. `--check FILE` fails when a ratio is a quarter worse than the one in FILE
(`benchmarks/results.json`, written by `--save FILE`).

`--against TREE` measures what is faster here than in another checkout, and nothing else.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.evaluator import Contender, Turn, request
from benchmarks.machine import describe
from framework import EvaluationRequest, Referee
from sandbox import Tier, WorkerServer
from sandbox.probe import examine

HERE = Path(__file__).resolve().parent
WORSE = 0.75
"""A ratio below this share of the recorded one is a regression."""
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}


@dataclass(frozen=True)
class Ratio:
    """How many times better ours is, turn by turn."""

    name: str
    turns: list[float]
    target: float
    note: str = ""

    @property
    def median(self) -> float:
        """Return the median turn."""
        return statistics.median(self.turns)

    def __str__(self) -> str:
        verdict = "met" if self.median >= self.target else "MISSED"
        spread = f"{min(self.turns):.2f} to {max(self.turns):.2f}"
        return (
            f"{self.name:<34} {self.median:6.2f}x ({spread}); target {self.target:g}x {verdict}"
            + (f"; {self.note}" if self.note else "")
        )


@dataclass(frozen=True)
class Options:
    """What the command line decides."""

    turns: int
    quick: bool
    sb3_python: str
    reference_threads: int


# -- running things --------------------------------------------------------------------------------


def output_of(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """Return the JSON object on the last line a script prints."""
    out, _ = process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"{process.args} failed")
    found: dict[str, Any] = json.loads(out.strip().splitlines()[-1])
    return found


def start(
    module: str,
    *arguments: object,
    python: str = sys.executable,
    one_thread: bool = True,
    tree: Path | None = None,
) -> "subprocess.Popen[str]":
    """Start `python -m module`, of another checkout if `tree` is one."""
    environment = dict(os.environ) | (ONE_THREAD if one_thread else {})
    if tree is not None:
        environment["PYTHONPATH"] = str(tree)
    command = [python, "-m", module, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=tree)


def reference(
    candidate: Path, train_episodes: int, eval_episodes: int, threads: int
) -> dict[str, Any]:
    """Run the reference evaluation in a fresh process; its result and `wall_s`."""
    started_s = time.perf_counter()
    budget = ("--train-episodes", train_episodes, "--eval-episodes", eval_episodes)
    options = (candidate, *budget, "--threads", threads)
    result = output_of(start("benchmarks.reference", *options, one_thread=False))
    return result | {"wall_s": time.perf_counter() - started_s}


def profiles(candidate: Path, episodes: int, *, precision: str = "fp32") -> list[dict[str, Any]]:
    """Profile two trainings side by side, as two seeds are."""
    options = ("--candidate", candidate, "--episodes", episodes, "--precision", precision)
    running = [start("simverse.profile", *options, "--json") for _ in range(2)]
    return [output_of(process) for process in running]


@contextmanager
def busy_process() -> Iterator[None]:
    """Keep one core busy during the block."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


# -- the ratios ------------------------------------------------------------------------------------


def small_candidates(options: Options) -> list[Ratio]:
    """Our warm evaluator against the reference on the grid example, at two budgets."""
    budgets = [(12, 8, 8.0)] if options.quick else [(12, 8, 8.0), (256, 24, 4.0)]
    found = []
    with Referee() as referee:
        referee.evaluate(request("keydoor", 2, 1))
        for train_episodes, eval_episodes, target in budgets:
            ours, theirs = [], []
            for _ in range(options.turns):
                one = request("keydoor", train_episodes, eval_episodes)
                ours.append(referee.evaluate(one).wall_s)
                theirs.append(
                    reference(
                        one.candidate_dir, train_episodes, eval_episodes, options.reference_threads
                    )["wall_s"]
                )
            note = f"{statistics.median(ours):.2f} s against {statistics.median(theirs):.2f} s"
            turns = [b / a for a, b in zip(ours, theirs, strict=True)]
            found.append(Ratio(f"evaluation {train_episodes}/{eval_episodes}", turns, target, note))
    return found


def convolutions(options: Options) -> list[Ratio]:
    """Two seeds' training of a convolutional candidate, in two precisions."""
    episodes, candidate = 2, HERE / "conv"
    seconds: dict[str, list[float]] = {"reference": [], "fp32": [], "bf16": []}
    for _ in range(options.turns):
        seconds["reference"].append(
            reference(candidate, episodes, 1, options.reference_threads)["train_s"]
        )
        for precision in ("fp32", "bf16"):
            both = profiles(candidate, episodes, precision=precision)
            seconds[precision].append(max(one["total_s"] for one in both))
    return [
        Ratio(
            f"convolutions, {precision}",
            [b / a for a, b in zip(seconds[precision], seconds["reference"], strict=True)],
            target,
            f"{statistics.median(seconds[precision]):.2f} s against "
            f"{statistics.median(seconds['reference']):.2f} s",
        )
        for precision, target in (("fp32", 1.3), ("bf16", 2.0))
    ]


def cartpole(options: Options) -> list[Ratio]:
    """PPO on CartPole-v1 until solved, one thread: steps a second and seconds to the solution.

    Of processor time, which a busy neighbour disturbs less than the clock on the wall. The learning
    rate is the same for all, and higher than CleanRL's 2.5e-4, at which none of them solves the
    task within the steps.
    """
    contenders = {"ours": sys.executable, "cleanrl_style": sys.executable}
    probe = [options.sb3_python, "-c", "import stable_baselines3"]
    if subprocess.run(probe, check=False, stderr=subprocess.DEVNULL).returncode == 0:
        contenders["sb3_style"] = options.sb3_python
    steps = 100_000 if options.quick else 1_000_000
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in contenders}
    for seed in range(1, options.turns + 1):
        for name, python in contenders.items():
            limits = ("--total-steps", steps, "--seed", seed, "--lr", 1e-3)
            runs[name].append(output_of(start(f"benchmarks.{name}", *limits, python=python)))
    for name, results in runs.items():
        speeds = [r["steps"] / r["cpu_s"] for r in results]
        solved = [r["cpu_s"] for r in results if r["solved"]]
        line = f"  {name:<14} {statistics.median(speeds):>9,.0f} steps/s"
        if len(solved) > 1:
            quartiles = " ".join(f"{q:.2f}" for q in statistics.quantiles(solved))
            line += f"; solved {len(solved)} of {len(results)} seeds, quartiles {quartiles} s"
        print(line, flush=True)
    found = []
    for name, target in (("cleanrl_style", 2.5), ("sb3_style", 2.0)):
        if name not in runs:
            print(f"  {name} left out: its package is not installed")
            continue
        pairs = list(zip(runs["ours"], runs[name], strict=True))
        speed = [(a["steps"] / a["cpu_s"]) / (b["steps"] / b["cpu_s"]) for a, b in pairs]
        found.append(Ratio(f"CartPole steps/s, {name}", speed, target))
        sooner = [b["cpu_s"] / a["cpu_s"] for a, b in pairs if a["solved"]]
        if sooner:
            found.append(Ratio(f"CartPole solved, {name}", sooner, 1.0))
    return found


def overhead(options: Options) -> list[Ratio]:
    """What of an evaluation is not environment, forward, backward or optimiser, in seconds."""
    one, beyond = request("keydoor", 12, 8), []
    with Referee() as referee:
        referee.evaluate(one)
        for _ in range(options.turns):
            result = referee.evaluate(one)
            # The parts' seconds of 12 training episodes; as long as three and a half more the
            # environment is played to evaluate and to look for flags.
            parts = max(
                sum(p["seconds"].values()) + p["seconds"]["environment"] * 3.5 / 12
                for p in profiles(one.candidate_dir, 12)
            )
            beyond.append(result.wall_s - parts)
    note = f"{statistics.median(beyond):.3f} s"
    return [Ratio("overhead, 0.15 s over ours", [0.15 / max(b, 0.01) for b in beyond], 1.0, note)]


def confinement(options: Options) -> list[Ratio]:
    """What it costs to launch a confined worker, and how fast training is inside."""
    one = request("keydoor", 64, 8)
    tier = examine().tier
    if tier is None:
        print("  confinement left out: this system has none")
        return []
    added, speed = [], []
    with Referee("off") as off, Referee(tier) as on:
        for referee in (off, on):
            referee.evaluate(request("keydoor", 2, 1))
        for _ in range(options.turns):
            added.append(_launch_s(tier) - _launch_s(Tier.OFF))
            outside_s, inside_s = (
                max(seed.train_s for seed in referee.evaluate(one).seed_results)
                for referee in (off, on)
            )
            speed.append(outside_s / inside_s)
    note = f"{1000 * statistics.median(added):.0f} ms more than an unconfined one"
    return [
        Ratio(f"launch, 0.1 s over {tier}", [0.1 / max(a, 0.001) for a in added], 1.0, note),
        Ratio(f"training speed inside {tier}", speed, 0.95),
    ]


def _launch_s(tier: Tier) -> float:
    """Return the median seconds to launch a worker with torch imported."""
    seconds = []
    with WorkerServer(preload=["referee.worker:prepare"], environment=os.environ, tier=tier) as s:
        s.wait_ready()
        for _ in range(7):
            started_s = time.perf_counter()
            worker = s.launch("referee.worker:serve_environment", memory_mb=8192)
            seconds.append(time.perf_counter() - started_s)
            worker.end()
    return statistics.median(seconds)


def under_load(options: Options) -> list[Ratio]:
    """Our quiet time against ours beside one busy process; 1/2.2 is the least."""
    one: EvaluationRequest = request("keydoor", 12, 8)
    turns = []
    with Referee() as referee:
        referee.evaluate(one)
        for _ in range(options.turns):
            quiet_s = referee.evaluate(one).wall_s
            with busy_process():
                turns.append(quiet_s / referee.evaluate(one).wall_s)
    return [Ratio("quiet over loaded time", turns, 1 / 2.2)]


RUNGS = ((12, 8, 1.4), (256, 24, 1.8))
"""Training and evaluation episodes, and how many times as fast an evaluation should be."""


def against(tree: Path, options: Options) -> Iterator[Ratio]:
    """This checkout against another: evaluations, the training in them, and CartPole."""
    here, there = Contender(Path.cwd()), Contender(tree)
    with here.ended(), there.ended():
        for train_episodes, eval_episodes, target in RUNGS[:1] if options.quick else RUNGS:
            rung, count = (train_episodes, eval_episodes), 4 if train_episodes < 100 else 1
            for example in ("keydoor", "squad"):
                pairs = [
                    [contender.turn(example, rung, count) for contender in (here, there)]
                    for _ in range(options.turns + 1)
                ][1:]  # the first one warms up
                budget = f"{example} {train_episodes}/{eval_episodes}"
                yield _times(f"evaluation {budget}", pairs, "in_a_row_s", target)
                yield _times(f"training {budget}", pairs, "train_s", 2.0)
    steps, turns = 100_000 if options.quick else 500_000, []
    for seed in range(1, options.turns + 1):
        limits = ("--total-steps", steps, "--seed", seed, "--lr", 1e-3)
        both = (output_of(start("benchmarks.ours", *limits, tree=t)) for t in (Path.cwd(), tree))
        ours, theirs = (result["cpu_s"] / result["steps"] for result in both)
        turns.append(theirs / ours)
    yield Ratio("CartPole, against", turns, 2.0)


def _times(name: str, pairs: list[list[Turn]], what: str, target: float) -> Ratio:
    """Return the ratio of the seconds there and here, turn by turn."""
    seconds = [[getattr(turn, what) for turn in pair] for pair in pairs]
    ours, theirs = (statistics.median(side) for side in zip(*seconds, strict=True))
    note = f"{ours:.2f} s against {theirs:.2f} s"
    return Ratio(f"{name}, against", [there / here for here, there in seconds], target, note)


SECTIONS: Mapping[str, Callable[[Options], list[Ratio]]] = {
    "evaluation": small_candidates,
    "overhead": overhead,
    "confinement": confinement,
    "load": under_load,
    "cartpole": cartpole,
    "convolutions": convolutions,
}


def regressions(ratios: list[Ratio], recorded: Mapping[str, float]) -> list[str]:
    """Name the ratios that are a quarter worse than recorded."""
    return [
        f"{ratio.name}: {ratio.median:.2f}x, recorded {recorded[ratio.name]:.2f}x"
        for ratio in ratios
        if ratio.name in recorded and ratio.median < WORSE * recorded[ratio.name]
    ]


def main() -> int:
    """Measure, print, and compare or save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two turns, the small budgets")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--sb3-python", default=sys.executable, help="interpreter that has SB3")
    parser.add_argument(
        "--reference-threads",
        type=int,
        default=2,
        help="1 is the fairer figure beside other work, under which two threads collapse",
    )
    parser.add_argument("--against", type=Path, metavar="TREE", help="another checkout, alone")
    parser.add_argument("--check", type=Path, metavar="FILE", help="fail on a regression")
    parser.add_argument("--save", type=Path, metavar="FILE", help="record the ratios")
    args = parser.parse_args()
    turns = 2 if args.quick else args.turns
    options = Options(turns, args.quick, args.sb3_python, args.reference_threads)
    print(describe())
    ratios = []
    sections = [SECTIONS[name] for name in args.only]
    for section in [partial(against, args.against.resolve())] if args.against else sections:
        for ratio in section(options):
            print(ratio, flush=True)
            ratios.append(ratio)
    if args.save:
        old = json.loads(args.save.read_text()) if args.save.exists() else {}
        new = old | {ratio.name: round(ratio.median, 3) for ratio in ratios}
        args.save.write_text(json.dumps(new, indent=2) + "\n")
    worse = regressions(ratios, json.loads(args.check.read_text())) if args.check else []
    for line in worse:
        print(f"regression: {line}", file=sys.stderr)
    return int(bool(worse))


if __name__ == "__main__":
    sys.exit(main())
