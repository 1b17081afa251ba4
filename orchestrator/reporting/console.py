"""The console that coloured text is printed on."""

import os
import sys
from typing import IO

from rich.console import Console

from orchestrator.core.text import is_plain_terminal


def make_console(file: IO[str] | None = None) -> Console:
    """Return a console that sends no code at all where none is wanted (see `is_plain_terminal`)."""
    stream = file or sys.stdout
    is_plain = is_plain_terminal(os.environ) or not stream.isatty()
    return Console(file=file, highlight=False, force_terminal=False if is_plain else None)
