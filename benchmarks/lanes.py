"""What a second lane is worth: `python -m benchmarks.lanes`.

An agent that takes as long to propose as an evaluation takes, here both scaled down: with one lane
the evaluator is idle while the agent thinks; with two lanes the next proposal is made meanwhile.
Whole daemons run one after the other, with the real agent process against a loopback server that
waits before it answers, and an evaluator that waits instead of training. Printed are experiments an
hour at each width, their ratio, and the share of the time in which the evaluator was idle.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from benchmarks.machine import describe
from orchestrator.core.experiments import Experiment
from orchestrator.core.records import Status
from orchestrator.daemon.new_workspace import initialise
from orchestrator.store.ledger import Ledger
from orchestrator.store.workspace import Workspace
from tests.fakes import Answer, ChatServer, completion, reply

STUB = Path(__file__).parent.parent / "tests" / "data" / "stub_framework.py"
LEAST_RATIO = 1.8


@dataclass(frozen=True)
class Result:
    """What came of one run."""

    lanes: int
    an_hour: float
    """Experiments an hour, from the first proposal's end to the last verdict."""
    idle: float
    """Share of that time in which the evaluator had nothing to do."""


def run(lanes: int, experiments: int, seconds: float) -> Result:
    """Run a daemon with so many lanes; agent and evaluation take `seconds` each."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = _workspace(Path(folder))
        train = workspace.candidate().train
        answers = [_answer(n, train, seconds) for n in range(1, experiments + lanes + 2)]
        server = ChatServer(*answers)
        try:
            command = [
                sys.executable, "-P", "-m", "orchestrator", "start", "--foreground", "--tag", "t",
                f"--max-experiments={experiments}", f"--set=engine.lanes={lanes}",
                f"--set=agent.base_url={server.url}", "--set=agent.model=m",
            ]  # fmt: skip
            root = str(Path(__file__).parent.parent)
            subprocess.run(
                command, cwd=workspace.root, env=os.environ | {"PYTHONPATH": root}, check=True,
                capture_output=True,
            )  # fmt: skip
        finally:
            server.close()
        with Ledger(workspace.ledger) as ledger:
            return _result(lanes, [e for e in ledger.endings("t") if not e.is_baseline])


def _workspace(folder: Path) -> Workspace:
    initialise(folder / "workspace", None)
    workspace = Workspace(folder / "workspace")
    (workspace.root / "framework.py").write_bytes(STUB.read_bytes())
    workspace.config.write_text(
        "budget: {ladder: [[12, 8]]}\njudge: {rule: naive}\nsandbox: off\n"
        "limits: {consecutive_failures: null}\n"
    )
    return workspace


def _answer(n: int, train: str, seconds: float) -> Answer:
    """Return a reply that takes its time and whose candidate takes as long to evaluate."""
    text = reply(f"SCORE = {-n}\nSLEEP_S = {seconds}\n{train}", description=f"idea {n}")
    slow = completion(text)
    return Answer(slow.status, slow.body, slow.headers, delay_s=seconds)


def _result(lanes: int, ended: list[Experiment]) -> Result:
    assert all(experiment.status is Status.DISCARD for experiment in ended), [
        (e.status, e.reason) for e in ended
    ]
    times = [datetime.fromisoformat(experiment.finished_at) for experiment in ended]
    # The first is left out: it pays for the start of the agent's process.
    span_s = (times[-1] - times[0]).total_seconds()
    busy_s = sum(experiment.seconds.evaluator for experiment in ended[1:])
    return Result(lanes, 3600 * (len(ended) - 1) / span_s, max(0.0, 1 - busy_s / span_s))


def main() -> int:
    """Measure, print, and fail below the ratio that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiments", type=int, default=12, help="of a run (default: 12)")
    parser.add_argument("--seconds", type=float, default=2.0, help="agent, and evaluation")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--save", type=Path, metavar="FILE", help="the results as JSON")
    args = parser.parse_args()
    print(describe())
    ratios, rows = [], []
    for number in range(1, args.rounds + 1):
        one, two = (run(lanes, args.experiments, args.seconds) for lanes in (1, 2))
        ratios.append(two.an_hour / one.an_hour)
        rows += [vars(one), vars(two)]
        print(
            f"{number}: one lane {one.an_hour:.0f} experiments an hour, evaluator idle "
            f"{one.idle:.0%}; two lanes {two.an_hour:.0f}, idle {two.idle:.0%}; "
            f"ratio {ratios[-1]:.2f}",
            flush=True,
        )
    middle = statistics.median(ratios)
    print(
        f"agent and evaluation take {args.seconds:g} s each: two lanes do {middle:.2f} times as "
        f"many experiments as one ({min(ratios):.2f} to {max(ratios):.2f} in {args.rounds} rounds)"
    )
    if args.save:
        args.save.write_text(json.dumps(rows, indent=1) + "\n")
    return int(middle < LEAST_RATIO)


if __name__ == "__main__":
    sys.exit(main())
