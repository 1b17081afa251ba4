"""Replies read from a folder: for tests and demonstrations."""

from pathlib import Path

from orchestrator.core.errors import AgentFinishedError, UserError
from orchestrator.core.records import Reply
from orchestrator.proposals.brief import Brief
from orchestrator.proposals.show_requests import turn_name


class ScriptedAgent:
    """The k-th experiment gets `000k.md`; its repair turns get `000k.repair-1.md`, and so on.

    Without a repair file there is no repair turn: one file is one experiment. After a reply that
    asks to see code comes `000k.show-1.md`, and so on.
    """

    name = "scripted"

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise UserError(f"agent.scripted_dir {folder} is not a folder")
        self._folder = folder

    def propose(self, brief: Brief) -> Reply | None:
        """Return the next reply; None if there is no file for the turn after the earlier ones.

        Raises:
            AgentFinishedError: there are no more replies.
        """
        turn = turn_name(brief.attempts)
        file = self._folder / f"{brief.ordinal:04d}{turn and '.'}{turn}.md"
        if file.is_file():
            return Reply(file.read_text(encoding="utf-8", errors="replace"))
        if turn:
            return None
        raise AgentFinishedError("script ended")
