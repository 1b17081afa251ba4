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
from orchestrator.core.experiments import StopKind
from orchestrator.store.workspace import find_workspace

_EXIT_CODES = {StopKind.BASELINE_FAILED: FAILED, StopKind.INTERRUPTED: INTERRUPTED}
"""Exit codes of `start --foreground`, by stop reason; 0 for any other."""


def start(args: argparse.Namespace) -> int:
    """Start a run, or resume one."""
    from orchestrator.daemon.process import run_daemon, start_detached
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
        if args.foreground:
            reason = run_daemon(
                request, foreground=args.ready_fd is None, ready=lambda: ready("ready")
            )
            with contextlib.suppress(OSError):  # the terminal may be gone
                print(f"stopped: {reason.text}", file=sys.stderr)
            return _EXIT_CODES.get(reason.kind, DONE)
    except AutorlError as error:
        ready(str(error))
        raise
    passed = ["--tag", request.tag, *(f"--set={setting}" for setting in settings)]
    notes = start_notes(request)
    pid = start_detached(workspace, passed)
    print(f"started: pid {pid}, branch autorl/{request.tag}; `autorl-daemon logs -f` to watch")
    for line in notes:
        print(line)
    return DONE


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


def status(args: argparse.Namespace) -> int:
    """Show what the daemon is doing."""
    from orchestrator.config.loading import load_config
    from orchestrator.config.schema import Config
    from orchestrator.reporting.status import status_document

    workspace = find_workspace(args.workspace)
    try:
        config = load_config(workspace.config)
    except UserError as error:  # a running daemon has read it before; its state is still valid
        complain(error, USAGE)
        config = Config()
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
    from orchestrator.store.log import plain

    workspace = find_workspace(args.workspace)

    def show(line: str) -> None:
        if args.json:
            print(line, flush=True)
            return
        try:
            print(plain(json.loads(line)), flush=True)
        except ValueError:  # perhaps a last line that a full disk cut
            print(line, flush=True)

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
