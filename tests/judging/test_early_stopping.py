"""Early stopping: what is predicted from learning curves, and how often it is wrong."""

import random

import pytest

from orchestrator.core.evaluations import Verdict
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


def judged(
    curve: list[float] | tuple[float, ...],
    others: list[LearningCurve],
    needed: float = 1.0,
    early_stop: float = 0.02,
) -> Verdict | None:
    return judge_curve(curve, others, needed, early_stop, train_episodes=EPISODES)


def test_checkpoints_lie_within_the_training() -> None:
    """Half and three quarters of it; none where there is little to save."""
    assert checkpoints(12) == (6, 9)
    assert checkpoints(7) == ()


def test_a_hopeless_curve_is_stopped_and_says_why() -> None:
    """Far below where others stood at the same number of episodes."""
    verdict = judged([-0.1] * 6, earlier())
    assert verdict is not None
    assert (verdict.status, verdict.stage) == (Status.DISCARD, "curves")
    assert "after 6 training episodes" in verdict.reason
    assert verdict.predicted_score == pytest.approx(0.4, abs=0.1)


def test_a_usual_curve_is_trained_to_the_end() -> None:
    """One that stands where the others stood may still end well."""
    curve = [(i + 1) / EPISODES for i in range(6)]
    assert judged(curve, earlier()) is None


def test_nothing_is_predicted_from_few() -> None:
    """Seven candidates are not enough, and neither are curves that ended before the checkpoint."""
    hopeless = [-9.0] * 6
    assert judged(hopeless, earlier(7)) is None
    short = [LearningCurve(c.curve[:6], c.final) for c in earlier()]
    assert judged(hopeless, short) is None


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
            stopped += judged(drawn.curve[:6], others, 1.1, early_stop) is not None
    assert stopped / winners <= early_stop


def steep(episodes: int, final: float = 1.0) -> list[float]:
    """Return a curve that learns nothing in its first third and then steadily, with some noise."""
    rng, start = random.Random(4), EPISODES // 3
    slope = final / (EPISODES - start)
    return [max(0, i + 1 - start) * slope + rng.gauss(0, 0.01) for i in range(episodes)]


@pytest.mark.parametrize("episodes", checkpoints(EPISODES))
def test_what_learns_late_is_not_stopped_for_it(episodes: int) -> None:
    """All others were at their end by then; this one rises steeply to where it is needed."""
    rng = random.Random(5)
    others = [LearningCurve((1.0,) * EPISODES, 1.0 + rng.gauss(0, 0.05)) for _ in range(12)]
    late = steep(episodes)
    assert judged(late, others) is None
    flat = [late[-1]] * episodes
    assert judged(flat, others) is not None


def test_a_rise_that_ends_too_low_is_stopped() -> None:
    """It is followed on in a straight line, and no further."""
    rng = random.Random(5)
    others = [LearningCurve((1.0,) * EPISODES, 1.0 + rng.gauss(0, 0.05)) for _ in range(12)]
    assert judged(steep(9, final=0.5), others) is not None
    assert judged(steep(9, final=0.5), others, needed=0.4) is None


def test_noise_is_no_rise() -> None:
    """Of curves that only shake, few look as if they rose: hopeless ones are stopped."""
    rng = random.Random(6)
    others = [LearningCurve((1.0,) * EPISODES, 1.0 + rng.gauss(0, 0.05)) for _ in range(12)]
    stopped = 0
    for _ in range(300):
        curve = [rng.gauss(0, 0.1) for _ in range(9)]
        stopped += judged(curve, others) is not None
    assert stopped >= 270
