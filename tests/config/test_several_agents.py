"""`agents`: several in place of one, what their entries may hold, and what is wrong with a list."""

from pathlib import Path

import pytest

from orchestrator.config.reloading import RunningConfig, TakesEffect, changes, effective
from orchestrator.config.schema import Config
from tests.config.helpers import complaints, load
from tests.conftest import REPOSITORY

PAGE = REPOSITORY / "docs" / "several-agents.md"
BOTH = "agents:\n  - {backend: optuna, every: 5}\n  - {backend: openai, model: m}\n"


def test_without_a_list_the_one_agent_proposes(tmp_path: Path) -> None:
    """With one, its entries do, and what holds for all is as in `agent`."""
    config = load(tmp_path, "agent: {backend: optuna, max_repairs: 1}")
    assert config.proposers == (config.agent,)
    assert config.each_alone == (config,)
    config = load(tmp_path, f"{BOTH}agent: {{max_repairs: 0, lessons_every: null}}")
    assert [each.label for each in config.proposers] == ["optuna", "openai:m"]
    assert {(each.max_repairs, each.lessons_every) for each in config.proposers} == {(0, None)}
    assert [one.agent for one in config.each_alone] == list(config.proposers)
    assert not any(one.agents for one in config.each_alone)


@pytest.mark.parametrize(
    ("entry", "share"),
    [("weight: 0.5", 0.5), ("weight: 0", 0.0), ("every: 3", 0.0), ("after_failures: 3", 0.0),
     ("every: 3, weight: 2", 2.0), ("backend: optuna", 1.0)],
)  # fmt: skip
def test_a_schedule_is_in_place_of_a_weight(tmp_path: Path, entry: str, share: float) -> None:
    """Unless a weight is given too."""
    config = load(tmp_path, f"agents: [{{backend: openai}}, {{name: x, {entry}}}]")
    assert config.proposers[1].share == share


@pytest.mark.parametrize(
    ("text", "starts", "cure"),
    [
        (
            "agents:\n- backend: optuna\n- {backend: optuna, every: 2}\n",
            "config.yaml:1: agents: two entries are called 'optuna'", "another `name`",
        ),
        (
            "agents: [{backend: codex, model: m}, {name: 'codex:m'}]",
            "config.yaml:1: agents: two entries are called 'codex:m'", "another `name`",
        ),
        (
            "agents: [{backend: optuna, weight: 0}, {backend: codex, weight: 0}]",
            "config.yaml:1: agents: every weight is 0", "give one a `weight` above 0",
        ),
        (
            "agents:\n- backend: optuna\n  max_repairs: 2\n",
            "config.yaml:3: agents.0.max_repairs: holds for all", "agent.max_repairs",
        ),
        (
            "agents:\n- backend: optuna\n  lessons_every: null\n",
            "config.yaml:3: agents.0.lessons_every: holds for all", "agent.lessons_every",
        ),
        (
            f"{BOTH}agent:\n  backend: scripted\n",
            "config.yaml:5: agent.backend: has no effect beside `agents`", "--set agents=[]",
        ),
        (
            f"{BOTH}agent:\n  base_url: http://localhost/v1\n",
            "config.yaml:5: agent.base_url: has no effect beside `agents`", "leave one of the two",
        ),
        ("agent:\n  every: 2\n", "config.yaml:2: agent.every: has an effect in", "leave it out"),
        ("agents:\n- bakend: optuna\n", "config.yaml:2: agents.0.bakend:", "mean backend?"),
        ("agents:\n- {1: 2}\n", "config.yaml:2: agents.0.1: unknown key", "known: backend"),
        ("agents: [{prices: {in: 1, output: 1, input: 1}}]",
         "config.yaml:1: agents.0.prices.in: unknown", "known: input, cached, output"),
        ("agents:\n- optuna\n", "config.yaml:1: agents.0: must be a section", "not 'optuna'"),
        ("agents: {backend: optuna}", "config.yaml:1: agents: should be a valid list", ""),
        ("agents: [{name: human}]", "config.yaml:1: agents.0.name: 'human'", "choose another"),
        ("agent: {name: none}", "config.yaml:1: agent.name: 'none'", "choose another"),
        ("agents_by: luck", "config.yaml:1: agents_by: ", "gain_per_hour"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_cure(
    tmp_path: Path, text: str, starts: str, cure: str
) -> None:
    """One line, with the place of the key."""
    (line,) = complaints(tmp_path, text)
    assert line.startswith(starts)
    assert cure in line


def test_a_setting_empties_the_list(tmp_path: Path) -> None:
    """As the error about two agents says; a backend set beside the list names the setting."""
    config = load(tmp_path, BOTH, "agents=[]", "agent.backend=scripted")
    assert [each.label for each in config.proposers] == ["scripted"]
    (line,) = complaints(tmp_path, BOTH, "agent.backend=scripted")
    assert line.startswith("--set agent.backend: agent.backend: has no effect")


def test_a_variable_that_holds_an_entrys_key_is_no_setting(tmp_path: Path) -> None:
    """Though its name looks like one."""
    text = "agents: [{backend: openai, model: m, api_key_env: AUTORL_API_KEY}]"
    assert load(tmp_path, text, AUTORL_API_KEY="secret").agents[0].model == "m"


def test_a_changed_list_takes_effect_at_once() -> None:
    """It is told by what the entries set."""
    old = Config()
    new = Config.model_validate(
        {"agents": [{"backend": "optuna"}, {"backend": "scripted", "weight": 2.0}],
         "agents_by": "gain_per_hour"}
    )  # fmt: skip
    found = changes(old, new, None)
    assert [change.takes_effect for change in found] == [TakesEffect.NOW] * 2
    assert str(found[0]) == (
        "agents: [] -> [{'backend': 'optuna'}, {'backend': 'scripted', 'weight': 2.0}]"
    )
    assert effective(old, new, None) == new
    assert effective(new, old, None) == old


def test_a_list_comes_back_from_the_ledger() -> None:
    """With every key of its entries."""
    entries = [{"backend": "optuna", "every": 3}, {"backend": "openai", "model": "m"}]
    running = RunningConfig(Config.model_validate({"agents": entries}))
    assert RunningConfig.from_json(running.as_json()) == running


def test_the_pages_example_can_be_used(tmp_path: Path) -> None:
    """As it is printed."""
    text = PAGE.read_text().split("```yaml\n")[1].split("```")[0]
    config = load(tmp_path, text)
    assert [each.label for each in config.proposers] == ["codex", "openai:gpt-5", "optuna"]
    assert [each.share for each in config.proposers] == [2.0, 1.0, 0.0]
