"""Prices: looked up by address and name, unknown wherever they could be others."""

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.agents.prices import SNAPSHOT, Rates, Tariff, cost_usd, snapshot, tariff_of
from orchestrator.agents.update_prices import HOSTS, is_wanted, make_snapshot, priced
from orchestrator.config.endpoints import AgentConfig
from orchestrator.core.records import Tokens

GPT_5 = Tariff(Rates(1.25, 0.125, 10.0))
PLAIN = Tariff(Rates(1.0, 0.1, 10.0))


def config(**settings: Any) -> AgentConfig:
    return AgentConfig.model_validate({"backend": "openai"} | settings)


@pytest.fixture(autouse=True)
def no_address_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


def test_the_snapshot_names_its_day_and_source() -> None:
    """A few hundred models, each with prices that can be, at the addresses of its provider."""
    known = snapshot()
    assert known.taken == "2026-07-02"
    assert "models.dev" in known.source
    assert "MIT" in known.source
    assert set(known.models) == set(HOSTS) == set(known.by_host.values())
    tariffs = [tariff for models in known.models.values() for tariff in models.values()]
    assert 200 < len(tariffs) < 500
    for tariff in tariffs:
        for rates in (tariff.rates, *(rates for _, rates in tariff.above)):
            assert 0 < rates.cached <= rates.input < 1000
            assert 0 < rates.output < 1000


@pytest.mark.parametrize(
    ("settings", "rates"),
    [
        ({"model": "gpt-5"}, GPT_5.rates),
        ({"model": "GPT-5"}, GPT_5.rates),
        ({"model": "openai/gpt-5"}, GPT_5.rates),
        ({"model": "gpt-5-2025-08-07"}, GPT_5.rates),
        ({"model": "gpt-5", "base_url": "https://api.openai.com/v1"}, GPT_5.rates),
        ({"model": "gpt-4o-2024-05-13"}, Rates(5.0, 5.0, 15.0)),
        ({"model": "claude-sonnet-4-5", "base_url": "https://api.anthropic.com/v1"}, Rates(3.0, 0.3, 15.0)),
        ({"model": "openai/gpt-5", "base_url": "https://openrouter.ai/api/v1"}, GPT_5.rates),
        ({"model": "gpt-5-codex", "backend": "codex"}, GPT_5.rates),
        ({"model": "claude-sonnet-4-5", "backend": "claude"}, Rates(3.0, 0.3, 15.0)),
        ({"model": "anthropic/claude-sonnet-4-5", "backend": "opencode"}, Rates(3.0, 0.3, 15.0)),
        ({"model": "gemini/gemini-2.5-pro", "backend": "aider"}, Rates(1.25, 0.125, 10.0)),
    ],
    ids=str,
)  # fmt: skip
def test_a_model_is_found_at_its_providers_address(settings: dict[str, Any], rates: Rates) -> None:
    """By its name, without the provider's own in front, without its date."""
    tariff = tariff_of(config(**settings))
    assert tariff is not None
    assert tariff.rates == rates


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"model": "gpt-5-tuned"},
        {"model": "gpt-5", "base_url": "http://localhost:8000/v1"},
        {"model": "gpt-5", "base_url": "http://192.168.1.9:8000/v1"},
        {"model": "gpt-5", "base_url": "https://gateway.example/v1"},
        {"model": "gpt-5", "base_url": "https://api.openai.com.example/v1"},
        {"model": "meta/gpt-5"},
        {"model": "gpt-5", "extra": {"service_tier": "priority"}},
        {"model": "claude-sonnet-4-5"},
        {"model": "deepseek/deepseek-v3.2", "base_url": "https://openrouter.ai/api/v1"},
        {"model": "gpt-5", "backend": "opencode"},
        {"model": "nobody/gpt-5", "backend": "aider"},
        {"backend": "codex"},
        {"model": "claude-sonnet-4-5", "backend": "claude", "env": ["ANTHROPIC_BASE_URL"]},
        {"model": "gpt-5", "backend": "command"},
    ],
    ids=str,
)
def test_what_could_cost_something_else_is_unknown(settings: dict[str, Any]) -> None:
    """Other addresses, this machine, other sellers, names that are not there."""
    assert tariff_of(config(**settings)) is None


def test_the_environment_may_name_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for the call itself."""
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:8000/v1")
    assert tariff_of(config(model="gpt-5")) is None


def test_the_configuration_wins_for_its_model_alone() -> None:
    """At any address; a fallback has the price of the snapshot."""
    own = config(model="gpt-5", prices={"input": 7.0, "output": 8.0})
    assert tariff_of(own) == Tariff(Rates(7.0, 7.0, 8.0))
    assert tariff_of(own, "gpt-5-mini") == Tariff(Rates(0.25, 0.025, 2.0))
    local = config(model="m", base_url="http://localhost:1/v1", prices={"input": 0, "output": 0})
    assert cost_usd(Tokens(5, None, 5, None), tariff_of(local)) == 0.0


def test_cost_counts_cached_input_at_its_price() -> None:
    """Cached input is part of the input, and never more than all of it."""
    tokens = Tokens(1_000_000, 400_000, 100_000, 50_000)
    assert cost_usd(tokens, PLAIN) == pytest.approx(1.64)
    assert cost_usd(Tokens(1_000_000, None, 0, None), PLAIN) == 1.0
    assert cost_usd(Tokens(10, 99, 0, 0), Tariff(Rates(1.0, 0.0, 1.0))) == 0.0


def test_long_prompts_have_their_own_price() -> None:
    """From the first token beyond the size on, for the whole call."""
    tariff = tariff_of(config(
        model="gemini-2.5-pro", base_url="https://generativelanguage.googleapis.com/v1beta/openai"
    ))  # fmt: skip
    assert cost_usd(Tokens(200_000, None, 1000, None), tariff) == pytest.approx(0.26)
    assert cost_usd(Tokens(200_001, None, 1000, None), tariff) == pytest.approx(0.515, abs=1e-4)


@pytest.mark.parametrize(
    ("tokens", "tariff"),
    [(Tokens(1, 1, 1, 1), None), (Tokens(None, None, 5), PLAIN), (Tokens(5), PLAIN)],
)
def test_cost_may_be_unknown(tokens: Tokens, tariff: Tariff | None) -> None:
    """Without prices, or without counts, the cost is unknown and not 0."""
    assert cost_usd(tokens, tariff) is None


# -- the snapshot, made again ----------------------------------------------------------------------


TABLE = {
    "openai": {"models": {
        "gpt-9": {"cost": {"input": 1, "output": 2, "cache_read": 0.5}},
        "text-embedding-9": {"cost": {"input": 1, "output": 2}},
        "free": {"cost": {"input": 0, "output": 0}},
        "unpriced": {},
    }},
    "google": {"models": {"gemini-9": {"cost": {
        "input": 1, "output": 2, "tiers": [{"tier": {"size": 200000}, "input": 3, "output": 4}],
    }}}},
    "alibaba": {"models": {"qwen-9": {"cost": {"input": 1, "output": 2, "reasoning": 9}}}},
    "openrouter": {"models": {
        "openai/gpt-9": {"cost": {"input": 1, "output": 2}},
        "openai/gpt-oss-9": {"cost": {"input": 1, "output": 2}},
        "deepseek/deepseek-9": {"cost": {"input": 1, "output": 2}},
    }},
    "somebody-else": {"models": {"x": {"cost": {"input": 1, "output": 2}}}},
}  # fmt: skip
KEPT = {
    "openai": {"gpt-9": Tariff(Rates(1, 0.5, 2))},
    "google": {"gemini-9": Tariff(Rates(1, 1, 2), ((200_000, Rates(3, 3, 4)),))},
    "openrouter": {"openai/gpt-9": Tariff(Rates(1, 1, 2))},
}


def test_a_copy_of_the_table_becomes_a_snapshot(tmp_path: Path) -> None:
    """With what has one price for everybody, and nothing of which the bill could not be told."""
    copy, made = tmp_path / "api.json", tmp_path / "prices.json"
    copy.write_text(json.dumps(TABLE))
    made.write_text(make_snapshot(str(copy), "2027-01-02", ""))
    known = snapshot(made)
    assert known.taken == "2027-01-02"
    assert {name: dict(models) for name, models in known.models.items() if models} == KEPT


def test_a_checkout_of_the_table_becomes_the_same(tmp_path: Path) -> None:
    """One TOML file a model; a link to nowhere is left out."""
    for provider, facts in TABLE.items():
        for name, model in facts["models"].items():
            path = tmp_path / "providers" / provider / "models" / f"{name}.toml"
            path.parent.mkdir(parents=True, exist_ok=True)
            cost = dict(model.get("cost", {}))
            tiers = cost.pop("tiers", [])
            lines = ["[cost]", *(f"{key} = {value}" for key, value in cost.items())]
            for tier in tiers:
                lines += ["[[cost.tiers]]", f"tier = {{size = {tier['tier']['size']}}}"]
                lines += [f"input = {tier['input']}", f"output = {tier['output']}"]
            path.write_text("\n".join(lines))
    (tmp_path / "providers/openai/models/gone.toml").symlink_to("nowhere")
    made = tmp_path / "prices.json"
    made.write_text(make_snapshot(str(tmp_path), "2027-01-02", " at 1a2b3c"))
    known = snapshot(made)
    assert {name: dict(models) for name, models in known.models.items() if models} == KEPT
    assert "1a2b3c" in known.source


def test_what_is_shipped_is_what_the_script_writes() -> None:
    """A model a line, so that a new snapshot can be read as a difference."""
    text = SNAPSHOT.read_text()
    count = sum(len(models) for models in snapshot().models.values())
    assert text.count('"rates"') == count == sum('"rates"' in line for line in text.splitlines())


def test_reasoning_at_another_price_is_left_out() -> None:
    """Not every server says how many tokens of an answer were reasoning."""
    assert priced({"input": 1, "output": 2, "reasoning": 3}) is None
    assert priced({"input": 1, "output": 2, "reasoning": 2}) == {"rates": [1, 1, 2]}
    assert not is_wanted("openrouter", "qwen/qwen-9")
