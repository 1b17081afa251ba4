"""Evaluations in processes of this machine.

Each slot has one process (`python framework.py --serve`) that serves one evaluation at a time and
stays warm between them. If it dies during an evaluation a fresh one follows; if it hangs it is
killed with all it started. No method blocks: `poll` reads the pipes and checks the clock.
"""

import math
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.config.schema import Config
from orchestrator.core.evaluations import (
    EvaluationEnded,
    EvaluatorEvent,
    EvaluatorFailed,
    Measurement,
    Purpose,
)
from orchestrator.core.records import Files
from orchestrator.evaluation.conversation import Conversation
from orchestrator.evaluation.launcher import Launcher
from orchestrator.evaluation.slot import Slot
from sandbox import Tier, usable_cores

_REAP_S = 0.05
"""Interval of checks whether killed processes are gone."""


class LocalEvaluator:
    """The workspace's evaluator in warm processes. Satisfies the port `Evaluator`."""

    def __init__(
        self,
        workspace: Path,
        config: Config,
        *,
        key: bytes,
        scratch: Path,
        tier: Tier,
        slots: int,
        world: Mapping[str, str] | None = None,
        keep_dir: Path | None = None,
        is_watched: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Check the evaluator's file; processes start when they are first needed.

        Args:
            workspace: folder of the evaluator's file.
            config: the run's configuration.
            key: secret that the environment seeds derive from.
            scratch: folder for the candidates under evaluation.
            tier: how candidates are confined.
            slots: evaluations at a time.
            world: the modules of the user's own world, where there is one.
            keep_dir: folder for the trained weights of default seeds, in a folder of each
                evaluation's key; None keeps none.
            is_watched: whether films of all episodes that count are written there too.
            clock: monotonic seconds, for time limits and pauses.

        Raises:
            UserError: the file is missing or not an evaluator with this daemon's protocol.
        """
        self._config = config
        self._world = world
        self._key = key
        self._scratch = scratch
        self._keep_dir, self._is_watched = keep_dir, is_watched
        self._launcher = Launcher(
            workspace / config.evaluator.framework, workspace / "task", tier, world
        )
        limit_s = config.evaluator.timeout_s
        self._slots = [Slot(self._launcher, limit_s, clock, self._tell) for _ in range(slots)]
        self._news: list[tuple[str, EvaluatorEvent]] = []

    def free_slots(self) -> int:
        """Return how many evaluations may be begun."""
        return sum(slot.key is None for slot in self._slots)

    def warm_up(self) -> None:
        """Start one process ahead, so that the first evaluation does not wait for it.

        Raises:
            OSError, MemoryError: no process can be had for now.
        """
        self._slots[0].warm_up()

    def begin(
        self, key: str, files: Files, what: Measurement, measured: Mapping[int, str] = {}
    ) -> None:
        """Begin an evaluation; see the port."""
        assert all(slot.key != key for slot in self._slots)
        self._launcher.check_unchanged()
        free = [slot for slot in self._slots if slot.key is None]
        slot = max(free, key=lambda slot: slot.readiness)
        try:
            candidate = self._write_candidate(key, files)
            settings = self._settings(candidate, what) | self._keeping(key, what, measured)
            slot.begin(key, Conversation(what, measured), settings)
        except BaseException:
            self._remove_candidate(key)
            raise

    def go_on(self, key: str, *, wanted: bool) -> None:
        """Answer a `SeedDone` or `CheckpointReached`; see the port."""
        next(slot for slot in self._slots if slot.key == key).go_on(wanted=wanted)

    def descriptors(self) -> Iterator[int]:
        """Return the descriptors that become readable when `poll` may have news."""
        for slot in self._slots:
            yield from slot.descriptors()

    def timeout_s(self) -> float | None:
        """Return in how many seconds to poll even if no descriptor is readable; None for never."""
        if self._news:
            return 0.0
        waits = [wait for slot in self._slots for wait in slot.timeouts_s()]
        waits += [_REAP_S] if self._launcher.has_killed else []
        return max(0.0, min(waits)) if waits else None

    def poll(self) -> Sequence[tuple[str, EvaluatorEvent]]:
        """Return the events since the last call; see the port.

        Events are not lost when this raises (`MemoryError`, say): the next call returns them.
        """
        for slot in self._slots:
            slot.poll()
        self._launcher.reap()
        news, self._news = self._news, []
        return news

    def cancel(self, key: str) -> None:
        """End an evaluation and drop its events that were not returned yet."""
        self._news = [(about, event) for about, event in self._news if about != key]
        for slot in self._slots:
            if slot.key == key:
                slot.cancel()
                self._remove_candidate(key)

    def close(self) -> None:
        """End all processes and what they started, and wait until they are gone."""
        self._news = []
        for slot in self._slots:
            if slot.key is not None:
                self._remove_candidate(slot.key)
            slot.close()
        self._launcher.close()

    def _tell(self, key: str, event: EvaluatorEvent) -> None:
        self._news.append((key, event))
        if isinstance(event, EvaluationEnded | EvaluatorFailed):
            self._remove_candidate(key)

    # -- requests ----------------------------------------------------------------------------------

    def _settings(self, candidate: Path, what: Measurement) -> dict[str, Any]:
        """Return the part of a request that the configuration sets."""
        evaluator = self._config.evaluator
        world = {} if self._world is None else {"world": self._world}
        # An evaluator of an older version knows no other path than torch, and not this key.
        path = {} if evaluator.path == "fused" else {"path": evaluator.path}
        return (
            world
            | path
            | {
                "candidate_dir": str(candidate),
                "num_envs": evaluator.num_envs,
                "max_steps": self._config.task.max_steps,
                "device": evaluator.device,
                "reward_bound": evaluator.reward_bound,
                "precision": evaluator.precision,
                "workers": self._workers(what),
                "memory_mb": evaluator.memory_mb,
                "cpu_s": math.ceil(evaluator.timeout_s),
                "key": self._key.hex(),
            }
        )

    def _keeping(self, key: str, what: Measurement, measured: Mapping[int, str]) -> dict[str, Any]:
        """Return the part of a request that says where weights and films are written."""
        if self._keep_dir is None or (what.scored is not Purpose.SCREEN and not self._is_watched):
            return {}
        folder = self._keep_dir / key
        if not measured:  # else what an interrupted evaluation of the same code has kept is good
            shutil.rmtree(folder, ignore_errors=True)
        return {"keep_dir": str(folder), "is_watched": self._is_watched}

    def _workers(self, what: Measurement) -> int | None:
        """Return how many seeds train side by side; None leaves it to the evaluator."""
        evaluator = self._config.evaluator
        if evaluator.workers is not None or len(self._slots) == 1:
            return evaluator.workers
        share = max(1, usable_cores() // len(self._slots))
        # On a GPU the evaluator trains at most the scored seeds side by side.
        return min(share, len(what.seeds)) if evaluator.device in {"cuda", "auto"} else share

    def _write_candidate(self, key: str, files: Files) -> Path:
        """Write the two files into a folder of their own and return it."""
        self._remove_candidate(key)
        folder = self._scratch / key
        candidate = folder / "candidate"
        candidate.mkdir(parents=True)
        for path, text in files.by_path().items():
            _write_new(folder / path, text)
        return candidate

    def _remove_candidate(self, key: str) -> None:
        shutil.rmtree(self._scratch / key, ignore_errors=True)


def _write_new(path: Path, text: str) -> None:
    """Write a new file, following no link, whole or not at all."""
    temporary = path.with_suffix(".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
        file.write(text)
    temporary.rename(path)
