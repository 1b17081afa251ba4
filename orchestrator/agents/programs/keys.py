"""Which variables of the environment give a program its key."""

from collections.abc import Mapping, Sequence

from orchestrator.config.endpoints import AgentConfig
from orchestrator.core.errors import UserError

_DEFAULT = AgentConfig().api_key_env
NO_KEY = "none"
"""In place of a key, for an endpoint of the user's own that wants none but whose client does."""

PROVIDER_KEYS: Mapping[str, Sequence[str]] = {
    "openai": ("OPENAI_API_KEY",),
    "anthropic": ("ANTHROPIC_API_KEY",),
    "gemini": ("GEMINI_API_KEY",),
    "google": ("GOOGLE_GENERATIVE_AI_API_KEY", "GEMINI_API_KEY"),
    "openrouter": ("OPENROUTER_API_KEY",),
    "deepseek": ("DEEPSEEK_API_KEY",),
    "mistral": ("MISTRAL_API_KEY",),
    "xai": ("XAI_API_KEY",),
    "groq": ("GROQ_API_KEY",),
    "opencode": ("OPENCODE_API_KEY",),
}
"""For programs of many providers: what the part of a model's name before the slash needs."""
COMMON_KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "OPENROUTER_API_KEY")
"""Of these the ones that most people have."""
_ALL_KEYS = tuple(dict.fromkeys(key for keys in PROVIDER_KEYS.values() for key in keys))


def key_of(
    config: AgentConfig, names: Sequence[str], environment: Mapping[str, str]
) -> dict[str, str]:
    """Return the variable that gives a program its key; none if no key is set.

    Args:
        config: if `api_key_env` names another variable, the program gets its value as `names[0]`.
        names: the program's own variables, of which the first that is set is passed on.
        environment: the daemon's.
    """
    if config.api_key_env not in {_DEFAULT, *names}:
        value = environment.get(config.api_key_env)
        return {names[0]: value} if value else {}
    ordered = [config.api_key_env, *names] if config.api_key_env in names else names
    found = next((name for name in ordered if environment.get(name)), None)
    return {} if found is None else {found: environment[found]}


def key_as(
    name: str, config: AgentConfig, names: Sequence[str], environment: Mapping[str, str]
) -> dict[str, str]:
    """Return the key of `key_of` as the variable `name`, whatever its own is."""
    found = key_of(config, names, environment)
    return {name: next(iter(found.values()))} if found else {}


def provider_keys(config: AgentConfig, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the keys for a program of many providers: its model's, else all that are set."""
    provider = (config.model or "").partition("/")[0]
    if provider in PROVIDER_KEYS:
        return key_of(config, PROVIDER_KEYS[provider], environment)
    names = {config.api_key_env, *_ALL_KEYS}
    return {name: environment[name] for name in sorted(names) if environment.get(name)}


def base_url(config: AgentConfig, ending: str = "") -> str | None:
    """Return the endpoint's address, without a slash at its end, or an ending that comes anyway."""
    if config.base_url is None:
        return None
    return config.base_url.rstrip("/").removesuffix(ending)


def needed_model(config: AgentConfig) -> str:
    """Return the model at an endpoint of the user's. Raises `UserError`: none is named."""
    if config.model is None:
        raise UserError(
            f"agent.model is missing: the name of a model at agent.base_url, for {config.backend}"
        )
    return config.model
