"""What a start is checked for."""

import re

import pytest

from orchestrator.agents.choice import choose_backend
from orchestrator.core.errors import UserError
from orchestrator.daemon.start_checks import check_start, start_notes
from orchestrator.store.workspace import Workspace
from tests.conftest import REPOSITORY


def readme_config() -> str:
    """Return the configuration that the README prints for one's own model."""
    found = re.search(
        r"```yaml\n(agent:\n.*?)```", (REPOSITORY / "README.md").read_text(), re.DOTALL
    )
    assert found is not None
    return found[1]


def test_the_configuration_in_the_readme_starts(starter: Workspace) -> None:
    """As it is printed, with nothing else in the file."""
    starter.config.write_text(readme_config())
    plan = check_start(starter, None, ())
    assert choose_backend(plan.config) == ("openai", "agent.backend in the configuration")
    assert plan.config.limits.cost_usd == 5


def test_a_limit_on_cost_needs_prices(starter: Workspace) -> None:
    """Without them it would never be reached."""
    starter.config.write_text(re.sub(r"\n  prices:.*", "", readme_config()))
    with pytest.raises(UserError, match=r"limits\.cost_usd needs agent\.prices"):
        check_start(starter, None, ())


def test_known_models_need_no_prices(starter: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are shipped do; each agent, each fallback and the reviewer is looked at."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    limited = "limits: {cost_usd: 1}\nagent: {backend: openai, model: gpt-5-mini"
    starter.config.write_text(f"{limited}}}\n")
    check_start(starter, None, ())
    starter.config.write_text(f"{limited}, fallback_models: [mine]}}\n")
    with pytest.raises(UserError, match=r"needs agent\.prices: .* do not have mine"):
        check_start(starter, None, ())
    starter.config.write_text(f"{limited}}}\nreview: {{model: mine}}\n")
    with pytest.raises(UserError, match=r"needs review\.prices: .* do not have mine"):
        check_start(starter, None, ())


def test_each_of_several_agents_must_have_a_price(
    starter: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that has none is named; what calls no model needs none."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    agents = "{backend: optuna}, {backend: openai, model: gpt-5-mini}"
    limit = "limits: {cost_usd: 1}\n"
    starter.config.write_text(f"{limit}agents: [{agents}]\n")
    check_start(starter, None, ())
    local = "{backend: openai, model: mine, base_url: 'http://localhost:9/v1', name: ours}"
    starter.config.write_text(f"{limit}agents: [{agents}, {local}]\n")
    with pytest.raises(UserError, match=r"needs agent\.prices: .* mine .*\(agents, ours\)"):
        check_start(starter, None, ())


REVIEWED = "agent: {backend: optuna}\nreview: {enabled: on"


def test_a_reviewer_is_checked_like_an_agent(starter: Workspace) -> None:
    """Before anything runs: its model, its key, its prices where cost is limited."""
    starter.config.write_text(f"{REVIEWED}}}\n")
    with pytest.raises(UserError, match=r"review\.model is missing"):
        check_start(starter, None, ())
    starter.config.write_text(f"{REVIEWED}, model: m, api_key_env: NO_SUCH_KEY}}\n")
    with pytest.raises(UserError, match=r"the reviewer .*no API key: set \$NO_SUCH_KEY"):
        check_start(starter, None, ())
    local = f"{REVIEWED}, model: m, base_url: 'http://localhost:9/v1'"
    starter.config.write_text(f"{local}}}\nlimits: {{cost_usd: 1}}\n")
    with pytest.raises(UserError, match=r"limits\.cost_usd needs review\.prices"):
        check_start(starter, None, ())
    starter.config.write_text(
        f"{local}, prices: {{input: 1, output: 2}}}}\nlimits: {{cost_usd: 1}}\n"
    )
    check_start(starter, None, ())


TEAM = """agents:
- {backend: openai, model: m, base_url: 'http://localhost:9/v1', prices: {input: 1, output: 2}}
- {backend: openai, model: n, base_url: 'http://localhost:9/v1'PRICES}
- {backend: optuna, every: 5}
"""


def test_each_of_several_agents_is_checked(starter: Workspace) -> None:
    """Its own settings, and its prices where cost is limited."""
    starter.config.write_text("agents: [{backend: optuna}, {backend: openai, name: x}]\n")
    with pytest.raises(UserError, match=r"agents, x: agent\.model is missing"):
        check_start(starter, None, ())
    limit = "limits: {cost_usd: 1}\n"
    starter.config.write_text(TEAM.replace("PRICES", "") + limit)
    with pytest.raises(UserError, match=r"limits\.cost_usd needs agent\.prices"):
        check_start(starter, None, ())
    priced = TEAM.replace("PRICES", ", prices: {input: 1, output: 2}")
    starter.config.write_text(priced + limit)
    first, *_ = start_notes(check_start(starter, None, ()))
    assert first == "agents: openai:m, openai:n, optuna (agents in the configuration, by weights)"


def test_what_the_search_can_not_tune_matters_where_it_is_alone(starter: Workspace) -> None:
    """Another agent may write what it then tunes."""
    plain = re.sub(r"(?m)^[A-Z_]+ = .*$", "", starter.candidate().train)
    (starter.root / "candidate" / "train.py").write_text(plain)
    said = []
    for agents in ("agent: {backend: optuna}\n", TEAM.replace("PRICES", "")):
        starter.config.write_text(agents)
        notes = start_notes(check_start(starter, None, ()))
        said.append(any("no numeric constant" in note for note in notes))
    assert said == [True, False]
