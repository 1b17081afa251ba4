"""Long output on a terminal goes through a pager, as git's does."""

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys

from orchestrator.core.text import is_plain_terminal

_LESS = "FRX"
"""Options of `less` unless $LESS has some: keep colours, leave the text on the screen."""


def show(text: str, *, is_paged: bool = True) -> None:
    """Print the text; through $PAGER (default: less) where it is longer than the terminal."""
    command = _pager() if is_paged and sys.stdout.isatty() and _is_long(text) else []
    if not (command and _ran(command, text)):
        print(text)


def _pager() -> list[str]:
    """Return the pager's command line, nothing where none is wanted."""
    named = os.environ.get("PAGER")
    if named is None and is_plain_terminal(os.environ):  # `less` would send codes of its own
        return []
    try:
        command = shlex.split("less" if named is None else named)
    except ValueError:
        return []
    return [] if command == ["cat"] else command


def _is_long(text: str) -> bool:
    """Is the text, wrapped, longer than the terminal? A line is left for the prompt."""
    size = shutil.get_terminal_size()
    lines = sum(1 + max(0, len(line) - 1) // size.columns for line in text.splitlines())
    return lines >= size.lines


def _ran(command: list[str], text: str) -> bool:
    """Show the text with this pager; return whether there is one."""
    try:
        pager = subprocess.Popen(
            command, stdin=subprocess.PIPE, text=True, errors="replace",
            env={"LESS": _LESS, **os.environ},
        )  # fmt: skip
    except OSError:
        return False
    interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)  # the pager's, while it runs
    try:
        with contextlib.suppress(BrokenPipeError):
            pager.communicate(text + "\n")
        pager.wait()
    finally:
        signal.signal(signal.SIGINT, interrupt)
    return True
