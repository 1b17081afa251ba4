"""What models cost: the configuration's word, else that of the snapshot beside this file.

The snapshot (`prices.json`) has the prices of models at their own providers' addresses, as of one
day; `update_prices.py` makes it again. A price is looked up by the address that is called and by
the model's name, and is unknown wherever it could be another one: at addresses that the snapshot
does not name (a gateway, this machine), and for models that it does not name.
"""

import functools
import json
import os
import re
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.agents.client_settings import OPENAI_URL
from orchestrator.config.endpoints import PROGRAMS, AgentConfig
from orchestrator.core.records import Tokens

SNAPSHOT = Path(__file__).with_name("prices.json")
_HOME_OF = {"codex": "openai", "claude": "anthropic", "gemini": "google"}
"""Whose models a program calls where it is told no other address."""
_OTHER_NAMES = {"gemini": "google", "x-ai": "xai", "z-ai": "zai", "qwen": "alibaba"}
"""Names that programs have for providers, in front of a model's name."""
_DATE = re.compile(r"[-@](?:20\d\d-\d\d-\d\d|20\d{6})$")
_ELSEWHERE = re.compile(r"_(?:BASE_URL|API_BASE)$")


@dataclass(frozen=True)
class Rates:
    """US dollars per million tokens."""

    input: float
    cached: float
    """Of the input that the provider had in its cache."""
    output: float


@dataclass(frozen=True)
class Tariff:
    """What one model costs."""

    rates: Rates
    above: tuple[tuple[int, Rates], ...] = ()
    """Other rates of calls with more than so many tokens of input, the fewest first."""

    def for_input(self, tokens: int) -> Rates:
        """Return the rates of a call with so many tokens of input."""
        known = [rates for size, rates in self.above if tokens > size]
        return known[-1] if known else self.rates


@dataclass(frozen=True)
class Snapshot:
    """The prices that are shipped."""

    taken: str
    """The day, as in 2026-07-02."""
    source: str
    by_host: Mapping[str, str]
    """The provider at an address."""
    models: Mapping[str, Mapping[str, Tariff]]
    """By provider and name."""


@functools.cache
def snapshot(path: Path = SNAPSHOT) -> Snapshot:
    """Read the snapshot."""
    document = json.loads(path.read_bytes())
    providers = document["providers"]
    return Snapshot(
        document["taken"],
        document["source"],
        {host: name for name, one in providers.items() for host in one["hosts"]},
        {
            name: {model: _tariff(facts) for model, facts in one["models"].items()}
            for name, one in providers.items()
        },
    )


def _tariff(facts: Mapping[str, Any]) -> Tariff:
    above = tuple((size, Rates(*rates)) for size, *rates in facts.get("above", ()))
    return Tariff(Rates(*facts["rates"]), above)


def tariff_of(config: AgentConfig, model: str | None = None) -> Tariff | None:
    """Return what a model costs, None if that is unknown.

    Args:
        config: of its agent or of the reviewer; `prices` there are those of `config.model`.
        model: another model that is called with this configuration.
    """
    model = model or config.model
    if config.prices is not None and model == config.model:
        prices = config.prices
        cached = prices.input if prices.cached is None else prices.cached
        return Tariff(Rates(prices.input, cached, prices.output))
    tier = (config.extra or {}).get("service_tier", "default")
    provider = None if model is None or tier != "default" else _provider(config, model)
    if model is None or provider is None:
        return None
    return _found(snapshot().models[provider], model, provider)


def _provider(config: AgentConfig, model: str) -> str | None:
    """Return the provider whose prices hold, None if that is not known for sure."""
    known = snapshot()
    if config.base_url is not None or config.backend not in PROGRAMS:
        address = config.base_url or os.environ.get("OPENAI_BASE_URL", "").strip() or OPENAI_URL
        try:
            host = urllib.parse.urlsplit(address).hostname or ""
        except ValueError:  # no address at all, as the start says
            return None
        return known.by_host.get(host.rstrip("."))
    if any(_ELSEWHERE.search(name) for name in config.env):
        return None  # the environment says where it calls
    if config.backend in _HOME_OF:
        return _HOME_OF[config.backend]
    prefix, slash, _ = model.partition("/")
    named = _OTHER_NAMES.get(prefix, prefix)
    return named if slash and named in known.models else None


def _found(models: Mapping[str, Tariff], model: str, provider: str) -> Tariff | None:
    """Look a name up: as it is, without the provider's own name, and without its date."""
    name = model.strip().lower()
    prefix, slash, rest = name.partition("/")
    names = [name, rest] if slash and _OTHER_NAMES.get(prefix, prefix) == provider else [name]
    for each in [*names, *(_DATE.sub("", each) for each in names)]:
        if each in models:
            return models[each]
    return None


def cost_usd(tokens: Tokens, tariff: Tariff | None) -> float | None:
    """Return the cost of a call, None if prices or counts are unknown."""
    if tariff is None or tokens.input is None or tokens.output is None:
        return None
    rates = tariff.for_input(tokens.input)
    cached = min(tokens.cached or 0, tokens.input)
    total = (tokens.input - cached) * rates.input + cached * rates.cached
    return (total + tokens.output * rates.output) / 1e6
