"""One evaluation more, of what has been evaluated before: to watch it, or for its weights."""

import contextlib
import select
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from orchestrator.config.schema import Config
from orchestrator.core.errors import EvaluatorError
from orchestrator.core.evaluations import (
    CheckpointReached,
    EpisodeDone,
    Evaluation,
    EvaluationEnded,
    EvaluatorEvent,
    EvaluatorFailed,
    EvaluatorWaits,
    Measurement,
    SeedDone,
)
from orchestrator.core.kept import Kept
from orchestrator.core.records import Files
from orchestrator.evaluation.confinement import choose_tier
from orchestrator.evaluation.local import LocalEvaluator

_KEY = "again"
_TURN_S = 1.0


def evaluate_again(
    workspace: Path,
    config: Config,
    files: Files,
    what: Measurement,
    *,
    key: bytes,
    world: Mapping[str, str] | None,
    on_episode: Callable[[], None],
) -> Kept:
    """Train and evaluate a candidate on one seed as for an experiment, confined alike.

    Blocks. The films and weights are of the seed that `what` names.

    Raises:
        UserError: candidates can't be confined here, or the evaluator's file is at fault.
        EvaluatorError: the evaluator failed.
    """
    seed = what.seeds[0]
    with tempfile.TemporaryDirectory(prefix="autorl-again-") as name:
        folder = Path(name)
        evaluator = LocalEvaluator(
            workspace,
            config,
            key=key,
            scratch=folder / "work",
            tier=choose_tier(config),
            slots=1,
            world=world,
            keep_dir=folder / "kept",
            is_watched=True,
        )
        try:
            evaluator.begin(_KEY, files, what)
            evaluation = _followed(evaluator, on_episode)
        finally:
            evaluator.close()
        kept = folder / "kept" / _KEY
        return Kept(
            evaluation,
            _read(kept / f"{seed}.films.json"),
            _read(kept / f"{seed}.safetensors"),
            (_read(kept / f"{seed}.no-weights") or b"").decode(errors="replace"),
        )


def _read(path: Path) -> bytes | None:
    with contextlib.suppress(OSError):
        return path.read_bytes()
    return None


def _followed(evaluator: LocalEvaluator, on_episode: Callable[[], None]) -> Evaluation:
    """Wait for the end of the evaluation."""
    while True:
        wait_s = evaluator.timeout_s()
        timeout_s = _TURN_S if wait_s is None else min(wait_s, _TURN_S)
        select.select(list(evaluator.descriptors()), [], [], timeout_s)
        for _, event in evaluator.poll():
            if isinstance(event, EpisodeDone):
                on_episode()
            elif (ended := _take(evaluator, event)) is not None:
                return ended


def _take(evaluator: LocalEvaluator, event: EvaluatorEvent) -> Evaluation | None:
    match event:
        case SeedDone() | CheckpointReached():
            evaluator.go_on(_KEY, wanted=True)
        case EvaluationEnded(evaluation):
            return evaluation
        case EvaluatorFailed(reason) | EvaluatorWaits(reason):
            raise EvaluatorError(reason)
        case EpisodeDone():
            pass
    return None
