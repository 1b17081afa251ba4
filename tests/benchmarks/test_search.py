"""The simulated searches: that worlds, rules and figures are what they say."""

import math
import random
import statistics

import pytest

from benchmarks.judge import former_rule, search
from benchmarks.judge.courses import POINTS, Course
from benchmarks.judge.search import RULES
from benchmarks.judge.worlds import WORLDS, World

SEEDS = 200.0


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.name)
def test_proposals_stay_below_the_ceiling(world: World) -> None:
    """Some are better, most are not, none passes the ceiling."""
    start = world.start(1)
    values = [world.propose(start).mean for _ in range(2000)]
    assert max(values) < 1
    assert 0.02 < statistics.fmean(value > 0 for value in values) < 0.2
    assert statistics.fmean(value < 0 for value in values) > 0.5


@pytest.mark.parametrize("rule", RULES)
def test_a_course_is_noted_to_its_end(rule: str) -> None:
    """The same key gives the same course; it begins at 0 and its time is used up."""
    first, again = (RULES[rule](WORLDS[1], (3,), SEEDS, 2.0) for _ in range(2))
    assert first == again
    assert len(first.published) == len(first.lead) == POINTS + 1
    assert first.published[0] == 0.0
    assert SEEDS <= first.spent < SEEDS + 50
    assert 0 < first.proposals < SEEDS / 2


def test_the_oracle_is_never_wrong() -> None:
    """What it has only rises, and nobody is ahead of it in the mean."""
    courses = {rule: [RULES[rule](WORLDS[1], (k,), SEEDS, 0.0) for k in range(4)] for rule in RULES}
    assert all(course.published == sorted(course.published) for course in courses["oracle"])
    ends = {rule: statistics.fmean(c.published[-1] for c in some) for rule, some in courses.items()}
    assert max(ends.values()) == ends["oracle"]
    assert all(course.false == 0 for course in courses["oracle"])
    assert sum(course.false for course in courses["naive"]) > 0


def test_parts_of_the_cost_by_hand() -> None:
    """The moment at which the mean passes the naive rule's last value, between two points."""
    naive = Course(1.0, published=[0.0] * POINTS + [0.5])
    ours = Course(1.0, published=[point / POINTS for point in range(POINTS + 1)])
    assert search.part_of_cost([ours, ours], [naive, naive]) == pytest.approx(0.5)
    assert math.isinf(search.part_of_cost([naive, naive], [ours, ours]))


def test_the_former_rule_keeps_what_is_clearly_better() -> None:
    """Two standard deviations above the reference are kept, two below are hopeless."""
    draws = random.Random(5)
    reference = [draws.gauss(0, 1) for _ in range(24)]
    spread = former_rule.spread([reference])
    better = [former_rule.judge(lambda: draws.gauss(2, 1), reference, *spread) for _ in range(20)]
    worse = [former_rule.judge(lambda: draws.gauss(-8, 1), reference, *spread) for _ in range(20)]
    assert sum(each.is_kept for each in better) > 10
    assert all(each.is_hopeless and not each.is_kept and each.seeds == 1 for each in worse)
