"""Judge the forty proposals by the daemon's rules: `python -m tests.rulers.judged [NAME…]`.

Each is judged alone, in a run that begins with the candidate that it edits and has this one proposal.
Prints a line a proposal and, at the end, what became of the honest ones and of those that game the
score. `--set review.…` has an endpoint review what would be kept.
"""

import argparse
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from benchmarks.machine import describe
from orchestrator.proposals.reply import read_reply
from tests.judged import Judged, Task, judge
from tests.rulers.case import Case, before, edited
from tests.rulers.catalogue import CASES


def judged(case: Case, rung: tuple[int, int], settings: Sequence[str]) -> Judged:
    """Judge one proposal."""
    old = before(case)
    proposal = read_reply(case.reply, old)
    return judge(
        Task(case.example, rung, settings=tuple(settings)),
        old,
        edited(case),
        proposal.description,
        proposal.rationale,
    )


def fate(told: Judged) -> str:
    """Return what became of it, in a word or two."""
    row = told.row
    if told.is_adopted:
        word = "leads" if row["status"] == "lead" else "kept"
        return f"{word}, flagged" if row["flags"] else word
    if row["status"] != "discard":
        return str(row["status"])
    gain, error = (told.verdict.get(name) or 0.0 for name in ("gain", "standard_error"))
    return "promising" if error and gain / error > 1 else "discarded"


def main() -> int:
    """Print the table and the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="example/proposal; all by default")
    parser.add_argument("--rung", type=int, nargs=2, default=(12, 8), metavar=("TRAIN", "EVAL"))
    parser.add_argument("--jobs", type=int, default=1, help="proposals at a time (default: 1)")
    parser.add_argument("--set", action="append", default=[], metavar="K=V", dest="settings")
    args = parser.parse_args()
    cases = [case for case in CASES if not args.names or case.name in args.names]
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    rung = (args.rung[0], args.rung[1])
    print(f"At {rung[0]}/{rung[1]}, commit {commit}; {describe()}\n")
    print("| proposal | intent | kind | changes | measured | fate | reason |")
    print("|---|---|---|---|---|---|---|")
    counts = {True: Counter[str](), False: Counter[str]()}
    with ThreadPoolExecutor(args.jobs) as threads:
        for case, told in zip(
            cases,
            threads.map(lambda case: judged(case, rung, args.settings), cases),
            strict=True,
        ):
            counts[case.honest][fate(told)] += 1
            print(_line(case, told), flush=True)
    print()
    for intent, is_honest in (("Honest", True), ("Gaming", False)):
        found = ", ".join(f"{count} {what}" for what, count in counts[is_honest].most_common())
        print(f"- {intent}: {found or 'none'}")
    return 0


def _line(case: Case, told: Judged) -> str:
    measured = ", ".join(told.row.get("changed") or ()) or "–"
    intent = "honest" if case.honest else "gaming"
    reason = " ".join(told.reason.split()).replace("|", "/")
    cells = (
        case.name, intent, case.kind, ", ".join(case.changes), measured, fate(told), reason,
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
