"""`autorl-daemon`: one function per command, errors mapped to exit codes in one place.

Exit codes: 0 done, 1 failed, 2 usage or bad config, 3 not running, 130 interrupted. With `--json`
standard output is one JSON document (`logs`: JSON Lines); messages go to standard error.
"""

import argparse
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from orchestrator import __version__
from orchestrator.errors import (
    AutorlError,
    CommandFailedError,
    ConflictError,
    NotRunningError,
    UserError,
)
from orchestrator.workspace import Workspace, find_workspace

DONE, FAILED, USAGE, NOT_RUNNING, INTERRUPTED = 0, 1, 2, 3, 130
_STOP_NOW_S = 15.0
# What a hook or an alias says about which repository this is; the workspace decides that.
_FOREIGN_REPOSITORY = (
    "GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_NAMESPACE", "GIT_PREFIX",
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    parsed = _parser().parse_args(arguments)
    for name in _FOREIGN_REPOSITORY:
        os.environ.pop(name, None)
    try:
        code: int = parsed.run(parsed)
    except UserError as error:
        return _complain(error, USAGE)
    except NotRunningError as error:
        return _complain(error, NOT_RUNNING)
    except AutorlError as error:
        return _complain(error, FAILED)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # `autorl-daemon results | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except OSError as error:  # a read-only folder, a full disk; a daemon's is in its log as well
        return _complain(error, FAILED)
    return code


def _complain(error: Exception, code: int) -> int:
    for line in str(error).splitlines():
        print(f"autorl-daemon: {line}", file=sys.stderr)
    return code


# -- making and checking ---------------------------------------------------------------------------


def init(args: argparse.Namespace) -> int:
    """Make a workspace, or turn an existing checkout into one."""
    from orchestrator.workspace import initialise

    folder = args.dir.expanduser().resolve()
    for line in initialise(folder, args.example):
        print(line)
    print(f"workspace ready: cd {folder}, write your task into program.md, `autorl-daemon start`")
    return DONE


def demo(args: argparse.Namespace) -> int:
    """Make a workspace from an example, run it, and show what happens."""
    from rich.console import Console

    from orchestrator import demo as demos
    from orchestrator.daemon import check_start, start_detached
    from orchestrator.workspace import initialise

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
        _terminate(workspace)
        code = INTERRUPTED
    chart = workspace.logs / "plot.png"
    with contextlib.suppress(UserError):
        _draw(workspace, chart)
        summary = "\n".join(demos.summary(workspace, chart))
        console.print(f"\n{summary}", markup=False, soft_wrap=True)
    return code


def doctor(args: argparse.Namespace) -> int:
    """Check the machine and the workspace."""
    from orchestrator.doctor import examine

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


# -- the daemon ------------------------------------------------------------------------------------


def start(args: argparse.Namespace) -> int:
    """Start a run, or go on with one."""
    from orchestrator.daemon import (
        INTERRUPT_REASON,
        check_start,
        run_daemon,
        start_detached,
        start_notes,
    )
    from orchestrator.lock import already_running, holder

    ready = _ready_pipe(args.ready_fd)
    try:
        workspace = find_workspace(args.workspace)
        settings = list(args.set)
        if args.max_experiments is not None:
            settings.append(f"limits.experiments={args.max_experiments}")
        if (pid := holder(workspace.lock)) is not None:
            raise already_running(pid)
        plan = check_start(workspace, args.tag, settings)
        if args.foreground:
            reason = run_daemon(
                plan, foreground=args.ready_fd is None, ready=lambda: ready("ready")
            )
            with contextlib.suppress(OSError):  # the terminal may be gone
                print(f"stopped: {reason}", file=sys.stderr)
            if reason == INTERRUPT_REASON:
                return INTERRUPTED
            return FAILED if reason.startswith("the baseline failed") else DONE
    except AutorlError as error:
        ready(str(error))
        raise
    passed = ["--tag", plan.tag, *(f"--set={setting}" for setting in settings)]
    notes = start_notes(plan)
    pid = start_detached(workspace, passed)
    print(f"started: pid {pid}, branch autorl/{plan.tag}; `autorl-daemon logs -f` to watch")
    for line in notes:
        print(line)
    return DONE


def _ready_pipe(descriptor: int | None) -> Callable[[str], None]:
    """Return how to tell the process that started us that we are up, or why not."""

    def tell(text: str) -> None:
        nonlocal descriptor
        if descriptor is not None:
            with contextlib.suppress(OSError):
                os.write(descriptor, text.encode())
                os.close(descriptor)
            descriptor = None

    return tell


def stop(args: argparse.Namespace) -> int:
    """End the run: after the experiment in hand, or at once with `--now`."""
    workspace = find_workspace(args.workspace)
    if args.now:
        _terminate(workspace)
        print("stopped")
        return DONE
    pid = _request(workspace, "stop")
    print(f"stopping: pid {pid} finishes the experiment in hand (`--now` aborts it)")
    return DONE


def pause(args: argparse.Namespace) -> int:
    """Begin no new experiment until `resume`."""
    pid = _request(find_workspace(args.workspace), "pause")
    print(f"pausing: pid {pid} finishes the experiment in hand")
    return DONE


def resume(args: argparse.Namespace) -> int:
    """Go on after a pause."""
    pid = _request(find_workspace(args.workspace), "resume")
    print(f"resuming: pid {pid}")
    return DONE


def status(args: argparse.Namespace) -> int:
    """Say what the daemon is doing."""
    from orchestrator import views
    from orchestrator.config import Config, load_config

    workspace = find_workspace(args.workspace)
    try:
        config = load_config(workspace.config)
    except UserError as error:  # a running daemon has read it long ago; its state is still true
        _complain(error, USAGE)
        config = Config()
    document = views.status(workspace, config)
    if args.json:
        print(json.dumps(document, indent=2))
    else:
        from orchestrator.screens import status_lines

        print("\n".join(status_lines(document)))
    return DONE if document["running"] else NOT_RUNNING


def logs(args: argparse.Namespace) -> int:
    """Print the log; `-f` follows it."""
    from orchestrator import views
    from orchestrator.logs import plain

    workspace = find_workspace(args.workspace)

    def show(line: str) -> None:
        if args.json:
            print(line, flush=True)
            return
        try:
            print(plain(json.loads(line)), flush=True)
        except ValueError:  # a torn last line of a full disk, say
            print(line, flush=True)

    for line in views.log_lines(workspace.daemon_log, args.n):
        show(line)
    if args.follow:
        for line in views.follow(workspace.daemon_log):
            show(line)
    return DONE


def service(args: argparse.Namespace) -> int:
    """Have systemd keep a run going, across crashes and reboots; or no longer."""
    from orchestrator.daemon import check_start, default_tag
    from orchestrator.ledger import Ledger
    from orchestrator.lock import already_running, holder
    from orchestrator.service import Service

    workspace = find_workspace(args.workspace)
    unit = Service(workspace)
    if args.what == "remove":
        print("\n".join(unit.remove(now=args.now)))
        return DONE
    tag = args.tag
    if tag is None and workspace.ledger.exists():
        with Ledger(workspace.ledger) as ledger:
            last = ledger.last_run()
            tag = last.tag if last else None
    plan = check_start(workspace, tag or default_tag(), ())
    if args.now and (pid := holder(workspace.lock)) is not None:
        raise already_running(pid)
    print("\n".join(unit.install(plan.tag, now=args.now)))
    return DONE


# -- results ---------------------------------------------------------------------------------------


def results(args: argparse.Namespace) -> int:
    """List the experiments."""
    from orchestrator import journal, screens, views

    workspace = find_workspace(args.workspace)
    with views.open_ledger(workspace) as ledger:
        if args.json:
            print(json.dumps(views.results(ledger, args.tag), indent=2))
        elif args.tsv:
            print("\t".join(journal.COLUMNS))
            for experiment in ledger.experiments(args.tag):
                print(journal.tsv_row(experiment))
        else:
            screens.print_results(views.read_run(workspace, ledger, args.tag))
    return DONE


def show(args: argparse.Namespace) -> int:
    """Show one experiment: what it tried, what came of it, and its change."""
    from orchestrator import screens, views
    from orchestrator.ledger import REFERENCE
    from orchestrator.text import clean

    workspace = find_workspace(args.workspace)
    with views.open_ledger(workspace) as ledger:
        experiment = views.find_experiment(ledger, args.n)
        change = views.diff(ledger, experiment)
        evidence = ledger.evidence(experiment.n)
        if args.json:
            document = views.result(experiment, views.of_role(evidence, REFERENCE)) | {
                "evidence": [{"role": role, **asdict(seed)} for role, seed in evidence],
                "metrics": dict(experiment.metrics),
                "details": experiment.details,
                "diff": change,
            }
            print(json.dumps(document, indent=2))
        elif args.diff:
            # A terminal obeys what a candidate may have written; a pipe gets the patch as it is.
            print(clean(change, len(change)) if sys.stdout.isatty() else change, end="")
        else:
            folder = workspace.logs / "experiments" / str(args.n)
            print("\n".join(screens.show_lines(experiment, evidence, folder, change)))
    return DONE


def accept(args: argparse.Namespace) -> int:
    """Make experiment N the incumbent, by a human's word."""
    from orchestrator import views
    from orchestrator.branch import Branch
    from orchestrator.daemon import now
    from orchestrator.gitstore import GitStore
    from orchestrator.lock import WorkspaceLock, holder

    workspace = find_workspace(args.workspace)
    with views.open_ledger(workspace) as ledger:
        experiment = views.find_experiment(ledger, args.n)
        if ledger.files(args.n) is None:
            raise UserError(f"experiment {args.n} holds no candidate (its reply was not usable)")
        if holder(workspace.lock):
            running = views.read_run(workspace, ledger).run.tag
            if running != experiment.tag:
                raise UserError(
                    f"experiment {args.n} is of run {experiment.tag}, and {running} is running"
                )
            ledger.add_request("accept", str(args.n), now())
            print(f"experiment {args.n} becomes the incumbent after the experiment in hand")
            return DONE
        run = ledger.run(experiment.tag)
        assert run is not None
        with WorkspaceLock(workspace.lock):
            try:
                commit = Branch(run, ledger, GitStore(workspace.root)).accept(args.n, now())
            except ConflictError as error:
                raise CommandFailedError(str(error)) from None
    print(f"experiment {args.n} is the incumbent of autorl/{run.tag} ({commit[:12]})")
    return DONE


def export(args: argparse.Namespace) -> int:
    """Write a candidate's two files out."""
    from orchestrator import views

    workspace = find_workspace(args.workspace)
    if len(args.what) > 2:
        raise UserError("export takes an experiment's number and a folder, or the folder alone")
    n, folder = (None, args.what[0]) if len(args.what) == 1 else args.what
    with views.open_ledger(workspace) as ledger:
        if n is None:
            incumbent = views.read_run(workspace, ledger).state.incumbent
            if incumbent is None:
                raise UserError("the run has no accepted candidate yet")
            number = incumbent.n
        else:
            if not n.isdigit():
                raise UserError(f"{n!r} is not an experiment's number")
            number = views.find_experiment(ledger, int(n)).n
        files = ledger.files(number)
    if files is None:
        raise UserError(f"experiment {number} holds no candidate (its reply was not usable)")
    target = Path(folder).expanduser()
    targets = {target / Path(path).name: text for path, text in files.by_path().items()}
    if present := [str(path) for path in targets if path.exists()]:
        raise UserError(f"{', '.join(present)} exists already: name another folder")
    target.mkdir(parents=True, exist_ok=True)
    for path, text in targets.items():
        path.write_text(text, encoding="utf-8", newline="")
    print(f"wrote {' and '.join(path.name for path in targets)} of experiment {number} to {target}")
    return DONE


def plot(args: argparse.Namespace) -> int:
    """Draw the run."""
    workspace = find_workspace(args.workspace)
    chart = args.output or workspace.logs / "plot.png"
    _draw(workspace, chart, args.tag)
    print(chart)
    return DONE


def note(args: argparse.Namespace) -> int:
    """Leave a note for the agent; it is in every prompt from now on."""
    from orchestrator.daemon import now
    from orchestrator.ledger import Ledger

    workspace = find_workspace(args.workspace)
    text = " ".join(args.text).strip()
    if not text:
        raise UserError("the note is empty")
    workspace.state.mkdir(mode=0o700, exist_ok=True)
    with Ledger(workspace.ledger) as ledger:
        ledger.add_note(text, now())
    print("noted: the agent sees it from its next prompt on")
    return DONE


# -- helpers ---------------------------------------------------------------------------------------


def _draw(workspace: Workspace, chart: Path, tag: str | None = None) -> None:
    from orchestrator import views
    from orchestrator.plot import draw

    if chart.suffix.lower() not in {".png", ".svg", ".pdf"}:
        raise UserError(f"{chart} must end in .png, .svg or .pdf")
    with views.open_ledger(workspace) as ledger:
        view = views.read_run(workspace, ledger, tag)
    chart.parent.mkdir(parents=True, exist_ok=True)
    draw(view, chart)


def _request(workspace: Workspace, kind: str) -> int:
    """Leave a request for the running daemon; return its pid."""
    from orchestrator.daemon import now
    from orchestrator.ledger import Ledger

    pid = _running(workspace)
    with Ledger(workspace.ledger) as ledger:
        ledger.add_request(kind, None, now())
    return pid


def _terminate(workspace: Workspace) -> None:
    """End the daemon now and wait until it is gone."""
    from orchestrator.lock import holder

    pid = _running(workspace)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_NOW_S
    while holder(workspace.lock) is not None:
        if time.monotonic() > deadline:
            raise CommandFailedError(
                f"pid {pid} did not end within {_STOP_NOW_S:g} s: kill -9 {pid}"
            )
        time.sleep(0.05)


def _running(workspace: Workspace) -> int:
    from orchestrator.lock import holder

    pid = holder(workspace.lock)
    if pid is None:
        raise NotRunningError(f"no daemon is running in {workspace.root}")
    return pid


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="autorl-daemon",
        description="Leave it running overnight: an agent proposes changes to a candidate, a fixed "
        "evaluator trains and scores each, git keeps what is better.",
    )
    parser.add_argument("--version", action="version", version=f"autorl-daemon {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(function: Callable[[argparse.Namespace], int], **more: Any) -> Any:
        name = function.__name__
        text = (function.__doc__ or "").strip()
        sub = commands.add_parser(name, help=text, description=text, **more)
        sub.set_defaults(run=function)
        if name != "init":
            sub.add_argument(
                "--workspace",
                type=Path,
                metavar="DIR",
                help="the workspace (default: here or above)",
            )
        return sub

    sub = command(init)
    sub.add_argument("dir", type=Path, metavar="DIR")
    sub.add_argument("--example", metavar="NAME", help="start from a shipped example")

    sub = command(demo)
    sub.add_argument("--example", metavar="NAME", help="which example (default: keydoor)")
    sub.add_argument("--agent", default="optuna", help="agent.backend (default: optuna)")
    sub.add_argument("--max-experiments", type=_count, default=20, metavar="N")

    command(doctor)
    _add_daemon_commands(command)
    _add_result_commands(command)
    return parser


def _add_daemon_commands(command: Callable[..., Any]) -> None:
    sub = command(start)
    sub.add_argument("--foreground", action="store_true", help="stay in this terminal")
    sub.add_argument("--tag", help="name of the run (default: today, as in nov22)")
    sub.add_argument("--max-experiments", type=_count, metavar="N", help="limits.experiments")
    sub.add_argument("--set", action="append", default=[], metavar="K=V", help="beats config.yaml")
    sub.add_argument("--ready-fd", type=int, help=argparse.SUPPRESS)
    sub = command(stop)
    sub.add_argument("--now", action="store_true", help="abort the experiment in hand")
    command(pause)
    command(resume)
    sub = command(service)
    sub.add_argument("what", choices=["install", "remove"])
    sub.add_argument("--tag", help="name of the run (default: the last one, else today)")
    sub.add_argument("--now", action="store_true", help="start, or stop, it at once as well")
    sub = command(status)
    sub.add_argument("--json", action="store_true")
    sub = command(logs)
    sub.add_argument("-f", "--follow", action="store_true", help="go on as lines are written")
    sub.add_argument("-n", type=int, default=20, metavar="N", help="lines (default: 20)")
    sub.add_argument("--json", action="store_true", help="as they are: JSON Lines")


def _add_result_commands(command: Callable[..., Any]) -> None:
    sub = command(results)
    form = sub.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true")
    form.add_argument("--tsv", action="store_true")
    sub.add_argument("--tag", help="one run only")
    sub = command(show)
    sub.add_argument("n", type=int, metavar="N")
    sub.add_argument("--diff", action="store_true", help="only the change, as a patch")
    sub.add_argument("--json", action="store_true")
    sub = command(accept)
    sub.add_argument("n", type=int, metavar="N")
    sub = command(export)
    sub.add_argument("what", nargs="+", metavar="[N] DIR", help="experiment (default: incumbent)")
    sub = command(plot)
    sub.add_argument("-o", "--output", type=Path, metavar="FILE", help=".png, .svg or .pdf")
    sub.add_argument("--tag", help="which run (default: the last)")
    sub = command(note)
    sub.add_argument("text", nargs="+", metavar="TEXT")


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a positive number, not {text!r}")
    return int(text)


if __name__ == "__main__":
    raise SystemExit(main())
