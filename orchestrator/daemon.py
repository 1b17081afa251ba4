"""The daemon: the lock, signals, the heartbeat, detaching, and the wiring of a run."""

import _thread
import contextlib
import datetime as dt
import importlib.metadata
import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from orchestrator.agents.openai_api import OpenAIAgent
from orchestrator.agents.optuna_search import OptunaAgent, find_tunables
from orchestrator.agents.scripted import ScriptedAgent
from orchestrator.branch import EXPERIMENT_REFS, Branch
from orchestrator.config import Config, load_config
from orchestrator.confinement import choose_tier, sandbox_state
from orchestrator.errors import (
    CommandFailedError,
    LedgerError,
    ShortageError,
    StopRequestedError,
    UserError,
)
from orchestrator.evaluator import FrameworkEvaluator, check_framework, hashes
from orchestrator.fittings import Fittings
from orchestrator.gitstore import GitStore
from orchestrator.ledger import Ledger, Run
from orchestrator.lock import WorkspaceLock
from orchestrator.logs import open_log
from orchestrator.loop import STOPPED_BY_USER, Loop
from orchestrator.ports import Agent
from orchestrator.records import Files, Phase
from orchestrator.workspace import Workspace
from sandbox import Tier, adopt_orphans, end_children

T = TypeVar("T")
INTERRUPT_REASON = "stopped at once (interrupted)"
MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
_HEARTBEAT_S = 1.0
_BLOCK = 4096
_POLL_S = 0.1


def now() -> str:
    """Return the time as ISO 8601 in UTC, to the millisecond."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def default_tag() -> str:
    """Return today as a tag, as in `nov22`."""
    today = dt.datetime.now().astimezone()
    return f"{MONTHS[today.month - 1]}{today.day}"


# -- what a run rests on ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Plan:
    """A start that has been checked: nothing in it can be the user's fault any more."""

    workspace: Workspace
    config: Config
    tag: str
    baseline: Files
    parent: str


def check_start(workspace: Workspace, tag: str | None, settings: Iterable[str]) -> Plan:
    """Check everything a start needs, changing nothing.

    Raises:
        UserError: one clear line for what is wrong.
    """
    config = load_config(workspace.config, settings=settings)
    tag = tag or default_tag()
    store = GitStore(workspace.root)
    if not tag.strip() or "/" in tag or not store.is_valid_branch(f"autorl/{tag}"):
        raise UserError(f"--tag {tag!r} can't be a branch name: letters, digits, - and . are safe")
    if not workspace.program.is_file():
        raise UserError(f"{workspace.program} is missing: write the brief for the agent there")
    plan = Plan(workspace, config, tag, workspace.candidate(), store.head())
    branch = f"refs/heads/autorl/{tag}"
    if folder := store.checked_out_in(branch):
        raise UserError(
            f"autorl/{tag} is checked out in {folder}, and the daemon would move it under you: "
            "`git switch` to another branch there, or start another run with --tag"
        )
    if store.read("refs/heads/autorl"):
        raise UserError(
            f"a branch named autorl is in the way of autorl/{tag}: rename it (`git branch -m`)"
        )
    existing = None
    if workspace.ledger.exists():
        with Ledger(workspace.ledger) as ledger:
            existing = ledger.run(tag)
    if existing is None and store.read(branch):
        raise UserError(
            f"branch autorl/{tag} exists already and is no run of this workspace: choose --tag"
        )
    if existing is not None:
        _check_same_evaluator(existing, evaluator_settings(plan))
    check_framework(workspace.root / config.evaluator.framework)
    make_agent(plan, lambda _rung: [])
    if config.limits.cost_usd and choose_backend(config)[0] == "openai" and not config.agent.prices:
        raise UserError("limits.cost_usd needs agent.prices: without them no cost is known")
    return plan


def evaluator_settings(plan: Plan) -> dict[str, Any]:
    """Return all that scores depend on besides the candidate and the rung."""
    evaluator = plan.config.evaluator
    return {
        "evaluator.seed_count": evaluator.seed_count,
        "evaluator.num_envs": evaluator.num_envs,
        "evaluator.device": evaluator.device,
        "evaluator.precision": evaluator.precision,
        "evaluator.reward_bound": evaluator.reward_bound,
        "task.max_steps": plan.config.task.max_steps,
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "torch": importlib.metadata.version("torch"),
        **hashes(plan.workspace.root / evaluator.framework),
    }


def _check_same_evaluator(run: Run, settings: dict[str, Any]) -> None:
    names = run.evaluator.keys() | settings.keys()
    changed = sorted(name for name in names if run.evaluator.get(name) != settings.get(name))
    if changed:
        shown = "; ".join(
            f"{name}: {_short(run.evaluator.get(name))} -> {_short(settings.get(name))}"
            for name in changed
        )
        raise UserError(
            f"the evaluator has changed since run {run.tag} began ({shown}), and scores before and "
            "after can't be compared: change it back, or begin a new run with --tag"
        )


def _short(value: object) -> str:
    text = str(value)
    return text[:8] if len(text) == 64 else text


def start_notes(plan: Plan) -> list[str]:
    """Return what a person should know of a start, a line each: the agent, and surprises."""
    backend, why = choose_backend(plan.config)
    lines = [f"agent: {backend} ({why})"]
    last = None
    known = False
    if plan.workspace.ledger.exists():
        with Ledger(plan.workspace.ledger) as ledger:
            last, known = ledger.last_run(), ledger.run(plan.tag) is not None
    if last is not None and not known:
        lines.append(
            f"note: a new run from the candidate in the working tree; `start --tag {last.tag}` "
            f"goes on with {last.tag} instead"
        )
    if backend == "optuna" and not known and not find_tunables(plan.baseline.train):
        lines.append(
            "note: candidate/train.py has no numeric constant for the embedded search to tune, so "
            "the run ends after its baseline: configure a model (agent.model), or begin with "
            "`init --example`"
        )
    return lines


def choose_backend(config: Config) -> tuple[str, str]:
    """Return the backend and why it was chosen."""
    agent = config.agent
    if agent.backend != "auto":
        return agent.backend, "agent.backend in the configuration"
    if agent.base_url is not None:
        return "openai", "agent.base_url is set"
    if os.environ.get(agent.api_key_env):
        return "openai", f"${agent.api_key_env} is set"
    return "optuna", f"no agent.base_url and no ${agent.api_key_env}: the embedded search"


def make_agent(plan: Plan, trials: Callable[..., Any]) -> Agent:
    """Make the configured agent. Raises `UserError` if something it needs is missing."""
    config = plan.config.agent
    backend, _ = choose_backend(plan.config)
    if backend == "openai":
        return OpenAIAgent(config)
    if backend == "scripted":
        if config.scripted_dir is None:
            raise UserError("agent.scripted_dir is missing: the folder of replies 0001.md, …")
        return ScriptedAgent(plan.workspace.root / config.scripted_dir)
    return OptunaAgent(trials, plan.tag)


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
    agent = make_agent(plan, lambda rung: ledger.trials(plan.tag, rung))
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
    evaluator = FrameworkEvaluator(
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
