"""Drives an evaluator as the engine does: by its descriptors and its timeout, blocking for tests."""

import select
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from orchestrator.config.schema import Config
from orchestrator.core.evaluations import (
    CheckpointReached,
    Evaluation,
    EvaluationEnded,
    EvaluatorEvent,
    EvaluatorFailed,
    Measurement,
    SeedDone,
)
from orchestrator.core.records import Files, Rung
from orchestrator.engine.ports import Evaluator
from orchestrator.evaluation.local import LocalEvaluator
from orchestrator.store.workspace import Workspace
from sandbox import Tier

E = TypeVar("E", bound=EvaluatorEvent)

RUNG = Rung(12, 8)
PATIENCE_S = 60.0
"""Real time after which a test has gone wrong."""


class HandClock:
    """A clock that only a test moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        """Return the time in seconds."""
        return self.now_s


class Driver:
    """An evaluator, and all events that it told, in order."""

    def __init__(
        self,
        workspace: Workspace,
        *,
        slots: int = 1,
        clock: Callable[[], float] = time.monotonic,
        **settings: Any,
    ) -> None:
        self.root = workspace.root
        self.scratch = workspace.state / "work"
        self.local = LocalEvaluator(
            workspace.root,
            Config.model_validate(settings),
            key=b"k" * 32,
            scratch=self.scratch,
            tier=Tier.OFF,  # the stub runs no candidate
            slots=slots,
            clock=clock,
        )
        self.evaluator: Evaluator = self.local
        self.events: list[tuple[str, EvaluatorEvent]] = []

    def begin(
        self,
        train: str,
        what: Measurement | None = None,
        key: str = "1",
        measured: Mapping[int, str] = {},
    ) -> None:
        """Begin to evaluate a candidate, on two seeds if nothing else is said."""
        self.evaluator.begin(key, Files("", train), what or Measurement(RUNG, (101, 138)), measured)

    def turn(self, at_most_s: float = 0.2) -> None:
        """Wait once as the engine does, then poll."""
        timeout_s = self.evaluator.timeout_s()
        wait_s = at_most_s if timeout_s is None else min(timeout_s, at_most_s)
        select.select(list(self.evaluator.descriptors()), [], [], wait_s)
        self.events += self.evaluator.poll()

    def until(self, kind: type[E], key: str = "1", count: int = 1) -> E:
        """Wait for the count-th event of a kind, from the first event on."""
        give_up_at = time.monotonic() + PATIENCE_S
        while len(found := self.told(kind, key)) < count:
            assert time.monotonic() < give_up_at, self.events
            self.turn()
        return found[count - 1]

    def told(self, kind: type[E], key: str = "1") -> list[E]:
        """Return the events of a kind so far."""
        return [event for about, event in self.events if about == key and isinstance(event, kind)]

    def seeds_told(self, key: str = "1") -> list[int]:
        """Return the seeds that were told, in order."""
        return [event.result.seed for event in self.told(SeedDone, key)]

    def finish(self, key: str = "1", stop_at: int | None = None) -> Evaluation:
        """Answer all questions at once until the evaluation has ended, with a no at one seed."""
        give_up_at = time.monotonic() + PATIENCE_S
        answered = 0
        while not (ended := self.told(EvaluationEnded, key)):
            assert not self.told(EvaluatorFailed, key), self.events
            assert time.monotonic() < give_up_at, self.events
            self.turn()
            questions = self.told(SeedDone | CheckpointReached, key)  # type: ignore[arg-type]
            for question in questions[answered:]:
                is_last = isinstance(question, SeedDone) and question.result.seed == stop_at
                self.evaluator.go_on(key, wanted=not is_last)
            answered = len(questions)
        return ended[0].evaluation

    def evaluate(self, train: str, what: Measurement | None = None) -> Evaluation:
        """Evaluate a candidate to the end; forget earlier events."""
        self.events.clear()
        self.begin(train, what)
        return self.finish()

    def pid(self, slot: int = 0) -> int:
        """Return the process of a slot's child."""
        child = self.local._slots[slot]._child
        assert child is not None
        return child.pid
