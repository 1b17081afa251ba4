"""What a start finds out about the model's endpoint, beside the configuration itself."""

import ipaddress
import os
import urllib.parse

from orchestrator.agents.choice import models, review_settings
from orchestrator.agents.endpoint_check import check_endpoint
from orchestrator.config.schema import Config
from orchestrator.core.errors import UserError

_OWN_ENDINGS = (".local", ".localhost", ".internal", ".lan", ".home.arpa")


def endpoint_notes(config: Config) -> list[str]:
    """Make one tiny call to the endpoint; return what there is to say, a line each.

    One more goes to the reviewer's where that is another endpoint, model or key. Nothing is called,
    and nothing said, where no model proposes or reviews. A network that is down is a note: the run
    waits for it.

    Raises:
        UserError: the key is refused, the model unknown, or anything else that no wait cures.
    """
    lines = []
    for model in models(config):
        found = check_endpoint(model)
        whose = f"agents, {model.label}: " if config.agents else ""
        if found.state == "bad":
            raise UserError(f"{whose}{found.says}")
        prefix = "endpoint" if found.state == "ok" else "note: the endpoint"
        lines.append(f"{prefix}: {whose}{found.says}")
    return [*lines, *_reviewer_notes(config), *limit_notes(config)]


def _reviewer_notes(config: Config) -> list[str]:
    settings = review_settings(config)
    if settings is None:
        return []
    ours = [(model.model, model.base_url, model.api_key_env) for model in models(config)]
    if (settings.model, settings.base_url, settings.api_key_env) in ours:
        return []
    found = check_endpoint(settings)
    if found.state == "bad":
        raise UserError(f"the reviewer (review; null is as in agent): {found.says}")
    prefix = "reviewer" if found.state == "ok" else "note: the reviewer"
    says = found.says.replace("; the run waits for it", "; what it misses is kept unreviewed")
    return [f"{prefix}: {says}"]


def limit_notes(config: Config) -> list[str]:
    """Return a line if nothing ends the run's calls to a model that may cost money."""
    limits = config.limits
    bounds = (limits.experiments, limits.hours, limits.tokens, limits.cost_usd)
    default = os.environ.get("OPENAI_BASE_URL", "").strip()
    addresses = [model.base_url or default for model in models(config)]
    if any(bounds) or all(map(is_own_machine, addresses)):
        return []
    return [
        "note: no limit on experiments, hours, tokens or cost_usd is set (limits), so the run asks "
        "the model, and pays, until you stop it"
    ]


def is_own_machine(url: str | None) -> bool:
    """Does an address lead to this machine or a private network?"""
    host = (urllib.parse.urlsplit(url or "").hostname or "").lower()
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return bool(host) and ("." not in host or host.endswith(_OWN_ENDINGS))
    return address.is_loopback or address.is_private or address.is_link_local
