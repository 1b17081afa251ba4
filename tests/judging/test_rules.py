"""The rules of one run: which seeds, how the lead moves, and when a trial looks."""

import pytest

from orchestrator.config.schema import JudgeConfig
from orchestrator.judging.rules import JudgingRules


def rules(seed_count: int = 2, **numbers: object) -> JudgingRules:
    return JudgingRules(JudgeConfig(**numbers), seed_count)  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_default_seeds_are_as_many_as_the_config_says(count: int) -> None:
    """The evaluator's first ones."""
    assert rules(count).default_seeds == (101, 138, 175, 212, 249)[:count]


def test_only_the_sound_rule_has_a_lead() -> None:
    """The naive one keeps directly."""
    assert rules().has_lead
    assert not rules(rule="naive").has_lead


@pytest.mark.parametrize(
    ("agent_s", "seed_s", "is_dear"),
    [(None, None, False), (99.0, None, False), (None, 1.0, False), (39.9, 10.0, False),
     (40.0, 10.0, True), (1.0, 0.0, False)],
)  # fmt: skip
def test_proposals_are_dear_by_what_was_measured(
    agent_s: float | None, seed_s: float | None, is_dear: bool
) -> None:
    """From `dear_from` times a seed on; before both are known they are cheap."""
    numbers = JudgeConfig()
    assert rules().search(agent_s, seed_s) == (numbers.dear if is_dear else numbers.cheap)


def test_a_person_may_say_what_proposals_cost() -> None:
    """Whatever was measured."""
    assert rules(proposals="dear").search(0.0, 9.0) == JudgeConfig().dear
    assert rules(proposals="cheap").search(99.0, 1.0) == JudgeConfig().cheap
    assert rules(dear_from=2.0).search(4.0, 2.0) == JudgeConfig().dear


def test_a_trial_looks_after_every_four_seeds_and_at_the_end() -> None:
    """Each look needs as many seeds of the published candidate, and no fewer than the first."""
    assert rules().looks() == (4, 8, 12, 16, 20, 24, 28, 32, 36, 40)
    assert rules(max_evaluations=10).looks() == (4, 8, 10)
    assert rules(max_evaluations=4).looks() == (4,)
    assert [rules(reference_first=12).reference_at(look) for look in (4, 12, 16)] == [12, 12, 16]
    assert rules(reference_first=2).reference_at(4) == 4


def test_tests_that_share_alpha_have_it_together() -> None:
    """A smallest effect in points holds for returns alone, one in standard deviations for all."""
    half = rules(alpha=0.02, min_effect=0.1).share_of_alpha(0.5)
    assert (half.numbers.alpha, half.numbers.min_effect, half.seed_count) == (0.01, 0.1, 2)
    rates = rules(min_effect=0.1).share_of_alpha(0.5, in_score_points=False)
    assert rates.numbers.min_effect == 0.0
    in_spreads = rules(min_effect="0.5sd").share_of_alpha(0.5, in_score_points=False)
    assert in_spreads.numbers.min_effect == "0.5sd"
