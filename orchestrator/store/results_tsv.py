"""`results.tsv`: the daemon's rows, and rows of other tools."""

import contextlib
import os
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from orchestrator.core.experiments import Experiment
from orchestrator.core.text import one_line
from orchestrator.store.user_files import oddity, open_regular

COLUMNS = (
    "commit train_episodes eval_episodes max_steps score solve_rate eval_return status description"
).split()
_CELL_CHARS = 2000
_LINE_BYTES = 65_536
"""Length from which on a line is skipped: no tool's row is so long."""
_MOST_ROWS = 20_000
"""Of a file: older ones are left out."""


def tsv_row(experiment: Experiment) -> str:
    """Return an experiment as a row of `results.tsv`; what is unknown is left empty."""
    return _row(experiment, no_number="", no_horizon="")


def former_row(experiment: Experiment) -> str:
    """Return the row as version 0.1 wrote it, with zeros for what is unknown."""
    return _row(experiment, no_number=f"{0:.6f}", no_horizon="0")


def _row(experiment: Experiment, *, no_number: str, no_horizon: str) -> str:
    def number(value: float | None) -> str:
        return no_number if value is None else f"{value:.6f}"

    values = [
        (experiment.commit or "none")[:7],
        *experiment.rung,
        experiment.max_steps or no_horizon,
        number(experiment.score),
        number(experiment.report.solve_rate),
        number(experiment.score),
        experiment.status.value,
        own_description(experiment),
    ]
    return "\t".join(str(value) for value in values)


def own_description(experiment: Experiment) -> str:
    """Return the description column of our rows: it begins with the experiment's number."""
    return plain_cell(f"#{experiment.n} {experiment.description}")


def plain_cell(text: str) -> str:
    """Return text as one cell: a line without characters that a terminal would obey."""
    return one_line(text.encode(errors="replace").decode(), _CELL_CHARS)


def results_file(root: Path) -> Path:
    """Return the file for our rows: `results.tsv` of a workspace, unless it is another tool's.

    Below another header our rows would be read as something else, and a link or a pipe is not to be
    opened: our rows go to `logs/results.tsv` then.

    Raises:
        OSError: `results.tsv` can't be read.
    """
    file = root / "results.tsv"
    return root / "logs" / "results.tsv" if anothers_file(file) else file


def anothers_file(file: Path) -> str | None:
    """Return why a `results.tsv` is not for our rows, None if it is or is not there yet.

    Raises:
        OSError: it can't be read.
    """
    kind = oddity(file)
    if kind == "a folder":  # nobody's rows: writing fails, and the log says so
        return None
    if kind is not None:
        return f"is {kind}: it is not read"
    with contextlib.suppress(FileNotFoundError), open_regular(file, "rb") as lines:
        first = next((line for line in _lines(lines) if line.strip()), None)
        if first is not None and _cells(first) != COLUMNS:
            return "has the columns of another tool: its rows are read as history"
    return None


class ForeignRows:
    """The rows of a `results.tsv` that are not ours, read incrementally.

    After a thousand experiments nearly all rows are ours, and reading all of them for each prompt
    would cost more and more.
    """

    def __init__(self, path: Path, is_own: Callable[[str], object]) -> None:
        """Set up; `is_own` recognises a row of ours by its description column, as a plain cell."""
        self._path = path
        self._is_own = is_own
        self._forget(None)

    def read(self) -> list[dict[str, str]]:
        """Return the last rows as `{column: text}`; a file that is missing or odd has none.

        Real files have blank lines, short rows and duplicates: blank lines are skipped, missing
        columns are empty, duplicates are kept. A header of other columns is honoured. A file that
        was replaced or truncated is read again from its beginning.
        """
        try:
            with open_regular(self._path, "rb") as file:
                found = os.fstat(file.fileno())
                if found.st_ino != self._inode or found.st_size < self._offset:
                    self._forget(found.st_ino)
                file.seek(self._offset)
                for line in _lines(file):
                    self._read_line(line)
        except OSError:
            self._forget(None)
        return [*self._rows, *self._last]

    def _forget(self, inode: int | None) -> None:
        self._inode = inode
        self._offset = 0
        self._is_long = False
        self._columns: list[str] | None = None
        self._rows: deque[dict[str, str]] = deque(maxlen=_MOST_ROWS)
        self._last: list[dict[str, str]] = []

    def _read_line(self, line: bytes) -> None:
        is_whole = line.endswith(b"\n")
        if self._is_long or (not is_whole and len(line) == _LINE_BYTES):
            # A part of a line that is too long to be a row.
            self._is_long = not is_whole
            self._offset += len(line)
            self._last = []
            return
        self._take(line)
        # A last line without a newline may still grow: it is read again.
        if is_whole:
            self._offset += len(line)
            self._rows.extend(self._last)
            self._last = []

    def _take(self, line: bytes) -> None:
        """Read one line into `_last`, which stays empty if it is not a foreign row."""
        self._last = []
        if not line.strip():
            return
        row = _cells(line)
        if self._columns is None:
            is_header = not any(map(_is_number, row))
            if not is_header or line.endswith(b"\n"):
                self._columns = [name.strip() for name in row] if is_header else COLUMNS
            if is_header:
                return
        columns = self._columns or COLUMNS
        # A row of `train.py` below the header of another tool.
        named = _named(COLUMNS if len(row) == len(COLUMNS) != len(columns) else columns, row)
        # Former versions wrote rows of ours below any header.
        ours = named["description"] if self._columns == COLUMNS else "".join(row[8:9])
        if not self._is_own(plain_cell(ours)):
            self._last = [named]


class History:
    """The rows of a workspace that are not ours: of another tool, or written by hand."""

    def __init__(self, root: Path, is_own: Callable[[str], object]) -> None:
        """Set up; see `ForeignRows`."""
        files = (root / "results.tsv", root / "logs" / "results.tsv")
        self._files = [ForeignRows(file, is_own) for file in files]

    def read(self) -> list[dict[str, str]]:
        """Return the rows, oldest first in each file."""
        return [row for file in self._files for row in file.read()]


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    """Return the lines; a longer one comes in parts."""
    return iter(lambda: file.readline(_LINE_BYTES), b"")


def _cells(line: bytes) -> list[str]:
    text = line.decode("utf-8", errors="replace").removesuffix("\n").removesuffix("\r")
    return text.removeprefix("\ufeff").split("\t")


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _named(columns: list[str], row: list[str]) -> dict[str, str]:
    """Return a row as `{column: text}`; a tab in its last column belongs to the text."""
    last = len(columns) - 1
    row = [*row[:last], "\t".join(row[last:])]
    given = {name.strip(): value.strip() for name, value in zip(columns, row, strict=False)}
    return {name: given.get(name, "") for name in COLUMNS}
