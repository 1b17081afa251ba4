"""Early stopping: what is predicted from learning curves, and how often it is wrong."""

import random

import pytest

from orchestrator.core.records import Status
from orchestrator.judging.early_stopping import LearningCurve, checkpoints, judge_curve

EPISODES = 12


def trained(final: float, rng: random.Random, noise: float = 0.05) -> LearningCurve:
    """Return a candidate that learns along a straight line to `final`."""
    curve = [final * (i + 1) / EPISODES + rng.gauss(0, noise) for i in range(EPISODES)]
    return LearningCurve(tuple(curve), final + rng.gauss(0, noise))


def earlier(count: int = 20, spread: float = 0.2) -> list[LearningCurve]:
    rng = random.Random(1)
    return [trained(1.0 + rng.gauss(0, spread), rng) for _ in range(count)]


def test_checkpoints_lie_within_the_training() -> None:
    """Half and three quarters of it; none where there is little to save."""
    assert checkpoints(12) == (6, 9)
    assert checkpoints(7) == ()


def test_a_hopeless_curve_is_stopped_and_says_why() -> None:
    """Far below where others stood at the same number of episodes."""
    verdict = judge_curve([-0.1] * 6, earlier(), needed=1.0, early_stop=0.02)
    assert verdict is not None
    assert (verdict.status, verdict.stage) == (Status.DISCARD, "curves")
    assert "after 6 training episodes" in verdict.reason
    assert verdict.predicted_score == pytest.approx(0.4, abs=0.1)


def test_a_usual_curve_is_trained_to_the_end() -> None:
    """One that stands where the others stood may still end well."""
    curve = [(i + 1) / EPISODES for i in range(6)]
    assert judge_curve(curve, earlier(), needed=1.0, early_stop=0.02) is None


def test_nothing_is_predicted_from_few() -> None:
    """Seven candidates are not enough, and neither are curves that ended before the checkpoint."""
    hopeless = [-9.0] * 6
    assert judge_curve(hopeless, earlier(7), needed=1.0, early_stop=0.02) is None
    short = [LearningCurve(c.curve[:6], c.final) for c in earlier()]
    assert judge_curve(hopeless, short, needed=1.0, early_stop=0.02) is None


@pytest.mark.parametrize("early_stop", [0.02, 0.1])
def test_winners_are_stopped_no_oftener_than_the_config_says(early_stop: float) -> None:
    """Of those that end above what is needed, drawn as the others were, few are stopped."""
    rng = random.Random(2)
    others = [trained(1.0 + rng.gauss(0, 0.3), rng) for _ in range(12)]
    winners = stopped = 0
    while winners < 4000:
        drawn = trained(1.0 + rng.gauss(0, 0.3), rng)
        if drawn.final > 1.1:
            winners += 1
            stopped += judge_curve(drawn.curve[:6], others, 1.1, early_stop) is not None
    assert stopped / winners <= early_stop


def test_what_other_seeds_may_add_makes_it_patient() -> None:
    """A curve that is hopeless alone is not, while much is unknown of the mean it counts for."""
    curve = [0.1] * 6
    assert judge_curve(curve, earlier(), needed=1.1, early_stop=0.02) is not None
    assert judge_curve(curve, earlier(), 1.1, 0.02, remaining_sd=1.0) is None
