"""The brief for the agent, `program.md`: read and written for a person who edits it elsewhere."""

from orchestrator.core.errors import UserError
from orchestrator.proposals.brief import PROGRAM_BYTES
from orchestrator.store.user_files import read_regular, write_whole
from orchestrator.store.workspace import Workspace


def read_program(workspace: Workspace) -> str:
    """Return the brief for the agent, `program.md`.

    Raises:
        UserError: it can't be read.
    """
    try:
        content = read_regular(workspace.program, PROGRAM_BYTES, follow=True)
    except OSError as error:
        raise UserError(f"program.md can't be read ({error}): put it back") from None
    return content.decode(errors="replace")


def edit_program(workspace: Workspace, text: str, *, before: str) -> None:
    """Write the brief anew, for every prompt from now on.

    Args:
        workspace: where.
        text: the new brief.
        before: the brief that was edited; nothing is written if it is another one by now.

    Raises:
        UserError: it is empty or too long, another hand was quicker, or it can't be written.
    """
    content = text.encode(errors="replace")
    if not text.strip():
        raise UserError("the brief is empty: the agent would not know what it is to do")
    if len(content) > PROGRAM_BYTES:
        raise UserError(f"the brief is larger than {PROGRAM_BYTES // 1024} KiB: shorten it")
    if read_program(workspace) != before:
        raise UserError("program.md was changed meanwhile: load it again before you edit it")
    try:
        write_whole(workspace.program, content)
    except OSError as error:
        raise UserError(f"program.md can't be written: {error}") from None
