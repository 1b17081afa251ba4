"""Whose turn it is among several agents."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.experiments import Experiment, Seconds
from orchestrator.core.records import HUMAN, Rung, Status
from orchestrator.planning.agent_choice import (
    FIRST_TRIES,
    PER_HOUR,
    PER_USD,
    RECENT,
    STOOD_DOWN,
    USELESS,
    TurnTaker,
    gain_of,
    next_agent,
)

A, B, C = TurnTaker("a"), TurnTaker("b"), TurnTaker("c")


def no_draw(_: float, __: float) -> float:
    raise AssertionError("nothing is drawn by weights")


def mean(won: float, lost: float) -> float:
    """Return the mean of a beta distribution, in place of a draw from it."""
    return won / (won + lost)


def ended(
    n: int, agent: str, status: Status = Status.DISCARD, gain: float = 0.1, **known: Any
) -> Experiment:
    verdict = {"lead": True, "estimate": gain} if status is Status.LEAD else {}
    return Experiment(
        n, "t", status is Status.BASELINE, status, Rung(12, 8), agent, ended=n,
        **{"verdict": verdict, **known},
    )  # fmt: skip


def history(*agents: str) -> list[Experiment]:
    """Return one experiment of each; one in capitals took the lead."""
    return [
        ended(n, name.lower(), Status.LEAD if name.isupper() else Status.DISCARD)
        for n, name in enumerate(agents, 1)
    ]


def turns(agents: Sequence[TurnTaker], count: int) -> str:
    """Return whose turn the first proposals are, where nothing has ended."""
    return "".join(next_agent(agents, (), k, draw=no_draw) for k in range(1, count + 1))


def turns_after(agents: Sequence[TurnTaker], past: Sequence[Experiment], count: int) -> str:
    """Return whose turn the next proposals are, after these endings."""
    first = len(past) + 1
    return "".join(next_agent(agents, past, first + k, draw=no_draw) for k in range(count))


# -- standing down ---------------------------------------------------------------------------------


def test_an_agent_whose_proposals_can_t_be_used_stands_down_for_a_while() -> None:
    """A program that fails at once would use up an experiment at each of its turns."""
    past = [ended(n, "a", Status.INVALID) for n in range(1, USELESS + 1)]
    assert turns_after([A, B], past, 6) == "bbbbbb"
    assert "a" in turns_after([A, B], past[1:], 6)
    later = [ended(n, "b") for n in range(USELESS + 1, USELESS + 1 + STOOD_DOWN)]
    assert "a" in turns_after([A, B], past + later, 6)


def test_one_crash_or_discard_shows_that_an_agent_works() -> None:
    """Only what could not be used at all counts, and only in a row."""
    past = [ended(n, "a", Status.INVALID) for n in range(1, USELESS + 1)]
    assert "a" in turns_after([A, B], [*past, ended(9, "a", Status.CRASH)], 6)


def test_where_all_stand_down_all_are_asked() -> None:
    """`limits.consecutive_failures` ends such a run."""
    past = [ended(n, "ab"[n % 2], Status.INVALID) for n in range(1, 2 * USELESS + 1)]
    assert set(turns_after([A, B], past, 6)) == {"a", "b"}


# -- weights and schedules -------------------------------------------------------------------------


def test_weights_are_served_smoothly() -> None:
    """As often as they say, and never all of one agent's turns in a row."""
    assert turns([A, B], 6) == "ababab"
    assert turns([replace(A, weight=5.0), B, C], 14) == "aabacaaaabacaa"
    assert turns([replace(A, weight=0.0), B], 4) == "bbbb"


positive = st.lists(st.integers(1, 9), min_size=1, max_size=5)


@given(weights=positive, rounds=st.integers(1, 3))
def test_after_as_many_turns_as_the_weights_add_up_to_all_are_served(
    weights: list[int], rounds: int
) -> None:
    """Exactly; and in between nobody is ahead by more than there are agents."""
    agents = [TurnTaker(str(i), weight=float(w)) for i, w in enumerate(weights)]
    said = turns(agents, rounds * sum(weights))
    assert Counter(said) == {str(i): rounds * w for i, w in enumerate(weights)}
    for k in range(1, len(said)):
        counts = Counter(said[:k])
        for i, weight in enumerate(weights):
            assert abs(counts[str(i)] - k * weight / sum(weights)) < len(weights)


@given(
    agents=st.lists(
        st.tuples(st.floats(0, 1e9), st.none() | st.integers(1, 9), st.none() | st.integers(1, 9)),
        min_size=1, max_size=4,
    ),
    ordinal=st.integers(1, 60),
    past=st.lists(
        st.tuples(st.sampled_from("0123h"), st.sampled_from(list(Status)), st.none() | st.just(1.0))
    ),
    by=st.sampled_from(["weights", PER_HOUR, PER_USD]),
    in_flight=st.lists(st.sampled_from("0123h"), max_size=4),
)  # fmt: skip
def test_whatever_has_happened_it_is_somebodys_turn(
    agents: list[tuple[float, int | None, int | None]],
    ordinal: int,
    past: list[tuple[str, Status, float | None]],
    by: str,
    in_flight: list[str],
) -> None:
    """One of the agents, and the same one whenever it is asked."""
    takers = [TurnTaker(str(i), *each) for i, each in enumerate(agents)]
    endings = [ended(n, who, how, cost_usd=usd) for n, (who, how, usd) in enumerate(past, 1)]
    chosen = {
        next_agent(
            takers, endings, ordinal, by=by, in_flight=in_flight,
            draw=random.Random(ordinal).betavariate,
        )
        for _ in range(2)
    }  # fmt: skip
    assert len(chosen) == 1
    assert chosen <= {taker.name for taker in takers}


def test_each_kth_turn_is_anothers() -> None:
    """Whatever the weights; the rest is shared as if these turns were not there."""
    every = TurnTaker("s", weight=0.0, every=5)
    assert turns([A, B, every], 15) == "ababsababsababs"
    assert turns([A, replace(every, weight=1.0)], 10) == "asassasass"


def test_two_schedules_do_not_starve_each_other() -> None:
    """Due at the same turn, one takes the next; asked for more than there is, both lose as many."""
    x, y = TurnTaker("x", 0.0, every=3), TurnTaker("y", 0.0, every=3)
    assert turns([A, x, y], 9) == "aaxyaxyax"
    greedy = [TurnTaker("x", 0.0, every=1), TurnTaker("y", 0.0, every=2)]
    assert Counter(turns(greedy, 40)) == {"x": 40 - 10, "y": 20 - 10}


def test_without_a_weight_the_turns_between_are_for_all() -> None:
    """There must be somebody."""
    assert turns([TurnTaker("x", 0.0, every=3), TurnTaker("y", 0.0, after_failures=2)], 6) == (
        "xyxxyx"
    )


@pytest.mark.parametrize(
    ("past", "in_flight", "whose"),
    [
        ("", "", "a"),
        ("aa", "", "a"),
        ("aaa", "", "s"),
        ("Aaa", "", "a"),
        ("Aaaa", "", "s"),
        ("aaaA", "", "a"),
        ("aaasaa", "", "a"),
        ("aaasaaa", "", "s"),
        ("aaaSaaa", "", "s"),
        ("aaa", "s", "a"),
        ("aaa", "aa", "s"),
        ("haa", "", "s"),
    ],
)
def test_failures_call_another_agent(past: str, in_flight: str, whose: str) -> None:
    """After three that did not move the lead, once; and again after three more."""
    agents = [A, TurnTaker("s", weight=0.0, after_failures=3)]
    names = [HUMAN if name == "h" else name for name in past]
    endings = history(*names)
    assert next_agent(agents, endings, 9, in_flight=tuple(in_flight), draw=no_draw) == whose


def test_baselines_and_aborted_experiments_are_no_failures() -> None:
    """A proven lead is a success, though it is no lead any more."""
    agents = [A, TurnTaker("s", weight=0.0, after_failures=2)]
    quiet = [ended(1, "none", Status.BASELINE), ended(2, "a", Status.ABORTED), *history("a")]
    assert next_agent(agents, quiet, 4, draw=no_draw) == "a"
    kept = [*history("a"), ended(2, "a", Status.KEEP), ended(3, "a")]
    assert next_agent(agents, kept, 4, draw=no_draw) == "a"
    assert next_agent(agents, [*kept, ended(4, "a")], 5, draw=no_draw) == "s"


# -- gains -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "verdict", "gain"),
    [
        (Status.LEAD, {"estimate": 0.2, "gain": 0.4}, 0.2),
        (Status.KEEP, {"estimate": 0.2}, 0.2),
        (Status.KEEP, {"estimate": None, "gain": 0.4}, 0.4),
        (Status.KEEP, {}, 0.0),
        (Status.LEAD, {"estimate": -0.1}, 0.0),
        (Status.DISCARD, {"estimate": 0.2, "lead": True}, 0.0),
        (Status.CRASH, {}, 0.0),
    ],
)
def test_the_gain_of_an_experiment_is_the_leads(
    status: Status, verdict: dict[str, float | None], gain: float
) -> None:
    """As it is estimated; nothing of what was discarded, or of a lead that went back."""
    assert gain_of(ended(1, "a", status, verdict=verdict)) == gain


def test_each_is_tried_first() -> None:
    """Those least often asked before the others; what is in flight counts."""
    agents = [A, B, C]
    by = {"by": PER_HOUR, "draw": no_draw}
    assert next_agent(agents, (), 1, **by) == "a"  # type: ignore[arg-type]
    assert next_agent(agents, history("a"), 2, **by) == "b"  # type: ignore[arg-type]
    assert next_agent(agents, history("a"), 3, in_flight=["b"], **by) == "c"  # type: ignore[arg-type]
    full = history(*"abc" * (FIRST_TRIES - 1), "a", "b")
    assert next_agent(agents, full, 9, **by) == "c"  # type: ignore[arg-type]
    assert next_agent(agents, full, 9, in_flight=["c"], by=PER_HOUR, draw=mean) == "a"


def spent(names: str, seconds: dict[str, float], usd: dict[str, float | None]) -> list[Experiment]:
    """Return experiments with what each agent's cost."""
    return [
        replace(e, seconds=Seconds(agent=seconds[e.agent] / 2, evaluator=seconds[e.agent] / 2),
                cost_usd=usd[e.agent])
        for e in history(*names)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("names", "seconds", "usd", "by", "whose"),
    [
        ("aaabbb", (1, 1), (1, 1), PER_HOUR, "a"),
        ("aaABBB", (1, 1), (1, 1), PER_HOUR, "b"),
        ("AAABBB", (1, 10), (10, 1), PER_HOUR, "a"),
        ("AAABBB", (1, 10), (10, 1), PER_USD, "b"),
        ("aaABBB", (1, 100), (1, 1), PER_HOUR, "a"),
        ("AAABBB", (1, 1), (1, None), PER_USD, "a"),
        ("AAaBBB", (1, 1), (1, None), PER_USD, "b"),
        ("AAaBBB", (1, 1), (None, None), PER_USD, "b"),
    ],
)
def test_the_best_for_its_cost_is_asked(
    names: str,
    seconds: tuple[float, float],
    usd: tuple[float | None, float | None],
    by: str,
    whose: str,
) -> None:
    """An agent whose price nobody knows counts as dear as the dearest."""
    past = spent(names, dict(zip("ab", seconds, strict=True)), dict(zip("ab", usd, strict=True)))
    assert next_agent([A, B], past, 7, by=by, draw=mean) == whose


def test_what_costs_no_money_is_cheap_and_not_free() -> None:
    """An agent that never gains is not asked for its price alone."""
    free = replace(B, is_free=True)
    costs: dict[str, float | None] = {"a": 0.01, "b": None}
    times = {"a": 1.0, "b": 1.0}
    assert next_agent([A, free], spent("AAABBB", times, costs), 7, by=PER_USD, draw=mean) == "b"
    idle = spent("AAA" + "b" * 30, times, {"a": 0.002, "b": None})
    assert next_agent([A, free], idle, 34, by=PER_USD, draw=mean) == "a"


def test_old_gains_are_forgotten() -> None:
    """Of what gained before the last experiments nothing is left; its costs are still known."""
    old = history(*"BBB", *"a" * (RECENT - 3), *"AAA")
    assert next_agent([A, B], old, 64, by=PER_HOUR, draw=mean) == "b"
    assert next_agent([A, B], history(*"BBBaaaAAA"), 9, by=PER_HOUR, draw=mean) == "b"
    assert next_agent([A, B], history(*"BBB", *"AAA" * 20), 64, by=PER_HOUR, draw=mean) == "a"


def test_schedules_hold_whatever_was_gained() -> None:
    """And what has no weight takes no part."""
    search = TurnTaker("s", weight=0.0, every=5)
    past = history(*"AAASSS")
    assert next_agent([A, search], past, 10, by=PER_HOUR, draw=mean) == "s"
    assert next_agent([A, search], past, 11, by=PER_HOUR, draw=mean) == "a"


@pytest.mark.parametrize("by", [PER_HOUR, PER_USD])
def test_in_the_long_run_most_turns_go_to_the_best(by: str) -> None:
    """Of three agents: one gains rarely, one often, and one as often but at three times the cost."""
    chance = {"a": 0.05, "b": 0.3, "c": 0.3}
    cost = {"a": 1.0, "b": 1.0, "c": 3.0}
    shares = Counter[str]()
    for seed in range(8):
        drawn = random.Random(seed)
        past: list[Experiment] = []
        for k in range(1, 121):
            whose = next_agent(
                [A, B, C], past, k, by=by, draw=random.Random(f"{seed} {k}").betavariate
            )
            is_better = drawn.random() < chance[whose]
            how = Status.LEAD if is_better else Status.DISCARD
            gain = 0.1 * drawn.random()
            seconds = Seconds(evaluator=cost[whose])
            past.append(ended(k, whose, how, gain=gain, seconds=seconds, cost_usd=cost[whose]))
        shares.update(e.agent for e in past[20:])
    assert shares["b"] > 0.6 * shares.total()
    assert min(shares[name] for name in "ac") > 0
