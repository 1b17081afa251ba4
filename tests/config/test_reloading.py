"""What of a changed configuration takes effect in a run."""

import pytest

from orchestrator.config.reloading import RunningConfig, TakesEffect, changes, effective
from orchestrator.config.schema import Config
from orchestrator.core.records import Rung

NOW, RESTART, NEW_RUN = TakesEffect.NOW, TakesEffect.RESTART, TakesEffect.NEW_RUN


def config(**sections: object) -> Config:
    return Config.model_validate(sections)


@pytest.mark.parametrize(
    ("sections", "key", "when"),
    [
        ({"agent": {"model": "other"}}, "agent.model", NOW),
        ({"agents": [{"backend": "optuna"}]}, "agents", NOW),
        ({"agents_by": "gain_per_usd"}, "agents_by", NOW),
        ({"limits": {"hours": 2}}, "limits.hours", NOW),
        ({"budget": {"patience": 5}}, "budget.patience", NOW),
        ({"engine": {"lanes": 3}}, "engine.lanes", NOW),
        ({"logs": {"level": "debug"}}, "logs.level", NOW),
        ({"integrity": {"veto": []}}, "integrity.veto", NOW),
        ({"review": {"enabled": "off"}}, "review.enabled", NOW),
        ({"evaluator": {"slots": 2}}, "evaluator.slots", RESTART),
        ({"evaluator": {"timeout_s": 9}}, "evaluator.timeout_s", RESTART),
        ({"judge": {"alpha": 0.05}}, "judge.alpha", RESTART),
        ({"sandbox": "off"}, "sandbox", RESTART),
        ({"evaluator": {"num_envs": 8}}, "evaluator.num_envs", NEW_RUN),
        ({"evaluator": {"reward_bound": 1.0}}, "evaluator.reward_bound", NEW_RUN),
        ({"task": {"max_steps": 9}}, "task.max_steps", NEW_RUN),
    ],
)
def test_each_key_takes_effect_in_its_time(
    sections: dict[str, object], key: str, when: TakesEffect
) -> None:
    """What scores depend on needs a new run, what is built at a start a restart."""
    old, new = Config(), config(**sections)
    (change,) = changes(old, new, Rung(12, 8))
    assert (change.key, change.takes_effect) == (key, when)
    assert effective(old, new, Rung(12, 8)) == (new if when is NOW else old)


def test_what_may_change_changes_beside_what_may_not() -> None:
    """One file with changes of every kind: each is sorted by itself."""
    new = config(limits={"experiments": 5}, task={"max_steps": 9}, judge={"alpha": 0.1})
    assert effective(Config(), new, None) == config(limits={"experiments": 5})


@pytest.mark.parametrize(
    ("ladder", "when"),
    [
        ([[12, 8], [32, 8], [99, 9]], NOW),
        ([[12, 8], [16, 8], [32, 8]], NEW_RUN),
        ([[32, 8]], NEW_RUN),
    ],
)
def test_the_rungs_that_were_used_stay(ladder: list[list[int]], when: TakesEffect) -> None:
    """Later rungs of the ladder may change; those up to the budget of now are history."""
    old, new = config(budget={"ladder": [[12, 8], [32, 8]]}), config(budget={"ladder": ladder})
    (change,) = changes(old, new, Rung(32, 8))
    assert change.takes_effect is when
    assert "can't be resumed" not in change.cure  # a start takes any ladder
    (before,) = changes(old, new, None)
    assert before.takes_effect is NOW


def test_a_change_is_told_as_it_is_written() -> None:
    """Old and new value, null and true as YAML has them."""
    (change,) = changes(Config(), config(limits={"hours": 2.5}), None)
    assert str(change) == "limits.hours: null -> 2.5"


def test_the_running_configuration_comes_back_from_the_ledger() -> None:
    """Equal in every key, with what it was read from; that of another version is nothing."""
    full = config(budget={"ladder": [[12, 8]]}, agent={"prices": {"input": 1, "output": 2}})
    running = RunningConfig(full, ("a.b=1",), {"AUTORL_LIMITS__HOURS": "1"}).refused("no")
    assert RunningConfig.from_json(running.as_json()) == running
    assert RunningConfig.from_json(None) is None
    other = running.as_json().replace('"patience"', '"patience_of_tomorrow"')
    assert RunningConfig.from_json(other) is None
