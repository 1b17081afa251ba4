"""What the daemon itself costs an experiment: `python -m benchmarks.overhead`.

Everything outside the agent and the evaluator: planning, checks, ledger (durable), git, log,
folders, heartbeat. Real git, SQLite and files; the replies are scripted and the evaluator's process
obeys constants, so that only the overhead is left. It fails if the limit is broken or the overhead
grows; with `--check` also if memory, descriptors or children do, from the first 50 experiments to
the last: `python -m benchmarks.overhead --experiments 2000 --check`.

`--against TREE` compares with another checkout instead, side by side in one run: whole daemons,
started in turn, each with the same script.
"""

import argparse
import contextlib
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine import describe
from orchestrator.core.clock import now
from orchestrator.daemon.heartbeat import Heartbeat
from orchestrator.daemon.new_workspace import initialise
from orchestrator.daemon.start_checks import StartRequest, check_start
from orchestrator.daemon.wiring import wire
from orchestrator.engine.engine import Engine
from orchestrator.store.git import GitStore
from orchestrator.store.ledger import Ledger
from orchestrator.store.log import open_log
from orchestrator.store.runs import Run
from orchestrator.store.workspace import Workspace
from sandbox import Tier
from tests.fakes import reply, write_script

LIMIT_S = 0.050
GROWTH, GROWTH_S = 1.10, 0.005
WINDOW = 50
ROOT = Path(__file__).parent.parent
STUB = ROOT / "tests" / "data" / "stub_framework.py"


@dataclass(frozen=True)
class Held:
    """What the daemon's process holds at one moment."""

    memory_kb: int
    descriptors: int
    children: int

    @classmethod
    def now(cls) -> "Held":
        """Read it from /proc."""
        lines = Path("/proc/self/status").read_text().splitlines()
        (rss,) = [line.split()[1] for line in lines if line.startswith("VmRSS:")]
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        return cls(int(rss), len(list(Path("/proc/self/fd").iterdir())), len(children))

    def grew(self, since: "Held") -> list[str]:
        """Name what grew by more than a tenth."""
        pairs = {name: (getattr(since, name), value) for name, value in vars(self).items()}
        return [name for name, (before, after) in pairs.items() if after > before * GROWTH]


def prepare(folder: Path, experiments: int) -> Workspace:
    """Make a workspace whose script has so many replies; every third is kept."""
    initialise(folder / "workspace", None)
    workspace = Workspace(folder / "workspace")
    (workspace.root / "framework.py").write_bytes(STUB.read_bytes())
    train = workspace.candidate().train
    replies = [
        reply(f"SCORE = {n if n % 3 == 0 else -n}\n{train}") for n in range(1, experiments + 1)
    ]
    script = write_script(folder / "script", replies)
    workspace.config.write_text(
        f"agent: {{backend: scripted, scripted_dir: {script}}}\nbudget: {{ladder: [[12, 8]]}}\n"
        "sandbox: off\n"
    )
    return workspace


def measure(folder: Path, experiments: int) -> tuple[list[float], list[Held]]:
    """Return each experiment's overhead in seconds, and what was held after every fiftieth."""
    workspace = prepare(folder, experiments)
    request = check_start(workspace, "bench", ())
    workspace.logs.mkdir(exist_ok=True)
    with Ledger(workspace.ledger) as ledger:
        engine, close = _engine(request, ledger)
        overheads, held = [], []
        _until(engine, ledger, workspace.ledger, 1)  # the baseline
        for number in range(1, experiments + 1):
            overheads.append(_until(engine, ledger, workspace.ledger, number + 1))
            if number % WINDOW == 0:
                held.append(Held.now())
        close()
    return overheads, held


def _engine(request: StartRequest, ledger: Ledger) -> tuple[Engine, Callable[[], None]]:
    workspace = request.workspace
    ledger.create_run(Run(request.tag, request.parent, {}, now()))
    run = ledger.run(request.tag)
    assert run is not None
    log = open_log(workspace.daemon_log, request.config.logs, console=False)
    parts = wire(
        request, ledger=ledger, run=run, store=GitStore(workspace.root),
        monitor=Heartbeat(workspace.live, log, tag=request.tag, sandbox="off"), tier=Tier.OFF,
    )  # fmt: skip
    return Engine(parts), parts.evaluator.close


def _until(engine: Engine, ledger: Ledger, path: Path, count: int) -> float:
    """Step until so many experiments have ended; return the seconds outside agent and evaluator."""
    references_before = _reference_s(ledger, path)
    started = time.perf_counter()
    while engine.run_record.state.counted + 1 < count or engine.run_record.state.rung is None:
        assert engine.turn() is None
    elapsed = time.perf_counter() - started  # what follows is the benchmark's own reading
    (last,) = ledger.recent("bench", 1)
    references = _reference_s(ledger, path) - references_before
    return elapsed - last.seconds.agent - last.seconds.evaluator - references


def _reference_s(ledger: Ledger, path: Path) -> float:
    """Sum in SQLite: rows of a whole run held here would count as the daemon's memory."""
    ledger.save_pending()
    with contextlib.closing(sqlite3.connect(path)) as db:
        query = "SELECT total(seconds) FROM evidence WHERE role = 'reference'"
        return float(db.execute(query).fetchone()[0])


# -- side by side ----------------------------------------------------------------------------------


def compare(other: Path, experiments: int, rounds: int) -> None:
    """Run whole daemons of both trees in turn; print wall seconds an experiment and their ratio."""
    ratios = []
    for number in range(1, rounds + 1):
        ours, theirs = (_wall_s(tree, experiments) / experiments for tree in (ROOT, other))
        ratios.append(ours / theirs)
        print(f"{number}: {ours * 1e3:.1f} ms here, {theirs * 1e3:.1f} ms there", flush=True)
    middle = statistics.median(ratios)
    print(f"ratio here / there: {min(ratios):.2f} to {max(ratios):.2f}, median {middle:.2f}")


def _wall_s(tree: Path, experiments: int) -> float:
    """Return the wall seconds of a daemon of `tree` over the script, from the command's start."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = prepare(Path(folder), experiments)
        environment = os.environ | {"PYTHONPATH": str(tree)}
        command = [sys.executable, "-P", "-m", "orchestrator", "start", "--foreground"]
        if _knows(command, "--no-check", environment):
            command.append("--no-check")  # once a run, and not in every version
        started = time.perf_counter()
        subprocess.run(
            command, cwd=workspace.root, env=environment, check=True, capture_output=True
        )
        wall_s = time.perf_counter() - started
        shutil.rmtree(workspace.root)
    return wall_s


def _knows(command: list[str], option: str, environment: dict[str, str]) -> bool:
    shown = subprocess.run(
        [*command, "--help"], env=environment, check=True, capture_output=True, text=True
    )
    return option in shown.stdout


def main() -> int:
    """Measure, print, and fail beyond the limits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiments", type=int, default=200)
    parser.add_argument("--check", action="store_true", help="fail if what is held grows by 10 %%")
    parser.add_argument(
        "--any-clock", action="store_true", help="print times, but fail for what is held alone"
    )
    parser.add_argument("--against", type=Path, metavar="TREE", help="compare with a checkout")
    parser.add_argument("--rounds", type=int, default=5, help="of --against (default: 5)")
    args = parser.parse_args()
    print(describe())
    if args.against is not None:
        compare(args.against, args.experiments, args.rounds)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        overheads, held = measure(Path(folder), args.experiments)
    median = statistics.median(overheads)
    first, last = statistics.median(overheads[:WINDOW]), statistics.median(overheads[-WINDOW:])
    grew = last > max(first * GROWTH, first + GROWTH_S)
    print(f"{args.experiments} scripted experiments, overhead of each in milliseconds:")
    most = sorted(overheads)[int(0.95 * len(overheads))]
    print(f"median {median * 1e3:.1f}, 95 % within {most * 1e3:.1f}")
    print(f"first {WINDOW}: {first * 1e3:.1f}, last {WINDOW}: {last * 1e3:.1f}")
    print(f"limit {LIMIT_S * 1e3:.0f}: {'broken' if median > LIMIT_S else 'kept'}")
    print(f"growth of at most 10 % or 5 ms: {'broken' if grew else 'kept'}")
    for count, one in ((WINDOW, held[0]), (len(held) * WINDOW, held[-1])):
        print(
            f"after {count}: {one.memory_kb / 1024:.1f} MiB resident, "
            f"{one.descriptors} descriptors, {one.children} children"
        )
    more = held[-1].grew(held[0])
    print(f"growth of at most 10 %: {'broken by ' + ', '.join(more) if more else 'kept'}")
    slow = not args.any_clock and (median > LIMIT_S or grew)
    return int(slow or (args.check and bool(more)))


if __name__ == "__main__":
    sys.exit(main())
