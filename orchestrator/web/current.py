"""The run as it is now, for all viewers: read at most once a second, whoever asks."""

import contextlib
import functools
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.config.loading import load_config
from orchestrator.config.reloading import RunningConfig
from orchestrator.config.schema import Config
from orchestrator.core.errors import UserError
from orchestrator.daemon.requests import in_hand
from orchestrator.reporting.next_steps import next_steps
from orchestrator.reporting.run_view import RunView
from orchestrator.reporting.status import recorded_config, run_document, status_document
from orchestrator.reporting.terminal import activity
from orchestrator.store.ledger import Ledger
from orchestrator.store.workspace import Workspace
from orchestrator.web.chart import chart_document
from orchestrator.web.reader import RunReader
from orchestrator.web.table import Entry, Family, entries, family

_UNSTABLE = ("heartbeat_at", "forecast")
"""Fields that change although nothing has happened."""


@dataclass(frozen=True)
class Shown:
    """What is shown of one run."""

    view: RunView
    entries: Mapping[int, Entry]

    @property
    def rungs(self) -> list[str]:
        """The budgets of its experiments, in order."""
        return list(dict.fromkeys(entry.row["rung"] for entry in self.entries.values()))

    def chart(self, only: Collection[int] | None = None) -> dict[str, Any]:
        """Return what the chart draws, of some experiments alone if asked for."""
        return chart_document(self.view, self.entries.values(), only)

    @functools.cached_property
    def family(self) -> Family:
        """Which experiment started from which."""
        return family(self.entries.values())


@dataclass(frozen=True)
class Picture:
    """The run as it was when it was read."""

    status: dict[str, Any]
    tag: str | None
    notebook: tuple[object, ...]
    """Changes when notes, lessons or the brief do."""

    @property
    def facts(self) -> dict[str, Any]:
        """What of the status tells that something has happened."""
        return {name: fact for name, fact in self.status.items() if name not in _UNSTABLE}


class Current:
    """Reads a workspace for the page. One thread at a time may be in it."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._reader = RunReader()
        self._shown: dict[str, Shown] = {}
        self._changed: dict[str, set[int]] = {}
        self._read_config: tuple[tuple[int, int], Config] | None = None

    def newly_changed(self, tag: str) -> list[int]:
        """Return the experiments of a run whose rows have changed since this was asked last."""
        return sorted(self._changed.pop(tag, ()))

    def picture(self) -> Picture:
        """Read what the daemon does and how the run stands.

        Raises:
            AutorlError: the ledger can't be read.
        """
        workspace = self.workspace
        document = status_document(workspace, self._config(), read=self._read)
        document |= {
            "activity": activity(document) if document["running"] else None,
            "reading_problem": None,
        }
        tag = document["tag"]
        notebook: tuple[object, ...] = (_stamp(workspace.program),)
        if document["branch"]:
            shown = self._shown[tag]
            with Ledger(workspace.ledger) as ledger:
                notes = tuple((note.id, note.text) for note in ledger.numbered_notes())
                lessons = ledger.lessons(tag)
            notebook = (*notebook, notes, lessons)
            document |= _budget(shown.view) | {
                "next_steps": next_steps(shown.view, is_running=document["running"]),
                "in_hand": in_hand(workspace),
            }
        return Picture(document, tag if document["branch"] else None, notebook)

    def shown(self, tag: str) -> Shown:
        """Return what is shown of a run.

        Raises:
            UserError: there is no such run.
        """
        if not self.workspace.ledger.exists():
            raise UserError("nothing has run here yet")
        with Ledger(self.workspace.ledger) as ledger:
            self._read(self.workspace, ledger, tag)
        return self._shown[tag]

    def run_status(self, tag: str) -> dict[str, Any]:
        """Return the status of a run that is not the one that runs, or ran last."""
        shown = self.shown(tag)
        document = run_document(shown.view, self._config())
        return document | _budget(shown.view) | {
            "running": False, "phase": "stopped", "reason": None, "lanes": [], "requests": [],
            "hung": False, "activity": None, "in_hand": [], "candidate_edited": False,
            "config_changed": [], "config_cures": {}, "forecast": None,
            "next_steps": next_steps(shown.view, is_running=False), "is_older": True,
        }  # fmt: skip

    def _read(self, workspace: Workspace, ledger: Ledger, tag: str) -> RunView:
        view = self._reader.read(workspace, ledger, tag)
        before = self._shown.get(tag)
        if before is None or before.view is not view:
            known = before.entries if before else {}
            found = entries(view, known)
            changed = {n for n, entry in found.items() if known.get(n) is not entry}
            self._changed.setdefault(tag, set()).update(changed)
            self._shown[tag] = Shown(view, found)
        return view

    def _config(self) -> Config:
        """Return the configuration, parsed again where the file has changed."""
        stamp = _stamp(self.workspace.config)
        if self._read_config is not None and self._read_config[0] == stamp:
            return self._read_config[1]
        try:
            config = load_config(self.workspace.config)
        except UserError:  # a running daemon has read it before
            return recorded_config(self.workspace)
        if stamp is not None:
            self._read_config = stamp, config
        return config


def _budget(view: RunView) -> dict[str, Any]:
    """Return the limits of a run, what it has used of them, and when it began."""
    running = RunningConfig.from_json(view.run.config)
    limits = (running.config if running else Config()).limits
    state = view.state
    return {
        "limits": limits.model_dump(mode="json"),
        "used": {
            "experiments": state.counted,
            "hours": view.run.seconds / 3600,
            "tokens": state.tokens,
            "cost_usd": state.cost_usd,
            "without_keep": state.without_keep,
            "consecutive_failures": state.consecutive_failures,
        },
        "seed_count": view.seed_count,
    }


def _stamp(path: Path) -> tuple[int, int] | None:
    with contextlib.suppress(OSError):
        facts = os.stat(path)  # noqa: PTH116 - through links, as the daemon reads it
        return facts.st_mtime_ns, facts.st_size
    return None
