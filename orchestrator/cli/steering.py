"""Commands that steer a run: the lead goes back, or is measured again."""

import argparse

from orchestrator.cli.common import DONE
from orchestrator.core.text import counted
from orchestrator.store.lock import holder
from orchestrator.store.workspace import Workspace, find_workspace


def prune(args: argparse.Namespace) -> int:
    """Have the lead go back to what experiment N was proposed from."""
    from orchestrator.daemon import lead_requests

    workspace = find_workspace(args.workspace)
    tag = lead_requests.prune(workspace, args.n, args.why)
    print(f"experiment {args.n} no longer leads, nor what rests on it{_when(workspace, tag)}")
    return DONE


def measure(args: argparse.Namespace) -> int:
    """Measure the lead or the published candidate on more fresh seeds."""
    from orchestrator.daemon import lead_requests

    workspace = find_workspace(args.workspace)
    tag = lead_requests.measure(workspace, args.n, args.seeds)
    more = counted(args.seeds, "more fresh seed")
    print(f"experiment {args.n} is measured on {more}{_when(workspace, tag)}")
    return DONE


def _when(workspace: Workspace, tag: str) -> str:
    return "" if holder(workspace.lock) else f" once `autorl-daemon start --tag {tag}` runs"
