"""Commands that make a workspace or check one: `init`, `demo`, `doctor`."""

import argparse
import contextlib

from orchestrator.cli.common import DONE, FAILED, INTERRUPTED, draw_chart
from orchestrator.core.errors import UserError
from orchestrator.store.workspace import Workspace, find_workspace


def init(args: argparse.Namespace) -> int:
    """Make a workspace, or turn an existing checkout into one."""
    from orchestrator.daemon.new_workspace import initialise

    folder = args.dir.expanduser().resolve()
    for line in initialise(folder, args.example):
        print(line)
    print(f"workspace ready: cd {folder}, write your task into program.md, `autorl-daemon start`")
    return DONE


def demo(args: argparse.Namespace) -> int:
    """Make a workspace from an example, run it, and show its experiments."""
    from rich.console import Console

    from orchestrator.cli import demo as demos
    from orchestrator.daemon import requests
    from orchestrator.daemon.new_workspace import initialise
    from orchestrator.daemon.process import start_detached
    from orchestrator.daemon.start_checks import check_start

    example = args.example or demos.default_example()
    folder = args.workspace.resolve() if args.workspace else demos.demo_folder(example)
    if args.agent not in {"auto", "openai", "optuna"}:
        raise UserError(f"--agent {args.agent!r}: a demo runs with optuna, openai or auto")
    initialise(folder, example)
    workspace = Workspace(folder)
    settings = [f"agent.backend={args.agent}", f"limits.experiments={args.max_experiments}"]
    check_start(workspace, None, settings)
    console = Console(highlight=False)
    console.print(
        f"example {example}, agent {args.agent}, {args.max_experiments} experiments, in {folder}\n"
    )
    start_detached(workspace, [f"--set={setting}" for setting in settings])
    code = DONE
    try:
        demos.watch(workspace, console)
    except KeyboardInterrupt:
        console.print("stopping …")
        requests.terminate(workspace)
        code = INTERRUPTED
    chart = workspace.logs / "plot.png"
    with contextlib.suppress(UserError):
        draw_chart(workspace, chart)
        summary = "\n".join(demos.summary(workspace, chart))
        console.print(f"\n{summary}", markup=False, soft_wrap=True)
    return code


def doctor(args: argparse.Namespace) -> int:
    """Check the machine and the workspace."""
    from orchestrator.daemon.doctor import examine

    try:
        workspace = find_workspace(args.workspace)
    except UserError:
        if args.workspace is not None:
            raise
        workspace = None
    findings = examine(workspace)
    for finding in findings:
        print(f"{finding.state:<5} {finding.what:<10} {finding.says}")
    return FAILED if any(finding.state == "bad" for finding in findings) else DONE
