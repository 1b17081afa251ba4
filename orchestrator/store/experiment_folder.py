"""Files for people: one folder an experiment, and a row in `results.tsv`.

Both can be made again from the ledger; the daemon reads neither.
"""

import contextlib
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from orchestrator.core.diff import unified_diff
from orchestrator.core.experiments import Experiment
from orchestrator.core.records import JUDGED, Files
from orchestrator.core.text import clean, one_line
from orchestrator.store.results_tsv import COLUMNS, former_row, plain_cell, results_file, tsv_row
from orchestrator.store.user_files import make_folder, open_regular, write_whole

_LINE_CHARS = 100_000


class ExperimentFolders:
    """`logs/experiments/<n>/` and `results.tsv` of a workspace.

    Rows are appended as experiments end, so their order is that of endings, not of numbers.
    """

    def __init__(self, workspace: Path) -> None:
        self._workspace = workspace
        self._folder = workspace / "logs" / "experiments"

    def folder(self, n: int) -> Path:
        """Return the folder of an experiment; create it if needed."""
        folder = self._folder / str(n)
        for path in (self._folder.parent, self._folder, folder):
            make_folder(path)
        return folder

    def begin(self, n: int) -> None:
        """Remove files that an earlier, lost experiment of this number may have left."""
        folder = self._folder / str(n)
        if folder.is_symlink():
            folder.unlink()
        shutil.rmtree(folder, ignore_errors=True)

    def write(self, n: int, name: str, text: str) -> None:
        """Write one file of an experiment."""
        with open_regular(self.folder(n) / name, "w", errors="replace") as file:
            file.write(text)

    def finish(self, experiment: Experiment, before: Files | None, after: Files | None) -> None:
        """Write the patch and the evaluator's output, and append the row."""
        if before and after:
            self.write(experiment.n, "patch.diff", "".join(unified_diff(before, after)))
        self.write(experiment.n, "evaluator.log", _evaluator_log(experiment))
        self._append(experiment)

    def missing(self, experiments: Iterable[Experiment]) -> list[Experiment]:
        """Return those whose row is not in `results.tsv`, in the order given: that of endings."""
        rows: set[str] = set()
        with contextlib.suppress(OSError):
            file = results_file(self._workspace)
            with open_regular(file, errors="replace", newline="\n") as lines:
                rows |= {"\t".join(map(plain_cell, line.split("\t"))) for line in lines}
        return [e for e in experiments if rows.isdisjoint((tsv_row(e), former_row(e)))]

    def update_rows(self, experiments: Iterable[Experiment]) -> None:
        """Have the rows of leads say what became of them. Raises `OSError`."""
        stale: dict[str, str] = {}
        for experiment in experiments:
            if experiment.took_lead:
                row = tsv_row(experiment)
                others = (replace(experiment, status=status) for status in JUDGED)
                stale |= {tsv_row(other): row for other in others if tsv_row(other) != row}
        path = results_file(self._workspace)
        if not stale or not path.exists():
            return
        with open_regular(path, errors="surrogateescape", newline="") as file:
            lines = file.readlines()
        updated = [_updated(line, stale) for line in lines]
        if updated != lines:
            content = "".join(updated).encode(errors="surrogateescape")
            # Not beside the user's files: whoever is killed meanwhile leaves the new one behind.
            write_whole(path, content, temporary=self._workspace / ".autorl" / "results.tsv.new")

    def _append(self, experiment: Experiment) -> None:
        row = tsv_row(experiment)
        path = results_file(self._workspace)
        make_folder(path.parent)
        new = not path.exists() or path.stat().st_size == 0
        torn = not new and not _ends_with_newline(path)
        with open_regular(path, "a", errors="replace") as file:
            file.write("\n" if torn else "")
            file.write("\t".join(COLUMNS) + "\n" if new else "")
            file.write(row + "\n")


def _updated(line: str, rows: Mapping[str, str]) -> str:
    row = line.rstrip("\r\n")
    return rows[row] + line[len(row) :] if row in rows else line


def _evaluator_log(experiment: Experiment) -> str:
    metrics = {
        key: value for key, value in experiment.report.facts.items() if key != "seed_results"
    }
    lines = [one_line(f"{name}: {value}", _LINE_CHARS) for name, value in metrics.items()]
    for seed in experiment.report.facts.get("seed_results", []):
        lines.append(f"seed {seed['seed']}: return {seed['eval_return']:.6f}")
        lines.append(f"  training returns: {[round(r, 4) for r in seed.get('train_returns', [])]}")
    if experiment.details:
        details = experiment.details.encode(errors="replace").decode()
        lines += ["", clean(details, len(details))]
    reason = one_line(experiment.reason, _LINE_CHARS)
    return f"{experiment.status}: {reason}\n" + "\n".join(lines) + "\n"


def _ends_with_newline(path: Path) -> bool:
    with open_regular(path, "rb") as file:
        file.seek(-1, 2)
        return bool(file.read(1) == b"\n")
