"""Record the runs whose reports are kept as text: `python -m tests.reporting.record_runs [NAME…]`.

They are real runs of the engine with real trainings: a strong model's proposals of two transcripts,
whole files in their order, and the demo.
"""

import argparse
import contextlib
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.agents.arms import TASKS
from benchmarks.agents.runs import Entrant, play
from orchestrator.core.records import Rung
from orchestrator.store.ledger import Ledger
from tests.reporting.kept_reports import RUNS, report_of

_DEMO_EXPERIMENTS = 16


def main() -> int:
    """Run, and write ledgers and reports."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="of demo, squad, warehouse (default: all)")
    parser.add_argument("--texts-only", action="store_true", help="write the reports anew, no more")
    args = parser.parse_args()
    RUNS.mkdir(exist_ok=True)
    for name in args.names or ["demo", *TASKS]:
        if not args.texts_only:
            with tempfile.TemporaryDirectory() as folder:
                _keep(_ledger_of(name, Path(folder)), RUNS / f"{name}.sqlite")
        for kind, text in report_of(name).items():
            (RUNS / f"{name}.{kind}").write_text(text, encoding="utf-8")
        print(name)
    return 0


def _ledger_of(name: str, folder: Path) -> Path:
    """Make a run and return its ledger."""
    place = folder / name
    if name == "demo":
        program = [sys.executable, "-m", "orchestrator"]
        limit = ("--max-experiments", str(_DEMO_EXPERIMENTS))
        begin = ("start", "--foreground", "--set", "agent.backend=optuna", *limit)
        subprocess.run([*program, "init", place, "--world", "keydoor"], check=True)
        subprocess.run([*program, *begin], check=True, cwd=place)
    else:
        secret = folder / "secret.sqlite"
        with Ledger(secret) as ledger:
            ledger.key()
        play(place, Entrant(TASKS[name], "model", 0, Rung(12, 8)), secret, lambda _: False)
    return place / ".autorl" / "ledger.sqlite"


def _keep(found: Path, target: Path) -> None:
    """Copy a ledger into one file, without the secret of its environments' seeds."""
    shutil.copy(found, target)
    with contextlib.closing(sqlite3.connect(target)) as ledger:
        ledger.execute("UPDATE meta SET value = 'kept nowhere' WHERE key = 'secret'")
        ledger.commit()
        ledger.execute("PRAGMA journal_mode = DELETE")
        ledger.execute("VACUUM")


if __name__ == "__main__":
    sys.exit(main())
