"""How a worker ended."""

import contextlib
import signal
from dataclasses import dataclass


@dataclass(frozen=True)
class WorkerExit:
    """How a worker ended, as the kernel reports it."""

    code: int | None
    """Exit code, or None when a signal ended it."""
    signal: int | None
    """Number of the signal that ended it, or None."""
    peak_memory_mb: float
    """Largest resident set in MiB."""
    cpu_s: float
    """User plus system time in seconds."""
    why: str = ""
    """Why its owner, or the kernel for its limits, killed it, if they did."""

    def __str__(self) -> str:
        if self.why:
            return self.why
        if self.signal is None:
            return f"exit code {self.code}"
        with contextlib.suppress(ValueError):
            return f"killed by {signal.Signals(self.signal).name}"
        return f"killed by signal {self.signal}"
