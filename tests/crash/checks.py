"""What must hold after a kill and a restart, whatever the moment of the kill."""

import hashlib
import json
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.core.diff import unified_diff
from orchestrator.core.experiments import Experiment
from orchestrator.core.records import Files, Status
from orchestrator.planning.state import replay
from orchestrator.store.ledger import Ledger
from orchestrator.store.results_tsv import tsv_row
from tests.conftest import git
from tests.crash.scenarios import TAG, Place

_OURS = {"logs", ".autorl", "results.tsv"}
_SCORED = {Status.BASELINE, Status.KEEP, Status.DISCARD}
_EVALUATED = {"crash", "timeout", "rejected"}


@dataclass(frozen=True)
class Recorded:
    """What a ledger holds."""

    experiments: dict[int, Experiment]
    files: dict[int, Files | None]
    replies: dict[tuple[int, int], str]
    evaluations: int
    """Evaluations whose outcome is recorded."""
    is_sound: bool
    """SQLite's own check."""

    def outcome(self) -> list[tuple[Any, ...]]:
        """Return what an uninterrupted run must have led to as well."""
        return [
            (e.status, e.rung, e.score, e.scores_by_seed, e.description, self.files[n])
            for n, e in self.experiments.items()
            if e.status is not Status.ABORTED
        ]


def read_ledger(place: Place) -> Recorded:
    """Read a copy of the ledger, so that a journal left by a kill stays for the daemon."""
    with tempfile.TemporaryDirectory() as folder:
        for file in place.workspace.state.glob("ledger.sqlite*"):
            shutil.copy(file, folder)
        path = Path(folder) / "ledger.sqlite"
        if not path.exists():
            return Recorded({}, {}, {}, 0, is_sound=True)
        with Ledger(path) as ledger:
            experiments = {e.n: e for e in ledger.experiments()}
            files = {n: ledger.files(n) for n in experiments}
            open_ones = [o.n for o in ledger.open_experiments(TAG)]
            replies = {}
            evaluations = sum(ledger.saved_report(n) is not None for n in open_ones)
            evaluations += sum(
                e.status in _SCORED or (e.is_baseline and e.status in _EVALUATED)
                for e in experiments.values()
            )
            for n in [*experiments, *open_ones]:
                for k, (reply, failure) in enumerate(ledger.replies(n), 1):
                    replies[n, k] = reply.text
                    evaluations += failure is not None and failure.status in _EVALUATED
        with sqlite3.connect(path) as db:
            sound = db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            sound = sound and not db.execute("PRAGMA foreign_key_check").fetchall()
        db.close()
        return Recorded(experiments, files, replies, evaluations, is_sound=sound)


def of_the_user(place: Place) -> dict[str, str]:
    """Hash what is the user's: the work tree but for our files, HEAD, index, config, branches."""
    root = place.root
    files = [
        path
        for path in root.rglob("*")
        if path.is_file() and path.relative_to(root).parts[0] not in _OURS | {".git"}
    ]
    files += [root / ".git" / name for name in ("HEAD", "index", "config", "refs/heads/main")]
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def violations(place: Place, before: Recorded, expected: list[tuple[Any, ...]]) -> Iterator[str]:
    """Yield what is wrong with a workspace whose run has come to its end.

    Args:
        place: the workspace.
        before: what was recorded when the daemon was killed.
        expected: `outcome()` of an uninterrupted run.
    """
    after = read_ledger(place)
    if not after.is_sound:
        yield "SQLite finds the ledger damaged"
    if list(after.experiments) != list(range(1, len(after.experiments) + 1)):
        yield f"numbers are {list(after.experiments)}"
    for n, experiment in before.experiments.items():
        if after.experiments.get(n) != experiment or after.files.get(n) != before.files[n]:
            yield f"experiment {n} was recorded and is now {after.experiments.get(n)}"
    for key, text in before.replies.items():
        if after.replies.get(key) != text:
            yield f"reply {key} was recorded and is lost"
    if after.outcome() != expected:
        yield f"the outcome is {after.outcome()}, uninterrupted it is {expected}"
    yield from _git_violations(place, after)
    yield from _journal_violations(place, after)


def _git_violations(place: Place, after: Recorded) -> Iterator[str]:
    root = place.root
    if found := git(root, "fsck", "--strict", "--no-dangling"):
        yield f"git fsck: {found}"
    if locks := [str(p.relative_to(root)) for p in (root / ".git").rglob("*.lock")]:
        yield f"stale locks: {locks}"
    listing = git(root, "for-each-ref", "--format=%(refname) %(objectname)", "refs/autorl",
                  "refs/heads/autorl").splitlines()  # fmt: skip
    refs = dict(line.split() for line in listing)
    wanted = {
        f"refs/autorl/experiments/{n}": str(e.commit)
        for n, e in after.experiments.items()
        if after.files[n] is not None
    }
    with Ledger(place.workspace.ledger) as ledger:
        state = replay(ledger.endings(TAG), ledger.accepts(TAG))
    assert state.incumbent is not None
    wanted[f"refs/heads/autorl/{TAG}"] = state.incumbent.commit
    if refs != wanted:
        yield f"refs are {refs}, the ledger says {wanted}"
    for ref, commit in refs.items():
        n = state.incumbent.n if ref.endswith(f"/{TAG}") else int(ref.rpartition("/")[2])
        files = after.files.get(n)
        for path, text in files.by_path().items() if files else ():
            if git(root, "show", f"{commit}:{path}") != text.strip():
                yield f"{path} at {ref} is not the ledger's"


def _journal_violations(place: Place, after: Recorded) -> Iterator[str]:
    rows = (place.root / "results.tsv").read_text().splitlines()[1:]
    if rows != [tsv_row(experiment) for experiment in after.experiments.values()]:
        yield f"results.tsv holds {rows}"
    by_commit = {e.commit: n for n, e in after.experiments.items() if e.commit}
    for n, files in after.files.items():
        if files is None:
            continue
        parent = after.files[by_commit.get(str(after.experiments[n].parent), n)] or files
        patch = place.workspace.logs / "experiments" / str(n) / "patch.diff"
        if not patch.exists() or patch.read_text() != "".join(unified_diff(parent, files)):
            yield f"the patch of {n} is not its change"
    for line in place.workspace.daemon_log.read_text().splitlines():
        try:
            json.loads(line)
        except ValueError:
            yield f"the log holds {line!r}"
