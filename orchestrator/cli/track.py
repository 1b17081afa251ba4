"""`track`: a run's curves in TensorBoard or Weights & Biases.

A process of its own, which reads the ledger: the daemon has no part in it, and waits for nobody.
"""

import argparse
import time
from contextlib import ExitStack

from orchestrator.cli.common import DONE
from orchestrator.core.errors import UserError
from orchestrator.core.text import counted
from orchestrator.store.workspace import find_workspace

_POLL_S = 2.0


def track(args: argparse.Namespace) -> int:
    """Draw a run in TensorBoard or W&B: returns, solve rates and costs by experiment."""
    from orchestrator.reporting.curves import curve_points
    from orchestrator.reporting.run_view import open_ledger, read_run
    from orchestrator.reporting.status import running_tag
    from orchestrator.reporting.trackers import TensorBoardTracker, Tracker, WandbTracker

    workspace = find_workspace(args.workspace)
    if args.tensorboard is None and args.wandb is None:
        raise UserError("say where to: --tensorboard DIR, --wandb PROJECT, or both")
    with ExitStack() as stack:
        ledger = stack.enter_context(open_ledger(workspace))
        run = read_run(workspace, ledger, args.tag).run
        trackers: list[Tracker] = []
        if args.tensorboard is not None:
            trackers.append(TensorBoardTracker(args.tensorboard / run.tag))
        if args.wandb is not None:
            name = f"{workspace.root.name}-{run.tag}"
            trackers.append(
                WandbTracker(args.wandb, name, home=workspace.root, config=run.evaluator)
            )
        for tracker in trackers:
            stack.callback(tracker.close)
        drawn = 0
        while True:
            is_last = not args.follow or running_tag(workspace) != run.tag
            for point in curve_points(read_run(workspace, ledger, run.tag)):
                if point.ended > drawn:
                    drawn = point.ended
                    for tracker in trackers:
                        tracker.add(point)
            for tracker in trackers:
                tracker.flush()
            if is_last:
                break
            time.sleep(_POLL_S)
    print(f"{counted(drawn, 'experiment')} of {run.tag} drawn")
    return DONE
