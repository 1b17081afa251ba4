"""Every candidate of the public autoRL repository's history, evaluated unchanged.

`python -m benchmarks.public_candidates CLONE` takes a clone of
https://github.com/harshbhatt7585/autoRL (bare or not), finds the distinct pairs of
`candidate/env.py` and `candidate/train.py` in the commits of all branches, and gives each to
`evaluate_candidate`, confined, with the smallest budget: 2 training episodes, 1 evaluation episode,
1 seed. The question is whether it runs; what it scores at that budget says nothing. Exit code 1 if
one does not run.
"""

import argparse
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from framework import CandidateError, evaluate_candidate

FILES = ("candidate/env.py", "candidate/train.py")


@dataclass(frozen=True)
class Pair:
    """A candidate, and the first commit that has it."""

    commit: str
    title: str
    blobs: tuple[str, ...]
    """Git's names of the two texts, in the order of `FILES`."""


def pairs(clone: Path) -> list[Pair]:
    """Return the distinct candidates of a repository, the oldest first."""
    found: dict[tuple[str, ...], Pair] = {}
    for line in _git(clone, "log", "--all", "--reverse", "--format=%H %s").splitlines():
        commit, _, title = line.partition(" ")
        # mode, type, blob, path: a line for each of the two files that the commit has
        tree = _git(clone, "ls-tree", commit, *FILES).splitlines()
        blobs = tuple(entry.split()[2] for entry in tree)
        if len(blobs) == len(FILES):
            found.setdefault(blobs, Pair(commit, title, blobs))
    return list(found.values())


def evaluate(clone: Path, pair: Pair, folder: Path) -> str | None:
    """Evaluate a candidate; return why it does not run, None if it does."""
    for name, blob in zip(FILES, pair.blobs, strict=True):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_git(clone, "cat-file", "blob", blob), encoding="utf-8")
    try:
        evaluate_candidate(
            train_episodes=2, eval_episodes=1, seed_count=1, candidate_dir=folder / "candidate"
        )
    except CandidateError as error:
        return (str(error).splitlines() or [type(error).__name__])[0]
    return None


def _git(clone: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(clone), *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"git in {clone}: {done.stderr.strip()}")
    return done.stdout


def main(arguments: list[str] | None = None) -> int:
    """Print a line for each candidate; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clone", type=Path, help="a clone of the public autoRL repository")
    clone = parser.parse_args(arguments).clone
    found = pairs(clone)
    if not found:
        print(f"{clone} has no commit with {' and '.join(FILES)}", file=sys.stderr)
        return 1
    ran = 0
    for pair in found:
        with tempfile.TemporaryDirectory() as folder:
            problem = evaluate(clone, pair, Path(folder))
        ran += problem is None
        outcome = "ran" if problem is None else f"DID NOT RUN: {problem}"
        print(f"{pair.commit[:8]}  {outcome:<4}  {pair.title}", flush=True)
    print(f"{ran} of {len(found)} ran")
    return 0 if ran == len(found) else 1


if __name__ == "__main__":
    sys.exit(main())
