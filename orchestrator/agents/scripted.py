"""Replies read from a folder: for tests and demonstrations."""

from pathlib import Path

from orchestrator.core.errors import AgentFinishedError, UserError
from orchestrator.core.records import Reply
from orchestrator.engine.ports import Host
from orchestrator.proposals.brief import Brief


class ScriptedAgent:
    """The k-th experiment gets `000k.md`; its repair turns get `000k.repair-1.md`, and so on.

    A reply without a repair file has no repair turn: one file is one experiment.
    """

    name = "scripted"

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise UserError(f"agent.scripted_dir {folder} is not a folder")
        self._folder = folder

    def can_repair(self, brief: Brief) -> bool:
        """Is there a repair file for the attempts so far?"""
        return self._file(brief).is_file()

    def propose(self, brief: Brief, host: Host) -> Reply:
        """Return the next reply. Raises `AgentFinishedError` after the last one."""
        del host
        file = self._file(brief)
        if not file.is_file():
            raise AgentFinishedError("script ended")
        return Reply(file.read_text(encoding="utf-8", errors="replace"))

    def _file(self, brief: Brief) -> Path:
        repair = f".repair-{len(brief.attempts)}" if brief.attempts else ""
        return self._folder / f"{brief.ordinal:04d}{repair}.md"
