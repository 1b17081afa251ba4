"""The embedded search on two public tasks, beside their published table.

`python -m benchmarks.public_tasks [--minutes 15] [--rung 32 16] [--seeds 8] [--tasks TASK ...]`

MLGym (arXiv:2502.14499) gives both games to agents that may rewrite the training code; its figures
are mean returns of actions drawn from the policy, after 10 million steps. Here the worlds are those
of `examples/`, actions are greedy, and training is what one budget allows, which is printed: the
two columns stand beside each other and are no contest. What the search ends with is trained anew
on fresh seeds, beside what it began with.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine import describe
from orchestrator.config.loading import load_config
from orchestrator.core.records import Files, Rung
from orchestrator.daemon.new_workspace import initialise
from orchestrator.planning.state import replay
from orchestrator.store.ledger import Ledger
from orchestrator.store.workspace import Workspace
from referee.records import EvaluationRequest
from referee.referee import Referee

PUBLISHED = {
    "breakout": "48.8 → 71.4",
    "metamaze": "15.7 → 48.6",
}
"""MLGym's baseline, and the best of the models in its results table."""
_FIRST_FRESH_SEED = 900_001
_TAG = "public"


@dataclass(frozen=True)
class Measured:
    """A candidate's returns on fresh seeds."""

    returns: list[float]
    env_steps: int
    """Environment steps of training, a seed."""

    def __str__(self) -> str:
        if len(self.returns) < 2:
            return f"{self.returns[0]:.1f}"
        error = statistics.stdev(self.returns) / len(self.returns) ** 0.5
        return f"{statistics.fmean(self.returns):.1f} ± {1.96 * error:.1f}"


def search(task: str, folder: Path, rung: Rung, minutes: float) -> tuple[int, Files, Files]:
    """Let the embedded search run; return its experiments, what it began and what it ended with."""
    initialise(folder, None, task)
    workspace = Workspace(folder)
    settings = (
        "agent.backend=optuna",
        f"budget.ladder=[[{rung.train_episodes},{rung.eval_episodes}]]",
        f"limits.hours={minutes / 60}",
        "limits.consecutive_failures=null",
    )
    command = [sys.executable, "-m", "orchestrator", "start", "--foreground", "--tag", _TAG]
    subprocess.run(
        [*command, *(f"--set={setting}" for setting in settings)],
        cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
    )  # fmt: skip
    with Ledger(workspace.ledger) as ledger:
        state = replay(ledger.endings(_TAG), ledger.moves(_TAG))
        ended = state.lead or state.incumbent
        assert ended is not None
        files = ledger.files(ended.n)
        assert files is not None
        return state.counted, workspace.candidate(), files


def measure(
    referee: Referee, workspace: Workspace, files: Files, rung: Rung, seeds: int
) -> Measured:
    """Train a candidate on fresh seeds in the workspace's world."""
    config = load_config(workspace.config, environment={})
    folder = workspace.state / "fresh"
    (folder / "candidate").mkdir(parents=True, exist_ok=True)
    for path, text in files.by_path().items():
        (folder / path).write_text(text)
    request = EvaluationRequest(
        candidate_dir=folder / "candidate",
        train_episodes=rung.train_episodes,
        eval_episodes=rung.eval_episodes,
        seeds=tuple(range(_FIRST_FRESH_SEED, _FIRST_FRESH_SEED + seeds)),
        num_envs=config.evaluator.num_envs,
        world=workspace.world(),
    )
    result = referee.evaluate(request)
    returns = [seed.full_return for seed in result.seed_results]
    return Measured(returns, result.env_steps // seeds)


def main() -> None:
    """Print a row a task."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=15.0, help="of search, a task")
    parser.add_argument("--rung", type=int, nargs=2, default=(32, 16), metavar="EPISODES")
    parser.add_argument("--seeds", type=int, default=8, help="fresh ones, for both candidates")
    parser.add_argument("--tasks", nargs="+", choices=PUBLISHED, default=list(PUBLISHED))
    args = parser.parse_args()
    rung = Rung(*args.rung)
    print(f"{describe()}; {args.minutes:g} minutes of search, {args.seeds} fresh seeds\n")
    head = (
        "task", "MLGym: baseline → best", "experiments", "began with", "ended with",
        "steps of training",
    )  # fmt: skip
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}", flush=True)
    for task in args.tasks:
        with tempfile.TemporaryDirectory() as folder, Referee() as referee:
            workspace = Workspace(Path(folder) / task)
            experiments, first, last = search(task, workspace.root, rung, args.minutes)
            before, after = (
                measure(referee, workspace, files, rung, args.seeds) for files in (first, last)
            )
        cells = (task, PUBLISHED[task], experiments, before, after, f"{after.env_steps:,}")
        print(f"| {' | '.join(map(str, cells))} |", flush=True)


if __name__ == "__main__":
    main()
