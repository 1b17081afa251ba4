"""What a start is checked for."""

import re

import pytest

from orchestrator.agents.choice import choose_backend
from orchestrator.core.errors import UserError
from orchestrator.daemon.start_checks import check_start
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
