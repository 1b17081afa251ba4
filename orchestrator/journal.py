"""What a person can read afterwards: one folder an experiment, and a row in `results.tsv`.

Both can be made again from the ledger; nothing here is read back by the daemon.
"""

import contextlib
import difflib
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from orchestrator.records import Experiment, Files

COLUMNS = (
    "commit train_episodes eval_episodes max_steps score solve_rate eval_return status description"
).split()


class Journal:
    """`logs/experiments/<n>/` and `results.tsv` of a workspace."""

    def __init__(self, workspace: Path) -> None:
        self._folder = workspace / "logs" / "experiments"
        self._results = workspace / "results.tsv"

    def folder(self, n: int) -> Path:
        """Return the folder of an experiment, making it."""
        folder = self._folder / str(n)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def begin(self, n: int) -> None:
        """Clear what an earlier, lost experiment of this number may have left."""
        folder = self._folder / str(n)
        if folder.is_symlink():  # never write where somebody else points
            folder.unlink()
        shutil.rmtree(folder, ignore_errors=True)

    def write(self, n: int, name: str, text: str) -> None:
        """Write one file of an experiment."""
        (self.folder(n) / name).write_text(text, encoding="utf-8", errors="replace")

    def finish(self, experiment: Experiment, before: Files | None, after: Files | None) -> None:
        """Write the patch and the evaluator's output, and append the row."""
        if before and after:
            self.write(experiment.n, "patch.diff", "".join(unified_diff(before, after)))
        self.write(experiment.n, "evaluator.log", _evaluator_log(experiment))
        self._append(experiment)

    def missing(self, experiments: Iterable[Experiment]) -> list[Experiment]:
        """Return those whose row is not in `results.tsv`."""
        rows: set[str] = set()
        with contextlib.suppress(OSError):
            rows |= set(self._results.read_text(encoding="utf-8", errors="replace").split("\n"))
        return [experiment for experiment in experiments if tsv_row(experiment) not in rows]

    def _append(self, experiment: Experiment) -> None:
        row = tsv_row(experiment)
        new = not self._results.exists() or self._results.stat().st_size == 0
        torn = not new and not _ends_with_newline(self._results)
        with self._results.open("a", encoding="utf-8", errors="replace") as file:
            file.write("\n" if torn else "")
            file.write("\t".join(COLUMNS) + "\n" if new else "")
            file.write(row + "\n")


def tsv_row(experiment: Experiment) -> str:
    """Return an experiment as a row of `results.tsv`; what has no score is written as 0.000000."""
    score = f"{experiment.score or 0.0:.6f}"
    values = [
        (experiment.commit or "none")[:7],
        *experiment.rung,
        experiment.max_steps or 0,
        score,
        f"{experiment.metrics.get('mean_solve_rate') or 0.0:.6f}",
        score,
        experiment.status.value,
        own_description(experiment),
    ]
    return "\t".join(str(value) for value in values)


def own_description(experiment: Experiment) -> str:
    """Return the description column of our rows: it begins with the experiment's number."""
    return " ".join(f"#{experiment.n} {experiment.description}".split())


class ForeignRows:
    """The rows of a `results.tsv` that are not ours, read on from where it was left.

    After a thousand experiments nearly all rows are ours, and reading them anew for each prompt
    would cost more and more.
    """

    def __init__(self, path: Path, is_own: Callable[[str], object]) -> None:
        """Set up; `is_own` tells a row of ours by its description column."""
        self._path = path
        self._is_own = is_own
        self._last: list[dict[str, str]] = []
        self._forget(None)

    def read(self) -> list[dict[str, str]]:
        """Return them as `{column: text}`; a missing file has none.

        Blank lines, short rows and duplicates happen in real files: blank lines are skipped,
        missing columns are empty, duplicates are kept. A header with the columns in another order
        is honoured. A file that was replaced or cut is read anew.
        """
        try:
            with self._path.open("rb") as file:
                found = os.fstat(file.fileno())
                if found.st_ino != self._inode or found.st_size < self._offset:
                    self._forget(found.st_ino)
                file.seek(self._offset)
                for line in file:
                    self._take(line.decode("utf-8", errors="replace"))
                    # A last line without its end may still grow: it is read again.
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
        """Read one line into `_last`, which is empty then if it is not a foreign row."""
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


def unified_diff(before: Files, after: Files) -> Iterator[str]:
    """Yield the lines of the change in both files, as `git diff` shows it."""
    new = after.by_path()
    for path, old in before.by_path().items():
        for line in difflib.unified_diff(_lines(old), _lines(new[path]), f"a/{path}", f"b/{path}"):
            yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"


def _lines(text: str) -> list[str]:
    """Split at newlines alone, as git does; `splitlines` would also cut at form feeds."""
    return [line for line in re.split(r"(?<=\n)", text) if line]


def _evaluator_log(experiment: Experiment) -> str:
    metrics = {key: value for key, value in experiment.metrics.items() if key != "seed_results"}
    lines = [f"{name}: {value}" for name, value in metrics.items()]
    for seed in experiment.metrics.get("seed_results", []):
        lines.append(f"seed {seed['seed']}: return {seed['eval_return']:.6f}")
        lines.append(f"  training returns: {[round(r, 4) for r in seed.get('train_returns', [])]}")
    if experiment.details:
        lines += ["", experiment.details]
    return f"{experiment.status}: {experiment.reason}\n" + "\n".join(lines) + "\n"


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read(1) == b"\n"
