"""Settings of the command line and of the environment: what wins, and how wrong ones are named."""

from pathlib import Path

import pytest

from orchestrator.config.schema import Config
from tests.config.helpers import complaints, load, value_at


def test_set_beats_environment_beats_file(tmp_path: Path) -> None:
    """`--set` beats `AUTORL_A__B`, which beats the file."""
    text = "limits: {experiments: 1, tokens: 1, without_keep: 1}"
    environment = {"AUTORL_LIMITS__EXPERIMENTS": "2", "AUTORL_LIMITS__TOKENS": "2"}
    limits = load(tmp_path, text, "limits.experiments=3", **environment).limits
    assert (limits.experiments, limits.tokens, limits.without_keep) == (3, 2, 1)


def test_last_set_wins(tmp_path: Path) -> None:
    """Of two `--set` of one key the later one counts."""
    assert load(tmp_path, "", "sandbox=off", "sandbox=auto").sandbox == "auto"


@pytest.mark.parametrize(
    ("setting", "dotted", "value"),
    [
        ("agent.model=null", "agent.model", None),
        ("agent.model=", "agent.model", None),
        ("agent.model=no", "agent.model", "no"),
        ("limits.cost_usd=1e1", "limits.cost_usd", 10.0),
        (" limits.experiments = 5 ", "limits.experiments", 5),
        ("budget.ladder=[[2, 1]]", "budget.ladder", [(2, 1)]),
        ("agent.base_url=http://localhost:8000/v1", "agent.base_url", "http://localhost:8000/v1"),
        ("agent={backend: optuna}", "agent.backend", "optuna"),
        ("agent=null", "agent.backend", "auto"),
        ("sandbox=off", "sandbox", "off"),
    ],
)
def test_settings_are_read_like_the_file(
    tmp_path: Path, setting: str, dotted: str, value: object
) -> None:
    """A `--set` value is YAML, as in the file."""
    assert value_at(load(tmp_path, "agent: {timeout_s: 5}", setting), dotted) == value


def test_prices_can_be_set_key_by_key(tmp_path: Path) -> None:
    """A section that is null in the file can be filled from the environment."""
    prices = load(
        tmp_path,
        "agent: {prices: null}",
        AUTORL_AGENT__PRICES__INPUT="1.25",
        AUTORL_AGENT__PRICES__OUTPUT="10",
    ).agent.prices
    assert prices is not None
    assert (prices.input, prices.cached, prices.output) == (1.25, None, 10.0)


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("a", "must be KEY=VALUE"),
        ("", "must be KEY=VALUE"),
        ("=1", "must be KEY=VALUE"),
        (".=1", "must be KEY=VALUE"),
        ("agent..model=1", "must be KEY=VALUE"),
        ("agent.=1", "must be KEY=VALUE"),
        ("a=1", "unknown key"),
        ("a.b.c=1", "unknown key"),
        ("agent.Model=x", "did you mean model?"),
        ("agent.model.x=1", "should be a valid string"),
        ("agent=5", "must be a section"),
        ("sandbox.x=1", "should be 'auto' or 'off'"),
        ("agent.model=x: y", "should be a valid string"),
        ("agent.model=1\nlimits: 2", "not YAML"),
        ("agent.model=@x", "not YAML"),
        ("agent.model=[", "not YAML"),
        ("agent.model=\udcff", "not YAML"),
        ("agent.prices={input: 1, input: 2}", "agent.prices.input: stands twice"),
        ("agent.prices={input: 1}", "agent.prices.output: Field required"),
        ("limits.experiments=true", "limits.experiments: should be a valid integer, not True"),
    ],
)
def test_odd_settings_are_refused_by_name(tmp_path: Path, setting: str, says: str) -> None:
    """A `--set` that can't be meant is refused, and the line begins with it."""
    lines = complaints(tmp_path, "", setting)
    assert lines[0].startswith(f"--set {setting.partition('=')[0]}")
    assert says in " ".join(lines)


@pytest.mark.parametrize(
    "name", ["AUTORL_", "AUTORL_FOO", "AUTORL_AGENT__FOO", "AUTORL_AGENT_MODEL", "AUTORL_A__"]
)
def test_unknown_names_in_the_environment_are_refused(tmp_path: Path, name: str) -> None:
    """A variable that begins like ours and names no key is an error, and the line begins with it."""
    (line,) = complaints(tmp_path, "", **{name: "1"})
    assert line.startswith(f"{name}: ")


@pytest.mark.parametrize("section", ["agent", "review"])
@pytest.mark.parametrize("source", ["file", "environment", "setting"])
def test_a_variable_that_holds_a_key_is_no_setting(
    tmp_path: Path, section: str, source: str
) -> None:
    """However it is called, and wherever it is named."""
    text, more, environment = "", [], {"AUTORL_API_KEY": "sk-1: [x"}
    if source == "file":
        text = f"{section}: {{api_key_env: AUTORL_API_KEY}}"
    elif source == "setting":
        more = [f"{section}.api_key_env=AUTORL_API_KEY"]
    else:
        environment[f"AUTORL_{section.upper()}__API_KEY_ENV"] = "AUTORL_API_KEY"
    config = load(tmp_path, text, *more, **environment)
    assert getattr(config, section).api_key_env == "AUTORL_API_KEY"


@pytest.mark.parametrize("text", ["agent: 5", "agent: {api_key_env: 5}", "agent: [api_key_env]"])
def test_an_odd_name_of_a_key_is_refused_as_any_odd_value(tmp_path: Path, text: str) -> None:
    """Before it is looked for in the environment."""
    assert any("agent" in line for line in complaints(tmp_path, text, AUTORL_LIMITS__HOURS="1"))


def test_other_variables_are_left_alone(tmp_path: Path) -> None:
    """The rest of the environment means nothing to the configuration."""
    assert load(tmp_path, "", PATH="x", autorl_sandbox="off", XAUTORL_A="1") == Config()
