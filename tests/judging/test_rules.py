"""The rules of one run's tests: which seeds, and how many."""

import pytest

from orchestrator.config.schema import JudgeConfig
from orchestrator.judging.rules import JudgingRules


def rules(seed_count: int = 2, **numbers: object) -> JudgingRules:
    return JudgingRules(JudgeConfig(**numbers), seed_count)  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_default_seeds_are_as_many_as_the_config_says(count: int) -> None:
    """The evaluator's first ones."""
    assert rules(count).default_seeds == (101, 138, 175, 212, 249)[:count]


def test_the_reference_grows_with_the_challengers() -> None:
    """By a step each, up to its full size."""
    wanted = rules().reference_wanted
    assert [wanted(judged) for judged in (0, 1, 2, 13, 14, 99)] == [12, 13, 14, 25, 26, 48]
    assert rules(reference=40, reference_first=40).reference_wanted(0) == 40
    assert rules(reference=8, reference_first=1000).reference_wanted(0) == 8


def test_the_naive_rule_needs_no_reference() -> None:
    """However many challengers there were."""
    naive, sound = rules(rule="naive"), rules()
    assert (naive.needs_reference, naive.least_reference, naive.reference_wanted(99)) == (
        False,
        0,
        0,
    )
    assert (sound.needs_reference, sound.least_reference) == (True, 8)


def test_it_looks_after_every_group_and_at_the_end() -> None:
    """The looks count fresh seeds, and the last one is where the evaluations end."""
    assert rules().looks() == (4, 8, 12, 16, 20, 24, 28, 32, 36, 38)
    assert rules(group_size=8, max_evaluations=18).looks() == (8, 16)
    assert rules(group_size=50).looks() == (38,)
    assert rules(group_size=1, max_evaluations=6).looks() == (2, 3, 4)
    assert rules(max_evaluations=2).looks() == (2,)  # which a configuration file may not
