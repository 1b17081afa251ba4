"""The comparison of agents: its arms, its cuts at equal cost, its tables."""

from pathlib import Path

import pytest

from benchmarks.agents.__main__ import (
    Cost,
    Outcome,
    _is_enough,
    _runs,
    differences,
    interval,
    spread,
    table,
)
from benchmarks.agents.arms import TASKS, RandomSearch, Replay
from benchmarks.agents.runs import Course, Measure, Point
from orchestrator.agents.optuna_search import OptunaAgent, find_tunables
from orchestrator.core.errors import AgentFinishedError
from orchestrator.core.records import Attempt, Files, Rung
from orchestrator.proposals.brief import Brief
from orchestrator.proposals.reply import read_reply

TRAIN = """LR = 3e-4
HIDDEN = 32
GAMMA = 0.99


def build_policy(): ...


def training_overrides(): ...
"""
FILES = Files("def create_env(): ...\n", TRAIN)


def brief(ordinal: int, files: Files = FILES) -> Brief:
    return Brief(ordinal, "", files, Rung(12, 8), 1)


def test_random_search_has_the_spaces_of_the_embedded_one() -> None:
    """It stays within them, and does not learn: its draws are the same whatever was scored."""
    scored = [(TRAIN.replace("3e-4", f"{k}e-4"), float(k)) for k in range(1, 20)]
    spaces = {t.name: t for t in find_tunables(TRAIN)}
    for ordinal in range(1, 20):
        texts = []
        for trials in ([], scored):
            reply = RandomSearch(lambda _, trials=trials: trials).propose(brief(ordinal))  # type: ignore[misc]
            assert reply is not None
            texts.append(read_reply(reply, FILES).files.train)
        assert texts[0] == texts[1]
        for tunable in find_tunables(texts[0]):
            space = spaces[tunable.name]
            assert space.low <= tunable.value <= space.high
    learnt = OptunaAgent(lambda _: scored).propose(brief(19))
    assert learnt is not None
    assert read_reply(learnt, FILES).files.train != texts[0]


@pytest.mark.parametrize(("name", "count"), [("squad", 11), ("warehouse", 8)])
def test_a_transcript_is_replayed_to_its_end(name: str, count: int) -> None:
    """Each proposal as the model wrote it, whatever leads; once, also if it is asked for again."""
    task = TASKS[name]
    replay = Replay(task.lines)
    assert len(task.lines) == count
    seen = []
    for ordinal in range(1, count + 1):
        reply = replay.propose(brief(ordinal, task.start))
        assert reply is not None
        assert replay.propose(brief(ordinal, task.start)) == reply
        seen.append(read_reply(reply, task.start).files)
    assert len(set(seen)) == count
    with pytest.raises(AgentFinishedError):
        replay.propose(brief(count + 1, task.start))
    failed = Brief(1, "", task.start, Rung(12, 8), 1, attempts=(Attempt("x", "no_edit"),))
    assert replay.propose(failed) is None


COURSE = Course(
    [Point(0, 4.0, 1), Point(1, 9.0, 1), Point(2, 12.0, 3), Point(2, 15.0, 1), Point(3, 20.0, 4)],
    {}, [],
)  # fmt: skip


@pytest.mark.parametrize(("count", "lead"), [(0, 1), (1, 1), (2, 1), (3, 4), (9, 4)])
def test_what_led_at_equal_proposals(count: int, lead: int) -> None:
    """A lead that went back before the next proposal ended leads no more."""
    assert COURSE.after_proposals(count).lead == lead


@pytest.mark.parametrize(("seconds", "lead"), [(1.0, 1), (12.0, 3), (14.9, 3), (15.0, 1), (99, 4)])
def test_what_led_at_equal_seconds(seconds: float, lead: int) -> None:
    """Before the first point it is the baseline."""
    assert COURSE.after_seconds(seconds).lead == lead


def test_the_others_go_on_until_both_costs_are_equal() -> None:
    """The first run ends at either; none without end."""
    cost, most = Cost(3, 20.0), Cost(11, 100.0)
    at = {"count": Point(3, 10.0, 1), "time": Point(2, 20.0, 1), "both": Point(3, 20.0, 1)}
    first = {name: _is_enough(True, cost, most, point) for name, point in at.items()}
    other = {name: _is_enough(False, cost, most, point) for name, point in at.items()}
    assert first == {"count": True, "time": True, "both": True}
    assert other == {"count": False, "time": False, "both": True}
    assert _is_enough(False, cost, most, Point(1, 300.0, 1))


def outcome(arm: str, seed: int, there: float, then: float) -> Outcome:
    return Outcome("squad", arm, seed, 11, 30.0, there, 0.5, 25.0, 9, then, 0.25)


OUTCOMES = [
    outcome("model", 0, 0.5, 0.5), outcome("search", 0, 0.25, 0.125), outcome("random", 0, 0.0, 0.0),
    outcome("model", 1, 1.0, 1.0), outcome("search", 1, 0.75, 0.375), outcome("random", 1, 0.5, 0.0),
]  # fmt: skip


def test_the_table_has_each_agents_spread() -> None:
    """At equal proposals with their seconds, at equal seconds with their proposals."""
    rows = table(OUTCOMES)[2:]
    assert rows[1] == (
        "| squad | embedded search | 2 | +0.500 ± 0.354 (+0.250 to +0.750) | 50% | 30 "
        "| +0.250 ± 0.177 (+0.125 to +0.375) | 25% | 9 |"
    )
    assert spread([0.5]) == "+0.500 (+0.500 to +0.500)"


def test_differences_are_between_runs_of_the_same_seed() -> None:
    """Only where both were run; with an interval from two seeds on."""
    model, chance = differences([*OUTCOMES, outcome("random", 7, 9.0, 9.0)])[2:]
    assert model.startswith("| squad | strong model (transcript) | -0.250 (-0.250 to -0.250) |")
    assert chance.startswith("| squad | random search | +0.250 (+0.250 to +0.250) | +0.250 (")
    assert interval([0.5]) == "+0.500"
    assert len(differences([outcome("model", 0, 1.0, 1.0)])) == 2


def test_runs_are_made_and_measured(tmp_path: Path) -> None:
    """The short form: real training, one proposal each, at the smallest budget."""
    measure = Measure(TASKS["squad"], tmp_path / "final", Rung(2, 1), 1)
    arms = ("model", "random")
    found = list(_runs(tmp_path / "runs", measure, arms, 0, Cost(1, 600.0)))
    assert [(each.arm, each.proposals) for each in found] == [("model", 1), ("random", 1)]
    assert found[1].seconds == found[0].seconds_there > 0
    assert found[1].proposals_then >= 0
    assert measure.worth(TASKS["squad"].start).gain == 0.0
