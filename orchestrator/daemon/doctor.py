"""The checks of `doctor`: is everything here that a run needs?"""

import contextlib
import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from orchestrator.config.schema import Config
from orchestrator.core.errors import AutorlError, EditError, UserError
from orchestrator.daemon.candidate_check import check_candidate, is_due
from orchestrator.daemon.endpoint_start import endpoint_notes
from orchestrator.daemon.program_start import installed_programs, program_notes
from orchestrator.daemon.start_checks import (
    StartRequest,
    check_start,
    start_notes,
    why_not_resumed,
)
from orchestrator.evaluation.confinement import examination, sandbox_state
from orchestrator.proposals.candidate_code import check_file
from orchestrator.reporting.changed import edited, edited_note
from orchestrator.store.ledger import Ledger
from orchestrator.store.lock import holder
from orchestrator.store.workspace import Workspace
from sandbox import usable_cores

LEAST_FREE_GB = 1.0


@dataclass(frozen=True)
class Finding:
    """One line of the table."""

    what: str
    state: str
    """`ok`, `note` or `bad`."""
    says: str


WIDTH = 80
_INDENT = 17


def table(findings: Iterable[Finding]) -> list[str]:
    """Return findings as lines of at most `WIDTH` columns."""
    lines = []
    for finding in findings:
        said = [
            line
            for text in finding.says.splitlines()
            for line in textwrap.wrap(
                text, WIDTH - _INDENT, break_on_hyphens=False,
                subsequent_indent=" " * (len(text) - len(text.lstrip())),
            )
        ]  # fmt: skip
        first, *rest = said or [""]
        lines.append(f"{finding.state:<5} {finding.what:<10} {first}".rstrip())
        lines += [f"{'':<{_INDENT}}{line}" for line in rest]
    return lines


def examine(workspace: Workspace | None) -> list[Finding]:
    """Check the machine and, if there is one, the workspace."""
    findings = [_python(), _git(), _torch(), _cores(), *_sandbox(), _programs()]
    if workspace is None:
        return [*findings, Finding("workspace", "note", "none here: `autorl-daemon init DIR`")]
    return findings + _examine_workspace(workspace)


def _examine_workspace(workspace: Workspace) -> list[Finding]:
    try:
        request = check_start(workspace, None, ())
    except AutorlError as error:
        unknown = "unknown until `start` is ok"
        findings = [
            Finding("start", "bad", str(error)),
            Finding("endpoint", "note", unknown),
            Finding("sandbox", "note", f"as configured: {unknown}"),
        ]
    else:
        findings = [
            _start(request),
            *_resumed(request),
            *program(request.config, workspace.root),
            endpoint(request.config),
            _confined(request.config),
        ]
    others = (_candidate, _ledger, _disk, _daemon)
    return findings + [check(workspace) for check in others]


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
    count, all_there = usable_cores(), os.cpu_count() or 1
    of = f" of {all_there} (affinity or a CPU quota)" if count < all_there else ""
    return Finding("cores", "ok", f"{count}{of}: seeds train side by side, one a core")


def _start(request: StartRequest) -> Finding:
    try:
        for path, text in request.baseline.by_path().items():
            check_file(path, text, has_world=request.world is not None)
    except EditError as error:
        return Finding("start", "bad", f"the candidate can't be the baseline: {error}")
    try:
        unknown = check_candidate(request) if is_due(request) else None
    except UserError as error:
        return Finding("start", "bad", str(error))
    said = [note for note in start_notes(request) if edited_note(request.tag) not in note]
    notes = [*said, *filter(None, [unknown])]
    are_plain = all(note.startswith(("agent: ", "agents: ", "task: ")) for note in notes)
    state = "ok" if are_plain else "note"
    return Finding("start", state, f"as autorl/{request.tag}, {'; '.join(notes)}")


def _resumed(request: StartRequest) -> list[Finding]:
    """Return why the last run can't be resumed; of that of today's tag the start tells."""
    if request.workspace.ledger.exists():
        with contextlib.suppress(AutorlError), Ledger(request.workspace.ledger) as ledger:
            last = ledger.last_run()
            if last and last.tag != request.tag and (why := why_not_resumed(last, request)):
                return [Finding("resume", "note", why)]
    return []


def _sandbox() -> list[Finding]:
    """Return how candidates would be confined, and every attempt of the probe, a line each."""
    found = examination()
    lines = [Finding("sandbox", "note", f"not here: {line}") for line in found.refused]
    if found.tier is None:
        says = found.problem if found.fault else "candidates can't be confined on this system"
        return [*lines, Finding("sandbox", "bad", str(says))]
    lines.append(Finding("sandbox", "ok", sandbox_state(found.tier, Config())))
    for attempt in found.attempts:
        state, verb = ("bad", "COULD") if attempt.reached else ("ok", "could not")
        lines.append(Finding("  probe", state, f"{verb} {attempt.name} ({attempt.says})"))
    return lines


def _confined(config: Config) -> Finding:
    state = "bad" if config.sandbox == "auto" and examination().problem else "ok"
    if config.sandbox == "off":
        return Finding("sandbox", "note", sandbox_state(None, config))
    return Finding("sandbox", state, examination().problem or "sandbox: auto, as above")


def endpoint(config: Config) -> Finding:
    """Return what the configured endpoints of agent and reviewer answer."""
    try:
        notes = endpoint_notes(config)
    except AutorlError as error:
        return Finding("endpoint", "bad", str(error))
    state = "note" if any(line.startswith("note: ") for line in notes) else "ok"
    says = "; ".join(line.removeprefix("endpoint: ").removeprefix("note: ") for line in notes)
    return Finding("endpoint", state, says or "none is called: no agent or reviewer needs one")


def program(config: Config, root: Path) -> list[Finding]:
    """Return whether the configured coding agents answer a word; nothing if none is configured."""
    try:
        notes = program_notes(config, root, with_turn=True)
    except AutorlError as error:
        return [Finding("program", "bad", str(error))]
    states = ["note" if line.startswith("note: ") else "ok" for line in notes]
    return [
        Finding("program", state, line.partition("program: ")[2])
        for state, line in zip(states, notes, strict=True)
    ]


def _programs() -> Finding:
    return Finding("programs", "ok", installed_programs())


def _ledger(workspace: Workspace) -> Finding:
    if not workspace.ledger.exists():
        return Finding("ledger", "ok", "none yet: nothing has run here")
    try:
        with Ledger(workspace.ledger) as ledger:
            count = sum(1 for _ in ledger.experiments())
    except AutorlError as error:
        return Finding("ledger", "bad", str(error))
    return Finding("ledger", "ok", f"{count} experiments")


def _candidate(workspace: Workspace) -> Finding:
    """Return whether the last run works with what `candidate/` holds."""
    if workspace.ledger.exists():
        with contextlib.suppress(AutorlError), Ledger(workspace.ledger) as ledger:
            run = ledger.last_run()
            if run is not None and edited(workspace, ledger, run):
                return Finding("candidate", "note", edited_note(run.tag))
    return Finding("candidate", "ok", "nothing there that the last run does not know")


def _disk(workspace: Workspace) -> Finding:
    for folder in filter(Path.exists, (workspace.root, workspace.state, workspace.logs)):
        try:
            tempfile.TemporaryFile(dir=folder).close()
        except OSError as error:
            says = f"no file can be made in {folder} ({error.strerror}): make it writable"
            return Finding("disk", "bad", says)
    free_gb = shutil.disk_usage(workspace.root).free / 1e9
    state = "ok" if free_gb >= LEAST_FREE_GB else "bad"
    return Finding("disk", state, f"{free_gb:.1f} GB free")


def _daemon(workspace: Workspace) -> Finding:
    pid = holder(workspace.lock)
    return Finding("daemon", "ok", f"running, pid {pid}" if pid else "not running")
