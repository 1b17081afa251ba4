"""The daemon's side of the engine: heartbeat, log, clock, and requests to end now."""

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
from orchestrator.store.user_files import open_regular

_HEARTBEAT_S = 1.0
_BLOCK = 4096


class Heartbeat:
    """Writes to a file that the daemon is alive, and what it is doing. Satisfies `Monitor`."""

    def __init__(self, live: Path, log: Any, *, tag: str, sandbox: str) -> None:
        # Kept open, and overwritten in place by whole blocks: it works on a full disk and without
        # free descriptors.
        self._live = open_regular(live, "wb", buffering=0)
        self._log = log
        # A plain attribute: a signal handler that takes a lock may deadlock with its own thread.
        self._end_reason: StopReason | None = None
        self._is_reload_asked = False
        self._on_end: Callable[[], None] = lambda: None
        self._look: Callable[[], StopReason | None] = lambda: None
        self._hear: Callable[[str, Mapping[str, Any]], None] = lambda _event, _facts: None
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
        """Ask for the end of everything; safe in a signal handler."""
        self._end_reason = reason
        self._on_end()

    def call_on_end(self, hurry: Callable[[], None]) -> None:
        """Have `hurry` called when everything must end now, in the signal handler.

        It is called at once if that was asked before. It must be safe to call twice.
        """
        self._on_end = hurry
        if self._end_reason is not None:
            hurry()

    def watch(self, look: Callable[[], StopReason | None]) -> None:
        """Have `look` called once a second; the reason that it returns ends everything."""
        self._look = look

    def end_asked(self) -> StopReason | None:
        """Return why everything must end now, None if it need not."""
        return self._end_reason

    def reload(self) -> None:
        """Ask for the configuration to be reread; safe in a signal handler."""
        self._is_reload_asked = True

    def reload_asked(self) -> bool:
        """Return whether the configuration was asked to be reread since the last call."""
        if not self._is_reload_asked:
            return False
        # Cleared before the caller rereads, and only if it was seen: a signal that comes between
        # any two steps here is served by this answer or by the next one.
        self._is_reload_asked = False
        return True

    def log_to(self, log: Any) -> None:
        """Write to another log from now on."""
        self._log = log

    def now(self) -> str:
        """Return the time as ISO 8601 in UTC."""
        return now()

    def log(self, event: str, level: str = "info", **facts: object) -> None:
        """Write one line to the log, and have it heard."""
        getattr(self._log, level)(event, **facts)
        self._hear(event, facts)

    def call_on_log(self, hear: Callable[[str, Mapping[str, Any]], None]) -> None:
        """Have `hear` called with every line of the log, after it is written."""
        self._hear = hear

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
        """Wait until a descriptor is readable or the time is up, at most a heartbeat's interval."""
        poll = select.poll()
        for descriptor in descriptors:
            poll.register(descriptor, select.POLLIN)
        with contextlib.suppress(InterruptedError):
            poll.poll(1000 * min(timeout_s, _HEARTBEAT_S))
        self.beat()

    def _write(self) -> None:
        self._written_s = time.monotonic()
        if self._end_reason is None and (reason := self._look()):
            self.end_now(reason)
        # Readers compare the second with the same monotonic clock, which no clock change moves.
        self._facts |= {"heartbeat_at": now(), "beat_s": self._written_s}
        content = json.dumps(self._facts).encode().ljust(_BLOCK)
        with contextlib.suppress(OSError):
            os.pwrite(self._live.fileno(), content, 0)
            self._live.truncate(len(content))
