"""The checks of `doctor`: is everything here that a run needs?"""

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.config.schema import Config
from orchestrator.core.errors import AutorlError, EditError
from orchestrator.daemon.start_checks import check_start, start_notes
from orchestrator.evaluation.confinement import examination, sandbox_state
from orchestrator.proposals.candidate_code import check_file
from orchestrator.store.ledger import Ledger
from orchestrator.store.lock import holder
from orchestrator.store.workspace import Workspace

LEAST_FREE_GB = 1.0


@dataclass(frozen=True)
class Finding:
    """One line of the table."""

    what: str
    state: str
    """`ok`, `note` or `bad`."""
    says: str


def examine(workspace: Workspace | None) -> list[Finding]:
    """Check the machine and, if there is one, the workspace."""
    findings = [_python(), _git(), _torch(), _cores(), *_sandbox()]
    if workspace is None:
        return [*findings, Finding("workspace", "note", "none here: `autorl-daemon init DIR`")]
    return findings + [check(workspace) for check in _WORKSPACE_CHECKS]


def _python() -> Finding:
    state = "ok" if sys.version_info >= (3, 11) else "bad"
    return Finding("python", state, f"{platform.python_version()} on {platform.platform()}")


def _git() -> Finding:
    try:
        version = subprocess.run(
            ["git", "--version"], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return Finding("git", "bad", "not installed, or not on PATH")
    return Finding("git", "ok", version)


def _torch() -> Finding:
    try:
        return Finding("torch", "ok", importlib.metadata.version("torch"))
    except importlib.metadata.PackageNotFoundError:
        return Finding("torch", "bad", "not installed: `pip install torch`")


def _cores() -> Finding:
    return Finding("cores", "ok", f"{os.cpu_count()}: seeds train side by side, one a core")


def _start(workspace: Workspace) -> Finding:
    try:
        request = check_start(workspace, None, ())
    except AutorlError as error:
        return Finding("start", "bad", str(error))
    try:
        for path, text in request.baseline.by_path().items():
            check_file(path, text)
    except EditError as error:
        return Finding("start", "bad", f"the candidate can't be the baseline: {error}")
    notes = start_notes(request)
    state = "note" if len(notes) > 1 else "ok"
    return Finding("start", state, f"as autorl/{request.tag}, {'; '.join(notes)}")


def _sandbox() -> list[Finding]:
    """Return how candidates would be confined, and every attempt of the probe, a line each."""
    found = examination()
    lines = [Finding("sandbox", "note", f"not here: {line}") for line in found.refused]
    if found.tier is None:
        return [*lines, Finding("sandbox", "bad", "candidates can't be confined on this system")]
    lines.append(Finding("sandbox", "ok", sandbox_state(found.tier, Config())))
    for attempt in found.attempts:
        state, verb = ("bad", "COULD") if attempt.reached else ("ok", "could not")
        lines.append(Finding("  probe", state, f"{verb} {attempt.name} ({attempt.says})"))
    return lines


def _confined(workspace: Workspace) -> Finding:
    try:
        config = check_start(workspace, None, ()).config
    except AutorlError:
        return Finding("sandbox", "note", "as configured: unknown until `start` is ok")
    state = "bad" if config.sandbox == "auto" and examination().problem else "ok"
    if config.sandbox == "off":
        return Finding("sandbox", "note", sandbox_state(None, config))
    return Finding("sandbox", state, examination().problem or "sandbox: auto, as above")


def _ledger(workspace: Workspace) -> Finding:
    if not workspace.ledger.exists():
        return Finding("ledger", "ok", "none yet: nothing has run here")
    try:
        with Ledger(workspace.ledger) as ledger:
            count = sum(1 for _ in ledger.experiments())
    except AutorlError as error:
        return Finding("ledger", "bad", str(error))
    return Finding("ledger", "ok", f"{count} experiments")


def _disk(workspace: Workspace) -> Finding:
    free_gb = shutil.disk_usage(workspace.root).free / 1e9
    state = "ok" if free_gb >= LEAST_FREE_GB else "bad"
    return Finding("disk", state, f"{free_gb:.1f} GB free")


def _daemon(workspace: Workspace) -> Finding:
    pid = holder(workspace.lock)
    return Finding("daemon", "ok", f"running, pid {pid}" if pid else "not running")


_WORKSPACE_CHECKS: tuple[Callable[[Workspace], Finding], ...] = (
    _start, _confined, _ledger, _disk, _daemon,
)  # fmt: skip
