"""Files for people: one folder an experiment, and a row in `results.tsv`.

Both can be made again from the ledger; the daemon reads neither.
"""

import contextlib
import shutil
from collections.abc import Iterable
from pathlib import Path

from orchestrator.core.diff import unified_diff
from orchestrator.core.experiments import Experiment
from orchestrator.core.records import Files
from orchestrator.store.results_tsv import COLUMNS, tsv_row


class ExperimentFolders:
    """`logs/experiments/<n>/` and `results.tsv` of a workspace.

    Rows are appended as experiments end, so their order is that of endings, not of numbers.
    """

    def __init__(self, workspace: Path) -> None:
        self._folder = workspace / "logs" / "experiments"
        self._results = workspace / "results.tsv"

    def folder(self, n: int) -> Path:
        """Return the folder of an experiment; create it if needed."""
        folder = self._folder / str(n)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def begin(self, n: int) -> None:
        """Remove files that an earlier, lost experiment of this number may have left."""
        folder = self._folder / str(n)
        if folder.is_symlink():  # never write through a link
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
        """Return those whose row is not in `results.tsv`, in the order given: that of endings."""
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


def _evaluator_log(experiment: Experiment) -> str:
    metrics = {
        key: value for key, value in experiment.report.facts.items() if key != "seed_results"
    }
    lines = [f"{name}: {value}" for name, value in metrics.items()]
    for seed in experiment.report.facts.get("seed_results", []):
        lines.append(f"seed {seed['seed']}: return {seed['eval_return']:.6f}")
        lines.append(f"  training returns: {[round(r, 4) for r in seed.get('train_returns', [])]}")
    if experiment.details:
        lines += ["", experiment.details]
    return f"{experiment.status}: {experiment.reason}\n" + "\n".join(lines) + "\n"


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read(1) == b"\n"
