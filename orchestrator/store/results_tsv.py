"""`results.tsv`: the daemon's rows, and rows of other tools."""

import os
from collections.abc import Callable
from pathlib import Path

from orchestrator.core.experiments import Experiment

COLUMNS = (
    "commit train_episodes eval_episodes max_steps score solve_rate eval_return status description"
).split()


def tsv_row(experiment: Experiment) -> str:
    """Return an experiment as a row of `results.tsv`; a missing score is written as 0.000000."""
    score = f"{experiment.score or 0.0:.6f}"
    values = [
        (experiment.commit or "none")[:7],
        *experiment.rung,
        experiment.max_steps or 0,
        score,
        f"{experiment.report.solve_rate or 0.0:.6f}",
        score,
        experiment.status.value,
        own_description(experiment),
    ]
    return "\t".join(str(value) for value in values)


def own_description(experiment: Experiment) -> str:
    """Return the description column of our rows: it begins with the experiment's number."""
    return " ".join(f"#{experiment.n} {experiment.description}".split())


class ForeignRows:
    """The rows of a `results.tsv` that are not ours, read incrementally.

    After a thousand experiments nearly all rows are ours, and reading all of them for each prompt
    would cost more and more.
    """

    def __init__(self, path: Path, is_own: Callable[[str], object]) -> None:
        """Set up; `is_own` recognises a row of ours by its description column."""
        self._path = path
        self._is_own = is_own
        self._last: list[dict[str, str]] = []
        self._forget(None)

    def read(self) -> list[dict[str, str]]:
        """Return the rows as `{column: text}`; a missing file has none.

        Real files have blank lines, short rows and duplicates: blank lines are skipped, missing
        columns are empty, duplicates are kept. A header with the columns in another order is
        honoured. A file that was replaced or truncated is read again from its beginning.
        """
        try:
            with self._path.open("rb") as file:
                found = os.fstat(file.fileno())
                if found.st_ino != self._inode or found.st_size < self._offset:
                    self._forget(found.st_ino)
                file.seek(self._offset)
                for line in file:
                    self._take(line.decode("utf-8", errors="replace"))
                    # A last line without a newline may still grow: it is read again.
                    if line.endswith(b"\n"):
                        self._offset += len(line)
                        self._rows += self._last
                        self._last = []
        except OSError:
            self._forget(None)
        return self._rows + self._last

    def _forget(self, inode: int | None) -> None:
        self._inode = inode
        self._offset = 0
        self._columns: list[str] | None = None
        self._rows: list[dict[str, str]] = []
        self._last = []

    def _take(self, line: str) -> None:
        """Read one line into `_last`, which stays empty if it is not a foreign row."""
        self._last = []
        row = line.removesuffix("\n").removeprefix("\ufeff").split("\t")
        if not line.strip():
            return
        if self._columns is None:
            is_header = row[0] == COLUMNS[0]
            if not is_header or line.endswith("\n"):
                self._columns = row if is_header else list(COLUMNS)
            if is_header:
                return
        named = _named(self._columns or list(COLUMNS), row)
        if not self._is_own(named["description"]):
            self._last = [named]


def _named(columns: list[str], row: list[str]) -> dict[str, str]:
    """Return a row as `{column: text}`; a tab in its last column belongs to the text."""
    last = len(columns) - 1
    row = [*row[:last], "\t".join(row[last:])]
    given = {name.strip(): value.strip() for name, value in zip(columns, row, strict=False)}
    return {name: given.get(name, "") for name in COLUMNS}
