"""The most that one call may cost, before it is made."""

from typing import Any

from orchestrator.agents.messages import Question
from orchestrator.agents.prices import snapshot, tariff_of
from orchestrator.agents.prompt_length import build_chat
from orchestrator.config.endpoints import PROGRAMS, AgentConfig
from orchestrator.core.spending import FREE, WorstCase

_TOKENS_A_MESSAGE = 32
"""For what a server writes around a message: roles, marks, a prompt of its own."""
_OUTPUT_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
_MOST_SAMPLES = 128


def worst_case(config: AgentConfig, question: Question) -> WorstCase:
    """Return the most that a question to a model, or to a program, may cost.

    Args:
        config: of the agent, with a limit on its answers (`config.caps`); without one nobody can
            say.
        question: as it will be asked. No tokeniser makes more tokens of a text than it has bytes.
    """
    if config.backend == "manual":
        return FREE
    if config.backend in PROGRAMS:
        return WorstCase(None, config.max_cost_usd)
    if (output := _most_output(config)) is None:
        return WorstCase(None, config.max_cost_usd)
    messages = build_chat(question, config.context_tokens)
    text = sum(len(message.content.encode(errors="replace")) for message in messages)
    prompt = text + _TOKENS_A_MESSAGE * (len(messages) + 1)
    return WorstCase(prompt + output, _most_usd(config, prompt, output))


def why_unpriced(config: AgentConfig, key: str) -> str | None:
    """Return what a limit on dollars needs to be kept, None if it has it.

    Args:
        config: of a proposer that is paid for, or of the reviewer.
        key: where it stands in the configuration: `agent`, `review`.
    """
    if config.backend == "manual" or config.max_cost_usd is not None:
        return None
    if config.backend in PROGRAMS:
        return f"{key}.max_cost_usd: the most that one turn of {config.backend} may cost"
    for model in (config.model, *config.fallback_models):
        if tariff_of(config, model) is None:
            return (
                f"{key}.prices: the prices that are shipped (of {snapshot().taken}) do not have "
                f"{model} at this address (a server of your own: {{input: 0, output: 0}})"
                f"{_or_else(key)}"
            )
    return None


def _or_else(key: str) -> str:
    """Return what does instead of prices."""
    if key == "review":
        return "; or review.enabled: off"
    return f"; or {key}.max_cost_usd, the most that one call may cost"


def _most_output(config: AgentConfig) -> int | None:
    """Return the most tokens of an answer; `extra` may ask for more, and for several answers."""
    if config.max_output_tokens is None:
        return None
    extra = config.extra or {}
    limits = [_number(extra.get(name)) for name in _OUTPUT_LIMITS]
    samples = min(max(1, _number(extra.get("n"))), _MOST_SAMPLES)
    return max(config.max_output_tokens, *limits) * samples


def _number(value: Any) -> int:
    return value if type(value) is int and value > 0 else 0


def _most_usd(config: AgentConfig, prompt: int, output: int) -> float | None:
    """Return the cost with the dearest of its models; without a price the user's own word."""
    most = 0.0
    for model in (config.model, *config.fallback_models):
        if (tariff := tariff_of(config, model)) is None:
            return config.max_cost_usd
        rates = tariff.for_input(prompt)
        dearest = max(rates.input, rates.cached, tariff.rates.input)
        most = max(most, (prompt * dearest + output * max(rates.output, tariff.rates.output)) / 1e6)
    return most
