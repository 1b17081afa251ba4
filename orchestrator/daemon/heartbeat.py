"""The daemon's side of the engine: the heartbeat, the log, the clock, and the wish to end."""

import contextlib
import json
import os
import select
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from orchestrator.core.clock import now
from orchestrator.core.experiments import StopReason
from orchestrator.core.records import Phase

_HEARTBEAT_S = 1.0
_BLOCK = 4096


class Heartbeat:
    """Tells in a file that the daemon is alive, and what it is doing."""

    def __init__(self, live: Path, log: Any, *, tag: str, sandbox: str) -> None:
        # Kept open, and written over in place by whole blocks: a full disk or a lack of descriptors
        # can't hide that the daemon is alive.
        self._live = live.open("wb", buffering=0)
        self._log = log
        # A plain attribute: a handler that took a lock could meet its own thread holding it.
        self._end_reason: StopReason | None = None
        self.on_end: Callable[[], None] = lambda: None
        """Called in a signal handler when the run is told to end now."""
        self._written_s = 0.0
        self._facts: dict[str, Any] = {
            "pid": os.getpid(),
            "tag": tag,
            "sandbox": sandbox,
            "phase": Phase.STARTING.value,
            "started_at": now(),
            "lanes": [],
        }

    def end_now(self, reason: StopReason) -> None:
        """Have everything end; safe in a signal handler."""
        self._end_reason = reason
        self.on_end()

    def end_asked(self) -> StopReason | None:
        """Return why everything must end now, None if it need not."""
        return self._end_reason

    def now(self) -> str:
        """Return the time as ISO 8601 in UTC."""
        return now()

    def log(self, event: str, level: str = "info", **facts: object) -> None:
        """Write one line to the log."""
        getattr(self._log, level)(event, **facts)

    def show(self, facts: Mapping[str, object]) -> None:
        """Show what the daemon is doing."""
        if any(self._facts.get(name, self) != fact for name, fact in facts.items()):
            self._facts |= facts
            self._write()
        else:
            self.beat()

    def beat(self) -> None:
        """Show that the daemon is alive, once a second."""
        if time.monotonic() - self._written_s >= _HEARTBEAT_S:
            self._write()

    def wait(self, descriptors: Iterable[int], timeout_s: float) -> None:
        """Wait until a descriptor is readable or the time is up, a heartbeat's length at most."""
        poll = select.poll()
        for descriptor in descriptors:
            poll.register(descriptor, select.POLLIN)
        with contextlib.suppress(InterruptedError):
            poll.poll(1000 * min(timeout_s, _HEARTBEAT_S))
        self.beat()

    def _write(self) -> None:
        self._written_s = time.monotonic()
        # Whoever asks compares the second with the same clock, which no jump of the time moves.
        self._facts |= {"heartbeat_at": now(), "beat_s": self._written_s}
        content = json.dumps(self._facts).encode().ljust(_BLOCK)
        with contextlib.suppress(OSError):
            os.pwrite(self._live.fileno(), content, 0)
            self._live.truncate(len(content))
