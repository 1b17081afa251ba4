"""The daemon: the lock, signals, the heartbeat, detaching, and the wiring of a run."""

import _thread
import contextlib
import datetime as dt
import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any, TypeVar

from orchestrator.agents.choice import choose_backend, make_agent
from orchestrator.core.clock import now
from orchestrator.core.errors import (
    CommandFailedError,
    LedgerError,
    ShortageError,
    StopRequestedError,
)
from orchestrator.core.records import Phase
from orchestrator.daemon.start_checks import Plan, evaluator_settings
from orchestrator.engine.fittings import Fittings
from orchestrator.engine.loop import STOPPED_BY_USER, Loop
from orchestrator.evaluation.confinement import choose_tier, sandbox_state
from orchestrator.evaluation.local import LocalEvaluator
from orchestrator.store.branch import EXPERIMENT_REFS, Branch
from orchestrator.store.git import GitStore
from orchestrator.store.ledger import Ledger
from orchestrator.store.lock import WorkspaceLock
from orchestrator.store.log import open_log
from orchestrator.store.runs import Run
from orchestrator.store.workspace import Workspace
from sandbox import Tier, adopt_orphans, end_children

T = TypeVar("T")
INTERRUPT_REASON = "stopped at once (interrupted)"
_HEARTBEAT_S = 1.0
_BLOCK = 4096
_POLL_S = 0.1


# -- the host --------------------------------------------------------------------------------------


class DaemonHost:
    """The daemon's side of the loop: heartbeat, waiting, log, and the wish to end."""

    def __init__(self, plan: Plan, ledger: Ledger, log: Any, tier: Tier) -> None:
        # Kept open, and written over in place by whole blocks: a full disk or a lack of descriptors
        # can't hide that the daemon is alive.
        self._live = plan.workspace.live.open("wb", buffering=0)
        self._ledger = ledger
        self._log = log
        # A plain attribute: a handler that took a lock could meet its own thread holding it.
        self._stop_reason: str | None = None
        self.on_stop: Callable[[], None] = lambda: None
        """Called in a signal handler when the run is told to end now."""
        self._written = 0.0
        self._facts: dict[str, Any] = {
            "pid": os.getpid(),
            "tag": plan.tag,
            "sandbox": tier.value,
            "phase": Phase.STARTING.value,
            "started_at": now(),
        }

    def stop_now(self, reason: str) -> None:
        """Have everything end; safe in a signal handler."""
        self._stop_reason = reason
        self.on_stop()

    def now(self) -> str:
        """Return the time as ISO 8601 in UTC."""
        return now()

    def log(self, event: str, level: str = "info", **facts: object) -> None:
        """Write one line to the log."""
        getattr(self._log, level)(event, **facts)

    def show(self, phase: Phase, **facts: object) -> None:
        """Show what the daemon is doing."""
        self._facts |= {"phase": phase.value, **facts}
        self._beat()

    def wait(self, reason: str, seconds: float) -> None:
        """Wait, alive; see the port. A reason makes it visible, and a `stop` ends it."""
        if not reason:
            self._rest(seconds)
            return
        before = dict(self._facts)
        until = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds)
        next_try = until.isoformat(timespec="seconds").replace("+00:00", "Z")
        self.log("waiting", level="warning", reason=reason, seconds=round(seconds, 1))
        self.show(Phase.WAITING, reason=reason, next_try_at=next_try)
        self._rest(seconds, until_asked=True)
        self._facts = before | {"next_try_at": None}
        self._beat()

    def call(self, function: Callable[[], T], timeout_s: float) -> T:
        """Run a blocking function in a thread, alive; see the port."""
        outcome: list[Callable[[], T]] = []
        done = threading.Event()

        def work() -> None:
            try:
                value = function()
                outcome.append(lambda: value)
            except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
                outcome.append(_raiser(error))
            done.set()

        try:
            # Not by `threading.Thread`: `start` waits for the thread's first step, for ever if
            # there is no memory for it.
            _thread.start_new_thread(work, ())
        except RuntimeError as error:
            raise ShortageError(str(error)) from error
        deadline = time.monotonic() + timeout_s
        while not done.wait(_POLL_S):
            self._rest(0)
            if time.monotonic() >= deadline:
                raise TimeoutError
        return outcome[0]()

    def _rest(self, seconds: float, *, until_asked: bool = False) -> None:
        deadline = time.monotonic() + seconds
        while True:
            if self._stop_reason is not None:
                raise StopRequestedError(self._stop_reason)
            if time.monotonic() - self._written >= _HEARTBEAT_S:
                self._beat()
                if until_asked and self._is_stop_asked():
                    raise StopRequestedError(STOPPED_BY_USER)
            left = deadline - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, _POLL_S))

    def _is_stop_asked(self) -> bool:
        with contextlib.suppress(LedgerError):  # it may be what is being waited for
            return any(request.kind == "stop" for request in self._ledger.requests())
        return False

    def _beat(self) -> None:
        self._written = time.monotonic()
        # Whoever asks compares the second with the same clock, which no jump of the time moves.
        self._facts |= {"heartbeat_at": now(), "beat_s": self._written}
        content = json.dumps(self._facts).encode().ljust(_BLOCK)
        with contextlib.suppress(OSError):
            os.pwrite(self._live.fileno(), content, 0)
            self._live.truncate(len(content))


def _raiser(error: BaseException) -> Callable[[], Any]:
    def raise_it() -> Any:
        raise error

    return raise_it


# -- running ---------------------------------------------------------------------------------------


def run_daemon(plan: Plan, *, foreground: bool, ready: Callable[[], None]) -> str:
    """Run in this process until there is a reason to stop; return it.

    Raises:
        CommandFailedError: another daemon runs here.
        UserError: candidates can't be confined here.
    """
    workspace = plan.workspace
    tier = choose_tier(plan.config)
    workspace.state.mkdir(mode=0o700, exist_ok=True)
    workspace.logs.mkdir(exist_ok=True)
    asked_before = _last_request(workspace)
    with WorkspaceLock(workspace.lock), Ledger(workspace.ledger) as ledger:
        log = open_log(workspace.daemon_log, plan.config.logs, console=foreground)
        host = DaemonHost(plan, ledger, log, tier)
        _install_signals(host)
        adopt_orphans()
        ledger.drop_requests("stop", "pause", "resume", up_to=asked_before)
        run = _open_run(ledger, plan)
        host.show(Phase.STARTING)
        ready()
        return _run(plan, ledger, run, host, tier)


def _run(plan: Plan, ledger: Ledger, run: Run, host: DaemonHost, tier: Tier) -> str:
    agent = make_agent(
        plan.config, plan.workspace.root, plan.tag, lambda rung: ledger.trials(plan.tag, rung)
    )
    backend, why = choose_backend(plan.config)
    host.log(
        "run started",
        tag=plan.tag,
        agent=agent.name,
        backend=backend,
        why=why,
        workspace=str(plan.workspace.root),
        sandbox=sandbox_state(tier, plan.config),
    )
    evaluator = LocalEvaluator(
        plan.workspace.root,
        plan.config,
        key=ledger.key(),
        scratch=plan.workspace.state / "work",
        tier=tier,
    )
    reason = "bug"
    store = GitStore(plan.workspace.root)
    host.on_stop = store.hurry
    try:
        with contextlib.suppress(OSError, ShortageError):  # the first evaluation waits for it
            evaluator.warm_up()
        fittings = Fittings(
            run=run,
            config=plan.config,
            workspace=plan.workspace.root,
            baseline=plan.baseline,
            ledger=ledger,
            branch=Branch(run, ledger, store),
            agent=agent,
            evaluator=evaluator,
            host=host,
        )
        reason = Loop(fittings).run()
    except Exception as error:
        reason = f"bug: {type(error).__name__}: {error}"
        with contextlib.suppress(LedgerError):
            ledger.set_stop_reason(plan.tag, reason)
        host.log("crashed", level="error", reason=reason, traceback=traceback.format_exc())
        raise
    finally:
        evaluator.close()
        end_children()
        host.log("run stopped", reason=reason)
        host.show(Phase.STOPPED, reason=reason, progress=None, experiment=None)
    return reason


def _last_request(workspace: Workspace) -> int:
    """Return the id of the last request to an earlier daemon, 0 without one."""
    if not workspace.ledger.exists():
        return 0
    with Ledger(workspace.ledger) as ledger:
        return max((request.id for request in ledger.requests()), default=0)


def _open_run(ledger: Ledger, plan: Plan) -> Run:
    run = ledger.run(plan.tag)
    if run is None:
        ledger.create_run(Run(plan.tag, plan.parent, evaluator_settings(plan), now()))
        # Another workspace of this repository, or a lost one, may have used the first numbers.
        store = GitStore(plan.workspace.root)
        ledger.number_from(store.last_experiment(EXPERIMENT_REFS))
    ledger.set_stop_reason(plan.tag, None)
    # A pause outlived its daemon; whoever starts again wants it to go on.
    ledger.set_pause_reason(plan.tag, None)
    opened = ledger.run(plan.tag)
    assert opened is not None
    return opened


def _install_signals(host: DaemonHost) -> None:
    signal.signal(signal.SIGTERM, lambda *_: host.stop_now("stopped at once (SIGTERM)"))
    signal.signal(signal.SIGINT, lambda *_: host.stop_now(INTERRUPT_REASON))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def start_detached(workspace: Workspace, arguments: list[str]) -> int:
    """Start the daemon as a process of its own; return its pid once it holds the lock.

    Raises:
        CommandFailedError: it did not come up; the text is what it said.
    """
    workspace.logs.mkdir(exist_ok=True)
    read, write = os.pipe()
    with (workspace.logs / "daemon.out").open("ab") as output:
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
