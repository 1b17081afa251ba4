"""Replies read from a folder: for tests and demonstrations."""

from pathlib import Path

from orchestrator.core.errors import AgentFinishedError, UserError
from orchestrator.core.records import Reply
from orchestrator.proposals.brief import Brief


class ScriptedAgent:
    """The k-th experiment gets `000k.md`; its repair turns get `000k.repair-1.md`, and so on.

    Without a repair file there is no repair turn: one file is one experiment.
    """

    name = "scripted"

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise UserError(f"agent.scripted_dir {folder} is not a folder")
        self._folder = folder

    def propose(self, brief: Brief) -> Reply | None:
        """Return the next reply; None if there is no repair file for the failed attempts.

        Raises:
            AgentFinishedError: there are no more replies.
        """
        repair = f".repair-{len(brief.attempts)}" if brief.attempts else ""
        file = self._folder / f"{brief.ordinal:04d}{repair}.md"
        if file.is_file():
            return Reply(file.read_text(encoding="utf-8", errors="replace"))
        if repair:
            return None
        raise AgentFinishedError("script ended")
