"""Commands that start a daemon, control it or watch it."""

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Callable

from orchestrator.cli.common import (
    DONE,
    FAILED,
    INTERRUPTED,
    NOT_RUNNING,
    USAGE,
    complain,
)
from orchestrator.core.errors import AutorlError, UserError
from orchestrator.core.experiments import StopKind, StopReason
from orchestrator.core.text import harmless, one_line
from orchestrator.store.workspace import Workspace, find_workspace

_EXIT_CODES = {StopKind.BASELINE_FAILED: FAILED, StopKind.INTERRUPTED: INTERRUPTED}
"""Exit codes of `start --foreground`, by stop reason; 0 for any other."""


def start(args: argparse.Namespace) -> int:
    """Start a run, or resume one."""
    from orchestrator.daemon import requests
    from orchestrator.daemon.candidate_check import check_candidate, is_due
    from orchestrator.daemon.endpoint_start import endpoint_notes
    from orchestrator.daemon.process import run_daemon, start_detached
    from orchestrator.daemon.program_start import program_notes
    from orchestrator.daemon.start_checks import check_start, start_notes
    from orchestrator.store.lock import already_running, holder

    ready = _ready_pipe(args.ready_fd)
    try:
        workspace = find_workspace(args.workspace)
        settings = list(args.set)
        if args.max_experiments is not None:
            settings.append(f"limits.experiments={args.max_experiments}")
        if (pid := holder(workspace.lock)) is not None:
            raise already_running(pid)
        request = check_start(workspace, args.tag, settings)
        if args.from_worktree:
            requests.propose(workspace, args.description, request.tag, again=True)
        elif args.description:
            raise UserError("--description describes a candidate of --from-worktree")
        # A detached start has checked both before it started this process.
        is_checked = args.ready_fd is not None or not args.check or not is_due(request)
        if not is_checked and (unknown := check_candidate(request)):
            print(f"autorl-daemon: {unknown}", file=sys.stderr)
        is_asked = args.ready_fd is not None or not args.check
        asked = []
        if not is_asked:
            asked = program_notes(request.config, workspace.root) + endpoint_notes(request.config)
        if args.foreground:
            said = start_notes(request) + asked if args.ready_fd is None else []
            for line in harmless(said):
                print(line, file=sys.stderr)
            reason = run_daemon(
                request, foreground=args.ready_fd is None, ready=lambda: ready("ready")
            )
            _print_end(workspace, request.tag, reason, has_report=args.ready_fd is None)
            return _EXIT_CODES.get(reason.kind, DONE)
    except AutorlError as error:
        ready(str(error))
        raise
    passed = ["--tag", request.tag, *(f"--set={setting}" for setting in settings)]
    notes = start_notes(request) + asked
    pid = start_detached(workspace, passed)
    print(f"started: pid {pid}, branch autorl/{request.tag}; `autorl-daemon logs -f` to watch")
    for line in harmless(notes):
        print(line)
    if args.from_worktree:
        print("proposed: candidate/ is the next experiment, judged like any other")
    return DONE


def _print_end(workspace: Workspace, tag: str, reason: StopReason, *, has_report: bool) -> None:
    """Say why a run in the foreground has ended, and what came of it."""
    from orchestrator.cli.report import report_text

    with contextlib.suppress(OSError):  # the terminal may be gone
        print(f"stopped: {one_line(reason.text, 1000)}", file=sys.stderr)
        if has_report:
            with contextlib.suppress(UserError):  # nothing was begun
                print(f"\n{report_text(workspace, tag)}")


def _ready_pipe(descriptor: int | None) -> Callable[[str], None]:
    """Return a function that reports to the starting process: started, or why not."""

    def tell(text: str) -> None:
        nonlocal descriptor
        if descriptor is not None:
            with contextlib.suppress(OSError):
                os.write(descriptor, text.encode())
                os.close(descriptor)
            descriptor = None

    return tell


def notify(args: argparse.Namespace) -> int:
    """Send a test message by every way that `notify` in config.yaml names."""
    from orchestrator.config.loading import load_config
    from orchestrator.daemon.notifications import Message
    from orchestrator.daemon.notify_job import tell

    workspace = find_workspace(args.workspace)
    config = load_config(workspace.config).notify
    if not config.is_on:
        raise UserError("nobody is told: set notify.command, webhook or urls in config.yaml")
    message = Message("test", "autorl-daemon", f"a test from {workspace.root.name}")
    results = tell(config, message)
    for name, why in results:
        print(f"{name}: {one_line(why, 500) if why else 'told'}")
    return FAILED if any(why for _, why in results) else DONE


def stop(args: argparse.Namespace) -> int:
    """End the run: once the experiments in flight have ended, or at once with `--now`."""
    from orchestrator.daemon import requests

    workspace = find_workspace(args.workspace)
    if args.now:
        requests.terminate(workspace)
        print("stopped")
        return DONE
    pid = requests.ask(workspace, "stop")
    print(f"stopping: pid {pid} finishes what is in flight (`--now` aborts it)")
    return DONE


def pause(args: argparse.Namespace) -> int:
    """Begin no new experiment until `resume`."""
    from orchestrator.daemon import requests

    pid = requests.ask(find_workspace(args.workspace), "pause")
    print(f"pausing: pid {pid} finishes what is in flight")
    return DONE


def resume(args: argparse.Namespace) -> int:
    """Resume a paused run."""
    from orchestrator.daemon import requests

    pid = requests.ask(find_workspace(args.workspace), "resume")
    print(f"resuming: pid {pid}")
    return DONE


def reload(args: argparse.Namespace) -> int:
    """Have the running daemon reread config.yaml."""
    from orchestrator.config.reloading import TakesEffect
    from orchestrator.daemon import requests

    workspace = find_workspace(args.workspace)
    try:
        reread = requests.reload(workspace)
    except UserError as error:
        raise UserError(f"{error}\nthe daemon goes on with what it read before") from None
    if not reread.changes:
        print("config.yaml says what the daemon works with: nothing has changed")
        if reread.settings:
            print(f"set at the start, and stronger than the file: {', '.join(reread.settings)}")
    done = "takes effect now" if reread.is_done else "takes effect once the daemon reads it"
    for change in reread.changes:
        is_now = change.takes_effect is TakesEffect.NOW
        print(f"{change}: {done if is_now else f'stays as it was; {change.cure}'}")
    return DONE


def propose(args: argparse.Namespace) -> int:
    """Have candidate/ as it is in the working tree judged as an experiment."""
    from orchestrator.daemon import requests
    from orchestrator.store.lock import holder

    workspace = find_workspace(args.workspace)
    tag = requests.propose(workspace, args.description)
    when = "" if holder(workspace.lock) else f", once `autorl-daemon start --tag {tag}` runs"
    print(f"proposed: candidate/ is the next experiment of autorl/{tag}{when}")
    return DONE


def status(args: argparse.Namespace) -> int:
    """Show what the daemon is doing."""
    from orchestrator.config.loading import load_config
    from orchestrator.reporting.status import recorded_config, status_document

    workspace = find_workspace(args.workspace)
    try:
        config = load_config(workspace.config)
    except UserError as error:  # a running daemon has read it before; its state is still valid
        complain(error, USAGE)
        config = recorded_config(workspace)
    document = status_document(workspace, config)
    if args.json:
        print(json.dumps(document, indent=2))
    else:
        from orchestrator.reporting.terminal import status_lines

        print("\n".join(status_lines(document)))
    return DONE if document["running"] else NOT_RUNNING


def logs(args: argparse.Namespace) -> int:
    """Print the log; `-f` follows it."""
    from orchestrator.reporting.log_file import follow_log, log_lines
    from orchestrator.store.log import plain, times_line

    workspace = find_workspace(args.workspace)
    if not (args.follow or workspace.daemon_log.exists()):
        raise UserError(f"nothing is logged in {workspace.root} yet: `autorl-daemon start`")
    if not args.json:
        print(times_line(), file=sys.stderr)

    def show(line: str) -> None:
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):  # perhaps a last line that a full disk cut
            entry = None
        if not isinstance(entry, dict):
            print(one_line(line, 1000), flush=True)
        elif args.json:
            # A terminal obeys some characters that JSON lets stand.
            print(line if line.isprintable() else json.dumps(entry), flush=True)
        else:
            print(plain(entry), flush=True)

    for line in log_lines(workspace.daemon_log, args.n):
        show(line)
    if args.follow:
        for line in follow_log(workspace.daemon_log):
            show(line)
    return DONE


def service(args: argparse.Namespace) -> int:
    """Have systemd restart a run after crashes and reboots, or remove that."""
    from orchestrator.core.clock import default_tag
    from orchestrator.daemon.start_checks import check_start
    from orchestrator.daemon.systemd import Service
    from orchestrator.store.ledger import Ledger
    from orchestrator.store.lock import already_running, holder

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
    request = check_start(workspace, tag or default_tag(), ())
    if args.now and (pid := holder(workspace.lock)) is not None:
        raise already_running(pid)
    print("\n".join(unit.install(request.tag, now=args.now)))
    return DONE
