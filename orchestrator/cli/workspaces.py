"""Commands that make a workspace or check one: `init`, `demo`, `doctor`."""

import argparse
import contextlib
import shlex
from pathlib import Path

from orchestrator.cli.common import DONE, FAILED, INTERRUPTED, draw_chart
from orchestrator.core.errors import UserError
from orchestrator.core.text import counted, harmless
from orchestrator.store.workspace import Workspace, find_workspace


def init(args: argparse.Namespace) -> int:
    """Make a workspace, or turn an existing checkout into one."""
    from orchestrator.daemon.new_workspace import initialise, repository_around

    if args.workspace is not None:
        raise UserError("init takes its folder without --workspace: `autorl-daemon init DIR`")
    folder = Path.cwd() / args.dir
    if not args.nested and (around := repository_around(folder)):
        raise UserError(
            f"{args.dir} would lie in the repository {around}: `--nested` gives it one of its own "
            "there, or name a folder outside"
        )
    for line in initialise(folder, args.example, args.world):
        print(line)
    if args.world == "" and args.example is None:
        task = "write your task into task/world.py and program.md"
    elif args.example or args.world:
        task = "read the task in program.md"
    else:
        task = "write your task into program.md"
    where = shlex.quote(str(folder.resolve()))
    print(f"workspace ready: cd {where}, {task}, `autorl-daemon start`")
    return DONE


def demo(args: argparse.Namespace) -> int:
    """Make a workspace from an example, run it, and show its experiments."""
    from orchestrator.cli import demo as demos
    from orchestrator.cli.report import report_text
    from orchestrator.daemon import requests
    from orchestrator.daemon.new_workspace import initialise
    from orchestrator.daemon.process import start_detached
    from orchestrator.daemon.start_checks import check_start
    from orchestrator.daemon.templates import (
        examples,
        examples_with_candidates,
        examples_with_worlds,
    )
    from orchestrator.reporting.console import make_console

    example = args.example or demos.DEFAULT_EXAMPLE
    folder = args.workspace.resolve() if args.workspace else demos.demo_folder(example)
    if args.agent not in {"auto", "openai", "optuna"}:
        raise UserError(f"--agent {args.agent!r}: a demo runs with optuna, openai or auto")
    playable = sorted({*examples_with_candidates(), *examples_with_worlds()})
    if example in examples() and example not in playable:
        raise UserError(
            f"{example} is a brief alone, for an agent that writes its environment: "
            f"`autorl-daemon init DIR --example {example}`, then `start` there; a demo has one of "
            f"{', '.join(playable)}"
        )
    initialise(folder, example, example if example in examples_with_worlds() else None)
    workspace = Workspace(folder)
    settings = [f"agent.backend={args.agent}", f"limits.experiments={args.max_experiments}"]
    check_start(workspace, None, settings)
    console = make_console()
    console.print(
        f"example {example}, agent {args.agent}, "
        f"{counted(args.max_experiments, 'experiment')}, in {folder}\n",
        markup=False,
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
        print(f"\n{report_text(workspace)}\n")
        console.print("\n".join(demos.places(workspace, chart)), markup=False, soft_wrap=True)
    return code


def doctor(args: argparse.Namespace) -> int:
    """Check the machine and the workspace."""
    from orchestrator.daemon.doctor import examine, table

    try:
        workspace = find_workspace(args.workspace)
    except UserError:
        if args.workspace is not None:
            raise
        workspace = None
    findings = examine(workspace)
    print("\n".join(harmless(table(findings))))
    return FAILED if any(finding.state == "bad" for finding in findings) else DONE
