"""The daemon's process: lock, signals, one run from start to end, detaching."""

import contextlib
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from typing import Any

from orchestrator.agents.choice import choose_backend
from orchestrator.agents.workplace import sweep_turns
from orchestrator.config.schema import LogsConfig
from orchestrator.core.clock import now
from orchestrator.core.errors import (
    CommandFailedError,
    LedgerError,
    ShortageError,
)
from orchestrator.core.experiments import StopKind, StopReason
from orchestrator.core.records import Phase
from orchestrator.daemon.heartbeat import Heartbeat
from orchestrator.daemon.notifications import Notifier
from orchestrator.daemon.start_checks import StartRequest, evaluator_settings
from orchestrator.daemon.wiring import wire
from orchestrator.engine.engine import Engine
from orchestrator.evaluation.confinement import choose_tier, sandbox_state
from orchestrator.store.branch import EXPERIMENT_REFS
from orchestrator.store.git import GitStore
from orchestrator.store.ledger import Ledger
from orchestrator.store.lock import WorkspaceLock
from orchestrator.store.log import open_log
from orchestrator.store.runs import Run
from orchestrator.store.user_files import open_regular
from orchestrator.store.workspace import Workspace
from sandbox import Tier, adopt_orphans, end_children

_TERMINATED = StopReason(StopKind.TERMINATED, "stopped at once (SIGTERM)")
_INTERRUPTED = StopReason(StopKind.INTERRUPTED, "stopped at once (interrupted)")
_STATE_GONE = StopReason(
    StopKind.STUCK,
    ".autorl was removed or replaced while the run went on, and nothing more could be recorded: "
    "what was published is on its branch; `autorl-daemon start` begins another run",
)
_STOPPED: dict[str, object] = {
    "phase": Phase.STOPPED.value, "progress": None, "experiment": None, "asked": [], "lanes": [],
}  # fmt: skip


def run_daemon(request: StartRequest, *, foreground: bool, ready: Callable[[], None]) -> StopReason:
    """Run in this process until there is a reason to stop; return it.

    Raises:
        CommandFailedError: another daemon runs here.
        UserError: candidates can't be confined here.
    """
    workspace = request.workspace
    tier = choose_tier(request.config)
    workspace.make_folders()
    asked_before = _last_request(workspace)
    with WorkspaceLock(workspace.lock) as lock, Ledger(workspace.ledger) as ledger:

        def log_by(logs: LogsConfig) -> Any:
            return open_log(workspace.daemon_log, logs, console=foreground)

        log = log_by(request.config.logs)
        heartbeat = Heartbeat(workspace.live, log, tag=request.tag, sandbox=tier.value)
        _install_signals(heartbeat)
        heartbeat.watch(_state_watch(workspace, lock))
        adopt_orphans()
        ledger.drop_requests("stop", "pause", "resume", "reload", up_to=asked_before)
        if former := ledger.moved_from(workspace.root):
            heartbeat.log("workspace moved", "warning", former=former, now=str(workspace.root))
        ledger.set_home(workspace.root)
        run = _open_run(ledger, request)
        heartbeat.show({"phase": Phase.STARTING.value})
        ready()
        return _run(
            request,
            ledger,
            run,
            heartbeat,
            tier=tier,
            log_by=lambda logs: heartbeat.log_to(log_by(logs)),
        )


def _run(
    request: StartRequest,
    ledger: Ledger,
    run: Run,
    heartbeat: Heartbeat,
    *,
    tier: Tier,
    log_by: Callable[[LogsConfig], None],
) -> StopReason:
    store = GitStore(request.workspace.root)
    heartbeat.call_on_end(store.hurry)
    with contextlib.suppress(OSError):  # they only take up room
        sweep_turns(request.workspace.state)
    parts = wire(
        request, ledger=ledger, run=run, store=store, monitor=heartbeat, tier=tier, log_by=log_by
    )
    notifier = Notifier(request.config.notify, ledger, request.tag, heartbeat.log)
    heartbeat.call_on_log(notifier.heard)
    chosen = [choose_backend(one) for one in request.config.each_alone]
    heartbeat.log(
        "run started",
        tag=request.tag,
        agent=parts.agent.name,
        reviewer=parts.reviewer.name,
        backend=", ".join(backend for backend, _ in chosen),
        why="; ".join(dict.fromkeys(why for _, why in chosen)),
        lanes=parts.lanes,
        workspace=str(request.workspace.root),
        sandbox=sandbox_state(tier, request.config),
    )
    reason = StopReason(StopKind.BUG, "bug")
    try:
        with contextlib.suppress(OSError, ShortageError):  # then the first evaluation starts it
            parts.evaluator.warm_up()
        reason = Engine(parts).run()
    except Exception as error:
        reason = StopReason(StopKind.BUG, f"bug: {type(error).__name__}: {error}")
        with contextlib.suppress(LedgerError):
            ledger.set_stop_reason(request.tag, reason)
        trace = traceback.format_exc()
        heartbeat.log("crashed", level="error", reason=reason.text, traceback=trace)
        raise
    finally:
        parts.agent.close()
        parts.reviewer.close()
        parts.evaluator.close()
        end_children(notifier.processes)  # people are still being told
        heartbeat.log("run stopped", reason=reason.text)
        heartbeat.show(_STOPPED | {"reason": reason.text})
        notifier.close()
    return reason


def _state_watch(workspace: Workspace, lock: WorkspaceLock) -> Callable[[], StopReason | None]:
    """Return what looks whether the state is still there: without it no command would be heard."""
    ours = workspace.ledger.stat()

    def look() -> StopReason | None:
        lock.keep()
        try:
            is_there = os.path.samestat(ours, workspace.ledger.stat())
        except (FileNotFoundError, NotADirectoryError):
            is_there = False
        except OSError:  # nobody can tell for now
            return None
        return None if is_there else _STATE_GONE

    return look


def _last_request(workspace: Workspace) -> int:
    """Return the id of the last request to an earlier daemon, 0 without one."""
    if not workspace.ledger.exists():
        return 0
    with Ledger(workspace.ledger) as ledger:
        return max((request.id for request in ledger.requests()), default=0)


def _open_run(ledger: Ledger, request: StartRequest) -> Run:
    run = ledger.run(request.tag)
    if run is None:
        ledger.create_run(Run(request.tag, request.parent, evaluator_settings(request), now()))
        # Another workspace of this repository, or a deleted one, may have used the first numbers.
        store = GitStore(request.workspace.root)
        ledger.number_from(store.last_experiment(EXPERIMENT_REFS))
    ledger.set_stop_reason(request.tag, None)
    # A pause outlives its daemon; a start ends it.
    ledger.set_pause_reason(request.tag, None)
    opened = ledger.run(request.tag)
    assert opened is not None
    return opened


def _install_signals(heartbeat: Heartbeat) -> None:
    signal.signal(signal.SIGTERM, lambda *_: heartbeat.end_now(_TERMINATED))
    signal.signal(signal.SIGINT, lambda *_: heartbeat.end_now(_INTERRUPTED))
    signal.signal(signal.SIGHUP, lambda *_: heartbeat.reload())


def start_detached(workspace: Workspace, arguments: list[str]) -> int:
    """Start the daemon as a process of its own; return its pid once it holds the lock.

    Raises:
        CommandFailedError: it did not start; the text is its output.
    """
    workspace.make_folders()
    read, write = os.pipe()
    with open_regular(workspace.logs / "daemon.out", "ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "orchestrator", "start", "--foreground", "--workspace",
             str(workspace.root), "--ready-fd", str(write), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=workspace.root,
            pass_fds=(write,),
            start_new_session=True,
        )  # fmt: skip
    os.close(write)
    with os.fdopen(read) as pipe:
        # The pipe ends when the child is ready or dead, whichever comes first.
        said = pipe.read().strip()
    if said == "ready":
        return process.pid
    raise CommandFailedError(
        said or f"the daemon did not start: see {workspace.logs / 'daemon.out'}"
    )
