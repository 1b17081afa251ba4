"""Output of a worker: always drained, so that it never blocks; head and tail are kept."""

import os
import threading


class Drain(threading.Thread):
    """Reads a pipe to its end in the background and keeps its first and last bytes."""

    def __init__(self, descriptor: int, *, keep_bytes: int = 32 * 1024) -> None:
        super().__init__(name="drain", daemon=True)
        self._descriptor = descriptor
        self._keep_bytes = keep_bytes
        self._head = bytearray()
        self._tail = bytearray()
        self._dropped_bytes = 0
        self.start()

    def run(self) -> None:
        """Read until every holder of the pipe's other end has closed it."""
        with os.fdopen(self._descriptor, "rb", buffering=0) as pipe:
            while chunk := pipe.read(64 * 1024):
                room = self._keep_bytes - len(self._head)
                self._head += chunk[:room]
                self._tail += chunk[room:]
                excess = len(self._tail) - self._keep_bytes
                if excess > 0:
                    self._dropped_bytes += excess
                    del self._tail[:excess]

    def text(self, timeout_s: float = 1.0) -> str:
        """Return the output, after waiting at most `timeout_s` for the pipe to end."""
        self.join(timeout_s)
        dropped = f"\n[… {self._dropped_bytes} bytes left out …]\n" if self._dropped_bytes else ""
        return self._head.decode(errors="replace") + dropped + self._tail.decode(errors="replace")
