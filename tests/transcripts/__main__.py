"""Judge the two transcripts by today's rules: `python -m tests.transcripts [NAME…]`.

Each line is judged alone: its run begins with the candidate that the model edited, and has this one
proposal. Prints a table, what version 0.1 made of it beside what is made of it now.
"""

import argparse
import subprocess
import sys

from benchmarks.machine import describe
from tests.judged import Judged, Task, judge
from tests.transcripts.catalogue import BY_NAME, LINES, REPLIES, Line, files_of

_RUNGS = {"warehouse #13": (48, 12)}


def task_of(line: Line) -> Task:
    """Return where a line is judged."""
    rung = _RUNGS.get(line.name, (12, 8))
    if line.run == "squad":
        return Task("squad", rung)
    brief = (REPLIES / "warehouse" / "program.md").read_text(encoding="utf-8")
    return Task(None, rung, brief, ("task.max_steps=60",))


def judged(line: Line) -> Judged:
    """Judge a line of a transcript."""
    before, after = files_of(line.run, line.base), files_of(line.run, line.n)
    return judge(task_of(line), before, after, line.what)


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=[line.name for line in LINES])
    args = parser.parse_args()
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    print(f"`python -m tests.transcripts` at commit {commit}; {describe()}\n")
    print("| proposal | what it does | version 0.1 | now | reason | changed |")
    print("|---|---|---|---|---|---|")
    for name in args.names:
        line = BY_NAME[name]
        told = judged(line)
        changed = ", ".join(told.row.get("changed") or ()) or "–"
        reason = told.reason.replace("|", "/")
        print(
            f"| {line.name} | {line.what} | {line.then} | {told.status} | {reason} | {changed} |",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
