"""One line on the machine, to stand above every table."""

import importlib.metadata
import os
import platform


def describe() -> str:
    """Return system, cores, Python and torch."""
    torch = importlib.metadata.version("torch")
    return (
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, torch {torch}"
    )
