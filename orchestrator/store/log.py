"""The structured log: one JSON object a line, rotated by size, and its plain form."""

import json
import logging
import logging.handlers
import os
import sys
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any

from orchestrator.config.schema import LogsConfig
from orchestrator.core.clock import local, zone
from orchestrator.core.text import harmless, one_line
from orchestrator.store.user_files import make_folder, open_regular

_KEPT_FILES = 3
_FIRST = ("timestamp", "level", "event", "experiment")


def open_log(path: Path, config: LogsConfig, *, console: bool) -> Any:
    """Return a logger that writes JSON lines to `path`, and plain lines to stderr if `console`."""
    import structlog  # it imports rich, which `logs` and `status` need not load

    size = int(config.max_mb * 1e6 / (_KEPT_FILES + 1))
    handler = _RotatingFile(
        path, maxBytes=size, backupCount=_KEPT_FILES, encoding="utf-8", errors="backslashreplace"
    )
    handlers: list[logging.Handler] = [handler]
    if console:
        print(times_line(), file=sys.stderr)
        people = logging.StreamHandler(sys.stderr)
        people.setFormatter(_PlainFormatter())
        handlers.append(people)
    logger = logging.getLogger("autorl")
    for former in logger.handlers:
        former.close()
    logger.handlers[:] = handlers
    logger.propagate = False
    logger.setLevel(config.level.upper())
    return structlog.wrap_logger(
        logger,
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _in_order,
            structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
    )


def plain(entry: Mapping[str, Any]) -> str:
    """Return one log entry as a plain line, its time on the user's clock."""
    time = one_line(local(str(entry.get("timestamp", "")), "%H:%M:%S"), 40)
    level = str(entry.get("level", "")).upper()
    mark = "" if level in {"", "INFO", "DEBUG"} else f"{one_line(level)} "
    rest = {k: v for k, v in entry.items() if k not in {*_FIRST, "traceback"} and v is not None}
    number = f" #{entry['experiment']}" if entry.get("experiment") is not None else ""
    facts = "  ".join(f"{key}={_shown(value)}" for key, value in rest.items())
    return harmless([f"{time} {mark}{entry.get('event', '')}{number}  {facts}".rstrip()])[0]


def times_line() -> str:
    """Return the line that says of which zone the times of plain lines are."""
    return f"times: {zone()}"


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else one_line(str(value), 160)


def _in_order(
    _logger: object, _name: str, entry: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    return {name: entry[name] for name in _FIRST if name in entry} | dict(entry)


class _RotatingFile(logging.handlers.RotatingFileHandler):
    """Opens regular files alone, and anew where somebody has moved or removed the file."""

    def emit(self, record: logging.LogRecord) -> None:
        if self.stream is not None and not self._is_there(self.stream.fileno()):
            self.stream.close()
            self.stream = None  # opened by what follows
        super().emit(record)

    def _is_there(self, descriptor: int) -> bool:
        try:
            there = Path(self.baseFilename).stat()
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return os.path.samestat(there, os.fstat(descriptor))

    def _open(self) -> Any:
        path = Path(self.baseFilename)
        make_folder(path.parent)
        return open_regular(path, self.mode, encoding=self.encoding, errors=self.errors)


class _PlainFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return plain(json.loads(record.getMessage()))
