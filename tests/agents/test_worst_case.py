"""The most that a call may cost, and what a limit on dollars needs."""

from typing import Any

import pytest

from orchestrator.agents.messages import Question
from orchestrator.agents.prompt_length import build_chat
from orchestrator.agents.worst_case import why_unpriced, worst_case
from orchestrator.config.caps import DEFAULT_OUTPUT_TOKENS, with_caps
from orchestrator.config.endpoints import AgentConfig
from orchestrator.config.schema import Config
from orchestrator.core.records import Attempt, Files, Rung
from orchestrator.core.reviews import ReviewRequest
from orchestrator.core.spending import FREE, WorstCase
from orchestrator.proposals.brief import Brief
from orchestrator.proposals.review_prompt import ReviewBrief

FILES = Files("env = 1\n", "train = 'é漢😀'\n")
BRIEF = Brief(1, "Improve it.\n", FILES, Rung(12, 8), 1)
REVIEW = ReviewBrief("Improve it.\n", ReviewRequest(FILES, FILES, "", "", (), ()))
PRICED = {"model": "m", "prices": {"input": 1.0, "output": 10.0}, "max_output_tokens": 1000}


def config(**settings: Any) -> AgentConfig:
    return AgentConfig.model_validate({"backend": "openai"} | settings)


@pytest.mark.parametrize("question", [BRIEF, REVIEW])
def test_a_prompt_has_no_more_tokens_than_bytes(question: Question) -> None:
    """So the worst case is its bytes, something around each message, and the longest answer."""
    worst = worst_case(config(**PRICED), question)
    size = sum(len(message.content.encode()) for message in build_chat(question, 64_000))
    assert worst.tokens is not None
    assert size + 1000 < worst.tokens < size + 1300
    prompt = worst.tokens - 1000
    assert worst.cost_usd == pytest.approx((prompt * 1.0 + 1000 * 10.0) / 1e6)


def test_a_longer_conversation_may_cost_more() -> None:
    """Earlier replies are part of the prompt."""
    longer = Brief(1, "", FILES, Rung(12, 8), 1, attempts=(Attempt("x" * 5000, "no edit"),))
    first, second = (worst_case(config(**PRICED), each).spend for each in (BRIEF, longer))
    assert second.tokens > first.tokens + 5000


def test_the_dearest_model_that_may_answer_counts() -> None:
    """A fallback may cost more than the model; without a price of one, nobody can say."""
    cheap = config(model="gpt-5-nano", max_output_tokens=1000)
    dear = config(model="gpt-5-nano", max_output_tokens=1000, fallback_models=["gpt-5-pro"])
    assert worst_case(dear, BRIEF).spend.cost_usd > 100 * worst_case(cheap, BRIEF).spend.cost_usd
    unknown = config(model="gpt-5-nano", max_output_tokens=1000, fallback_models=["mine"])
    assert worst_case(unknown, BRIEF).cost_usd is None


def test_more_may_be_asked_for_by_the_way() -> None:
    """`extra` may hold another limit on the answer, and ask for several."""
    plain = worst_case(config(**PRICED), BRIEF).spend.tokens
    longer = worst_case(config(**PRICED, extra={"max_tokens": 5000}), BRIEF).spend.tokens
    several = worst_case(config(**PRICED, extra={"n": 3}), BRIEF).spend.tokens
    odd = worst_case(config(**PRICED, extra={"n": "3", "max_tokens": True}), BRIEF).spend.tokens
    assert (longer - plain, several - plain, odd - plain) == (4000, 2000, 0)


def test_what_nobody_can_say_is_unknown() -> None:
    """An answer without an end; a program's tokens; what a program costs is the user's word."""
    assert worst_case(config(model="gpt-5"), BRIEF) == WorstCase(None, None)
    assert worst_case(config(backend="codex"), BRIEF) == WorstCase(None, None)
    assert worst_case(config(backend="codex", max_cost_usd=2.0), BRIEF) == WorstCase(None, 2.0)
    assert worst_case(config(backend="manual"), BRIEF) == FREE


def test_the_users_word_holds_where_no_price_is_known() -> None:
    """Of an API too."""
    settings = {"model": "mine", "max_output_tokens": 10, "max_cost_usd": 0.5}
    assert worst_case(config(**settings), BRIEF).cost_usd == 0.5


def test_the_worse_of_two_is_the_worst_that_is_known() -> None:
    """For a team of agents, of which some are programs."""
    assert WorstCase(1, 2.0).or_worse(WorstCase(3, 1.0)) == WorstCase(3, 2.0)
    assert WorstCase(1, 2.0).or_worse(WorstCase(None, 1.0)) == WorstCase(1, 2.0)
    assert WorstCase(None, 2.0).or_worse(WorstCase(None, None)) == WorstCase(None, 2.0)


# -- limits ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("limits", [{"tokens": 9}, {"cost_usd": 9.0}])
def test_limits_give_every_answer_an_end(limits: dict[str, float]) -> None:
    """Where the configuration has none; without limits on spending nothing is changed."""
    agents = [{"model": "a"}, {"model": "b", "max_output_tokens": 7}]
    capped = with_caps(Config.model_validate({"limits": limits, "agents": agents}))
    assert capped.agent.max_output_tokens == DEFAULT_OUTPUT_TOKENS
    assert [each.max_output_tokens for each in capped.agents] == [DEFAULT_OUTPUT_TOKENS, 7]
    free = Config.model_validate({"limits": {"experiments": 3}, "agents": agents})
    assert with_caps(free) is free


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"model": "gpt-5"}, None),
        ({"model": "gpt-5", "base_url": "https://api.openai.com/v1"}, None),
        ({"model": "mine", "prices": {"input": 0, "output": 0}}, None),
        ({"model": "mine", "max_cost_usd": 0.5}, None),
        ({"backend": "codex", "max_cost_usd": 0.5}, None),
        ({"backend": "manual"}, None),
        ({"model": "gpt-5", "base_url": "http://localhost:8/v1"}, "agent.prices: the prices that are shipped (of 2026-07-02) do not have gpt-5 at this address"),
        ({"model": "gpt-5", "fallback_models": ["mine"]}, "do not have mine at this address (a server of your own: {input: 0, output: 0}); or agent.max_cost_usd"),
        ({"backend": "codex", "model": "gpt-5-codex"}, "agent.max_cost_usd: the most that one turn of codex may cost"),
    ],
    ids=str,
)  # fmt: skip
def test_a_limit_on_dollars_needs_what_a_call_costs(
    settings: dict[str, Any], said: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the snapshot, from the configuration, or the user's word on a turn."""
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    needed = why_unpriced(config(**settings), "agent")
    assert needed is None if said is None else said in str(needed)
