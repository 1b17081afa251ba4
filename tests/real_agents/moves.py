"""What a scripted model does in a turn, and how it calls the tool that a program offers for it."""

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Read:
    """Read a file; most programs let nobody edit what they did not read."""

    path: str


@dataclass(frozen=True)
class Edit:
    """Replace a text in a file."""

    path: str
    old: str
    new: str


@dataclass(frozen=True)
class Run:
    """Run a command line."""

    command: str


@dataclass(frozen=True)
class Say:
    """Say something, which ends the turn."""

    text: str


@dataclass(frozen=True)
class Refuse:
    """Answer with an HTTP error."""

    status: int
    message: str


@dataclass(frozen=True)
class Hang:
    """Never answer."""


Move = Read | Edit | Run | Say | Refuse | Hang

_TOOLS = {
    Read: ("Read", "read", "read_file"),
    Edit: ("apply_patch", "Edit", "edit", "replace"),
    Run: ("exec_command", "shell", "Bash", "bash", "run_shell_command"),
}
"""The tools of all programs, by what they do."""


@dataclass(frozen=True)
class ToolCall:
    """A call of one of the tools that a request offers."""

    name: str
    arguments: dict[str, Any]
    text: str = ""
    """What a tool without named arguments gets (codex's `apply_patch`)."""


def tool_call(
    move: Read | Edit | Run, offered: Mapping[str, Mapping[str, Any]], folder: str
) -> ToolCall | None:
    """Return the call that carries out a move; None if no tool for it is offered.

    Args:
        move: what to do.
        offered: the properties of each tool's arguments, by its name.
        folder: where the program works; files are named by their whole paths.
    """
    name = next((tool for tool in _TOOLS[type(move)] if tool in offered), None)
    if name is None:
        # codex has no tool to read a file but its shell.
        return (
            tool_call(Run(f"cat {move.path}"), offered, folder) if isinstance(move, Read) else None
        )
    path = None if isinstance(move, Run) else posixpath.normpath(posixpath.join(folder, move.path))
    values = {
        ("command", "cmd"): getattr(move, "command", None),
        ("file_path", "filePath"): path,
        ("old_string", "oldString"): getattr(move, "old", None),
        ("new_string", "newString"): getattr(move, "new", None),
        ("instruction", "description"): "as the task says",
    }
    arguments = {
        key: value
        for keys, value in values.items()
        for key in keys
        if value is not None and key in offered[name]
    }
    return ToolCall(name, arguments, _patch(move) if name == "apply_patch" else "")


def _patch(move: Read | Edit | Run) -> str:
    assert isinstance(move, Edit)
    lines = [f"-{line}" for line in move.old.splitlines()]
    lines += [f"+{line}" for line in move.new.splitlines()]
    return "\n".join(["*** Begin Patch", f"*** Update File: {move.path}", "@@", *lines, "*** End Patch"])  # fmt: skip


def as_reply(edit: Edit, text: str) -> Say:
    """Return an edit as aider reads it from a reply: it offers no tools."""
    marks = ["<<<<<<< SEARCH", edit.old, "=======", edit.new, ">>>>>>> REPLACE"]
    return Say("\n".join([text, "", edit.path, "```python", *marks, "```"]))
