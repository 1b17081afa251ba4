"""What an evaluation that was made to be watched leaves."""

from dataclasses import dataclass

from orchestrator.core.evaluations import Evaluation


@dataclass(frozen=True)
class Kept:
    """What an evaluation of one seed has left."""

    evaluation: Evaluation
    films: bytes | None
    """The replays of the episodes that count, a list in JSON; None if there is none."""
    weights: bytes | None
    """The trained weights, a safetensors file; None where they are not kept."""
    why_no_weights: str
