"""What the daemon itself costs an experiment: `python -m benchmarks.overhead`.

Everything outside the agent and the evaluator: planning, prompt, checks, ledger (durable), git,
log, journal, heartbeat. Real git, SQLite and files; the replies are scripted and the evaluator a
stub, so that only the overhead is left. It fails if the limit is broken or the overhead grows.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.machine import describe
from orchestrator.agents.scripted import ScriptedAgent
from orchestrator.bench import Fittings
from orchestrator.branch import Branch
from orchestrator.config import load_config
from orchestrator.daemon import DaemonHost, check_start, now
from orchestrator.gitstore import GitStore
from orchestrator.ledger import Ledger, Run
from orchestrator.logs import open_log
from orchestrator.loop import Loop
from orchestrator.workspace import Workspace, initialise
from sandbox import Tier
from tests.fakes import StubEvaluator, reply, write_script

LIMIT_S = 0.050
GROWTH, GROWTH_S = 1.10, 0.005
WINDOW = 50


def measure(folder: Path, experiments: int) -> list[float]:
    """Return the overhead of each experiment in seconds, in order."""
    initialise(folder / "workspace", None)
    workspace = Workspace(folder / "workspace")
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
    overheads = []
    with Ledger(workspace.ledger) as ledger:
        ledger.create_run(Run(plan.tag, plan.parent, {}, now()))
        run = ledger.run(plan.tag)
        assert run is not None
        config = load_config(workspace.config, environment={})
        log = open_log(workspace.daemon_log, config.logs, console=False)
        host = DaemonHost(plan, ledger, log, Tier.OFF)
        loop = Loop(
            Fittings(
                run=run,
                config=config,
                workspace=workspace.root,
                baseline=plan.baseline,
                ledger=ledger,
                branch=Branch(run, ledger, GitStore(workspace.root)),
                agent=ScriptedAgent(script),
                evaluator=StubEvaluator(),
                host=host,
            )
        )
        loop.turn()  # the baseline
        for _ in range(experiments):
            started = time.perf_counter()
            loop.turn()
            wall_s = time.perf_counter() - started
            (last,) = ledger.recent(plan.tag, 1)
            overheads.append(wall_s - last.seconds.agent - last.seconds.evaluator)
    return overheads


def main() -> int:
    """Measure, print, and fail beyond the limits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiments", type=int, default=200)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        overheads = measure(Path(folder), args.experiments)
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
    return int(median > LIMIT_S or grew)


if __name__ == "__main__":
    sys.exit(main())
