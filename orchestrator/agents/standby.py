"""Which of an endpoint's models to ask: the first that is not left alone for a while. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from orchestrator.agents.openai_errors import BlockedError, TransientError

AWAY_S = 600.0
"""How long a model that could not answer is left alone."""


@dataclass(frozen=True)
class _Away:
    until: float
    error: TransientError | BlockedError


class Standby:
    """The models in their order, and which of them could not answer lately."""

    def __init__(self, models: Sequence[str], clock: Callable[[], float]) -> None:
        self._models, self._clock = models, clock
        self._away: dict[str, _Away] = {}
        self.rounds = 0
        """How often all of them failed, since the last answer."""

    def turn(self) -> list[str]:
        """Return whom to ask now, in order; those that may be back, if nobody else is there."""
        return self._there() or [model for model in self._models if not self._is_blocked(model)]

    def failed(self, model: str, error: TransientError | BlockedError) -> None:
        """Leave a model alone."""
        self._away[model] = _Away(self._clock() + AWAY_S, error)

    def answered(self, model: str) -> None:
        """Note that a model answers."""
        self._away.pop(model, None)
        self.rounds = 0

    def next_after(self, model: str) -> str | None:
        """Return whom to ask after a model that has failed, None if nobody is left."""
        there = self._there()
        later = self._models[self._models.index(model) :]
        return next((other for other in later if other in there), None)

    def why_all_wait(self) -> str:
        """Return why none of them answers, where one of them may in a while.

        Raises:
            BlockedError: the user must act, for the first of them.
        """
        errors = [self._away[model].error for model in self._models if model in self._away]
        if all(map(self._is_blocked, self._models)):
            self._away.clear()  # once the user has acted, each is asked again
            first = errors[0]
            assert isinstance(first, BlockedError)
            raise BlockedError(
                first.kind, f"{first} (nor does any of agent.fallback_models answer)"
            )
        self.rounds += 1
        busy = [error for error in errors if isinstance(error, TransientError)]
        return f"no model answers: {busy[0]}"

    def _there(self) -> list[str]:
        now = self._clock()
        return [m for m in self._models if m not in self._away or self._away[m].until <= now]

    def _is_blocked(self, model: str) -> bool:
        return model in self._away and isinstance(self._away[model].error, BlockedError)
