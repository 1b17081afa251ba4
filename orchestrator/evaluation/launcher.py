"""Starts evaluator processes from the workspace's file, and reaps those that were killed."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from orchestrator.core.errors import EvaluatorError
from orchestrator.evaluation.child import Child
from orchestrator.evaluation.framework_file import WORLD, check_framework, hashes, world_hash
from sandbox import Tier

_CLOSE_S = 3.0


class Launcher:
    """The evaluator's file, and the processes started from it."""

    def __init__(self, file: Path, task: Path, tier: Tier, world: Mapping[str, str] | None) -> None:
        """Check the file and remember its hash, and that of the user's world, read from `task`.

        Raises:
            UserError: the file is missing or not an evaluator with this daemon's protocol.
        """
        check_framework(file)
        self._file = file
        self._task = task
        self._tier = tier
        self._hashes = hashes(file, task)
        if world is not None:
            self._hashes[WORLD] = world_hash(world)
        self._killed: list[Child] = []
        """Killed children of which processes may be left."""
        self.is_proven = False
        """Whether a child has ever started: then a failing start is no fault of the file."""

    @property
    def has_killed(self) -> bool:
        """Whether `reap` has something to wait for."""
        return bool(self._killed)

    def start(self) -> Child:
        """Start a child.

        Raises:
            OSError, MemoryError: no process can be had for now.
        """
        return Child(self._file, self._tier)

    def kill(self, child: Child) -> None:
        """Kill a child; `reap` ends all that it started."""
        self._killed.append(child)
        child.kill()

    def reap(self) -> None:
        """Drop the killed children of which no process is left."""
        self._killed = [child for child in self._killed if not child.is_gone()]

    def close(self) -> None:
        """Wait until the killed children are gone."""
        give_up_at = time.monotonic() + _CLOSE_S
        self.reap()
        while self._killed and time.monotonic() < give_up_at:
            time.sleep(0.005)
            self.reap()

    def check_unchanged(self) -> None:
        """Check that scores are still comparable with former ones.

        Raises:
            EvaluatorError: a file that scores depend on has changed.
        """
        found = hashes(self._file, self._task)
        if added := [name for name in found if name not in self._hashes]:
            raise EvaluatorError(
                f"{' and '.join(added)} was not there when this run began, and scores before and "
                "after can't be compared: take it away and `autorl-daemon resume`, or begin a new "
                "run with --tag"
            )
        changed = [name for name in self._hashes if found.get(name) != self._hashes[name]]
        missing = [name for name in changed if found.get(name) is None]
        if others := [name for name in changed if name not in missing]:
            raise EvaluatorError(
                f"{' and '.join(others)} has changed since this run began, and scores before and "
                f"after can't be compared: put it back{_where(others)} and `autorl-daemon resume`, "
                "or begin a new run with --tag"
            )
        if missing:
            raise EvaluatorError(
                f"{' and '.join(missing)} is missing (is another branch checked out?): put it "
                f"back{_where(missing)} and `autorl-daemon resume`"
            )


def _where(names: Sequence[str]) -> str:
    """Return where a file can be had from, if the run has kept it."""
    if WORLD not in names:
        return ""
    return f" (`git show autorl/<tag>:{WORLD}` prints the run's)"
