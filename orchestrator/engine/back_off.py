"""Waiting out transient system errors: with growing pauses, alive, and ready to end."""

import contextlib
import time
from collections.abc import Callable

from orchestrator.core.clock import later
from orchestrator.core.errors import LedgerError, ShortageError, StoreError
from orchestrator.core.experiments import StopReason
from orchestrator.core.text import one_line
from orchestrator.engine.display import STOPPED_BY_USER, Waiting
from orchestrator.engine.ports import Monitor
from orchestrator.store.ledger import Ledger

TRANSIENT_ERRORS = (LedgerError, StoreError, ShortageError, OSError, MemoryError)
"""System errors (disk, descriptors, memory, locks). Retried with back-off, never charged to an
experiment."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
_POLL_S = 0.25


def described(error: Exception) -> str:
    """Return a transient error in one line, with what happens next."""
    return one_line(f"{str(error) or type(error).__name__}; goes on by itself when it is over", 500)


def back_off(
    fault: str,
    seconds: float,
    monitor: Monitor,
    ledger: Ledger,
    show: Callable[[Waiting], None],
) -> StopReason | None:
    """Wait until a transient error may have passed; return a reason to end meanwhile."""
    try:
        monitor.log("waiting", level="warning", reason=fault, seconds=round(seconds, 1))
        show(Waiting(fault, later(monitor.now(), seconds)))
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if reason := monitor.end_asked() or _stop_asked(ledger):
                return reason
            monitor.wait((), min(left, _POLL_S))
    except MemoryError:  # not even for a word about it
        time.sleep(FIRST_PAUSE_S)
    return None


def _stop_asked(ledger: Ledger) -> StopReason | None:
    with contextlib.suppress(*TRANSIENT_ERRORS):  # the ledger may be what is waited for
        if any(request.kind == "stop" for request in ledger.requests()):
            return STOPPED_BY_USER
    return None
