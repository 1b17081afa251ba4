"""Which of several agents makes a proposal: a pure function of the run's record.

Schedules come first (`every`, `after_failures`); all other turns go by the weights, or to the agent
that has gained most so far for its time or its money.

The weights are served by a smooth weighted round robin, which needs no randomness and no memory: it
is a function of the proposal's number, so that a restart changes nothing. Gains are a bandit with
costs (Xia et al., *Thompson Sampling for Budgeted Multi-armed Bandits*, IJCAI 2015): each agent's
gain per experiment is drawn from what is believed of it, and divided by the mean cost of its
experiments. Gains shrink as a run goes on, so that only its last experiments count (Trovò et al.,
*Sliding-Window Thompson Sampling for Non-Stationary Settings*, JAIR 2020).
"""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from orchestrator.core.experiments import Experiment
from orchestrator.core.records import ADOPTED, Status

BY_WEIGHTS, PER_HOUR, PER_USD = "weights", "gain_per_hour", "gain_per_usd"
FIRST_TRIES = 3
"""Experiments that each agent has before gains decide."""
RECENT = 60
"""Experiments of the run, of all agents together, whose gains count."""
USELESS = 5
"""Proposals of an agent in a row that could not be used, after which others are asked."""
STOOD_DOWN = 20
"""Experiments of the run after which it is tried again."""
LEAST_S, LEAST_USD = 0.01, 0.001
"""What an experiment costs at least: nothing is gained for nothing."""


@dataclass(frozen=True)
class TurnTaker:
    """One of several agents, and when it is asked."""

    name: str
    weight: float = 1.0
    """How often it is asked beside the others; 0: only by a schedule, or while they are down."""
    every: int | None = None
    """It is asked for every so many experiments."""
    after_failures: int | None = None
    """It is asked when the last so many experiments did not move the lead."""
    is_free: bool = False
    """Its proposals cost no money."""


def next_agent(
    agents: Sequence[TurnTaker],
    history: Sequence[Experiment],
    ordinal: int,
    *,
    by: str = BY_WEIGHTS,
    in_flight: Sequence[str] = (),
    draw: Callable[[float, float], float],
) -> str:
    """Return the name of the agent whose turn it is.

    Args:
        agents: those that can be asked, at least one.
        history: the run's finished experiments in the order of endings.
        ordinal: the proposal's number in the run, from 1.
        by: how turns outside of the schedules are given: `weights`, `gain_per_hour` or
            `gain_per_usd`.
        in_flight: the agents of the other experiments in flight, once for each.
        draw: returns a random number from the beta distribution with these two parameters.
    """
    counted = [e for e in history if not e.is_baseline and e.status is not Status.ABORTED]
    agents = [agent for agent in agents if not _stands_down(agent, counted)] or agents
    whose, is_scheduled = _turn(agents, ordinal)
    if is_scheduled:
        return whose.name
    if due := _after_failures(agents, counted, in_flight):
        return due.name
    if by == BY_WEIGHTS:
        return whose.name
    return _best(_weighted(agents), counted, by, in_flight, draw).name


def gain_of(experiment: Experiment) -> float:
    """Return by how much an experiment moved the lead, 0 if it did not or the lead went back."""
    if experiment.status not in ADOPTED:
        return 0.0
    verdict = experiment.verdict
    gain = verdict.get("estimate")
    if gain is None:  # the naive rule estimates nothing
        gain = verdict.get("gain")
    return max(0.0, float(gain)) if gain is not None and math.isfinite(gain) else 0.0


def _stands_down(agent: TurnTaker, counted: Sequence[Experiment]) -> bool:
    """Has it only made proposals that could not be used, and that not long ago?"""
    own = [place for place, e in enumerate(counted) if e.agent == agent.name][-USELESS:]
    return (
        len(own) == USELESS
        and all(counted[place].status is Status.INVALID for place in own)
        and len(counted) - own[-1] <= STOOD_DOWN
    )


def _weighted(agents: Sequence[TurnTaker]) -> Sequence[TurnTaker]:
    """Return the agents that are asked outside of the schedules: all, if none has a weight."""
    return [agent for agent in agents if agent.weight > 0] or agents


def _turn(agents: Sequence[TurnTaker], ordinal: int) -> tuple[TurnTaker, bool]:
    """Return whose turn it is by `every` and the weights, and whether by `every`.

    All turns from the first are gone through: both schedules have no memory but that.
    """
    weighted = _weighted(agents)
    weights = [agent.weight or 1.0 for agent in weighted]
    credit = [0.0] * len(weighted)
    scheduled = [(agent, agent.every) for agent in agents if agent.every]
    since = [0] * len(scheduled)
    chosen, is_scheduled = agents[0], False
    for _ in range(ordinal):
        since = [count + 1 for count in since]
        late = [count / every for count, (_, every) in zip(since, scheduled, strict=True)]
        if is_scheduled := max(late, default=0.0) >= 1.0:
            index = late.index(max(late))
            chosen, every = scheduled[index]
            since[index] -= every
        else:
            credit = [had + weight for had, weight in zip(credit, weights, strict=True)]
            index = credit.index(max(credit))
            credit[index] -= sum(weights)
            chosen = weighted[index]
    return chosen, is_scheduled


def _after_failures(
    agents: Sequence[TurnTaker], counted: Sequence[Experiment], in_flight: Sequence[str]
) -> TurnTaker | None:
    """Return the agent that is asked because the lead did not move, None if there is none."""
    for agent in agents:
        if agent.after_failures is None or agent.name in in_flight:
            continue
        # Its own last experiment begins the count anew.
        failures = 0
        for experiment in reversed(counted):
            if _moved_lead(experiment) or experiment.agent == agent.name:
                break
            failures += 1
        if failures >= agent.after_failures:
            return agent
    return None


def _moved_lead(experiment: Experiment) -> bool:
    return experiment.took_lead or experiment.status in ADOPTED


def _best(
    agents: Sequence[TurnTaker],
    counted: Sequence[Experiment],
    by: str,
    in_flight: Sequence[str],
    draw: Callable[[float, float], float],
) -> TurnTaker:
    """Return the agent whose gain per cost, as drawn, is the largest."""
    own = {agent: [e for e in counted if e.agent == agent.name] for agent in agents}
    tries = {agent: len(own[agent]) + in_flight.count(agent.name) for agent in agents}
    least = min(agents, key=lambda agent: tries[agent])
    if tries[least] < FIRST_TRIES:
        return least
    recent = counted[-RECENT:]
    largest = max(map(gain_of, recent), default=0.0) or 1.0
    costs = _costs(own, by)
    drawn = {}
    for agent in agents:
        gains = [gain_of(e) / largest for e in recent if e.agent == agent.name]
        won = math.fsum(gains)
        # What is in flight has gained nothing yet.
        lost = max(0.0, len(gains) - won) + in_flight.count(agent.name)
        drawn[agent] = draw(1.0 + won, 1.0 + lost) / costs[agent]
    return max(agents, key=lambda agent: drawn[agent])


def _costs(own: dict[TurnTaker, list[Experiment]], by: str) -> dict[TurnTaker, float]:
    """Return the mean cost of each agent's experiments, in seconds or dollars.

    An agent whose dollars nobody knows counts as dear as the dearest of the others.
    """
    if by == PER_HOUR:
        spent = {a: [e.seconds.agent + e.seconds.evaluator for e in own[a]] for a in own}
        return {a: max(LEAST_S, statistics.fmean(spent[a] or [0.0])) for a in own}
    known = {a: [e.cost_usd for e in own[a] if e.cost_usd is not None] for a in own}
    usd = {a: max(LEAST_USD, statistics.fmean(known[a])) for a in own if known[a]}
    usd |= {a: LEAST_USD for a in own if a not in usd and a.is_free}
    dearest = max(usd.values(), default=LEAST_USD)
    return {a: usd.get(a, dearest) for a in own}
