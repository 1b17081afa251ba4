"""What a prompt says of numbers: the budget, reward parts, and the change in short."""

from dataclasses import replace

import pytest

from orchestrator.core.records import Files, Rung
from orchestrator.proposals.brief import Brief
from orchestrator.proposals.code_shown import short_diff
from orchestrator.proposals.measurements import Measurements, RewardPart, SeedScore
from orchestrator.proposals.notebook import last_learning, lead
from tests.proposals.test_prompt import experiment

FILES = Files("def create_env(): ...\n", "def training_overrides(): return {}\n")
KNOWN = Measurements(1, max_steps=40, curve=(0.1, 0.2))
BRIEF = Brief(2, "", FILES, Rung(12, 8), 1, num_envs=32, known=KNOWN)
ROOM = 10_000


def test_the_budget_is_told_in_updates() -> None:
    """By PPO's defaults where train.py uses them; else by what it sets."""
    text = lead(BRIEF, ROOM)
    assert "at most 15,360 environment steps" in text
    assert "12 updates of 2 epochs of 10 minibatches" in text
    own = Files(FILES.env, 'def training_overrides(): return {"buffer_size": 640}\n')
    text = lead(replace(BRIEF, files=own), ROOM)
    assert "train.py sets buffer_size itself: an episode of at most 1,280 steps makes" in text
    assert "defaults" not in text


@pytest.mark.parametrize(
    ("solve_rate", "changed", "is_said"),
    [(0.4, [], True), (0.9, ["reward"], True), (0.9, ["observation"], False), (0.9, [], False)],
)
def test_rules_for_rewards_stand_where_they_help(
    solve_rate: float, changed: list[str], is_said: bool
) -> None:
    """Where little is solved, or the reward was changed last."""
    last = Measurements(
        2, default_seeds=((101, SeedScore(0.5, solve_rate)),),
        reward_parts={"goal": RewardPart((0.1, 0.2), 0.2, 0.15, 0.1)},
    )  # fmt: skip
    brief = replace(BRIEF, last=last, history=[experiment(2, verdict={"changed": changed})])
    assert ("rules of thumb" in last_learning(brief, ROOM)) is is_said


def test_a_long_change_is_cut_in_the_environment() -> None:
    """What train.py changes stays whole, behind it."""
    long = "".join(f"x{n} = {n}\n" for n in range(500))
    train = "".join(f"y{n} = {n}\n" for n in range(100))
    text = short_diff(FILES, Files(long, train))
    assert text.index("+x0 = 0") < text.index("change of this file is longer") < text.index("+y0")
    assert "+y99 = 99" in text
    assert "+x499" not in text
    assert len(text) < 3000
