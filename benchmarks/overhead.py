"""What the daemon itself costs an experiment: `python -m benchmarks.overhead`.

Everything outside the agent and the evaluator: planning, prompt, checks, ledger (durable), git,
log, journal, heartbeat. Real git, SQLite and files; the replies are scripted and the evaluator's
process obeys constants, so that only the overhead is left. It fails if the limit is broken or the
overhead grows; with `--check` also if memory, descriptors or children do, from the first 50
experiments to the last: `python -m benchmarks.overhead --experiments 2000 --check`.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from orchestrator.engine.fittings import Fittings
from orchestrator.engine.loop import Loop

from benchmarks.machine import describe
from orchestrator.agents.scripted import ScriptedAgent
from orchestrator.config.loading import load_config
from orchestrator.core.clock import now
from orchestrator.daemon.new_workspace import initialise
from orchestrator.daemon.process import DaemonHost
from orchestrator.daemon.start_checks import check_start
from orchestrator.evaluation.local import LocalEvaluator
from orchestrator.store.branch import Branch
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
STUB = Path(__file__).parent.parent / "tests" / "data" / "stub_framework.py"


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


def measure(folder: Path, experiments: int) -> tuple[list[float], list[Held]]:
    """Return each experiment's overhead in seconds, and what was held after every fiftieth."""
    initialise(folder / "workspace", None)
    workspace = Workspace(folder / "workspace")
    (workspace.root / "framework.py").write_bytes(STUB.read_bytes())
    train = workspace.candidate().train
    # Every third is kept, the others put aside.
    replies = [
        reply(f"SCORE = {n if n % 3 == 0 else -n}\n{train}") for n in range(1, experiments + 1)
    ]
    script = write_script(folder / "script", replies)
    workspace.config.write_text(
        f"agent: {{backend: scripted, scripted_dir: {script}}}\nbudget: {{ladder: [[12, 8]]}}\n"
    )
    plan = check_start(workspace, "bench", ())
    workspace.logs.mkdir(exist_ok=True)
    overheads, held = [], []
    with Ledger(workspace.ledger) as ledger:
        ledger.create_run(Run(plan.tag, plan.parent, {}, now()))
        run = ledger.run(plan.tag)
        assert run is not None
        config = load_config(workspace.config, environment={})
        log = open_log(workspace.daemon_log, config.logs, console=False)
        host = DaemonHost(plan, ledger, log, Tier.OFF)
        evaluator = LocalEvaluator(
            workspace.root,
            config,
            key=ledger.key(),
            scratch=workspace.state / "work",
            tier=Tier.OFF,
        )
        loop = Loop(
            Fittings(
                run=run,
                config=config,
                workspace=workspace.root,
                baseline=plan.baseline,
                ledger=ledger,
                branch=Branch(run, ledger, GitStore(workspace.root)),
                agent=ScriptedAgent(script),
                evaluator=evaluator,
                host=host,
            )
        )
        loop.turn()  # the baseline
        for number in range(1, experiments + 1):
            started = time.perf_counter()
            loop.turn()
            wall_s = time.perf_counter() - started
            (last,) = ledger.recent(plan.tag, 1)
            overheads.append(wall_s - last.seconds.agent - last.seconds.evaluator)
            if number % WINDOW == 0:
                held.append(Held.now())
        evaluator.close()
    return overheads, held


def main() -> int:
    """Measure, print, and fail beyond the limits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiments", type=int, default=200)
    parser.add_argument("--check", action="store_true", help="fail if what is held grows by 10 %%")
    parser.add_argument(
        "--any-clock", action="store_true", help="print times, but fail for what is held alone"
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        overheads, held = measure(Path(folder), args.experiments)
    median = statistics.median(overheads)
    first, last = statistics.median(overheads[:WINDOW]), statistics.median(overheads[-WINDOW:])
    grew = last > max(first * GROWTH, first + GROWTH_S)
    print(describe())
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
