"""Early stopping: what is predicted_score from learning curves, and how often it is wrong."""

import random

import pytest

from orchestrator.config.schema import JudgeConfig
from orchestrator.core.records import Status
from orchestrator.judging.challenger_test import Hearing
from orchestrator.judging.early_stopping import LearningCurve, checkpoints, judge_curve
from orchestrator.judging.incumbent import ChallengeDesign
from orchestrator.judging.sequential_test import IncumbentReturns, judge, screen_score

EPISODES = 12


def curve(final: float, rng: random.Random, noise: float = 0.05) -> LearningCurve:
    """Return a candidate that learns along a straight line to `final`."""
    curve = [final * (i + 1) / EPISODES + rng.gauss(0, noise) for i in range(EPISODES)]
    return LearningCurve(tuple(curve), final + rng.gauss(0, noise))


def known(count: int = 20, spread: float = 0.2) -> list[LearningCurve]:
    rng = random.Random(1)
    return [curve(1.0 + rng.gauss(0, spread), rng) for _ in range(count)]


def test_checkpoints_lie_within_the_training() -> None:
    """Half and three quarters of it; none where there is little to save."""
    assert checkpoints(12) == (6, 9)
    assert checkpoints(7) == ()


def test_a_hopeless_curve_is_stopped_and_says_why() -> None:
    """Far below where others stood at the same number of episodes."""
    verdict = judge_curve([-0.1] * 6, known(), needed=1.0, early_stop=0.02)
    assert verdict is not None
    assert (verdict.status, verdict.stage) == (Status.DISCARD, "curves")
    assert "after 6 training episodes" in verdict.reason


def test_a_usual_curve_goes_on() -> None:
    """One that stands where the others stood may still end well."""
    curve = [(i + 1) / EPISODES for i in range(6)]
    assert judge_curve(curve, known(), needed=1.0, early_stop=0.02) is None


def test_nothing_is_foretold_from_few() -> None:
    """Seven candidates are not enough, and neither are curves that ended before the checkpoint."""
    hopeless = [-9.0] * 6
    assert judge_curve(hopeless, known(7), needed=1.0, early_stop=0.02) is None
    short = [LearningCurve(c.curve[:6], c.final) for c in known()]
    assert judge_curve(hopeless, short, needed=1.0, early_stop=0.02) is None


@pytest.mark.parametrize("early_stop", [0.02, 0.1])
def test_winners_are_stopped_no_oftener_than_the_config_says(early_stop: float) -> None:
    """Of those that end above what is needed, drawn as the others were, few are stopped."""
    rng = random.Random(2)
    earlier = [curve(1.0 + rng.gauss(0, 0.3), rng) for _ in range(12)]
    winners = stopped = 0
    while winners < 4000:
        drawn = curve(1.0 + rng.gauss(0, 0.3), rng)
        if drawn.final > 1.1:
            winners += 1
            curve = drawn.curve[:6]
            stopped += judge_curve(curve, earlier, 1.1, early_stop) is not None
    assert stopped / winners <= early_stop


def test_a_poor_curve_on_one_seed_leaves_room_for_the_others() -> None:
    """What the default seeds still to come may add counts, as it does for a seed trained to the end."""
    rng = random.Random(3)
    returns = tuple(rng.gauss(0, 1) for _ in range(48))
    incumbent = IncumbentReturns(returns, 1.0, degrees_of_freedom=47)
    challenge = ChallengeDesign((101, 138), (), incumbent)
    curves = [LearningCurve((0.0,) * 12, rng.gauss(0, 0.01)) for _ in range(20)]
    needed = screen_score(incumbent, JudgeConfig(), 2, first=1)
    for below, stopped in ((0.3, False), (3.0, True)):
        hearing = Hearing(challenge, JudgeConfig(), curves)
        event = {"event": "checkpoint", "curve": [needed - below] * 9}
        assert hearing.goes_on(event) is not stopped
        trained = judge(incumbent, [needed - below], JudgeConfig(), seed_count=2)
        assert (trained is not None) is stopped
