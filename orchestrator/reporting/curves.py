"""A run as curves over its experiments, for TensorBoard and Weights & Biases. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from orchestrator.core.experiments import Experiment
from orchestrator.core.records import FAILED, JUDGED
from orchestrator.reporting.course import Step
from orchestrator.reporting.run_view import RunView


@dataclass(frozen=True)
class CurvePoint:
    """What there is to draw when an experiment has ended."""

    n: int
    """The experiment's number."""
    ended: int
    """Its place in the order of endings."""
    time_s: float
    """When it ended, in seconds since 1970; 0 where that is not recorded."""
    values: dict[str, float] = field(default_factory=dict)
    """By the name that a curve is shown under; what is unknown is left out."""


def curve_points(view: RunView) -> Iterator[CurvePoint]:
    """Yield a run's points in the order of endings.

    Returns of different budgets can't be compared: `budget/train_episodes` is the curve that says
    where one ends.
    """
    dollars = tokens = agent_s = evaluator_s = 0.0
    judged = failed = 0
    highest = 0
    for experiment in sorted(view.experiments, key=lambda each: each.ended):
        highest = max(highest, experiment.n)
        dollars += experiment.cost_usd or 0.0
        tokens += experiment.tokens.total
        agent_s += experiment.seconds.agent
        evaluator_s += experiment.seconds.evaluator
        judged += experiment.status in JUDGED
        failed += experiment.status in FAILED
        known = {
            "return/experiment": experiment.score,
            "return/published": _latest(view.course.published, highest),
            "return/lead": _latest(view.course.leads, highest),
            "solve_rate/experiment": experiment.report.solve_rate,
            "budget/train_episodes": experiment.rung.train_episodes,
            "count/judged": judged,
            "count/failed": failed,
            "used/agent_seconds": agent_s,
            "used/evaluator_seconds": evaluator_s,
            "used/tokens": tokens,
            "used/dollars": dollars,
        }
        values = {name: float(value) for name, value in known.items() if value is not None}
        yield CurvePoint(experiment.n, experiment.ended, _seconds(experiment), values)


def _latest(steps: Sequence[Step], at: int) -> float | None:
    """Return the score of what was published, or led, once this many had ended."""
    found = [step.score for step in steps if step.at <= at]
    return found[-1] if found else None


def _seconds(experiment: Experiment) -> float:
    try:
        return datetime.fromisoformat(experiment.finished_at).timestamp()
    except ValueError:  # it has no such time, or a ledger of long ago has another form
        return 0.0
