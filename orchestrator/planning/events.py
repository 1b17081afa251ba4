"""What changes the state of a run, in the order in which it happened. Pure."""

from collections import deque
from collections.abc import Iterable, Iterator

from orchestrator.core.experiments import Accept, Experiment, LeadMove

Event = Experiment | LeadMove | Accept
"""What changes the state of a run."""


def in_order(
    experiments: Iterable[Experiment], moves: Iterable[LeadMove | Accept]
) -> Iterator[Event]:
    """Yield endings, moves and overrides in the order in which they happened.

    Args:
        experiments: in the order of their endings.
        moves: in their order; former versions knew only what ending each had followed.
    """
    waiting = deque(sorted(moves, key=lambda move: move.after_ended))
    for experiment in experiments:
        while waiting and waiting[0].after_ended < experiment.ended:
            yield waiting.popleft()
        yield experiment
    yield from waiting
